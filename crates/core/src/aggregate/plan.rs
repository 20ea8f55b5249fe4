//! What the config asks of one source, laid out for folding: fields become slots, durations milliseconds.

use std::sync::Arc;

use super::filter::Filter;
use super::identity;
use super::key::AggregateId;
use super::made::Making;
use super::reason::Tally;
use super::units::{Scaling, millis};
use super::watch::Hint;
use crate::config::{self, Aggregate, FieldPath, LabelField, MeasureKind, Source};
use crate::measure::{SessionRule, Takes};
use crate::value::time::TimeReader;

/// Largest label value a plan takes unless told otherwise, bytes.
const DEFAULT_LABEL_BYTES: usize = 1024;

/// Everything that is folded from one source.
#[derive(Debug)]
pub struct Plan {
    /// Name of the source.
    source: String,
    /// The fields that decoding has to deliver, in this order. The timestamp is not among them.
    pub fields: Vec<FieldPath>,
    pub aggregates: Vec<Arc<AggregatePlan>>,
    /// Longer label values are cut. Bytes.
    pub label_bytes: usize,
    /// An event that one aggregate cannot use as it is is folded into none.
    pub strict: bool,
    /// Only events for which it holds are the source's at all.
    pub filter: Filter,
}

/// One aggregate, ready to be folded.
#[derive(Debug)]
pub struct AggregatePlan {
    /// The same in the plans of all sources that it reads.
    pub id: AggregateId,
    /// As it is written, whatever places the source has for its fields.
    pub config: Aggregate,
    pub pane_ms: i64,
    pub grace_ms: i64,
    pub retention_ms: i64,
    /// Events, of whichever of its sources, may be dated this far ahead of stream time.
    pub ahead_ms: i64,
    pub key_ttl_ms: Option<i64>,
    /// Only events for which it holds are the aggregate's.
    pub filter: Filter,
    pub labels: Vec<LabelPlan>,
    /// In the config's order.
    pub measures: Vec<MeasurePlan>,
    /// Whether one of them takes an item.
    pub(super) takes_items: bool,
    /// Whether one of them judges values by the key's earlier ones.
    pub(super) judges: bool,
    /// When sessions end, if there are some.
    pub(super) sessions: Option<SessionRule>,
    /// Events that come later than this many panes enter no window any more; `None`: there are no windows.
    pub max_late: Option<u16>,
}

/// One label, ready to be made.
#[derive(Debug)]
pub struct LabelPlan {
    /// Slot of its field.
    pub slot: usize,
    /// Slots to look at where that one has no value.
    pub(super) or: Box<[usize]>,
    /// Without a value, the event is not the aggregate's.
    pub required: bool,
    /// What it is without a value; usually empty.
    pub default: Box<str>,
    pub has_default: bool,
    /// How it is made; `None`: it is the field as it is.
    pub(super) making: Option<Making>,
}

/// One measure, ready to be folded.
#[derive(Debug)]
pub struct MeasurePlan {
    pub kind: MeasureKind,
    /// Slot of the field that holds the measured number.
    pub field: Option<usize>,
    /// Slots to look at where that one has no value.
    pub(super) or: Box<[usize]>,
    /// From the field's unit to the exposed one.
    pub scaling: Scaling,
    /// Measured is the time from this slot's to the field's.
    pub since: Option<(usize, TimeReader)>,
    /// A negative value would make what only grows go down.
    pub refuses_negative: bool,
    pub filter: Filter,
    /// Where the item is, for kinds that take one.
    pub(super) item: Option<ItemPlan>,
    /// Of a ratio: which events are of the part. `filter` has those of the whole.
    pub(super) part: Option<Filter>,
}

/// Where the item of an event is.
#[derive(Debug)]
pub(super) struct ItemPlan {
    pub slot: usize,
    /// Slots to look at where that one has no value.
    pub or: Box<[usize]>,
}

impl Plan {
    /// Lays out those of `aggregates` that read `source`, which is one of `all`.
    pub fn new(source: &Source, all: &[Source], aggregates: &[Aggregate]) -> Plan {
        let mut fields = Fields(Vec::new());
        let aggregates = aggregates
            .iter()
            .filter(|aggregate| aggregate.reads(&source.name))
            .map(|aggregate| Arc::new(AggregatePlan::new(source, all, aggregate, &mut fields)))
            .collect();
        let filter = Filter::new(&source.filter, &mut |path| fields.slot(path));
        Plan {
            source: source.name.clone(),
            filter,
            fields: fields.0,
            aggregates,
            label_bytes: DEFAULT_LABEL_BYTES,
            strict: source.strict,
        }
    }

    /// The same plan with another limit on label values.
    pub fn with_label_bytes(mut self, label_bytes: usize) -> Plan {
        self.label_bytes = label_bytes;
        self
    }

