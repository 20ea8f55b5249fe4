//! How the records are written: which format, which array holds the events, which texts are parsed.

use std::collections::BTreeMap;

use super::error::NoDraft;
use super::patterns::Pattern;
use super::records::{self, documents, for_each_text, pairs};
use super::ways::is_time_field;
use super::yaml::{flow, scalar};
use crate::config::FieldPath;
use crate::decode::{Decoder, unpacked};
use crate::sample::Record;
use crate::value::Value;

/// How records are written.
#[derive(Debug)]
pub(super) struct Layout {
    /// As the config has it.
    pub format: String,
    /// The keys that lead to the array whose elements are the events.
    pub each: Option<Vec<String>>,
    /// Fields whose text is parsed.
    pub parse: Vec<(FieldPath, Vec<String>)>,
    /// Some of the texts of `message` that are parsed, where the format is none that has keys of its own.
    pub messages: Vec<String>,
    /// Whether the format says where the time is.
    pub has_time: bool,
    pub kind: Kind,
}

/// Where names of fields come from.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// The documents have them.
    Json,
    Otlp,
    /// The format has them, or the config names them.
    Named(Vec<String>),
    /// These, and what stands before an `=`.
    Pairs(&'static [&'static str]),
}

const ACCESS_LOG: &[&str] = &[
    "host",
    "identity",
    "user",
    "timestamp",
    "method",
    "path",
    "protocol",
    "status",
    "size",
    "referrer",
    "agent",
    "vhost",
];
const SYSLOG: &[&str] =
    &["facility", "severity", "version", "timestamp", "hostname", "appname", "procid", "msgid", "message"];
const KLOG: &[&str] = &["level", "timestamp", "id", "file", "line", "message"];
const CRI: &[&str] = &["timestamp", "stream", "logtag", "message"];
const CEF: &[&str] =
    &["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];

/// The fields that a text format has.
pub(super) fn names_of(format: &str) -> &'static [&'static str] {
    match format {
        "common" | "combined" => ACCESS_LOG,
        "syslog" => SYSLOG,
        "klog" => KLOG,
        "cri" => CRI,
        "cef" => CEF,
        _ => &["message"],
    }
}

/// Formats of text that are told by their look, the particular ones first.
const TEXTS: [&str; 6] = ["cef", "cri", "klog", "syslog", "combined", "common"];

