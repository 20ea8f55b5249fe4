//! Which numbers are measured, and in which unit.

use super::fields::{Field, Held, Table};
use super::names::{BESIDE, keys, last_words, name_of};
use super::times::Time;
use super::trial::Tried;
use super::yaml::scalar;
use crate::config::FieldPath;

/// Candidates that are tried, and measures that are taken.
const MOST_TRIED: usize = 10;
const MOST_TAKEN: usize = 4;

/// A field that may be measured.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub name: String,
    pub path: FieldPath,
    kind: Kind,
    pub unit: Option<&'static str>,
    /// Where the unit is from.
    pub why: &'static str,
    pub least: f64,
    pub most: f64,
    /// Whether a negative number stands for none, as `-1` in the logs of load balancers.
    negative_is_none: bool,
    /// Events that have a number there.
    pub measured: u64,
    pub taken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Duration,
    Size,
    Number,
}

/// Events that are errors, as a condition.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    pub condition: String,
    /// Events of the sample for which it holds.
    pub held: usize,
}

impl Measure {
    /// As the config has it.
    pub fn body(&self) -> String {
        let path = scalar(&self.path.to_string());
        let statistic = if self.kind == Kind::Duration { "histogram" } else { "sum" };
        let unit = self.unit.map(|unit| format!(", unit: {unit}")).unwrap_or_default();
        let only = if self.negative_is_none { format!(", where: {{ {path}: {{ gte: 0 }} }}") } else { String::new() };
        format!("{{ {statistic}: {path}{unit}{only} }}")
    }
}

const DURATIONS: [&str; 17] = [
    "duration",
    "latency",
    "elapsed",
    "took",
    "rtt",
    "delay",
    "lag",
    "wait",
    "millis",
    "milliseconds",
    "ms",
    "seconds",
    "runtime",
    "dur",
    "cost",
    "nanoseconds",
    "taken",
];
const SIZES: [&str; 9] = ["bytes", "size", "octets", "length", "byte", "kb", "mb", "len", "kilobytes"];
const NUMBERS: [&str; 6] = ["retries", "attempts", "rows", "amount", "commits", "errors"];

/// The best candidates, in the order of the events' fields.
pub(super) fn candidates(table: &Table, time: &Time) -> Vec<Measure> {
    let mut found: Vec<(&Field, Kind)> = table
        .fields
        .iter()
        .filter(|field| !time.is_time(&field.path))
        .filter_map(|field| Some((field, kind(field)?)))
        .collect();
    // How long it took is what is asked for first; what stands higher and is in more events is nearer to what people ask for.
    let rank = |kind: &Kind| [Kind::Duration, Kind::Size, Kind::Number].iter().position(|known| known == kind);
    found.sort_by_key(|(field, kind)| (rank(kind), keys(&field.path).len(), table.events - field.there));
    // The trial counts events by this name.
    let mut names = vec!["events".to_owned(), "requests".to_owned(), "lines".to_owned(), "errors".to_owned()];
    let mut measures = Vec::new();
    for (field, kind) in found.into_iter().take(MOST_TRIED) {
        let (unit, why) = unit(field, kind);
        let name = name_without_unit(&field.path, unit, &names);
        names.push(name.clone());
        let numbers = || field.numbers();
        measures.push(Measure {
            name,
            path: field.path.clone(),
            kind,
            unit,
            why,
            negative_is_none: numbers().any(|number| number < 0.0),
            least: numbers().filter(|number| *number >= 0.0).fold(f64::INFINITY, f64::min),
            most: numbers().fold(f64::NEG_INFINITY, f64::max),
            measured: 0,
            taken: false,
        });
    }
    measures
}

/// Whether the field is one to be measured.
pub(super) fn is_measured(field: &Field) -> bool {
    kind(field).is_some()
}

/// What a field measures, by its name; its values are numbers, and none is negative.
fn kind(field: &Field) -> Option<Kind> {
    let words = last_words(&field.path);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let last = words.last().map(String::as_str).unwrap_or_default();
    let is_named_time = last == "time" && words.len() > 1 && !has(&["start", "end", "event", "real", "local"]);
    let quantities = field.there().filter(|value| is_quantity(value)).count();
    let numbers = field.numbers().count();
    if 10 * quantities < 8 * field.there || quantities == 0 || has_negatives(field) {
        return None;
    }
    // Only a time is written with its unit, or a size.
    let suffixed = quantities > numbers;
    // So large a number of any unit is a time of our days.
    if field.numbers().any(|number| number >= 1e11) || has(&["id", "port", "status", "version", "code", "level"]) {
        return None;
    }
    let is_to_a_byte = last == "byte" && words.iter().any(|word| word == "time");
    if has(&DURATIONS) || is_named_time || is_to_a_byte {
        return Some(Kind::Duration);
    }
    let ends_in_bytes = words.iter().any(|word| word.ends_with("bytes") || word.ends_with("byte"));
    if (has(&SIZES) || ends_in_bytes) && !has(&["count"]) {
        return Some(Kind::Size);
    }
    if suffixed {
        return Some(Kind::Duration);
    }
    has(&NUMBERS).then_some(Kind::Number)
}

