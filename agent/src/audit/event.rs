//! One record, read naively: as a whole, by the rules of the documentation.

use super::layout;
use super::made::made;
use super::registered::SchemaTexts;
use super::time;
use super::tree::number;
use crate::config::{
    Condition, FieldPath, LabelField, Measure, MeasureKind, RecordField, Scalar, Source, Test, TimeFormat, Timestamp,
    Unit,
};
use crate::measure::{Form, Takes};
use regex::Regex;
use serde_json::Value;

/// Largest magnitude that is measured.
const LARGEST: f64 = 1e18;
/// 9999-12-31T23:59:59.999Z.
const LAST_TIME: i64 = 253_402_300_799_999;

/// What is around the payload of a record.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    pub topic: String,
    pub partition: i32,
    pub time: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The event in a record.
#[derive(Debug)]
pub struct Event {
    /// Unix milliseconds.
    pub time: i64,
    /// How far the event moves stream time: to its time, at most `max_lead` beyond its record's. Unix milliseconds.
    pub reach: i64,
    json: Value,
    /// Text in fields that is parsed.
    parsed: Vec<layout::Parsed>,
    digits: Digits,
    /// What of the record is asked for by name, as JSON.
    envelope: Envelope,
}

/// The event again, with integers beyond 64 bits as text.
#[derive(Debug)]
struct Digits {
    tree: Option<Value>,
    parsed: Vec<layout::Parsed>,
}

impl Event {
    /// All events of a record; those are left out that are dead letters, or pass by.
    pub fn all(
        payload: &[u8],
        envelope: &Envelope,
        source: &Source,
        most_bytes: usize,
        schemas: &SchemaTexts<'_>,
    ) -> Vec<Event> {
        if payload.len() > most_bytes {
            return Vec::new();
        }
        let unpacked = layout::unpacked(payload).filter(|payload| payload.len() <= source.unpacked_bytes);
        let unpacked =
            unpacked.map(|bytes| layout::without_raw_snappy(bytes, &source.format.kind, source.unpacked_bytes));
        let payload = unpacked.as_deref().unwrap_or_default();
        let trees = layout::events(payload, envelope.time, source, schemas);
        let digits = match source.format.kind.needs_registry() {
            true => Vec::new(),
            false => layout::events(&with_digits(payload), envelope.time, source, schemas),
        };
        let paired = digits.len() == trees.len();
        let digits = digits.into_iter().map(|tree| paired.then_some(tree)).chain(std::iter::repeat(None));
        trees.into_iter().zip(digits).filter_map(|(json, digits)| Event::of(json, digits, envelope, source)).collect()
    }

    fn of(json: Value, digits: Option<Value>, envelope: &Envelope, source: &Source) -> Option<Event> {
        let parsed = layout::parsed(&json, envelope.time, source);
        let parsed_digits = digits.iter().flat_map(|tree| layout::parsed(tree, envelope.time, source)).collect();
        let digits = Digits { parsed: parsed_digits, tree: digits };
        let record_time = envelope.time;
        let mut event = Event { time: 0, reach: 0, json, parsed, digits, envelope: envelope.clone() };
        if !event.passes(&source.filter) {
            return None;
        }
        event.time = match &source.timestamp {
            Timestamp::FirstOf(all) => event.first_time(all)?,
            one => event.first_time(std::slice::from_ref(one))?,
        };
        let most = record_time.map_or(i64::MAX, |t| t.saturating_add(source.max_future.as_millis() as i64));
        event.reach =
            record_time.map_or(event.time, |t| event.time.min(t.saturating_add(source.max_lead.as_millis() as i64)));
        ((0..=LAST_TIME).contains(&event.time) && event.time <= most).then_some(event)
    }

