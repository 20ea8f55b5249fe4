//! Records with many events: what is handed out, in which order, and what a dead letter of one of them would hold.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::config::TimeFormat;

fn path(dotted: &str) -> FieldPath {
    FieldPath::parse(dotted).unwrap()
}

fn each(arrays: &[&str]) -> Each {
    Each(arrays.iter().map(|array| array.split('.').map(str::to_owned).collect()).collect())
}

fn source(each: Option<Each>, parse: &[&str]) -> Source {
    let format = Format::default();
    let parse = parse.iter().map(|field| Parse { path: path(field), format: format.clone() }).collect();
    let timestamp = Timestamp::field(path("t"), TimeFormat::UnixMillis);
    Source { timestamp, format, each, parse, ..crate::aggregate::samples::source() }
}

fn decoder(fields: &[&str], source: &Source) -> Decoder {
    let fields: Vec<_> = fields.iter().map(|field| path(field)).collect();
    Decoder::of(&fields, source, 1 << 20)
}

fn shown(value: &Value<'_>) -> Json {
    match value {
        Value::Missing => json!("-"),
        Value::Null => json!(null),
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Digits(digits) => json!(digits),
        Value::Float(value) => json!(value),
        Value::Str(text) => json!(text),
        Value::Composite => json!("{}"),
    }
}

/// An event's time and values, or why it is none.
type Read = Result<(i64, Vec<Json>), &'static str>;

/// Every event: time and values, or the reason; and what its letter would hold.
fn events(decoder: &mut Decoder, payload: &str) -> Vec<(Option<usize>, Read, String)> {
    let mut found = Vec::new();
    let count = decoder.events(
        payload.as_bytes(),
        Record::at(Some(7)),
        |_| true,
        |part, outcome| {
            let outcome = outcome.map_err(|error| error.reason()).map(|event| {
                let event = event.expect("all are wanted");
                (event.time, event.values.iter().map(shown).collect())
            });
            let alone =
                part.alone().map_or_else(|| payload.to_owned(), |alone| String::from_utf8(alone).expect("text"));
            found.push((part.index, outcome, alone));
        },
    );
    assert_eq!(count, found.len());
    found
}

fn outcomes(decoder: &mut Decoder, payload: &str) -> Vec<Read> {
    events(decoder, payload).into_iter().map(|(_, outcome, _)| outcome).collect()
}

#[test]
fn lines_arrays_and_documents_in_a_row_are_events_each() {
    let mut decoder = decoder(&["a"], &source(None, &[]));
    let (one, two) = (Ok((1, vec![json!("x")])), Ok((2, vec![json!(5)])));
    for payload in [
        "{\"t\":1,\"a\":\"x\"}\n{\"t\":2,\"a\":5}\n",
        "{\"t\":1,\"a\":\"x\"}\r\n\r\n{\"t\":2,\"a\":5}",
        "{\"t\":1,\"a\":\"x\"}{\"t\":2,\"a\":5}",
        "\u{feff}{\n \"t\": 1,\n \"a\": \"x\"\n}\n{\n \"t\": 2,\n \"a\": 5\n}\n",
        "[{\"t\":1,\"a\":\"x\"},{\"t\":2,\"a\":5}]",
        " [ {\"t\":1,\"a\":\"x\"} ,\n {\"t\":2,\"a\":5} ]\n",
        "\u{feff}[{\"t\":1,\"a\":\"x\",\"b\":NaN},{\"t\":2,\"a\":5}]",
    ] {
        assert_eq!(outcomes(&mut decoder, payload), [one.clone(), two.clone()], "{payload}");
    }
    let single = "\u{feff}\n{\n \"t\": 1,\n \"a\": \"x\"\n}\n";
    assert_eq!(events(&mut decoder, single), [(None, one, single.to_owned())]);
    assert_eq!(outcomes(&mut decoder, "[]"), []);
}