    /// What has come to be worth a word since the last call: conditions that never hold, though their field is there.
    pub fn take_hints(&self) -> Vec<Hint> {
        let mut hints = Vec::new();
        self.filters(&mut |filter, whose| filter.take_hints(whose, &mut hints));
        hints
    }

    /// The conditions that have held for no event so far, however few had their field.
    pub fn never_held(&self) -> Vec<Hint> {
        let mut hints = Vec::new();
        self.filters(&mut |filter, whose| filter.never_held(whose, &mut hints));
        hints
    }

    fn filters(&self, look: &mut dyn FnMut(&Filter, &str)) {
        look(&self.filter, &format!("source `{}`", self.source));
        for aggregate in &self.aggregates {
            let name = &aggregate.config.name;
            look(&aggregate.filter, &format!("aggregate `{name}`"));
            for (measure, config) in aggregate.measures.iter().zip(&aggregate.config.measures) {
                look(&measure.filter, &format!("measure `{}` of aggregate `{name}`", config.name));
            }
        }
    }

    pub fn aggregate(&self, id: AggregateId) -> Option<&Arc<AggregatePlan>> {
        self.aggregates.iter().find(|aggregate| aggregate.id == id)
    }
}

impl AggregatePlan {
    fn new(source: &Source, all: &[Source], asked: &Aggregate, fields: &mut Fields) -> AggregatePlan {
        let read: Vec<&Source> = all.iter().filter(|source| asked.reads(&source.name)).collect();
        let config = &*asked.within(source);
        let pane_ms = millis(config.pane).max(1);
        let labels = config.by.iter().map(|label| LabelPlan::new(label, fields)).collect();
        let measures: Vec<_> = config.measures.iter().map(|measure| MeasurePlan::new(measure, fields)).collect();
        let largest = config.windows.iter().map(|window| millis(window.size) / pane_ms).max();
        AggregatePlan {
            id: identity::id(&read, asked),
            pane_ms,
            grace_ms: millis(config.grace),
            retention_ms: millis(config.retention),
            ahead_ms: read.iter().map(|read| millis(read.max_future.saturating_sub(read.max_lead))).max().unwrap_or(0),
            key_ttl_ms: config.key_ttl.map(millis),
            labels,
            takes_items: measures.iter().any(|measure| measure.item.is_some()),
            sessions: measures.iter().find_map(|measure| match measure.kind {
                MeasureKind::Sessions(rule) => Some(rule),
                _ => None,
            }),
            judges: measures.iter().any(|measure| matches!(measure.kind, MeasureKind::Anomaly(_))),
            measures,
            filter: Filter::new(&config.filter, &mut |path| fields.slot(path)),
            max_late: largest.map(|panes| u16::try_from((panes - 1).max(0)).unwrap_or(u16::MAX)),
            config: asked.clone(),
        }
    }
}

impl AggregatePlan {
    /// A tally in which nothing has been counted.
    pub fn tally(&self) -> Tally {
        Tally::new(self.labels.len(), self.measures.len())
    }
}

impl LabelPlan {
    fn new(config: &LabelField, fields: &mut Fields) -> LabelPlan {
        LabelPlan {
            slot: fields.slot(&config.path),
            or: config.or.iter().map(|path| fields.slot(path)).collect(),
            required: config.required,
            default: config.default.as_deref().unwrap_or_default().into(),
            has_default: config.default.is_some(),
            making: Making::new(&config.making),
        }
    }
}

impl MeasurePlan {
    fn new(config: &config::Measure, fields: &mut Fields) -> MeasurePlan {
        let rules = config.kind.rules();
        let field = config.field.as_ref().filter(|_| rules.takes.a_field()).map(|path| fields.slot(path));
        let or: Box<[usize]> = config.or.iter().map(|path| fields.slot(path)).collect();
        let (field, or, item) = match (rules.takes, field) {
            (Takes::Item, Some(slot)) => {
                let weight = config.weight.as_ref().map(|path| fields.slot(path));
                (weight, Box::default(), Some(ItemPlan { slot, or }))
            }
            (_, field) => (field, or, None),
        };
        MeasurePlan {
            kind: config.kind.clone(),
            field,
            or,
            item,
            part: config.ratio.as_ref().map(|of| Filter::new(&of.filter, &mut |path| fields.slot(path))),
            scaling: Scaling::new(config.unit),
            since: config.since.as_ref().map(|since| (fields.slot(&since.path), TimeReader::new(&since.format))),
            refuses_negative: (rules.takes_sign && !config.signed) || config.weight.is_some(),
            filter: Filter::new(&config.filter, &mut |path| fields.slot(path)),
        }
    }
}

struct Fields(Vec<FieldPath>);

impl Fields {
    fn slot(&mut self, path: &FieldPath) -> usize {
        self.0.iter().position(|known| known == path).unwrap_or_else(|| {
            self.0.push(path.clone());
            self.0.len() - 1
        })
    }
}