    /// What stands at a path, in the event or around it.
    fn at(&self, path: &FieldPath) -> Option<Value> {
        // Bytes that are no text are no value either.
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_or(Value::Array(Vec::new()), Value::String);
        match path {
            FieldPath::Event(steps) => layout::at(&self.json, &self.parsed, steps).cloned(),
            FieldPath::Record(RecordField::Topic) => Some(Value::String(self.envelope.topic.clone())),
            FieldPath::Record(RecordField::Partition) => Some(self.envelope.partition.into()),
            FieldPath::Record(RecordField::Timestamp) => self.envelope.time.map(Value::from),
            FieldPath::Record(RecordField::Key) => self.envelope.key.as_deref().map(text),
            FieldPath::Record(RecordField::Header(name)) => {
                self.envelope.headers.iter().rfind(|(known, _)| known == name).map(|(_, value)| text(value))
            }
        }
    }

    /// A field as text: what a label made of it would be, if nothing were done to it.
    fn text(&self, path: &FieldPath) -> Option<String> {
        Some(match self.at(path)? {
            Value::String(text) => text,
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole.to_string(),
                None => {
                    match self.digits.tree.as_ref().and_then(|tree| layout::at(tree, &self.digits.parsed, path.steps()))
                    {
                        Some(Value::String(digits)) => digits.clone(),
                        _ => number.as_f64()?.to_string(),
                    }
                }
            },
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// The field that a label is made of, as text; empty text and none at all are the same here.
    fn label_field(&self, by: &LabelField) -> Option<String> {
        let fields = [&by.path].into_iter().chain(&by.or);
        fields.filter_map(|path| self.text(path)).find(|text| !text.is_empty())
    }

    /// Whether a label can be made of its field, perhaps an empty one.
    pub fn has_label(&self, by: &LabelField) -> bool {
        match self.label_field(by) {
            Some(text) => made(&text, &by.making).is_some(),
            None => [&by.path].into_iter().chain(&by.or).any(|path| self.text(path).is_some()),
        }
    }

    /// The value of a label; `None`: the event is not the aggregate's.
    pub fn label(&self, by: &LabelField, most_bytes: usize) -> Option<String> {
        let text = self.label_field(by).and_then(|text| made(&text, &by.making)).filter(|text| !text.is_empty());
        let text = match text {
            None if by.required => return None,
            None => by.default.clone().unwrap_or_default(),
            Some(text) => text,
        };
        Some(cut(text, most_bytes))
    }

    /// What a measure measures of it: `Ok(None)` if its filter does not hold.
    pub fn measured(&self, measure: &Measure, most_bytes: usize) -> Result<Option<Measured>, Unusable> {
        if let Some(of) = &measure.ratio {
            let (part, whole) = (self.passes(&of.filter), self.passes(&measure.filter));
            let measured = Measured { value: f64::from(u8::from(part)), uncounted: !whole, ..Measured::default() };
            return Ok((part || whole).then_some(measured));
        }
        if !self.passes(&measure.filter) {
            return Ok(None);
        }
        if let MeasureKind::Sessions(_) = measure.kind {
            // What is counted are sessions.
            return Ok(Some(Measured { uncounted: true, ..Measured::default() }));
        }
        // Events are counted, whatever is in them.
        let Some(path) = &measure.field else { return Ok(Some(Measured::default())) };
        if measure.kind.rules().takes == Takes::Item {
            let paths = [path].into_iter().chain(&measure.or);
            let item = paths.filter_map(|path| self.text(path)).find(|text| !text.is_empty()).ok_or(Unusable)?;
            // What is shown is cut as labels are; what is only counted is not.
            let item = if measure.kind.rules().form == Form::Ranking { cut(item, most_bytes) } else { item };
            let value = measure.weight.as_ref().map_or(Ok(0.0), |weight| self.number(measure, weight))?;
            return Ok(Some(Measured { value, item, ..Measured::default() }));
        }
        self.number(measure, path).map(|value| Some(Measured { value, ..Measured::default() }))
    }

    /// The measured number, in the exposed unit.
    fn number(&self, measure: &Measure, path: &FieldPath) -> Result<f64, Unusable> {
        let value = match &measure.since {
            Some(since) => {
                let (from, to) = (self.instant(&since.path, &since.format)?, self.instant(path, &since.format)?);
                // Whole seconds by themselves: a float has no room for nanoseconds since 1970.
                let nanos = to - from;
                (nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9
            }
            None => {
                let has = |path: &&FieldPath| {
                    self.at(path).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
                };
                let path = [path].into_iter().chain(&measure.or).find(has).ok_or(Unusable)?;
                self.quantity(path, measure.unit)?
            }
        };
        let grows = (measure.kind.rules().takes_sign && !measure.signed) || measure.weight.is_some();
        if value < 0.0 && grows { Err(Unusable) } else { Ok(value) }
    }

    /// Unix milliseconds: the first time that is there. One that cannot be read may be read another way.
    fn first_time(&self, all: &[Timestamp]) -> Option<i64> {
        let mut unreadable: Option<&FieldPath> = None;
        for timestamp in all {
            let path = match timestamp {
                Timestamp::Kafka if unreadable.is_none() => match self.envelope.time {
                    Some(time) => return Some(time),
                    None => continue,
                },
                Timestamp::Kafka | Timestamp::FirstOf(_) => continue,
                Timestamp::Field { path, .. } | Timestamp::Parts { seconds: path, .. } => path,
            };
            let there = |value: &Value| !value.is_null() && value.as_str() != Some("");
            let Some(value) = self.at(path).filter(there) else { continue };
            if unreadable.is_some_and(|other| other != path) {
                continue;
            }
            let read = match timestamp {
                Timestamp::Parts { nanos, .. } => time::parts(&value, self.at(nanos)),
                Timestamp::Field { format, part, .. } => time::millis(&value, format, part.as_deref()),
                Timestamp::Kafka | Timestamp::FirstOf(_) => None,
            };
            match read {
                Some(time) => return Some(time),
                None => unreadable = unreadable.or(Some(path)),
            }
        }
        None
    }

    /// Nanoseconds since 1970.
    fn instant(&self, path: &FieldPath, format: &TimeFormat) -> Result<i128, Unusable> {
        let value = self.at(path).ok_or(Unusable)?;
        time::nanos(&value, format).ok_or(Unusable)
    }

    fn quantity(&self, path: &FieldPath, unit: Unit) -> Result<f64, Unusable> {
        let value = &self.at(path).ok_or(Unusable)?;
        let (numerator, denominator) = unit.factor();
        let plain = number(value).map(|number| (number, number * numerator as f64 / denominator as f64));
        let suffixed = || value.as_str().and_then(|text| suffixed(text.trim(), unit.base_name()));
        let (number, value) = plain.or_else(|| suffixed().map(|value| (value, value))).ok_or(Unusable)?;
        if number.abs() <= LARGEST && value.abs() <= LARGEST { Ok(value) } else { Err(Unusable) }
    }

    /// Whether all of the conditions hold.
    pub fn passes(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| match condition {
            Condition::Field { path, test } => self.passes_test(path, test),
            Condition::Any(branches) => branches.iter().any(|branch| self.passes(branch)),
            Condition::Not(inner) => !self.passes(inner),
        })
    }

    fn passes_test(&self, path: &FieldPath, test: &Test) -> bool {
        let value = self.at(path).filter(|value| !value.is_null());
        let number = value.as_ref().and_then(number);
        let text = self.text(path);
        let says = |ask: &dyn Fn(&str) -> bool| text.as_deref().is_some_and(ask);
        let same = |operand: &Scalar| match operand {
            Scalar::Bool(operand) => text.as_deref() == Some(if *operand { "true" } else { "false" }),
            Scalar::Number(operand) => number == Some(*operand),
            Scalar::Text(operand) => text.as_ref() == Some(operand),
        };
        match test {
            Test::Exists(wanted) => value.is_some() == *wanted,
            Test::Eq(operand) => same(operand),
            Test::Ne(operand) => text.is_some() && !same(operand),
            Test::In(operands) => operands.iter().any(same),
            Test::Gt(bound) => number.is_some_and(|number| number > *bound),
            Test::Gte(bound) => number.is_some_and(|number| number >= *bound),
            Test::Lt(bound) => number.is_some_and(|number| number < *bound),
            Test::Lte(bound) => number.is_some_and(|number| number <= *bound),
            Test::Prefix(part) => says(&|text| text.starts_with(part)),
            Test::Suffix(part) => says(&|text| text.ends_with(part)),
            Test::Contains(part) => says(&|text| text.contains(part)),
            Test::Matches(pattern) => says(&|text| Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))),
            Test::Not(tests) => !tests.iter().all(|test| self.passes_test(path, test)),
        }
    }
}