#[test]
fn what_is_nothing_else_may_be_raw_snappy() {
    let json = source(None, &[]);
    let kind = |kind| Format { kind, lines: true };
    let logfmt =
        Source { format: kind(crate::config::FormatKind::Logfmt), timestamp: Timestamp::Kafka, ..source(None, &[]) };
    // Shorter ones may look like text.
    for length in 80..600 {
        let letters = (1..).map(|at: u32| char::from(b'a' + (at.wrapping_mul(2_654_435_761) >> 24) as u8 % 26));
        let text: String = letters.take(length - 16).collect();
        for (source, line) in
            [(&json, format!("{{\"t\":1,\"a\":\"{text}\"}}")), (&logfmt, format!("time=1 a=\"{text}\""))]
        {
            let packed = snap::raw::Encoder::new().compress_vec(line.as_bytes()).unwrap();
            let mut decoder = decoder(&["a"], source);
            let mut read = |payload: &[u8]| {
                let mut texts = Vec::new();
                decoder.events(
                    payload,
                    Record::at(Some(7)),
                    |_| true,
                    |_, outcome| {
                        let text = outcome.map(|event| shown(&event.unwrap().values[0]));
                        texts.push(text.unwrap_or_else(|error| json!(error.reason())));
                    },
                );
                texts
            };
            assert_eq!(read(&packed), [json!(text)], "{line}: {packed:?}");
        }
    }
}

#[test]
fn a_broken_line_or_element_is_a_letter_by_itself() {
    let mut decoder = decoder(&["a"], &source(None, &[]));
    let payload = "{\"t\":1,\"a\":1}\n{\"t\":2,\"a\":\n{\"a\":3}\n7\n{\"t\":4,\"a\":4}\nrubbish";
    let found = events(&mut decoder, payload);
    let letters: Vec<_> =
        found.iter().map(|(at, outcome, alone)| (*at, outcome.clone().err(), alone.as_str())).collect();
    let expected = [
        (Some(0), None, "{\"t\":1,\"a\":1}"),
        (Some(1), Some("not_json"), "{\"t\":2,\"a\":"),
        (Some(2), Some("missing_timestamp"), "{\"a\":3}"),
        (Some(3), Some("not_an_object"), "7"),
        (Some(4), None, "{\"t\":4,\"a\":4}"),
        (Some(5), Some("not_json"), "rubbish"),
    ];
    assert_eq!(letters, expected);
    let found = events(&mut decoder, "[{\"t\":1},3,{\"t\":[]}]");
    let letters: Vec<_> = found.into_iter().map(|(_, outcome, alone)| (outcome.err(), alone)).collect();
    let expected = [(None, "{\"t\":1}"), (Some("not_an_object"), "3"), (Some("bad_timestamp"), "{\"t\":[]}")];
    assert_eq!(letters, expected.map(|(why, alone)| (why, alone.to_owned())));
    // What nothing can be had of is one letter.
    for payload in
        ["{\n \"t\": 1,\n \"b\": \n}\n", "[{\"t\":1},", "[{\"t\":1}] x", "{\"t\":1} x", "x\ny\nz", "{\"t\":1"]
    {
        let found = events(&mut decoder, payload);
        assert_eq!(found.len(), 1, "{payload}");
        assert_eq!((found[0].0, found[0].1.is_err(), found[0].2.as_str()), (None, true, payload));
    }
}

