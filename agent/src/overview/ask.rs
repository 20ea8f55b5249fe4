//! The questions about one aggregate.

use super::kinds::{form, is_additive, is_ranking, sessions};
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;

/// The stretch of event time that is shown, milliseconds.
const STRETCH: i64 = 15 * 60_000;
/// Points of a line, at most.
const POINTS: i64 = 60;

/// What of an aggregate somebody looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Focus {
    /// Only keys for which these hold.
    pub matchers: Vec<pb::LabelMatcher>,
    /// The stretch of event time; `None`: 15 minutes.
    pub stretch: Option<Duration>,
    /// The measure, and the statistic of it, that keys are ordered by; `None`: the first that adds up.
    pub order: Option<(String, String)>,
    pub ascending: bool,
    /// Keys that are shown.
    pub keys: u32,
}

/// The questions about one aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// Everything since the state began, in one row: two of them give a rate.
    pub totals: pb::QueryRequest,
    /// One row for each step of the stretch.
    pub series: pb::QueryRequest,
    /// The keys of the whole stretch.
    pub keys: pb::QueryRequest,
    /// The whole stretch in one row, for what ranks items.
    pub whole: Option<pb::QueryRequest>,
    /// The keys with the newest sessions, if there are sessions.
    pub sessions: Option<pb::QueryRequest>,
    /// The newest closed window of each kind.
    pub closed: Vec<pb::QueryRequest>,
    /// Milliseconds.
    pub step: i64,
    pub stretch: i64,
}

/// What to ask about an aggregate.
pub fn questions(info: &pb::AggregateInfo, focus: &Focus) -> Questions {
    let pane = info.pane.as_ref().map_or(60_000, millis).max(1);
    let retention = info.retention.as_ref().map_or(i64::MAX, millis).max(pane);
    let asked = focus.stretch.map_or(STRETCH, |stretch| i64::try_from(stretch.as_millis()).unwrap_or(i64::MAX));
    let panes = (asked.min(retention) / pane).max(1);
    let per_step = (panes + POINTS - 1) / POINTS;
    let (step, stretch) = (per_step * pane, panes / per_step * per_step * pane);
    let base = pb::QueryRequest {
        aggregate: info.name.clone(),
        matchers: focus.matchers.clone(),
        quantiles: vec![0.5, 0.99],
        ..pb::QueryRequest::default()
    };
    let in_one_row = || Some(pb::GroupBy::default());
    let (measure, stat) = focus.order.clone().unwrap_or_else(|| (main_measure(info), String::new()));
    let order = pb::OrderBy { measure, stat, ascending: focus.ascending };
    let closed = |window: &pb::WindowInfo| pb::QueryRequest {
        window: window.size,
        hop: window.hop,
        closed_only: true,
        group_by: in_one_row(),
        ..base.clone()
    };
    Questions {
        totals: pb::QueryRequest { group_by: in_one_row(), ..base.clone() },
        series: pb::QueryRequest {
            window: Some(duration(step)),
            hop: Some(duration(step)),
            time: Some(Time::LastN(u32::try_from(stretch / step).unwrap_or(1))),
            group_by: in_one_row(),
            ..base.clone()
        },
        keys: pb::QueryRequest {
            time: Some(Time::Last(duration(stretch))),
            order_by: Some(order).filter(|order| !order.measure.is_empty()),
            limit: focus.keys,
            ..base.clone()
        },
        whole: info.measures.iter().any(|measure| is_ranking(form(&measure.kind))).then(|| pb::QueryRequest {
            time: Some(Time::Last(duration(stretch))),
            group_by: in_one_row(),
            ..base.clone()
        }),
        sessions: sessions(info).map(|measure| pb::QueryRequest {
            measures: vec![measure.name.clone()],
            order_by: Some(pb::OrderBy { measure: measure.name.clone(), stat: "value".into(), ascending: false }),
            limit: focus.keys,
            ..base.clone()
        }),
        closed: info.windows.iter().map(closed).collect(),
        step,
        stretch,
    }
}

/// What keys are ordered by unless somebody says otherwise: the first measure that adds up, else the first.
fn main_measure(info: &pb::AggregateInfo) -> String {
    let adds_up = info.measures.iter().find(|measure| is_additive(form(&measure.kind)));
    adds_up.or(info.measures.first()).map(|measure| measure.name.clone()).unwrap_or_default()
}

fn millis(duration: &types::Duration) -> i64 {
    duration.seconds.saturating_mul(1_000).saturating_add(i64::from(duration.nanos) / 1_000_000)
}

fn duration(millis: i64) -> types::Duration {
    types::Duration { seconds: millis / 1_000, nanos: (millis % 1_000 * 1_000_000) as i32 }
}
