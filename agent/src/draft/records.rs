//! The records of a sample, looked at: as the agent decodes them, as JSON documents, as lines.

use crate::config::{self, Config, ConfigError, Source};
use crate::decode::{self, Decoder, Outcome, Part, unpacked};
use crate::sample::Record;

/// Larger records are looked at nowhere. Bytes.
pub(super) const EVENT_BYTES: usize = 1 << 20;

/// The config of a source alone.
pub(super) fn source(keys: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "kafka: {{ bootstrap_servers: \"127.0.0.1:9\", group_id: g }}\nsources:\n  s:\n    topics: [t]\n{keys}\
         aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n"
    );
    config::parse(&text, "draft", &|_| None)
}

/// Hands each event of the records to `take`, or why it is none.
pub(super) fn events(decoder: &mut Decoder, records: &[Record], mut take: impl FnMut(Outcome<'_>)) {
    for record in records {
        let Some(payload) = record.payload.as_deref() else { continue };
        let around = decode::Record {
            time: Some(record.timestamp.or(record.read_at).unwrap_or_default()),
            bytes_of: &|_| None,
            partition: record.partition,
        };
        decoder.events(payload, around, |_| true, |_: &Part<'_>, outcome| take(outcome));
    }
}

/// The decoder of a source's records that reads nothing but whether they are events.
pub(super) fn decoder(source: &Source) -> Decoder {
    Decoder::of(&[], source, EVENT_BYTES)
}

/// Each JSON document of the records, and each element of those that are arrays.
pub(super) fn documents(records: &[Record], mut look: impl FnMut(&serde_json::Value)) {
    for record in records {
        let Some(payload) = record.payload.as_deref() else { continue };
        let payload = unpacked(payload, crate::config::Source::UNPACKED_BYTES);
        let start = payload.iter().position(|byte| matches!(byte, b'{' | b'[')).unwrap_or_default();
        let documents = serde_json::Deserializer::from_slice(&payload[start..]).into_iter::<serde_json::Value>();
        for document in documents.map_while(Result::ok) {
            match &document {
                serde_json::Value::Array(items) => items.iter().for_each(&mut look),
                one => look(one),
            }
        }
    }
}

/// Each text line of the records.
pub(super) fn for_each_text(records: &[Record], mut look: impl FnMut(&str)) {
    for record in records {
        let Some(payload) = record.payload.as_deref() else { continue };
        let payload = unpacked(payload, crate::config::Source::UNPACKED_BYTES);
        if let Ok(text) = std::str::from_utf8(&payload) {
            text.lines().filter(|line| !line.trim().is_empty()).for_each(&mut look);
        }
    }
}

/// What stands before the `=` of a line's words.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = &str> {
    let key = |word: &'_ str| {
        let (key, _) = word.split_once('=')?;
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '/');
        (key.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '@') && key.chars().all(fits))
            .then_some(key.len())
    };
    text.split_whitespace().filter_map(move |word| key(word).map(|end| &word[..end]))
}
