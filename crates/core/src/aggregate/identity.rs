//! Which stored numbers are an aggregate's: its id, from what its config says they mean.

use xxhash_rust::xxh3::xxh3_64;

use super::key::AggregateId;
use super::units::millis;
use crate::config::{
    self, Aggregate, Condition, FieldPath, LabelMaking, MeasureKind, Scalar, Source, Template, Test, Timestamp,
};
use crate::measure::{Amount, Beyond, Earlier};

/// The id is a hash of what the stored numbers mean: name, event time, labels, pane, measures with their fields, units
/// and filters. Whatever only decides how they are kept, limited, read or shown (windows, grace, retention, limits,
/// time to live, metric names, help) is not in it and may change without a new state.
///
/// What counts in several sources has one id, which is of all of them: no agent merges what another one's config counts
/// differently.
pub(super) fn id(sources: &[&Source], config: &Aggregate) -> AggregateId {
    let mut texts: Vec<String> = sources.iter().map(|source| canonical(source, &config.within(source)).0).collect();
    if let [one] = texts.as_slice() {
        return AggregateId(xxh3_64(one.as_bytes()));
    }
    texts.sort();
    let mut text = Canonical(String::from("streamgauge aggregate of several sources 1\n"));
    texts.iter().for_each(|one| text.add("source", [one.as_str()]));
    AggregateId(xxh3_64(text.0.as_bytes()))
}

fn canonical(source: &Source, config: &Aggregate) -> Canonical {
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
    text
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
