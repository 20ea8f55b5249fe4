//! What programs get and leave, in every format; and what becomes of it if they fail.

use serde_json::json;

use super::super::{Decoder, Record};
use crate::config::{self, FieldPath, RecordField};

/// A decoder of these fields of a source that is written like this.
fn decoder(source: &str, fields: &[&str]) -> Decoder {
    let text = format!(
        "kafka: {{ bootstrap_servers: localhost:9092 }}\nsources:\n  s:\n    topics: [t]\n{source}\n\
         aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n"
    );
    let config = config::parse(&text, "remap.yaml", &|_| None).unwrap_or_else(|error| panic!("{error}"));
    let fields: Vec<FieldPath> = fields.iter().map(|field| FieldPath::parse(field).expect("a path")).collect();
    Decoder::of(&fields, &config.sources[0], 1 << 20)
}

/// Every event on a line: its place, its time and values or why it is none, and what its letter would hold if it is not the
/// record itself.
fn events(decoder: &mut Decoder, payload: &str) -> Vec<String> {
    let bytes_of = |field: &RecordField| match field {
        RecordField::Key => Some(&b"k"[..]),
        RecordField::Header(name) if name == "x-tenant" => Some(&b"acme"[..]),
        _ => None,
    };
    let record = Record { time: Some(1_700_000_000_000), bytes_of: &bytes_of, partition: 3 };
    let mut found = Vec::new();
    decoder.events(
        payload.as_bytes(),
        record,
        |_| true,
        |part, outcome| {
            let shown = match outcome {
                Ok(Some(event)) => {
                    let values: Vec<String> = event.values.iter().map(|value| format!("{value:?}")).collect();
                    format!("{}: {}", event.time, values.join(" "))
                }
                Ok(None) => "unwanted".to_owned(),
                Err(error) => {
                    let alone = part.alone().map(|alone| String::from_utf8(alone).expect("text"));
                    format!("{}: {error} [{}]", error.reason(), alone.unwrap_or_default())
                }
            };
            found.push(format!("{:?} {shown}", part.index));
        },
    );
    found
}

const KAFKA: &str = "    timestamp: { from: kafka }";

#[test]
fn a_program_gets_the_document_and_what_it_leaves_is_the_event() {
    let program = "    remap: |\n      .status = to_int!(.status)\n      .took = to_float!(.ms) / 1000.0\n      .ok = .status < 500\n      .u.name = \
                   upcase!(.u.name)\n      .list = push(array!(.list), \"z\")\n      .gone = null\n      del(.ms)";
    let fields = ["status", "took", "ok", "u.name", "list[-1]", "list", "gone", "ms", "id", "%key"];
    let mut decoder = decoder(&format!("{KAFKA}\n{program}"), &fields);
    let payload = json!({ "status": "503", "ms": 250, "u": { "name": "ä" }, "list": ["x", "y"], "id": 1 });
    assert_eq!(
        events(&mut decoder, &payload.to_string()),
        [
            r#"None 1700000000000: Int(503) Float(0.25) Bool(false) Str("Ä") Str("z") Composite Null Missing Int(1) Str("k")"#
        ]
    );
}