impl Layout {
    /// How these records are written.
    ///
    /// # Errors
    /// If nothing is known that they are written in.
    pub fn of(records: &[Record]) -> Result<Layout, NoDraft> {
        let payloads: Vec<_> = records.iter().filter_map(|record| record.payload.as_deref()).collect();
        if payloads.is_empty() {
            return Err(NoDraft::Empty);
        }
        let most = |holds: &dyn Fn(&[u8]) -> bool| {
            let unpacked = payloads.iter().map(|payload| unpacked(payload, crate::config::Source::UNPACKED_BYTES));
            2 * unpacked.filter(|payload| holds(payload)).count() >= payloads.len()
        };
        if most(&|payload| payload.len() > 5 && payload[0] == 0) {
            return match most(&|payload| payload.get(5) == Some(&b'{')) {
                true => Ok(Layout::json("json_schema", records)),
                false => Err(NoDraft::Schema),
            };
        }
        if most(&|payload| !is_text(payload)) {
            return match counts("otlp_proto", records)? {
                (0, _) => Err(NoDraft::Unknown),
                _ => Ok(Layout { has_time: true, ..Layout::named("otlp_proto", Kind::Otlp) }),
            };
        }
        let (events, _) = counts("json", records)?;
        if most(&|payload| matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[' | 0xef))) && events > 0 {
            return Ok(Layout::json("json", records));
        }
        Layout::text(records)
    }

    fn named(format: &str, kind: Kind) -> Layout {
        Layout { format: format.to_owned(), each: None, parse: Vec::new(), messages: Vec::new(), has_time: false, kind }
    }

    fn json(format: &str, records: &[Record]) -> Layout {
        let mut otlp = false;
        documents(records, |document| otlp |= document.get("resourceLogs").is_some_and(serde_json::Value::is_array));
        if otlp {
            return Layout { has_time: true, ..Layout::named("otlp_json", Kind::Otlp) };
        }
        let each = each(records);
        let parse = parse(records, each.as_deref());
        Layout { each, parse, ..Layout::named(format, Kind::Json) }
    }

    /// Text that is no JSON: the format that at least half of the records are in, else text as it is.
    fn text(records: &[Record]) -> Result<Layout, NoDraft> {
        let inner = |record: &Record| {
            record.payload.as_deref().is_some_and(|payload| payload.trim_ascii_end().contains(&b'\n'))
        };
        let lines = 2 * records.iter().filter(|record| inner(record)).count() >= records.len();
        let spell = |format: &str, mut options: Vec<String>| {
            options.extend(lines.then(|| "lines: true".to_owned()));
            if options.is_empty() { format.to_owned() } else { format!("{{ {format}: {{ {} }} }}", options.join(", ")) }
        };
        let fits = |format: &str| counts(format, records).map(|(good, bad)| good > 0 && good >= bad);
        let texts = some_lines(records);
        let by_pattern = |pattern: Option<&'static Pattern>| -> Result<Option<Layout>, NoDraft> {
            let Some(pattern) = pattern else { return Ok(None) };
            let format = match lines {
                true => format!("{{ regex: {{ pattern: {}, lines: true }} }}", scalar(pattern.text)),
                false => format!("{{ regex: {} }}", scalar(pattern.text)),
            };
            Ok(fits(&format)?.then(|| Layout::named(&format, Kind::Named(pattern.names()))))
        };
        if let Some(layout) = by_pattern(Pattern::of_program(&texts))? {
            return Ok(layout);
        }
        for name in TEXTS {
            let format = spell(name, Vec::new());
            if (name != "syslog" || is_syslog(&texts)) && fits(&format)? {
                let kind = match name {
                    "cef" => Kind::Pairs(CEF),
                    _ => Kind::Named(names_of(name).iter().map(|name| (*name).to_owned()).collect()),
                };
                let layout = Layout { has_time: true, ..Layout::named(&format, kind) };
                return if ["syslog", "cri"].contains(&name) { layout.with_messages(records) } else { Ok(layout) };
            }
        }
        let logfmt = spell("logfmt", Vec::new());
        if is_mostly_pairs(records) && fits(&logfmt)? {
            return Ok(Layout::named(&logfmt, Kind::Pairs(&[])));
        }
        let pattern = Pattern::of(&texts);
        for Columns { format: name, names, options, by_heading } in tables(&texts) {
            // Text with as many commas in each line is none the less text, if it begins with a time and a level.
            let with_level = pattern.filter(|pattern| pattern.names().iter().any(|name| name == "level"));
            if !by_heading && let Some(layout) = by_pattern(with_level)? {
                return Ok(layout);
            }
            let quoted: Vec<String> = names.iter().map(|name| scalar(name)).collect();
            let options = [vec![format!("names: [{}]", quoted.join(", "))], options].concat();
            let format = spell(name, options);
            if fits(&format)? {
                let dated =
                    name == "w3c" && ["date", "time"].iter().all(|name| names.iter().any(|known| known == name));
                let names = names.into_iter().chain(dated.then(|| "timestamp".to_owned())).collect();
                return Ok(Layout { has_time: dated, ..Layout::named(&format, Kind::Named(names)) });
            }
        }
        if let Some(layout) = by_pattern(pattern)? {
            return Ok(layout);
        }
        Ok(Layout::named("raw", Kind::Named(vec!["message".to_owned()])))
    }

    /// The same, and `message` is parsed if there is something in it.
    fn with_messages(mut self, sample: &[Record]) -> Result<Layout, NoDraft> {
        let config = records::source(&self.source_keys(""))?;
        let message = FieldPath::keys(["message"]);
        let mut decoder = Decoder::of(std::slice::from_ref(&message), &config.sources[0], records::EVENT_BYTES);
        let mut texts = Texts::default();
        records::events(&mut decoder, sample, |outcome| {
            if let Ok(Some(event)) = outcome
                && let [Value::Str(text)] = event.values
            {
                texts.add(text);
                if self.messages.len() < MOST_TEXTS {
                    self.messages.push((*text).to_owned());
                }
            }
        });
        let formats = texts.formats(true);
        if formats.is_empty() {
            self.messages.clear();
        } else {
            self.parse.push((message, formats));
        }
        Ok(self)
    }

    /// The keys of a source that has this layout, and `timestamp`.
    pub fn source_keys(&self, timestamp: &str) -> String {
        let mut keys = format!("    format: {}\n", self.format);
        if let Some(each) = &self.each {
            let path = FieldPath::keys(each.iter().map(String::as_str));
            keys += &format!("    each: {}\n", scalar(&path.to_string()));
        }
        if !self.parse.is_empty() {
            let parse = self.parse.iter().map(|(path, formats)| match formats.as_slice() {
                [one] => format!("{}: {one}", scalar(&path.to_string())),
                all => format!("{}: [{}]", scalar(&path.to_string()), all.join(", ")),
            });
            keys += &format!("    parse: {}\n", flow(parse));
        }
        keys + timestamp
    }
}