/// The text, if it is not longer than that; else as much of it as leaves room for its checksum.
fn cut(text: String, most_bytes: usize) -> String {
    if text.len() <= most_bytes {
        return text;
    }
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    let mark = format!("~{:08x}", crc.sum());
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len() + character.len_utf8() + mark.len() > most_bytes {
            break;
        }
        kept.push(character);
    }
    kept.push_str(&mark);
    kept.truncate(most_bytes);
    kept
}

/// What one measure has of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// In the exposed unit.
    pub value: f64,
    /// What is told apart, if anything is.
    pub item: String,
    /// It is of a ratio's part, and not of the whole.
    pub uncounted: bool,
}

/// A field has no value that can be measured: it is missing, no number, too large, or negative where that is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable;

/// A number with a suffix, in the base unit.
fn suffixed(text: &str, base: &str) -> Option<f64> {
    let units: &[(&str, f64)] = match base {
        "seconds" => return seconds(text),
        "bytes" => &[
            ("kB", 1e3),
            ("KB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("TB", 1e12),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
            ("TiB", 1_099_511_627_776.0),
            ("B", 1.0),
        ],
        "ratio" => &[("%", 0.01)],
        _ => &[],
    };
    units.iter().find_map(|(suffix, factor)| {
        let plain = text.strip_suffix(suffix)?.trim_end();
        let number = number(&Value::String(plain.to_owned())).filter(|_| !plain.contains(['e', 'E']))?;
        Some(if *suffix == "%" { number / 100.0 } else { number * factor })
    })
}

/// Go's durations and ISO 8601's.
fn seconds(text: &str) -> Option<f64> {
    const GO: &str = r"^(?:[0-9.]+ *(?:ns|us|µs|μs|ms|s|m|h))+$";
    const ISO: &str = r"^P(?:([0-9.]+)W)?(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?$";
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut sum = 0.0;
    if let Some(parts) = Regex::new(ISO).ok()?.captures(text) {
        let lengths = [604_800.0, 86_400.0, 3_600.0, 60.0, 1.0];
        for (part, length) in parts.iter().skip(1).zip(lengths) {
            sum += part.map_or(Some(0.0), |part| part.as_str().parse().ok())? * length;
        }
        return parts.iter().skip(1).any(|part| part.is_some()).then_some(sign * sum);
    }
    if !Regex::new(GO).ok()?.is_match(text) {
        return None;
    }
    for part in Regex::new(r"([0-9.]+) *(ns|us|µs|μs|ms|s|m|h)").ok()?.captures_iter(text) {
        let number: f64 = part[1].parse().ok()?;
        sum += match &part[2] {
            "ns" => number / 1e9,
            "ms" => number / 1e3,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3_600.0,
            _ => number / 1e6,
        };
    }
    Some(sign * sum)
}

/// The payload again, with every long number as the text it was written as: a tree of numbers does not keep digits
/// beyond 64 bits.
fn with_digits(payload: &[u8]) -> Vec<u8> {
    // A whole number of 19 digits or more behind a colon, not in a string's middle for anything sane to matter: a
    // string with such a text in it would only become another string, and strings are not looked at here.
    let Ok(beyond) = regex::bytes::Regex::new(r"(:\s*)(-?[0-9]{19,})(\s*[,}\]])") else { return payload.to_vec() };
    beyond.replace_all(payload, &b"$1\"$2\"$3"[..]).into_owned()
}
