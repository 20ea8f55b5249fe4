//! What the config asks of one source, laid out for folding: fields become slots, durations milliseconds.

use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::filter::Filter;
use super::key::AggregateId;
use super::made::Making;
use super::reason::Tally;
use super::units::Scaling;
use super::watch::Hint;
use crate::config::{
    self, Aggregate, Condition, FieldPath, LabelField, LabelMaking, MeasureKind, Scalar, Source, Template, Test,
    Timestamp,
};
use crate::measure::{Amount, Beyond, Earlier, SessionRule, Takes};
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
    pub id: AggregateId,
    pub config: Aggregate,
    pub pane_ms: i64,
    pub grace_ms: i64,
    pub retention_ms: i64,
    /// Events may be dated this far ahead of stream time.
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
    /// Lays out those of `aggregates` that read `source`.
    pub fn new(source: &Source, aggregates: &[Aggregate]) -> Plan {
        let mut fields = Fields(Vec::new());
        let aggregates = aggregates
            .iter()
            .filter(|aggregate| aggregate.source == source.name)
            .map(|aggregate| Arc::new(AggregatePlan::new(source, aggregate, &mut fields)))
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
    fn new(source: &Source, config: &Aggregate, fields: &mut Fields) -> AggregatePlan {
        let pane_ms = millis(config.pane).max(1);
        let labels = config.by.iter().map(|label| LabelPlan::new(label, fields)).collect();
        let measures: Vec<_> = config.measures.iter().map(|measure| MeasurePlan::new(measure, fields)).collect();
        let largest = config.windows.iter().map(|window| millis(window.size) / pane_ms).max();
        AggregatePlan {
            id: id(source, config),
            pane_ms,
            grace_ms: millis(config.grace),
            retention_ms: millis(config.retention),
            ahead_ms: millis(source.max_future.saturating_sub(source.max_lead)),
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
            config: config.clone(),
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
    text.time(&source.timestamp);
    if !source.format.is_plain_json() {
        text.add("format", [source.format.to_string().as_str()]);
    }
    if let Some(each) = &source.each {
        text.add("each", [each.to_string().as_str()]);
    }
    for rule in &source.parse {
        text.place("parse", &[rule.format.to_string().as_str()], &rule.path);
    }
    if let Some(program) = &source.remap {
        text.add("remap", [program.as_str()]);
    }
    text.add("pane", [millis(config.pane).max(1).to_string().as_str()]);
    for label in &config.by {
        text.place("label", &[label.label.as_str()], &label.path);
        // What came later is only said where it is asked for: a config that does not keeps its state.
        if label.required {
            text.add("required", []);
        }
        if let Some(default) = &label.default {
            text.add("default", [default.as_str()]);
        }
        label.or.iter().for_each(|path| text.place("or", &[], path));
        text.making(&label.making);
    }
    for measure in &config.measures {
        text.measure(measure);
    }
    for (whose, filter) in [("source", &source.filter), ("aggregate", &config.filter)] {
        if !filter.is_empty() {
            text.add("only", [whose]);
            text.conditions(filter);
        }
    }
    AggregateId(xxh3_64(text.0.as_bytes()))
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

    /// A path that is only names is its names; another word says that it is more.
    fn place(&mut self, word: &str, before: &[&str], path: &FieldPath) {
        let before = before.iter().copied();
        match path.names() {
            Some(names) => self.add(word, before.chain(names)),
            None => self.add(&format!("{word} at"), before.chain([path.to_string().as_str()])),
        }
    }

    fn measure(&mut self, measure: &config::Measure) {
        self.add("measure", [measure.name.as_str(), measure.kind.word()]);
        match &measure.kind {
            MeasureKind::Buckets(bounds) => {
                let bounds: Vec<_> = bounds.iter().map(|&bound| number(bound)).collect();
                self.add("bounds", bounds.iter().map(String::as_str));
            }
            MeasureKind::Top(ranking) => self.add("top", [ranking.k.to_string().as_str()]),
            MeasureKind::Histogram(resolution) => {
                self.add_if("finest", resolution.asked().map(|scale| scale.to_string()).as_deref());
            }
            MeasureKind::Anomaly(usual) => {
                let beyond = match usual.beyond {
                    Beyond::Deviations(sigma) => number(sigma),
                    Beyond::Quantile(q) => format!("p{}", number(q)),
                };
                let parts = [beyond, usual.min_count.to_string(), usual.half_life_ms.to_string()];
                self.add("usual", parts.iter().map(String::as_str));
            }
            MeasureKind::Sessions(rule) => {
                self.add("ends", [rule.gap_ms.to_string().as_str(), rule.max_ms.to_string().as_str()]);
            }
            MeasureKind::Rate(amount) | MeasureKind::Share(amount) | MeasureKind::Versus(Earlier { amount, .. }) => {
                // Which field it is stands below; how long ago is only a matter of what is shown.
                self.add("amount", [if *amount == Amount::Events { "events" } else { "values" }]);
            }
            MeasureKind::Apdex(target) => self.add("target", [number(target.0).as_str()]),
            MeasureKind::Distinct(precision) => self.add("registers", [precision.registers().to_string().as_str()]),
            _ => {}
        }
        if let Some(path) = &measure.field {
            self.place("field", &[], path);
            let (numerator, denominator) = measure.unit.factor();
            self.add("unit", [measure.unit.base_name(), &numerator.to_string(), &denominator.to_string()]);
            measure.or.iter().for_each(|path| self.place("or", &[], path));
            measure.weight.iter().for_each(|path| self.place("sum of", &[], path));
            if let Some(since) = &measure.since {
                self.place("since", &[since.format.name()], &since.path);
                self.add_if("zone", since.format.zone());
            }
            if measure.signed {
                self.add("signed", []);
            }
        }
        self.conditions(&measure.filter);
        if let Some(of) = &measure.ratio {
            self.add("part", []);
            self.conditions(&of.filter);
            self.add("end", []);
        }
    }

    fn time(&mut self, timestamp: &Timestamp) {
        match timestamp {
            Timestamp::Kafka => self.add("time", ["kafka"]),
            Timestamp::Field { path, format, part } => {
                self.place("time", &[format.name()], path);
                self.add_if("zone", format.zone());
                self.add_if("match", part.as_deref());
            }
            Timestamp::Parts { seconds, nanos } => {
                self.place("seconds", &[], seconds);
                self.place("nanos", &[], nanos);
            }
            Timestamp::FirstOf(all) => {
                self.add("first of", []);
                all.iter().for_each(|one| self.time(one));
                self.add("end", []);
            }
        }
    }

    fn add_if(&mut self, word: &str, part: Option<&str>) {
        part.into_iter().for_each(|part| self.add(word, [part]));
    }

    fn making(&mut self, making: &LabelMaking) {
        if let Some(pattern) = &making.part {
            self.add("match", [pattern.as_str()]);
        }
        if making.lower {
            self.add("lower", []);
        }
        match &making.template {
            Some(Template::Path) => self.add("template path", []),
            Some(Template::Routes(routes)) => self.add("template", routes.iter().map(String::as_str)),
            None => {}
        }
        if making.class {
            self.add("class", []);
        }
        if !making.map.is_empty() {
            self.add("map", making.map.iter().flat_map(|(value, name)| [value.as_str(), name.as_str()]));
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            match condition {
                Condition::Field { path, test } => {
                    self.place("where", &[], path);
                    let test = words(test);
                    self.add("test", test.iter().map(String::as_str));
                }
                Condition::Any(filters) => {
                    self.add("any", []);
                    for filter in filters {
                        self.add("either", []);
                        self.conditions(filter);
                    }
                    self.add("end", []);
                }
                Condition::Not(filter) => {
                    self.add("not", []);
                    self.conditions(filter);
                    self.add("end", []);
                }
            }
        }
    }
}

fn words(test: &Test) -> Vec<String> {
    let one = |word: &str, operand: String| vec![word.to_owned(), operand];
    match test {
        Test::Eq(value) => one("eq", scalar(value)),
        Test::Ne(value) => one("ne", scalar(value)),
        Test::Gt(bound) => one("gt", number(*bound)),
        Test::Gte(bound) => one("gte", number(*bound)),
        Test::Lt(bound) => one("lt", number(*bound)),
        Test::Lte(bound) => one("lte", number(*bound)),
        Test::In(values) => std::iter::once("in".to_owned()).chain(values.iter().map(scalar)).collect(),
        Test::Prefix(part) => one("prefix", part.clone()),
        Test::Suffix(part) => one("suffix", part.clone()),
        Test::Contains(part) => one("contains", part.clone()),
        Test::Matches(pattern) => one("matches", pattern.clone()),
        Test::Not(tests) => {
            let inner = tests.iter().flat_map(|test| std::iter::once("and".to_owned()).chain(words(test)));
            std::iter::once("not".to_owned()).chain(inner).chain(["end".to_owned()]).collect()
        }
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
