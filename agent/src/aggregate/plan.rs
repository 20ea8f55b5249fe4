//! What the config asks of one source, laid out for folding: fields become slots, durations milliseconds.

use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::key::AggregateId;
use super::units::Scaling;
use crate::config::{self, Aggregate, FieldPath, MeasureKind, Scalar, Source, Test, TimeFormat, Timestamp};

/// Largest label value a plan takes unless told otherwise, bytes.
const DEFAULT_LABEL_BYTES: usize = 1024;

/// Everything that is folded from one source.
#[derive(Debug)]
pub struct Plan {
    /// The fields that decoding has to deliver, in this order. The timestamp is not among them.
    pub fields: Vec<FieldPath>,
    pub aggregates: Vec<Arc<AggregatePlan>>,
    /// Events with a longer label value are rejected. Bytes.
    pub label_bytes: usize,
}

/// One aggregate, ready to be folded.
#[derive(Debug)]
pub struct AggregatePlan {
    pub id: AggregateId,
    pub config: Aggregate,
    pub pane_ms: i64,
    pub grace_ms: i64,
    pub retention_ms: i64,
    /// Events may be dated this far ahead of stream time.
    pub ahead_ms: i64,
    pub key_ttl_ms: Option<i64>,
    /// Slot of each label.
    pub labels: Vec<usize>,
    /// In the config's order.
    pub measures: Vec<MeasurePlan>,
    /// Events that come later than this many panes enter no window any more; `None`: there are no windows.
    pub max_late: Option<u16>,
}

/// One measure, ready to be folded.
#[derive(Debug)]
pub struct MeasurePlan {
    pub kind: MeasureKind,
    /// Slot of the measured field.
    pub field: Option<usize>,
    /// From the field's unit to the exposed one.
    pub scaling: Scaling,
    /// Slot and test of each condition.
    pub filter: Vec<(usize, Test)>,
}

impl Plan {
    /// Lays out those of `aggregates` that read `source`.
    pub fn new(source: &Source, aggregates: &[Aggregate]) -> Plan {
        let mut fields = Fields(Vec::new());
        let aggregates = aggregates
            .iter()
            .filter(|aggregate| aggregate.source == source.name)
            .map(|aggregate| Arc::new(AggregatePlan::new(source, aggregate, &mut fields)))
            .collect();
        Plan { fields: fields.0, aggregates, label_bytes: DEFAULT_LABEL_BYTES }
    }

    /// The same plan with another limit on label values.
    pub fn with_label_bytes(mut self, label_bytes: usize) -> Plan {
        self.label_bytes = label_bytes;
        self
    }

    pub fn aggregate(&self, id: AggregateId) -> Option<&Arc<AggregatePlan>> {
        self.aggregates.iter().find(|aggregate| aggregate.id == id)
    }
}

impl AggregatePlan {
    fn new(source: &Source, config: &Aggregate, fields: &mut Fields) -> AggregatePlan {
        let pane_ms = millis(config.pane).max(1);
        let largest = config.windows.iter().map(|window| millis(window.size) / pane_ms).max();
        AggregatePlan {
            id: id(source, config),
            pane_ms,
            grace_ms: millis(config.grace),
            retention_ms: millis(config.retention),
            ahead_ms: millis(source.max_future.saturating_sub(source.max_lead)),
            key_ttl_ms: config.key_ttl.map(millis),
            labels: config.by.iter().map(|label| fields.slot(&label.path)).collect(),
            measures: config.measures.iter().map(|measure| MeasurePlan::new(measure, fields)).collect(),
            max_late: largest.map(|panes| u16::try_from((panes - 1).max(0)).unwrap_or(u16::MAX)),
            config: config.clone(),
        }
    }
}

