//! What the fuzz targets do with bytes: each format decodes them, and what a letter would hold once more; [`settings`] has
//! the targets of what a config holds.
//!
//! `cargo +nightly fuzz run FORMAT` in the repository's root searches; `cargo test --manifest-path fuzz/Cargo.toml` tries, without
//! a search, pieces of the lines that the integration tests read.

pub mod settings;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use streamgauge_core::config::{self, FieldPath};
use streamgauge_core::decode::{Decoder, FoundSchema, Language, Record, Schema, Schemas, unpacked};

/// The formats, and how a source says them.
pub const FORMATS: [(&str, &str); 20] = [
    ("json", "format: json, timestamp: { field: a.b, format: rfc3339 }"),
    ("each", "each: 'a[].b', parse: { a: json }, timestamp: { from: kafka }"),
    (
        "parse",
        "parse: { log: [json, klog, logfmt], log.message: logfmt, message: [combined, common] }, timestamp: { from: kafka }",
    ),
    ("logfmt", "format: { logfmt: { lines: true } }, timestamp: { field: a, format: unix }"),
    ("common", "format: common"),
    ("combined", "format: { combined: { lines: true } }"),
    ("syslog", "format: syslog"),
    ("klog", "format: klog"),
    ("cri", "format: cri, parse: { message: json }"),
    ("csv", "format: { csv: { names: [a, b, c] } }, timestamp: { from: kafka }"),
    ("tsv", "format: { tsv: { names: [a, b, c] } }, timestamp: { from: kafka }"),
    ("w3c", "format: { w3c: { names: [date, time, a] } }"),
    ("cef", "format: cef"),
    ("gelf", "format: gelf"),
    ("regex", "format: { regex: '(?<a>[0-9]+)(?: (?<b>.*))?' }, timestamp: { field: a, format: unix }"),
    ("raw", "format: raw, timestamp: { from: kafka }"),
    ("otlp_json", "format: otlp_json"),
    ("otlp_proto", "format: otlp_proto"),
    ("avro", "format: avro, timestamp: { from: kafka }"),
    ("protobuf", "format: protobuf, timestamp: { from: kafka }"),
];

const FIELDS: [&str; 12] = [
    "a",
    "a.b",
    "b",
    "log.level",
    "log.message.a",
    "message",
    "message.path",
    "host",
    "timestamp",
    "body",
    "attributes.\"service.name\"",
    "\"id@1\".x",
];

/// A decoder of the format that [`FORMATS`] has under this name.
fn decoder(name: &str) -> Decoder {
    let source = FORMATS.iter().find(|(known, _)| *known == name).expect("a format").1;
    let text = format!(
        "kafka: {{ bootstrap_servers: localhost:9092 }}\nschema_registry: {{ url: http://localhost:8081 }}\nsources: {{ s: {{ topics: [t], unpacked_size: 64KiB, {source} }} }}\n\
         aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n"
    );
    let config = config::parse(&text, "fuzz.yaml", &|_| None).expect("a config");
    let fields: Vec<FieldPath> = FIELDS.iter().map(|field| FieldPath::parse(field).expect("a path")).collect();
    Decoder::of(&fields, &config.sources[0], 1 << 20).with_schemas(Arc::new(Samples))
}

/// Schemas with a bit of everything, for formats that need one.
#[derive(Debug)]
struct Samples;

const AVRO: &str = r#"{ "type": "record", "name": "E", "fields": [
    { "name": "a", "type": ["null", { "type": "record", "name": "A", "fields": [
        { "name": "b", "type": "string" }, { "name": "me", "type": ["null", "A"] } ] }] },
    { "name": "b", "type": { "type": "array", "items": ["null", "long", "A"] } },
    { "name": "log", "type": { "type": "map", "values": "string" } },
    { "name": "message", "type": { "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 } },
    { "name": "host", "type": { "type": "enum", "name": "H", "symbols": ["x", "y"] } },
    { "name": "timestamp", "type": { "type": "int", "logicalType": "date" } } ] }"#;

const PROTOBUF: &str = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto";
    message E { A a = 1; repeated int64 b = 2; map<string, string> log = 3; google.protobuf.Timestamp timestamp = 4;
        enum H { x = 0; y = 1; } H host = 5; repeated A body = 6; double message = 7; }
    message A { string b = 1; A me = 2; }"#;

