//! The events of a record, found naively: whole trees are built, and what encloses an element is copied into it.

use super::registered::{self, SchemaTexts};
use super::{otel, texts};
use crate::config::{Each, Format, FormatKind, Source, Step};
use regex::{Captures, Regex};
use serde_json::{Deserializer, Value};
use std::io::Read;

/// Every event of a payload, as a tree with what encloses it under `^`. What is none is left out.
pub fn events(payload: &[u8], record_time: Option<i64>, source: &Source, schemas: &SchemaTexts<'_>) -> Vec<Value> {
    let payload = match &source.format.kind {
        FormatKind::Avro => return registered::from_avro(payload, schemas).into_iter().collect(),
        FormatKind::Protobuf => return registered::from_protobuf(payload, schemas).into_iter().collect(),
        FormatKind::JsonSchema => registered::without_id(payload),
        _ => payload,
    };
    let bytes = payload;
    let text = String::from_utf8_lossy(payload);
    let payload = match &source.format.kind {
        FormatKind::Json | FormatKind::Gelf | FormatKind::OtlpJson | FormatKind::JsonSchema
            if std::str::from_utf8(payload).is_err() =>
        {
            ""
        }
        _ => &*text,
    };
    let documents = match &source.format.kind {
        FormatKind::Json | FormatKind::JsonSchema => documents(payload),
        FormatKind::OtlpProto => return otel::from_proto(bytes),
        FormatKind::OtlpJson => {
            let arrays = ["resourceLogs", "scopeLogs", "logRecords"].map(|name| vec![name.to_owned()]);
            let records = documents(payload).into_iter().flat_map(|document| elements_of(document, &arrays));
            return records.filter(Value::is_object).map(otel::from_json).collect();
        }
        FormatKind::Gelf => documents(payload.strip_suffix('\0').unwrap_or(payload)),
        format => {
            let read = |text| texts::fields(text, format, record_time);
            self::texts(payload, source.format.lines).filter_map(read).collect()
        }
    };
    let documents = documents.into_iter();
    let arrays = source.each.as_ref().map_or(&[][..], |each| &each.0);
    documents.flat_map(|document| elements_of(document, arrays)).filter(Value::is_object).collect()
}

/// A payload as it was before somebody compressed it; `None` if it is broken.
pub fn unpacked(payload: &[u8]) -> Option<Vec<u8>> {
    let mut reader: Box<dyn Read> = match payload {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(payload)),
        [b'x', 0x01 | 0x9c | 0xda, ..] => Box::new(flate2::read::ZlibDecoder::new(payload)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(payload).ok()?),
        [0x04, 0x22, 0x4d, 0x18, ..] => Box::new(lz4_flex::frame::FrameDecoder::new(payload)),
        [0xff, 0x06, 0, 0, b's', b'N', ..] => Box::new(snap::read::FrameDecoder::new(payload)),
        [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, ..] => return snappy_blocks(payload.get(16..)?),
        _ => return Some(payload.to_vec()),
    };
    let mut out = Vec::new();
    reader.by_ref().take(MOST_UNPACKED).read_to_end(&mut out).ok()?;
    Some(out)
}

/// What is not written as `format` has it, but is snappy without a frame from end to end, unpacked.
pub fn without_raw_snappy(payload: Vec<u8>, format: &FormatKind, most: usize) -> Vec<u8> {
    let [first, second, ..] = *payload.as_slice() else { return payload };
    let suspect = match format {
        FormatKind::Avro | FormatKind::Protobuf => first != 0,
        FormatKind::OtlpProto => first != 0x0a,
        FormatKind::Json | FormatKind::Gelf | FormatKind::OtlpJson | FormatKind::JsonSchema => {
            let begins = payload.starts_with(b"\xef\xbb") || b"{[ \t\n\x0c\r".contains(&first);
            !begins || (b"{[".contains(&first) && second >= 0x80)
        }
        _ => (first < 0x20 && !first.is_ascii_whitespace()) || std::str::from_utf8(&payload).is_err(),
    };
    let length = snap::raw::decompress_len(&payload).unwrap_or(0);
    if !suspect || length < 2 || length > most || length / 32 > payload.len() {
        return payload;
    }
    snap::raw::Decoder::new().decompress_vec(&payload).unwrap_or(payload)
}

/// More than any config allows.
const MOST_UNPACKED: u64 = (1 << 30) + 1;

fn snappy_blocks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        out.extend(snap::raw::Decoder::new().decompress_vec(block).ok()?);
        rest = after;
    }
    rest.is_empty().then_some(out)
}