/// Whether a payload is UTF-8, but for a few bytes that somebody got wrong.
fn is_text(payload: &[u8]) -> bool {
    let odd = payload.utf8_chunks().map(|chunk| chunk.invalid().len()).sum::<usize>();
    20 * odd <= payload.len() && !payload.contains(&0)
}

/// How many events of this format the records have, and how many that are none.
fn counts(format: &str, sample: &[Record]) -> Result<(usize, usize), NoDraft> {
    let config = records::source(&format!("    format: {format}\n    timestamp: {{ from: kafka }}\n"))?;
    let (mut good, mut bad) = (0, 0);
    records::events(&mut records::decoder(&config.sources[0]), sample, |outcome| match outcome {
        Ok(_) => good += 1,
        Err(crate::decode::DecodeError::Comment) => {}
        Err(_) => bad += 1,
    });
    Ok((good, bad))
}

/// The array whose elements are the events: they have times, and what encloses them has none.
fn each(records: &[Record]) -> Option<Vec<String>> {
    let (mut all, mut found) = (0, BTreeMap::<Vec<String>, usize>::new());
    documents(records, |document| {
        all += 1;
        if !has_time(document, 2) {
            arrays(document, &mut Vec::new(), &mut found);
        }
    });
    found.into_iter().filter(|(_, times)| 2 * times > all).max_by_key(|(_, times)| *times).map(|(keys, _)| keys)
}

fn has_time(value: &serde_json::Value, depth: usize) -> bool {
    let Some(object) = value.as_object() else { return false };
    object.iter().any(|(key, value)| is_time_field(key, value) || (depth > 1 && has_time(value, depth - 1)))
}

/// Adds the keys of arrays of objects with times.
fn arrays(value: &serde_json::Value, keys: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, usize>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        keys.push(key.clone());
        match value {
            serde_json::Value::Array(items) if items.iter().any(|item| has_time(item, 1)) => {
                *found.entry(keys.clone()).or_default() += 1;
            }
            serde_json::Value::Object(_) if keys.len() < 3 => arrays(value, keys, found),
            _ => {}
        }
        keys.pop();
    }
}

/// What the texts of one field are.
#[derive(Default)]
struct Texts {
    all: usize,
    objects: usize,
    others: Vec<Record>,
}

/// Names of fields that hold a whole line.
const LINES: [&str; 7] = ["log", "message", "msg", "line", "body", "MESSAGE", "original"];

/// Texts that are looked at for each field.
const MOST_TEXTS: usize = 200;

/// Fields whose text is an event in a format of its own.
fn parse(records: &[Record], each: Option<&[String]>) -> Vec<(FieldPath, Vec<String>)> {
    let mut found: BTreeMap<Vec<String>, Texts> = BTreeMap::new();
    documents(records, |document| match each {
        None => texts(document, &mut Vec::new(), &mut found),
        Some(each) => {
            let elements = each.iter().try_fold(document, |value, key| value.get(key));
            let elements = elements.and_then(serde_json::Value::as_array).into_iter().flatten();
            elements.for_each(|element| texts(element, &mut Vec::new(), &mut found));
        }
    });
    let formats = |(keys, texts): (Vec<String>, Texts)| {
        let formats = texts.formats(keys.last().is_some_and(|key| LINES.contains(&key.as_str())));
        (!formats.is_empty()).then(|| (FieldPath::keys(keys.iter().map(String::as_str)), formats))
    };
    found.into_iter().filter_map(formats).collect()
}

impl Texts {
    fn add(&mut self, text: &str) {
        self.all += 1;
        if is_object(text) {
            self.objects += 1;
        } else if self.others.len() < MOST_TEXTS {
            let payload = Some(text.as_bytes().to_vec());
            self.others.push(Record { payload, ..Record::default() });
        }
    }