impl Schemas for Samples {
    fn find(&self, id: u32) -> FoundSchema {
        let known = |language, text: &str| {
            FoundSchema::Known(Arc::new(Schema { language, text: text.to_owned(), references: Vec::new() }))
        };
        match id % 3 {
            0 => known(Language::Avro, AVRO),
            1 => known(Language::Protobuf, PROTOBUF),
            _ => FoundSchema::Unknown("nobody wrote it".into()),
        }
    }
}

thread_local! {
    static DECODERS: RefCell<BTreeMap<String, Decoder>> = const { RefCell::new(BTreeMap::new()) };
}

/// Decodes a payload, and every letter that comes of it.
pub fn decode(format: &str, payload: &[u8]) {
    DECODERS.with_borrow_mut(|decoders| {
        let decoder = decoders.entry(format.to_owned()).or_insert_with(|| decoder(format));
        let mut letters = Vec::new();
        let around = Record::at(Some(1_767_312_000_000));
        let count = decoder.events(
            payload,
            around,
            |_| true,
            |part, outcome| {
                if outcome.is_err() && letters.len() < 16 {
                    letters.extend(part.alone());
                }
            },
        );
        // What is compressed comes to more; of raw snappy nothing tells but that it is nothing else.
        let most = unpacked(payload, 16 << 20).len().max(1);
        assert!(count <= most || payload.first().is_some_and(|first| !first.is_ascii_graphic()));
        for letter in letters {
            decoder.events(&letter, around, |_| true, |_, _| {});
        }
    });
}

/// The body of a fuzz target; without a fuzzer it decodes the files it is given.
#[macro_export]
macro_rules! target {
    ($format:literal) => {
        $crate::target!(@ |payload: &[u8]| $crate::decode($format, payload));
    };
    ($setting:ident) => {
        $crate::target!(@ $crate::settings::$setting);
    };
    (@ $check:expr) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ($check)(bytes));

        #[cfg(not(fuzzing))]
        fn main() {
            for path in std::env::args().skip(1) {
                ($check)(&std::fs::read(path).expect("a file"));
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes one byte of a piece, as a fuzzer would begin.
    fn changed(piece: &[u8], at: usize) -> Vec<u8> {
        let mut changed = piece.to_vec();
        let bytes = b"\"\\{}[]=|,:<>- \n\0\xff\x80";
        let length = changed.len();
        changed[at % length] = bytes[at % bytes.len()];
        changed
    }

    #[test]
    fn pieces_of_real_lines_are_decoded_by_every_format() {
        let lines = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/it/logs/lines");
        let files = std::fs::read_dir(lines).expect("lines").map(|file| file.expect("a file").path());
        let texts: Vec<Vec<u8>> = files.map(|file| std::fs::read(file).expect("a file")).collect();
        for (format, _) in FORMATS {
            for text in &texts {
                decode(format, text);
                for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(12) {
                    for at in (0..line.len()).step_by(7) {
                        decode(format, &changed(line, at));
                        decode(format, &line[..at]);
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_of_real_configs_are_read_by_every_setting() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds");
        for (setting, check) in settings::ALL {
            for seed in std::fs::read_dir(format!("{seeds}/{setting}")).expect("seeds") {
                let text = std::fs::read(seed.expect("a file").path()).expect("a file");
                check(&text);
                // Whole configs are long, and take their time.
                for at in (0..text.len()).step_by(text.len() / 300 + 1) {
                    check(&changed(&text, at));
                    check(&text[..at]);
                }
            }
        }
    }

    #[test]
    fn every_setting_has_a_target() {
        for (setting, _) in settings::ALL {
            let target = format!("{}/fuzz_targets/{setting}.rs", env!("CARGO_MANIFEST_DIR"));
            let says = format!("target!({setting})");
            assert!(std::fs::read_to_string(&target).is_ok_and(|text| text.contains(&says)), "{target}");
        }
    }

    #[test]
    fn every_format_has_a_target() {
        for (format, _) in FORMATS {
            let target = format!("{}/fuzz_targets/{format}.rs", env!("CARGO_MANIFEST_DIR"));
            assert!(
                std::fs::read_to_string(&target).is_ok_and(|text| text.contains(&format!("{format:?}"))),
                "{target}"
            );
        }
    }
}