/// Whether numbers below zero are among its values, but for a `-1` that stands for none.
fn has_negatives(field: &Field) -> bool {
    let (mut negative, mut others) = (0, 0);
    for number in field.numbers() {
        negative += usize::from(number < 0.0);
        others += usize::from(number < 0.0 && number != -1.0);
    }
    others > 0 || 2 * negative > field.there
}

/// A number, or a number with a unit of time as `12ms`, `1m2.5s` and `PT1.5S`.
fn is_quantity(value: &Held) -> bool {
    let Held::Text(text) = value else { return value.number().is_some() };
    let text = text.trim();
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let known = ["ns", "us", "µs", "μs", "ms", "s", "m", "h", "B", "kB", "KB", "MB", "KiB", "MiB"];
    let several = || {
        let letters = text.trim_end_matches(|c: char| "nuµμmsh".contains(c));
        text.starts_with(|c: char| c.is_ascii_digit())
            && letters.len() < text.len()
            && letters.chars().all(|c| c.is_ascii_digit() || "nuµμmsh.".contains(c))
    };
    value.number().is_some()
        || (suffix.len() < text.len() && known.contains(&suffix))
        || several()
        || text.starts_with("PT")
}

/// The unit of a field's numbers, and why it is taken for that.
fn unit(field: &Field, kind: Kind) -> (Option<&'static str>, &'static str) {
    let words = last_words(&field.path);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let mut numbers: Vec<f64> = field.numbers().collect();
    numbers.sort_by(f64::total_cmp);
    let median = numbers.get(numbers.len() / 2).copied().unwrap_or_default();
    let most = numbers.last().copied().unwrap_or_default();
    let has_decimals = field.there().any(|value| match value {
        Held::Text(text) => text.contains('.'),
        value => matches!(value, Held::Float(_)),
    });
    match kind {
        Kind::Number => (None, ""),
        Kind::Size if has(&["kb", "kilobytes"]) => (Some("kB"), "by the name"),
        Kind::Size if has(&["mb", "megabytes"]) => (Some("MB"), "by the name"),
        Kind::Size => (Some("bytes"), "by the name"),
        Kind::Duration => match () {
            () if numbers.is_empty() => (Some("s"), "the values say their own"),
            () if has(&["ms", "msec", "millis", "milliseconds"]) => (Some("ms"), "by the name"),
            () if has(&["us", "usec", "micros", "microseconds"]) => (Some("us"), "by the name"),
            () if has(&["ns", "nsec", "nanos", "nanoseconds"]) => (Some("ns"), "by the name"),
            () if has(&["s", "sec", "secs", "seconds"]) => (Some("s"), "by the name"),
            () if median >= 100_000.0 => (Some("ns"), "a guess from how large they are: `us` if not"),
            () if most >= 100_000.0 => (Some("us"), "a guess from how large they are: `ns` or `ms` if not"),
            () if median < 1.0 && has_decimals => (Some("s"), "a guess from how small they are: `ms` if not"),
            () => (Some("ms"), "a guess from how large they are: `s` if not"),
        },
    }
}

/// The unit follows the name of the metric anyway.
fn name_without_unit(path: &FieldPath, unit: Option<&str>, taken: &[String]) -> String {
    let name = name_of(path, &[]);
    let short = match unit {
        Some("ms") => ["_ms", "_millis", "_milliseconds", "_msec"].iter().find_map(|suffix| name.strip_suffix(suffix)),
        Some("ns") => ["_ns", "_nanos", "_nanoseconds"].iter().find_map(|suffix| name.strip_suffix(suffix)),
        Some("us") => ["_us", "_micros", "_microseconds"].iter().find_map(|suffix| name.strip_suffix(suffix)),
        Some("s") => ["_s", "_seconds", "_sec"].iter().find_map(|suffix| name.strip_suffix(suffix)),
        _ => None,
    };
    name_of(&FieldPath::keys([short.filter(|short| !short.is_empty()).unwrap_or(&name)]), taken)
}