#[test]
fn raw_text_is_the_message_and_vectors_recipes_work() {
    let source = "    format: raw\n    timestamp: { field: timestamp, format: rfc3339 }\n    remap: '. = \
                  parse_apache_log!(.message, format: \"combined\")'";
    let mut decoder = decoder(source, &["status", "path", "host"]);
    let line = r#"10.1.2.3 - - [17/May/2015:08:05:32 +0000] "GET /a?b HTTP/1.1" 304 0 "-" "x""#;
    assert_eq!(events(&mut decoder, line), [r#"None 1431849932000: Int(304) Str("/a?b") Str("10.1.2.3")"#]);
    let failed = events(&mut decoder, "no such line");
    assert!(failed[0].starts_with("None remap_failed: the source's `remap` could not make an event of it: function call error for \"parse_apache_log\""), "{failed:?}");
}

#[test]
fn an_array_is_as_many_events_and_all_of_them_count_or_none() {
    let source = "    timestamp: { field: t, format: unix_ms }\n    parse: { text: logfmt }\n    remap: '. = .Records'";
    let mut decoder = decoder(source, &["n", "text.a"]);
    let good = r#"{"Records":[{"t":5,"n":1,"text":"a=b"},{"t":6,"n":2,"text":"?"}]}"#;
    assert_eq!(events(&mut decoder, good), [r#"None 5: Int(1) Str("b")"#, "None 6: Int(2) Missing"]);
    assert_eq!(decoder.unparsed().map(|(_, texts)| texts).sum::<u64>(), 1);
    let one_without_time = r#"{"Records":[{"t":5,"n":1},{"n":2}]}"#;
    assert_eq!(
        events(&mut decoder, one_without_time),
        ["None missing_timestamp: the event has no time: field `t` is missing []"]
    );
    let two_documents = format!("{good}\n{one_without_time}\n{{\"Records\":[]}}\n");
    let found = events(&mut decoder, &two_documents);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[2].starts_with("Some(1) missing_timestamp: "), "{found:?}");
    assert!(found[2].ends_with(&format!("[{one_without_time}]")), "{found:?}");
    assert_eq!(events(&mut decoder, r#"{"Records":[]}"#), Vec::<String>::new());
    assert_eq!(
        events(&mut decoder, r#"{"Records":7}"#),
        ["None not_an_object: the event is a number that `remap` left, not a JSON object []"]
    );
}

#[test]
fn who_aborts_passes_by_and_who_fails_is_none() {
    let source = format!(
        "{KAFKA}\n    remap: |\n      if .level == \"debug\" {{ abort \"not that\" }}\n      .n = to_int!(.n)\n      if .n == 9 {{ for_each(array!(.loop)) -> |_i, _v| {{ for_each(array!(.loop)) -> |_i, _v| {{ .x = 1 }} }} }}"
    );
    let mut decoder = decoder(&source, &["n"]);
    let found = events(&mut decoder, r#"{"level":"debug"}"#);
    assert_eq!(found, ["None abort: the source's `remap` aborted []"]);
    let found = events(&mut decoder, r#"{"n":"x"}"#);
    assert!(found[0].contains("remap_failed: ") && found[0].contains("to_int"), "{found:?}");
    let numbers = vec![0; 1000];
    let found = events(&mut decoder, &json!({ "n": 9, "loop": numbers }).to_string());
    assert!(found[0].contains("more than 100000 steps"), "{found:?}");
    // And the next event knows nothing of it.
    assert_eq!(events(&mut decoder, r#"{"n":"4"}"#), ["None 1700000000000: Int(4)"]);
}

#[test]
fn what_is_not_in_the_format_is_told_as_without_a_program() {
    let mut json = decoder(&format!("{KAFKA}\n    remap: '.a = 1'"), &["a", "b"]);
    let found = events(&mut json, "{\"b\":1\n{\"b\":2}\n");
    assert!(found[0].starts_with("Some(0) not_json: ") && found[0].ends_with("[{\"b\":1]"), "{found:?}");
    assert_eq!(found[1..], ["Some(1) 1700000000000: Int(1) Int(2)"]);
    assert!(events(&mut json, "7")[0].starts_with("None not_an_object: "));
    // Flaws that are let pass without a program are let pass with one; what no number there holds keeps its digits.
    assert_eq!(
        events(&mut json, r#"{"a":NaN,"b":18446744073709551615}"#),
        [r#"None 1700000000000: Int(1) Str("18446744073709551615")"#]
    );
    let mut lines =
        decoder(&format!("{KAFKA}\n    format: {{ logfmt: {{ lines: true }} }}\n    remap: '.a = 1'"), &["b"]);
    let found = events(&mut lines, "b=1\nno logfmt\nb=3");
    assert_eq!(found[0], r#"Some(0) 1700000000000: Str("1")"#);
    assert!(found[1].starts_with("Some(1) not_in_format: ") && found[1].ends_with("[no logfmt]"), "{found:?}");
    assert_eq!(found[2], r#"Some(2) 1700000000000: Str("3")"#);
}

#[test]
fn every_field_of_a_text_is_there_whatever_it_is_called() {
    let whole = "    remap: '.all = encode_json(.)'";
    for (format, line, expected) in [
        ("logfmt", r#"a=1 b="x y" c"#, json!({ "a": "1", "b": "x y", "c": true })),
        ("logfmt", "z=9", json!({ "z": "9" })),
        (
            "combined",
            r#"h - u [17/May/2015:08:05:32 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl""#,
            json!({ "host": "h", "user": "u", "timestamp": "17/May/2015:08:05:32 +0000", "message": "GET /a HTTP/1.1",
                "method": "GET", "path": "/a", "protocol": "HTTP/1.1", "status": "200", "size": "5", "agent": "curl" }),
        ),
        (
            "syslog",
            r#"<165>1 2025-11-20T16:57:52Z h app 7 - [id@1 x="1" y="\"2"][other z="3"] hello"#,
            json!({ "facility": "local4", "severity": "notice", "version": "1", "timestamp": "2025-11-20T16:57:52Z",
                "hostname": "h", "appname": "app", "procid": "7", "message": "hello",
                "id@1": { "x": "1", "y": "\"2" }, "other": { "z": "3" } }),
        ),
        (
            "cri",
            "2025-11-20T16:57:52.1Z stdout F hello",
            json!({ "timestamp": "2025-11-20T16:57:52.1Z", "stream": "stdout", "logtag": "F", "message": "hello" }),
        ),
        ("{ csv: { names: [a, b] } }", "1,\"x,\"\"y\"", json!({ "a": "1", "b": "x,\"y" })),
        ("{ regex: '^(?<a>\\d+) (?<b>.*)$' }", "7 seven", json!({ "a": "7", "b": "seven" })),
        (
            "cef",
            "CEF:0|v|p|1|id|n|5|src=1.2.3.4 msg=a b",
            json!({ "cefVersion": "0", "deviceVendor": "v", "deviceProduct": "p", "deviceVersion": "1",
                "deviceEventClassId": "id", "name": "n", "severity": "5", "src": "1.2.3.4", "msg": "a b" }),
        ),
    ] {
        let mut decoder = decoder(&format!("{KAFKA}\n    format: {format}\n{whole}"), &["all"]);
        // Twice: once to learn the names, once with them known.
        for _ in 0..2 {
            let mut found = None;
            let mut take = |event: super::super::Found<'_>| match event.values {
                [crate::value::Value::Str(text)] => found = serde_json::from_str::<serde_json::Value>(text).ok(),
                other => panic!("{other:?}"),
            };
            let record = Record::at(Some(1_700_000_000_000));
            decoder.events(line.as_bytes(), record, |_| true, |_, event| take(event.expect(line).expect(line)));
            assert_eq!(found, Some(expected.clone()), "{format}: {line}");
        }
    }
}

#[test]
fn names_are_bounded_in_an_event_and_over_all_of_them() {
    let mut decoder = decoder(&format!("{KAFKA}\n    format: logfmt\n    remap: '.n = length(.)'"), &["n"]);
    let line = |from: usize, count: usize| (from..from + count).map(|n| format!("k{n}=1 ")).collect::<String>();
    let found = events(&mut decoder, &line(0, 3_000));
    assert!(found[0].contains("remap_failed: ") && found[0].contains("more than 2000 fields"), "{found:?}");
    for round in 0..5 {
        assert_eq!(events(&mut decoder, &line(round * 1_500, 1_500)), ["None 1700000000000: Int(1500)"]);
    }
}

#[test]
fn a_program_may_ask_for_the_record() {
    let source = format!(
        "{KAFKA}\n    remap: |\n      .tenant = %headers.\"x-tenant\"\n      .at = %partition\n      .k = %key"
    );
    let mut decoder = decoder(&source, &["tenant", "at", "k"]);
    assert_eq!(events(&mut decoder, "{}"), [r#"None 1700000000000: Str("acme") Int(3) Str("k")"#]);
}

#[test]
fn a_record_that_is_read_again_gives_the_same() {
    let source = "    timestamp: { field: at, format: rfc3339 }\n    remap: |\n      .at = parse_timestamp!(.at, \"%d.%m.%Y \
                  %H:%M:%S\", timezone: \"Europe/Berlin\")\n      .tags = unique(array!(.tags))\n      .n = tally!(array!(.tags))";
    let payload = json!({ "at": "26.10.2025 03:30:00", "tags": ["b", "a", "b"] }).to_string();
    let fields = ["tags[0]", "tags[1]", "n.a", "n.b"];
    let first = events(&mut decoder(source, &fields), &payload);
    assert_eq!(first, [r#"None 1761445800000: Str("b") Str("a") Int(1) Int(1)"#]);
    assert_eq!(events(&mut decoder(source, &fields), &payload), first);
}

#[test]
fn the_program_of_the_docs_does_what_they_say() {
    let docs = include_str!("../../../../../docs/formats.md");
    let section = docs.split("## Programs in VRL").nth(1).expect("the section");
    let block = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its example");
    let source = block.split("    topics: [pods]\n").nth(1).expect("its source");
    let mut decoder = decoder(source, &["level", "tenant", "user", "rest"]);
    assert_eq!(
        events(&mut decoder, "2025-11-20T16:57:52Z WARN user=7 took=3"),
        [r#"None 1763657872000: Str("warn") Str("acme") Str("7") Str("user=7 took=3")"#]
    );
    assert_eq!(events(&mut decoder, "# no event"), ["None abort: the source's `remap` aborted []"]);
}