fn texts(payload: &str, lines: bool) -> impl Iterator<Item = &str> {
    let ends: &[char] = if lines { &['\n'] } else { &[] };
    let payload = payload.trim_end_matches(['\n', '\r', '\0']).trim_start_matches('\u{feff}');
    payload.split(ends).map(|line| line.trim_end_matches('\r')).filter(move |line| !lines || !line.is_empty())
}

fn documents(payload: &str) -> Vec<Value> {
    let payload = payload.strip_prefix('\u{feff}').unwrap_or(payload);
    match tree(payload) {
        Some(Value::Array(elements)) => return elements,
        Some(one) => return vec![one],
        None => {}
    }
    let mut found = Vec::new();
    let mut rest = payload.trim_start();
    let mut count = 0;
    while !rest.is_empty() {
        count += 1;
        rest = match first(rest) {
            Some((document, after)) => {
                found.push(document);
                after
            }
            // A broken one; the next one begins a line.
            None => rest.find("\n{").map_or("", |at| rest[at..].trim_start()),
        };
    }
    // A payload that is one document and broken is none.
    if count > 1 { found } else { Vec::new() }
}

/// The first of several documents, and what follows it.
fn first(text: &str) -> Option<(Value, &str)> {
    // What is wrong with one document must not reach the next, so that the first line is tried by itself as well.
    for text_of in [text, text.split("\n{").next()?] {
        let mut stream = Deserializer::from_str(text_of).into_iter::<Value>();
        let read = stream.next().and_then(Result::ok);
        let read = read.map(|document| (document, stream.byte_offset()));
        let Some((document, end)) = read.or_else(|| Some((tree(text_of)?, text_of.len()))) else { continue };
        let after = &text[end..];
        let next = after.trim_start();
        let parted = after[..after.len() - next.len()].contains('\n') || next.is_empty() || next.starts_with('{');
        if parted {
            return Some((document, next));
        }
    }
    None
}

/// The document; with null for what is no number to JSON, and whole characters for halves of them, if it has to be.
fn tree(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| {
        let pieces = Regex::new(r#""(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)|-?[0-9][0-9.eE+-]*"#).ok()?;
        let escapes = Regex::new(
            r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
        )
        .ok()?;
        let whole = |found: &Captures<'_>| match found.get(1) {
            Some(_) => "\\ufffd".to_owned(),
            None => found[0].to_owned(),
        };
        let mended = pieces.replace_all(text, |found: &Captures<'_>| match &found[0] {
            string if string.starts_with('"') => escapes.replace_all(string, whole).into_owned(),
            number if number.parse::<f64>().is_ok_and(f64::is_finite) => number.to_owned(),
            other if other.parse::<f64>().is_ok() => "null".to_owned(),
            other => other.to_owned(),
        });
        serde_json::from_str(&mended).ok()
    })
}

fn elements_of(outer: Value, arrays: &[Vec<String>]) -> Vec<Value> {
    let Some((keys, deeper)) = arrays.split_first() else { return vec![outer] };
    let array = keys.iter().try_fold(&outer, |value, key| value.get(key)).cloned();
    let elements = match array {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(elements)) => elements,
        Some(one) => vec![one],
    };
    let inside = |mut element: Value| {
        if let Some(members) = element.as_object_mut() {
            members.insert(Each::ENCLOSING.to_owned(), outer.clone());
        }
        elements_of(element, deeper)
    };
    elements.into_iter().flat_map(inside).collect()
}

/// The fields found in the text at a path.
pub type Parsed = (Vec<Step>, Value);

/// The text in fields, parsed.
pub fn parsed(event: &Value, record_time: Option<i64>, source: &Source) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut rules: Vec<_> = source.parse.iter().collect();
    rules.sort_by_key(|rule| rule.path.steps().len());
    for rule in rules {
        // Of several formats for one field the first counts that fits.
        let is_done = found.iter().any(|(steps, _)| steps == rule.path.steps());
        if !is_done
            && let Some(Value::String(text)) = at(event, &found, rule.path.steps())
            && let Some(fields) = fields(text, &rule.format, record_time)
        {
            found.push((rule.path.steps().to_vec(), fields));
        }
    }
    found
}

fn fields(text: &str, format: &Format, record_time: Option<i64>) -> Option<Value> {
    match &format.kind {
        FormatKind::Json | FormatKind::Gelf => tree(text).filter(Value::is_object),
        kind => texts::fields(text, kind, record_time),
    }
}

/// A field of an event, or of text in it.
pub fn at<'a>(event: &'a Value, parsed: &'a [Parsed], steps: &[Step]) -> Option<&'a Value> {
    let within = parsed.iter().rev().find_map(|(field, value)| {
        let below = steps.strip_prefix(field.as_slice()).filter(|below| !below.is_empty())?;
        Some((value, below))
    });
    let (from, steps) = within.unwrap_or((event, steps));
    super::tree::at(from, steps)
}