impl MeasurePlan {
    fn new(config: &config::Measure, fields: &mut Fields) -> MeasurePlan {
        let field = match config.kind {
            MeasureKind::Count => None,
            _ => config.field.as_ref().map(|path| fields.slot(path)),
        };
        MeasurePlan {
            kind: config.kind.clone(),
            field,
            scaling: Scaling::new(config.unit),
            filter: config.filter.iter().map(|c| (fields.slot(&c.path), c.test.clone())).collect(),
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

/// Whole milliseconds, at most `i64::MAX`.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The id is a hash of what the stored numbers mean: name, event time, labels, pane, measures with their fields, units
/// and filters. Whatever only decides how they are kept, limited, read or shown (windows, grace, retention, limits,
/// time to live, metric names, help) is not in it and may change without a new state.
fn id(source: &Source, config: &Aggregate) -> AggregateId {
    let mut text = Canonical(String::from("streamgauge aggregate 1\n"));
    text.add("name", [config.name.as_str()]);
    match &source.timestamp {
        Timestamp::Kafka => text.add("time", ["kafka"]),
        Timestamp::Field { path, format } => {
            text.add("time", [time_format(*format)].into_iter().chain(parts(path)));
        }
    }
    text.add("pane", [millis(config.pane).max(1).to_string().as_str()]);
    for label in &config.by {
        text.add("label", [label.label.as_str()].into_iter().chain(parts(&label.path)));
    }
    for measure in &config.measures {
        text.measure(measure);
    }
    AggregateId(xxh3_64(text.0.as_bytes()))
}

fn parts(path: &FieldPath) -> impl Iterator<Item = &str> {
    path.0.iter().map(String::as_str)
}

fn time_format(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::UnixSeconds => "unix_s",
        TimeFormat::UnixMillis => "unix_ms",
        TimeFormat::UnixNanos => "unix_ns",
        TimeFormat::Rfc3339 => "rfc3339",
    }
}

/// A text that is the same for the same definition: lines of a word and length-prefixed parts, so that no two
/// definitions run into each other. Its form is part of the stored format: whoever changes it makes every state a new
/// one.
struct Canonical(String);

impl Canonical {
    fn add<'a>(&mut self, word: &str, parts: impl IntoIterator<Item = &'a str>) {
        self.0.push_str(word);
        for part in parts {
            self.0.push_str(&format!(" {}:{part}", part.len()));
        }
        self.0.push('\n');
    }

    fn measure(&mut self, measure: &config::Measure) {
        let kind = match &measure.kind {
            MeasureKind::Count => "count",
            MeasureKind::Sum => "sum",
            MeasureKind::Min => "min",
            MeasureKind::Max => "max",
            MeasureKind::Avg => "avg",
            MeasureKind::Histogram => "histogram",
            MeasureKind::Buckets(_) => "buckets",
        };
        self.add("measure", [measure.name.as_str(), kind]);
        if let MeasureKind::Buckets(bounds) = &measure.kind {
            let bounds: Vec<_> = bounds.iter().map(|&bound| number(bound)).collect();
            self.add("bounds", bounds.iter().map(String::as_str));
        }
        if let Some(path) = &measure.field {
            self.add("field", parts(path));
            let (numerator, denominator) = measure.unit.factor();
            self.add("unit", [measure.unit.base_name(), &numerator.to_string(), &denominator.to_string()]);
        }
        for condition in &measure.filter {
            self.add("where", parts(&condition.path));
            let test = test(&condition.test);
            self.add("test", test.iter().map(String::as_str));
        }
    }
}

fn test(test: &Test) -> Vec<String> {
    let one = |word: &str, operand: String| vec![word.to_owned(), operand];
    match test {
        Test::Eq(value) => one("eq", scalar(value)),
        Test::Ne(value) => one("ne", scalar(value)),
        Test::Gt(bound) => one("gt", number(*bound)),
        Test::Gte(bound) => one("gte", number(*bound)),
        Test::Lt(bound) => one("lt", number(*bound)),
        Test::Lte(bound) => one("lte", number(*bound)),
        Test::In(values) => std::iter::once("in".to_owned()).chain(values.iter().map(scalar)).collect(),
        Test::Prefix(prefix) => one("prefix", prefix.clone()),
        Test::Exists(wanted) => one("exists", wanted.to_string()),
    }
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Bool(value) => format!("bool {value}"),
        Scalar::Number(value) => format!("number {}", number(*value)),
        Scalar::Text(value) => format!("text {value}"),
    }
}

/// Bits rather than digits: exact, and without a formatter's habits. Adding zero makes one of the two zeros.
fn number(value: f64) -> String {
    format!("{:016x}", (value + 0.0).to_bits())
}
