//! Stored cells in words: which one it is, and what it holds.

use crate::aggregate::{AggregatePlan, EntryKey, Pane, Plan, is_overflow, labels, nanos_to_f64};
use crate::config::Config;
use crate::measure::MeasureState;
use prost::Message;
use std::sync::Arc;
use streamgauge_proto::storage::v1 as pb;

/// Names of a config's aggregates, labels and measures, for ids found in stored state.
pub struct Names {
    plans: Vec<Arc<AggregatePlan>>,
}

impl Names {
    pub fn new(config: &Config) -> Names {
        let plans =
            config.sources.iter().flat_map(|one| Plan::new(one, &config.sources, &config.aggregates).aggregates);
        Names { plans: plans.collect() }
    }

    fn plan(&self, id: u64) -> Option<&AggregatePlan> {
        self.plans.iter().find(|plan| plan.id.0 == id).map(|plan| &**plan)
    }

    /// `http{endpoint="/api/cart"} total`, or with the pane's end in the place of `total`.
    pub fn cell(&self, key: &[u8]) -> String {
        let Some(entry) = EntryKey::decode(key) else { return format!("a key of {} unknown bytes", key.len()) };
        let plan = self.plan(entry.aggregate.0);
        let name = plan.map_or_else(|| format!("aggregate {:016x}", entry.aggregate.0), |p| p.config.name.clone());
        let names = plan.map(|plan| plan.config.by.iter().map(|by| by.label.as_str()).collect::<Vec<_>>());
        let values = labels(&entry.key).unwrap_or_default();
        let pair = |(at, value): (usize, &&str)| match names.as_ref().and_then(|names| names.get(at)) {
            Some(name) => format!("{name}={value:?}"),
            None => format!("{value:?}"),
        };
        let labels: Vec<_> = values.iter().enumerate().map(pair).collect();
        let labels = if is_overflow(&entry.key) { "overflow".to_owned() } else { labels.join(",") };
        match entry.pane {
            Pane::TOTAL => format!("{name}{{{labels}}} total"),
            Pane { end, late: 0 } => format!("{name}{{{labels}}} pane until {}", super::time(end)),
            Pane { end, late } => format!("{name}{{{labels}}} pane until {}, {late} late", super::time(end)),
        }
    }

    /// `requests 12, duration 12 of sum 0.5`.
    pub fn value(&self, key: &[u8], value: Option<&[u8]>) -> String {
        let Some(value) = value else { return "nothing".into() };
        let Ok(cell) = pb::Cell::decode(value) else { return "bytes that are no cell".into() };
        let plan = EntryKey::decode(key).and_then(|entry| self.plan(entry.aggregate.0));
        let measure = |(at, state): (usize, &pb::MeasureState)| {
            let name = plan.and_then(|plan| plan.config.measures.get(at)).map_or("measure", |m| m.name.as_str());
            format!("{name} {}", text(state))
        };
        let measures: Vec<_> = cell.measures.iter().enumerate().map(measure).collect();
        measures.join(", ")
    }
}

fn text(state: &pb::MeasureState) -> String {
    let Some(state) = MeasureState::decode(state.clone()) else { return "none".into() };
    let stats = state.stats();
    match (stats.count, stats.sum.map(nanos_to_f64)) {
        (Some(count), Some(sum)) => format!("{count} with sum {sum}"),
        (Some(count), None) => count.to_string(),
        (None, Some(sum)) => sum.to_string(),
        (None, None) => state.own().map_or("none".into(), |value| value.to_string()),
    }
}