/// Takes those that could be measured where they are.
pub(super) fn choose(mut measures: Vec<Measure>, tried: &Tried) -> Vec<Measure> {
    let summaries = tried.summary.aggregates.first().map(|aggregate| aggregate.measures.as_slice()).unwrap_or_default();
    let mut taken = 0;
    for measure in &mut measures {
        let Some(summary) = summaries.iter().find(|summary| summary.measure == measure.name) else { continue };
        let missing = crate::aggregate::Reason::MissingValue.as_str();
        let refused: u64 =
            summary.skipped.iter().filter(|(reason, _)| *reason != missing).map(|(_, events)| events).sum();
        measure.measured = summary.measured;
        let often = 10 * summary.measured >= tried.summary.events;
        measure.taken = taken < MOST_TAKEN && often && summary.measured > 0 && refused * 10 <= summary.measured;
        taken += usize::from(measure.taken);
    }
    measures
}

/// Words of names of levels.
const LEVELS: [&str; 5] = ["level", "severity", "priority", "lvl", "levelname"];

/// What a level is called that is an error, or an outcome.
const BAD: [&str; 18] = [
    "error",
    "err",
    "e",
    "fatal",
    "f",
    "crit",
    "critical",
    "alert",
    "emerg",
    "emergency",
    "panic",
    "severe",
    "dpanic",
    "failure",
    "failed",
    "fail",
    "denied",
    "rejected",
];

/// The condition that makes an event an error, if a field says so.
pub(super) fn errors(table: &Table) -> Option<Errors> {
    let named = |known: &'static [&'static str]| {
        move |field: &&Field| {
            let words = last_words(&field.path);
            words.last().is_some_and(|word| known.contains(&word.as_str())) || words.iter().any(|word| word == "status")
        }
    };
    let fields = || table.fields.iter().filter(|field| 4 * field.there >= table.events);
    let is_status = |field: &&Field| {
        field.numbers().count() * 10 >= field.there * 8
            && field.numbers().all(|n| n == 0.0 || (100.0..600.0).contains(&n))
    };
    let status = fields().filter(named(&["status", "code"])).filter(is_status);
    let is_beside = |field: &Field| last_words(&field.path).iter().any(|word| BESIDE.contains(&word.as_str()));
    let status = status.min_by_key(|field| (is_beside(field), keys(&field.path).len(), table.events - field.there));
    if let Some(field) = status {
        let held = |least: f64| field.numbers().filter(|number| *number >= least).count();
        let least = if held(500.0) > 0 || held(400.0) == 0 { 500.0 } else { 400.0 };
        let condition = format!("{}: {{ gte: {least} }}", scalar(&field.path.to_string()));
        return Some(Errors { condition, held: held(least) });
    }
    let is_level = |field: &&Field| last_words(&field.path).iter().any(|word| LEVELS.contains(&word.as_str()));
    let levels = || fields().filter(is_level);
    let outcomes = || fields().filter(named(&["result", "outcome", "conclusion", "state"]));
    let of_texts = |field: &Field| {
        let bad = |text: &&String| BAD.contains(&text.to_lowercase().as_str());
        let values: Vec<&String> = field.counts.keys().filter(bad).collect();
        let held = values.iter().filter_map(|value| field.counts.get(*value)).sum();
        let listed: Vec<String> = values.into_iter().map(|value| scalar(value)).collect();
        let path = scalar(&field.path.to_string());
        (held > 0).then(|| Errors { condition: format!("{path}: [{}]", listed.join(", ")), held })
    };
    levels().find_map(of_texts).or_else(|| levels().find_map(of_numbers)).or_else(|| outcomes().find_map(of_texts))
}

/// A level that is a number: 50 and above in what Node.js programs write, 3 and below in syslog's.
fn of_numbers(field: &Field) -> Option<Errors> {
    let numbers: Vec<f64> = field.numbers().collect();
    if numbers.len() < field.there || numbers.iter().any(|number| number.fract() != 0.0) {
        return None;
    }
    let is_of_tens = numbers.iter().all(|number| (10.0..=60.0).contains(number) && number % 10.0 == 0.0);
    let is_of_syslog = numbers.iter().all(|number| (0.0..=7.0).contains(number));
    let path = scalar(&field.path.to_string());
    let held = |bad: &dyn Fn(f64) -> bool| numbers.iter().filter(|number| bad(**number)).count();
    let (condition, held) = match () {
        () if is_of_tens => (format!("{path}: {{ gte: 50 }}"), held(&|number| number >= 50.0)),
        () if is_of_syslog => (format!("{path}: {{ lte: 3 }}"), held(&|number| number <= 3.0)),
        () => return None,
    };
    (held > 0).then_some(Errors { condition, held })
}