#[test]
fn each_element_is_an_event_with_what_encloses_it() {
    let mut nested = decoder(&["a", "^.s", "^.^.r.name", "^.^.^.top"], &source(Some(each(&["rs", "x.ss", "es"])), &[]));
    let payload = r#" {"rs":[{"r":{"name":"ab"},"x":{"ss":[{"es":[{"t":1,"a":1},{"t":2}],"s":9},{"es":[]}]}},
        {"x":{"ss":[{"s":"q\n","es":[{"t":3,"a":"\u0061"},5]}]}},{"x":3},{}],"top":true} "#;
    let found = events(&mut nested, payload);
    let outcomes: Vec<_> = found.iter().map(|(_, outcome, _)| outcome.clone()).collect();
    let expected = [
        Ok((1, vec![json!(1), json!(9), json!("ab"), json!(true)])),
        Ok((2, vec![json!("-"), json!(9), json!("ab"), json!(true)])),
        Ok((3, vec![json!("a"), json!("q\n"), json!("-"), json!(true)])),
        Err("not_an_object"),
    ];
    assert_eq!(outcomes, expected);
    // A letter is a record that gives this event and no other.
    for (_, outcome, alone) in &found {
        let again = events(&mut nested, alone);
        assert_eq!(again.len(), 1, "{alone}");
        assert_eq!(again[0].1, *outcome, "{alone}");
    }
    // No such array: no event. A single element stands for an array.
    let mut records = decoder(&["a", "^.b"], &source(Some(each(&["Records"])), &[]));
    for payload in ["{}", r#"{"Records":null}"#, r#"{"Records":[]}"#] {
        assert_eq!(super::many_tests::outcomes(&mut records, payload), [], "{payload}");
    }
    let one = [Ok((1, vec![json!("-"), json!("-")]))];
    assert_eq!(super::many_tests::outcomes(&mut records, r#"{"Records":{"t":1}}"#), one);
    for payload in
        ["{\"Records\":[{\"t\":1}]", "{\"Records\":[{\"t\":1},]}", "3", "\"x\"", "{\"Records\":[{\"t\":1}]}}"]
    {
        let found = events(&mut records, payload);
        assert_eq!((found.len(), found[0].0, found[0].1.is_err()), (1, None, true), "{payload}");
    }
    // Lines of them, one broken.
    let payload =
        "{\"b\":1,\"Records\":[{\"t\":1},{\"t\":2}]}\n{\"Records\":[{\"t\":3]}\n{\"Records\":[{\"t\":4}],\"b\":2}\n";
    let times: Vec<_> = super::many_tests::outcomes(&mut records, payload)
        .into_iter()
        .map(|o| o.map(|e| (e.0, e.1[1].clone())))
        .collect();
    assert_eq!(times, [Ok((1, json!(1))), Ok((2, json!(1))), Err("not_json"), Ok((4, json!(2)))]);
}

#[test]
fn text_in_a_field_becomes_fields_below_it() {
    let source = source(None, &["log.message", "log"]);
    let mut decoder = decoder(&["log", "log.level", "log.message.n", "log.message", "a"], &source);
    for (payload, expected) in [
        (
            json!({"t": 1, "a": "\n", "log": "{\"level\":\"w\\u0061rn\",\"message\":\"{\\\"n\\\":\\\"\\\\t\\\"}\"}"})
                .to_string(),
            vec![
                json!("{\"level\":\"w\\u0061rn\",\"message\":\"{\\\"n\\\":\\\"\\\\t\\\"}\"}"),
                json!("warn"),
                json!("\t"),
                json!("{\"n\":\"\\t\"}"),
                json!("\n"),
            ],
        ),
        (
            json!({"t": 1, "log": "plain text"}).to_string(),
            vec![json!("plain text"), json!("-"), json!("-"), json!("-"), json!("-")],
        ),
        // An object needs no parsing, but what is in it may.
        (
            json!({"t": 1, "log": {"level": 3, "message": "{\"n\":1}"}}).to_string(),
            vec![json!("{}"), json!(3), json!(1), json!("{\"n\":1}"), json!("-")],
        ),
        (
            json!({"t": 1, "log": "{\"level\":1} {"}).to_string(),
            vec![json!("{\"level\":1} {"), json!("-"), json!("-"), json!("-"), json!("-")],
        ),
        (json!({"t": 1}).to_string(), vec![json!("-"); 5]),
    ] {
        assert_eq!(outcomes(&mut decoder, &payload), [Ok((1, expected))], "{payload}");
    }
    let unparsed: Vec<_> = decoder.unparsed().map(|(path, count)| (path.to_string(), count)).collect();
    assert_eq!(unparsed, [("log".to_owned(), 2), ("log.message".to_owned(), 0)]);
    assert!(decoder.unparsed().all(|(_, count)| count == 0));
}

#[test]
fn of_several_formats_for_a_field_the_first_is_taken_that_fits() {
    let mut source = source(None, &["log"]);
    let common = Format { kind: FormatKind::Common, lines: false };
    source.parse.push(Parse { path: path("log"), format: common });
    source.parse.push(Parse { path: path("log"), format: Format { kind: FormatKind::Logfmt, lines: false } });
    let mut decoder = decoder(&["log.status", "log.level"], &source);
    let line = r#"192.0.2.1 - - [20/Nov/2025:16:57:52 +0000] \"GET / HTTP/1.1\" 200 5"#;
    let texts = [
        r#"{\"status\":503,\"level\":\"a\"}"#,
        line,
        "status=404 level=b",
        "status=1 level=\\\"c",
        "plain",
        r#"{\"status\":1"#,
    ];
    let found: Vec<_> = texts
        .iter()
        .map(|text| match events(&mut decoder, &format!(r#"{{"t": 5, "log": "{text}"}}"#)).remove(0).1 {
            Ok((_, values)) => values,
            Err(reason) => panic!("{text}: {reason}"),
        })
        .collect();
    let none = json!("-");
    let wanted = [[json!(503), json!("a")], [json!("200"), none.clone()], [json!("404"), json!("b")]];
    assert_eq!(found[..3], wanted.map(Vec::from));
    assert!(found[3..].iter().flatten().all(|value| *value == none), "{found:?}");
    let unparsed: Vec<_> = decoder.unparsed().map(|(path, count)| (path.to_string(), count)).collect();
    assert_eq!(unparsed, [("log".to_owned(), 3)]);
}

#[test]
fn compressed_records_are_read_as_if_they_were_not() {
    let zipped = |plain: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, plain.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let mut source = source(None, &[]);
    source.unpacked_bytes = 64;
    let mut decoder = decoder(&["a"], &source);
    let mut outcomes = |payload: &[u8]| {
        let mut found = Vec::new();
        decoder.events(
            payload,
            Record::at(None),
            |_| true,
            |part, outcome| {
                let alone = part.alone().map(|alone| String::from_utf8(alone).unwrap());
                found.push((alone, outcome.map(|event| event.unwrap().time).map_err(|error| error.reason())));
            },
        );
        found
    };
    assert_eq!(outcomes(&zipped(r#"{"t":1,"a":2}"#)), [(None, Ok(1))]);
    // A letter about all of a record has it as it came; one about an event of it has that as it is read.
    assert_eq!(outcomes(&zipped("{\"t\":")), [(None, Err("not_json"))]);
    let lines = [(Some(r#"{"t":1}"#.to_owned()), Ok(1)), (Some("{}".to_owned()), Err("missing_timestamp"))];
    assert_eq!(outcomes(&zipped("{\"t\":1}\n{}")), lines);
    assert_eq!(outcomes(&zipped(&"{}".repeat(33))), [(None, Err("unpacked_too_large"))]);
    assert_eq!(outcomes(&zipped("{}")[..15]), [(None, Err("bad_compression"))]);
    assert_eq!(outcomes(&zipped("")), [(None, Err("empty"))]);
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\n",
            "\"a\"",
            "\"t\"",
            "\"Records\"",
            "1",
            "\"\\n\"",
            "{\"t\":1}",
            "null",
            " ",
            "NaN",
        ]),
        0..24,
    )
    .prop_map(|parts| parts.concat())
}

#[test]
fn text_beside_an_empty_array_leads_to_the_same_outcome_alone() {
    let mut decoder = decoder(&["a"], &source(None, &[]));
    for payload in ["\"a\"\n[],\"a\"", "\"a\"\n[]\n", "[]\n\"a\"", "[]\n[]", "\"a\"\n[]\n{\"t\":1}"] {
        for (index, outcome, alone) in events(&mut decoder, payload) {
            if index.is_some() && !alone.is_empty() {
                let again = events(&mut decoder, &alone);
                assert_eq!((again.len(), &again[0].1), (1, &outcome), "{alone} of {payload}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_text_gives_letters_that_lead_to_the_same_outcome(payload in text(), arrays in 0usize..3) {
        let layout = [None, Some(each(&["Records"])), Some(each(&["Records", "a"]))];
        let mut decoder = decoder(&["a"], &source(layout[arrays].clone(), &[]));
        for (index, outcome, alone) in events(&mut decoder, &payload) {
            if index.is_some() && !alone.is_empty() {
                let again = events(&mut decoder, &alone);
                prop_assert_eq!(again.len(), 1, "{} of {}", alone, payload);
                prop_assert_eq!(&again[0].1, &outcome, "{} of {}", alone, payload);
            }
        }
    }

    #[test]
    fn arrays_and_lines_are_read_as_their_elements_alone(
        elements in prop::collection::vec((0i64..9, prop::option::of("[a-z\"\\\\\n{}é]{0,6}")), 0..9),
        space in prop::sample::select(vec!["", " ", "\n", "\r\n\t"]),
    ) {
        let objects: Vec<Json> = elements.iter().map(|(t, a)| match a {
            Some(a) => json!({"t": t, "a": a, "x": [{"Records": [1]}]}),
            None => json!({"t": t}),
        }).collect();
        let want: Vec<_> = elements.iter().map(|(t, a)| Ok((*t, vec![a.as_ref().map_or(json!("-"), |a| json!(a))]))).collect();
        let texts: Vec<String> = objects.iter().map(Json::to_string).collect();
        let list = format!("[{space}{}{space}]", texts.join(&format!("{space},{space}")));
        let mut flat = decoder(&["a"], &source(None, &[]));
        prop_assert_eq!(&outcomes(&mut flat, &list), &want);
        if texts.len() > 1 {
            prop_assert_eq!(&outcomes(&mut flat, &texts.join("\n")), &want);
        }
        let mut records = decoder(&["a"], &source(Some(each(&["y.Records"])), &[]));
        prop_assert_eq!(&outcomes(&mut records, &format!("{{\"x\":{list},{space}\"y\":{{\"b\":1,\"Records\":{list}}},\"z\":2}}")), &want);
    }
}