    /// The formats that they are written in; only a line is more than JSON.
    fn formats(&self, is_line: bool) -> Vec<String> {
        let mut formats = Vec::new();
        if 10 * self.objects >= self.all && self.objects > 0 {
            formats.push("json".to_owned());
        }
        let of_these = |format: &&str| counts(format, &self.others).is_ok_and(|(good, bad)| good > bad);
        let known = ["combined", "common", "klog"].into_iter().find(of_these);
        let known = known.or_else(|| is_mostly_pairs(&self.others).then_some("logfmt").filter(of_these));
        formats.extend(known.filter(|_| is_line).map(str::to_owned));
        formats
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
        && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

fn texts(value: &serde_json::Value, keys: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Texts>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        keys.push(key.clone());
        match value {
            serde_json::Value::String(text)
                if is_object(text) || found.contains_key(keys) || LINES.contains(&key.as_str()) =>
            {
                found.entry(keys.clone()).or_default().add(text);
            }
            serde_json::Value::Object(_) if keys.len() < 3 => texts(value, keys, found),
            _ => {}
        }
        keys.pop();
    }
}

/// Whether most words outside quotes are `key=value`, in most lines.
fn is_mostly_pairs(records: &[Record]) -> bool {
    let (mut lines, mut of_pairs) = (0, 0);
    for_each_text(records, |line| {
        lines += 1;
        let bare: String = line.split('"').step_by(2).collect();
        let words = bare.split_whitespace().count();
        let keys = pairs(&bare).count();
        of_pairs += usize::from(keys >= 2 && 3 * keys >= 2 * words);
    });
    2 * of_pairs > lines
}

/// The first lines of text.
fn some_lines(records: &[Record]) -> Vec<String> {
    let mut lines = Vec::new();
    for_each_text(records, |line| {
        if lines.len() < MOST_TEXTS {
            lines.push(line.to_owned());
        }
    });
    lines
}

/// A table that the records may be.
struct Columns {
    format: &'static str,
    names: Vec<String>,
    /// What else is said of the format.
    options: Vec<String>,
    /// Whether the names are those of a heading.
    by_heading: bool,
}

fn tables(lines: &[String]) -> Vec<Columns> {
    let mut tables = Vec::new();
    // W3C's, and Zeek's.
    let fields = |line: &'_ String| {
        let names = line.strip_prefix("#Fields:").or_else(|| line.strip_prefix("#fields\t"))?;
        Some(names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    if let Some(names) = lines.iter().find_map(fields) {
        tables.push(Columns { format: "w3c", names, options: Vec::new(), by_heading: true });
    }
    for (format, delimiter) in [("tsv", '\t'), ("csv", ','), ("csv", ';'), ("csv", ' ')] {
        let options = match delimiter {
            ';' | ' ' => vec![format!("delimiter: '{delimiter}'")],
            _ => Vec::new(),
        };
        if let Some((names, by_heading)) = columns(lines, delimiter)
            && (delimiter != ' ' || by_heading)
        {
            tables.push(Columns { format, names, options, by_heading });
        }
    }
    tables.sort_by_key(|table| !table.by_heading);
    tables
}

/// The names of a table's columns, and whether they are its heading's: else they are numbers.
fn columns(lines: &[String], delimiter: char) -> Option<(Vec<String>, bool)> {
    let is_name = |name: &&str| {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '(' | ')');
        name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(fits)
    };
    let heading =
        lines.first().map(|line| line.split(delimiter).map(|name| name.trim_matches('"')).collect::<Vec<_>>());
    let heading = heading.filter(|names| names.len() >= 3 && names.iter().all(is_name));
    let unique = |names: &Vec<&str>| names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1);
    if let Some(names) = heading.filter(unique) {
        // Of words between spaces, many lines have as many as the heading.
        let width = names.len();
        let as_wide = lines.iter().filter(|line| line.split(delimiter).count() == width).count();
        if delimiter != ' ' || (width >= 5 && 10 * as_wide >= 9 * lines.len()) {
            return Some((names.into_iter().map(str::to_owned).collect(), true));
        }
    }
    let parts = |line: &str| line.matches(delimiter).count() + 1;
    let mut widths = BTreeMap::<usize, usize>::new();
    lines.iter().for_each(|line| *widths.entry(parts(line)).or_default() += 1);
    let (width, often) = widths.into_iter().max_by_key(|(_, often)| *often).filter(|(width, _)| *width >= 3)?;
    if 2 * often < lines.len() {
        return None;
    }
    Some(((1..=width).map(|number| format!("column{number}")).collect(), false))
}

/// Whether lines that could be read as syslog are: many lines begin with a time and a word, but with no tag behind them.
fn is_syslog(lines: &[String]) -> bool {
    let is_tag = |word: &str| {
        let name = word.strip_suffix(':').unwrap_or_default();
        let name = name.strip_suffix(']').and_then(|name| name.split_once('[')).map_or(name, |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_./()".contains(c))
    };
    let is_level = |word: &str| {
        let known = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "SEVERE"];
        word.starts_with(['[', '-', '<']) || known.contains(&word)
    };
    let is_one = |line: &&String| {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.starts_with(|c: char| c == '<' || c.is_ascii_uppercase()) {
            return true;
        }
        let is_length = first.bytes().all(|c| c.is_ascii_digit());
        // A date by itself has the time of day behind it.
        let mut words = words.skip(usize::from(!is_length && !first.contains('T')));
        match words.next() {
            Some(next) if is_length => next.starts_with('<'),
            Some(host) => !is_level(host) && words.next().is_some_and(is_tag),
            None => false,
        }
    };
    2 * lines.iter().filter(is_one).count() >= lines.len()
}
