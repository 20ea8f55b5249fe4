//! The decoder against serde_json: same documents accepted, same values found.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::test_documents::{any_path, arrays, json, mended, mutate, number, object};
use super::*;
use crate::config::{Step, TimeFormat};

fn path(dotted: &str) -> FieldPath {
    FieldPath::parse(dotted).unwrap()
}

fn decoder(fields: &[&str]) -> Decoder {
    let fields: Vec<_> = fields.iter().map(|field| path(field)).collect();
    Decoder::new(&fields, &Timestamp::Kafka, 1 << 20)
}

fn timed(fields: &[&str], time: &str, format: TimeFormat) -> Decoder {
    let fields: Vec<_> = fields.iter().map(|field| path(field)).collect();
    Decoder::new(&fields, &Timestamp::field(path(time), format), 1 << 20)
}

/// What a field is by way of serde_json's tree.
fn expected<'a>(document: &'a Json, field: &FieldPath) -> Value<'a> {
    let step = |json: &'a Json, step: &Step| match step {
        Step::Key(key) => json.as_object()?.get(key),
        Step::Index(index) => {
            let items = json.as_array()?;
            let at = if *index < 0 { items.len() as i64 + i64::from(*index) } else { i64::from(*index) };
            items.get(usize::try_from(at).ok()?)
        }
        Step::Item { name, value } => json.as_array()?.iter().find(|item| match item.get(name) {
            Some(Json::String(text)) => text == value,
            Some(Json::Number(number)) => match number.as_i64() {
                Some(whole) => whole.to_string() == *value,
                None => number.as_f64().unwrap().to_string() == *value,
            },
            Some(Json::Bool(truth)) => truth.to_string() == *value,
            _ => false,
        }),
    };
    match field.steps().iter().try_fold(document, step) {
        None => Value::Missing,
        Some(Json::Null) => Value::Null,
        Some(Json::Bool(b)) => Value::Bool(*b),
        Some(Json::Number(n)) => match n.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::Float(n.as_f64().unwrap()),
        },
        Some(Json::String(s)) => Value::Str(s),
        Some(Json::Array(_) | Json::Object(_)) => Value::Composite,
    }
}

/// Decodes and compares with serde_json: accepted or not, every value, and floats to the bit.
fn check(decoder: &mut Decoder, fields: &[FieldPath], payload: &[u8]) -> Result<(), TestCaseError> {
    let shown = String::from_utf8_lossy(payload);
    let json = serde_json::from_slice::<Json>(payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload));
    // What no serde_json takes may still be JSON but for a detail.
    let strict = json.is_ok();
    let json = json.or_else(|error| serde_json::from_str(&mended(std::str::from_utf8(payload).map_err(|_| error)?)));
    match (json, decoder.decode(payload, Record::at(Some(1)))) {
        (Ok(json @ Json::Object(_)), Ok(decoded)) => {
            prop_assert_eq!(decoded.values.len(), fields.len());
            for (field, found) in fields.iter().zip(&decoded.values) {
                let want = expected(&json, field);
                // serde_json's tree has no digits beyond 64 bits; as floats they are the same.
                let found = match *found {
                    // In a document that had to be mended they are text, which is the same label and the same number.
                    Value::Str(digits) if !strict && matches!(want, Value::Float(_)) => {
                        Value::Float(digits.parse().unwrap())
                    }
                    Value::Digits(digits) => {
                        let whole = digits.trim_start_matches('-').bytes().all(|c| c.is_ascii_digit());
                        prop_assert!(whole && digits.parse::<i64>().is_err(), "{}", digits);
                        Value::Float(digits.parse().unwrap())
                    }
                    other => other,
                };
                // Debug tells -0.0 from 0.0, and prints floats so that they can be told apart.
                prop_assert_eq!(format!("{want:?}"), format!("{found:?}"), "{} in {}", field, shown);
            }
        }
        (Ok(json), Ok(_)) => prop_assert!(false, "{json} is no object, but was accepted"),
        (Ok(json), Err(error)) => {
            // What is no object is not mended to find that out.
            let is_told = error.reason() == "not_an_object" || !strict && error.reason() == "not_json";
            prop_assert!(!json.is_object() && is_told, "{}: {}", shown, error)
        }
        (Err(_), Err(error)) => prop_assert!(["not_json", "empty"].contains(&error.reason()), "{}: {}", shown, error),
        (Err(error), Ok(_)) => prop_assert!(false, "serde_json says {error}, but accepted: {shown}"),
    }
    Ok(())
}

const FIELDS: [&str; 7] = ["a", "b", "a.b", "a.c.d", "status", r#""é\"""#, "b"];

fn fields() -> Vec<FieldPath> {
    FIELDS.iter().map(|field| path(field)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_path_finds_what_it_finds_in_serde_jsons_tree(
        paths in prop::collection::vec(any_path(), 1..6),
        documents in prop::collection::vec(arrays(), 1..6),
    ) {
        let mut decoder = Decoder::new(&paths, &Timestamp::Kafka, 1 << 20);
        for document in &documents {
            check(&mut decoder, &paths, document.as_bytes())?;
        }
    }

    #[test]
    fn any_run_of_documents_reads_as_with_serde_json(documents in prop::collection::vec(object(json()), 1..6)) {
        let mut decoder = decoder(&FIELDS);
        for document in &documents {
            check(&mut decoder, &fields(), document.as_bytes())?;
        }
    }

    #[test]
    fn broken_documents_are_refused_just_when_serde_json_refuses_them(
        document in object(json()),
        edits in prop::collection::vec(prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..4), 1..6),
    ) {
        let mut decoder = decoder(&FIELDS);
        let _ = decoder.decode(document.as_bytes(), Record::at(Some(1)));
        for edits in &edits {
            check(&mut decoder, &fields(), &mutate(&document, edits))?;
        }
    }

    #[test]
    fn every_number_reads_as_with_serde_json(numbers in prop::collection::vec(number(), 1..9)) {
        let mut decoder = decoder(&FIELDS);
        for number in numbers {
            check(&mut decoder, &fields(), format!("{{\"a\":{number},\"x\":{number}}}").as_bytes())?;
        }
    }
}

#[test]
fn nasty_documents_read_as_with_serde_json() {
    let deep = |n: usize| format!("{}{}", r#"{"a":"#.repeat(n), "}".repeat(n)).replace(":}", ":1}");
    let deep_array = |n: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let long = "9".repeat(400);
    let documents: Vec<Vec<u8>> = [
        "",
        " ",
        "\n",
        "{",
        "}",
        "{}",
        " {} ",
        "{}{}",
        "{} x",
        "{},",
        "[]",
        r#"[{"a":1}]"#,
        "1",
        "null",
        r#""a""#,
        "tru",
        r#"{"a":1"#,
        r#"{"a":"#,
        r#"{"a"#,
        r#"{"a":"x"#,
        r#"{"a":"x\"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1,,"b":2}"#,
        r#"{"a" 1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":+1}"#,
        r#"{"a":1e}"#,
        r#"{"a":1e+}"#,
        r#"{"a":0x10}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":-0}"#,
        r#"{"a":-0.0}"#,
        r#"{"a":0e999999}"#,
        r#"{"a":1e400}"#,
        r#"{"x":1e400}"#,
        r#"{"x":-1e400}"#,
        r#"{"a":1e-400}"#,
        r#"{"a":9223372036854775807}"#,
        r#"{"a":9223372036854775808}"#,
        r#"{"a":-9223372036854775808}"#,
        r#"{"a":-9223372036854775809}"#,
        r#"{"a":18446744073709551616}"#,
        r#"{"a":123456789012345678901234567890}"#,
        r#"{"a":0.1000000000000000055511151231257827}"#,
        r#"{"a":123.40000000000000}"#,
        r#"{"a":9007199254740993.0}"#,
        r#"{"a":1E5,"b":1e+5}"#,
        r#"{"a":1,"a":"2"}"#,
        r#"{"a":{"b":1},"a":2}"#,
        r#"{"a":2,"a":{"b":1}}"#,
        r#"{"a":{"b":1,"c":{"d":2}},"a":{"c":{}}}"#,
        r#"{"a":"\n","a":"x"}"#,
        r#"{"a":{"b":"\n"},"a":[]}"#,
        r#"{"\u0061":1}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u00e9\"":"ü"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"x":"\ud800"}"#,
        r#"{"x":"\udc00"}"#,
        r#"{"x":"\ud83d\ude00"}"#,
        r#"{"a":"\uD83D\uDE00\u0000"}"#,
        r#"{"x":"\ud83dx"}"#,
        r#"{"x":"\ud83d\n"}"#,
        r#"{"x":"\ud83d\ud83d"}"#,
        r#"{"x":"\u12"}"#,
        r#"{"x":"\x"}"#,
        r#"{"x":"\u00zz"}"#,
        "{\"x\":\"\0\"}",
        "{\"x\":\"a\nb\"}",
        "{\"x\":\"\x7f\"}",
        "{\"a\":1}\0",
        "\u{feff}{}",
        "{\u{a0}\"a\":1}",
        "{\"a\":1\x0b}",
        r#"{"x":[1,[2,{"a":3}],]}"#,
        r#"{"x":[1,[2,{"a":3}]],"a":[],"b":{}}"#,
        r#"{"x":{"a":1}}"#,
        r#"{"x":[1 2]}"#,
        r#"{"x":{"a":1,}}"#,
        r#"{"x":[}"#,
        r#"{"x":{]}"#,
        r#"{"x":truefalse}"#,
        r#"{"x":nul}"#,
        r#"{"a":true,"b":false,"status":null}"#,
        r#"{"":1}"#,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([100, 126, 127, 128, 129, 10_000].map(|n| deep(n).into_bytes()))
    .chain([100, 125, 126, 127, 128, 10_000].map(|n| deep_array(n).into_bytes()))
    .chain(
        [format!(r#"{{"a":{long}}}"#), format!(r#"{{"x":{long}}}"#), format!(r#"{{"a":0.{long}}}"#)]
            .map(String::into_bytes),
    )
    .chain([b"{\"a\":\"\xff\"}".to_vec(), b"{\"x\":\"\xed\xa0\x80\"}".to_vec(), b"{\"x\":\"\xc3\"}".to_vec()])
    .collect();
    // Each document meets a fresh decoder, one that has just seen it, and one that has seen all the others.
    let mut seasoned = decoder(&FIELDS);
    for _ in 0..2 {
        for document in &documents {
            let mut fresh = decoder(&FIELDS);
            for decoder in [&mut fresh, &mut seasoned] {
                for _ in 0..2 {
                    check(decoder, &fields(), document).unwrap();
                }
            }
        }
    }
}

const EVENT: &str = r#"{"timestamp": 1763657472123, "endpoint": "/api/users", "status": 200, "region": "us-east"}"#;

#[test]
fn what_is_the_records_own_is_a_field_too() {
    let fields =
        ["%headers.tenant", "a", "%topic", "%partition", "%key", "%headers.raw", "%headers.none", "%timestamp"];
    let mut decoder = decoder(&fields);
    // The escape in a key is what the fast way does not read.
    for document in [r#"{"a":"\t","%topic":1}"#, r#"{"\u0061":"\t"}"#] {
        let bytes_of = |field: &RecordField| match field {
            RecordField::Topic => Some(&b"logs"[..]),
            RecordField::Key => Some(&b"k-1"[..]),
            RecordField::Header(name) if name == "tenant" => Some(&b"shop"[..]),
            RecordField::Header(name) if name == "raw" => Some(&b"\xff"[..]),
            _ => None,
        };
        let record = Record { time: Some(5), bytes_of: &bytes_of, partition: 7 };
        let decoded = decoder.decode(document.as_bytes(), record).unwrap();
        let (tenant, tab, topic) = (Value::Str("shop"), Value::Str("\t"), Value::Str("logs"));
        let (partition, key) = (Value::Int(7), Value::Str("k-1"));
        let expected = [tenant, tab, topic, partition, key, Value::Composite, Value::Missing, Value::Int(5)];
        assert_eq!(decoded.values[..], expected);
    }
}

#[test]
fn fields_come_in_the_order_they_were_asked_for_even_twice() {
    let mut decoder =
        timed(&["region", "timestamp", "endpoint", "region", "nope"], "timestamp", TimeFormat::UnixMillis);
    let decoded = decoder.decode(EVENT.as_bytes(), Record::at(None)).unwrap();
    let (region, time) = (Value::Str("us-east"), Value::Int(1_763_657_472_123));
    assert_eq!(decoded.values[..], [region, time, Value::Str("/api/users"), region, Value::Missing]);
    assert_eq!(decoded.time, 1_763_657_472_123);
}

#[test]
fn an_integer_beyond_64_bits_keeps_its_digits_whichever_way_it_is_read() {
    // The escape in a key is what the fast way does not read.
    for key in ["x", r"\u0078"] {
        for (number, value) in [
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("9223372036854775808", Value::Digits("9223372036854775808")),
            ("18446744073709551615", Value::Digits("18446744073709551615")),
            ("-9223372036854775809", Value::Digits("-9223372036854775809")),
            ("123456789012345678901234567890", Value::Digits("123456789012345678901234567890")),
            ("1e30", Value::Float(1e30)),
            ("9223372036854775808.0", Value::Float(9_223_372_036_854_775_808.0)),
        ] {
            let document = format!(r#"{{"{key}":1,"a":{{"b":77777777777777777777,"b":{number}}}}}"#);
            let mut decoder = decoder(&["a.b", "x"]);
            let decoded = decoder.decode(document.as_bytes(), Record::at(Some(1))).unwrap();
            assert_eq!(decoded.values[..], [value, Value::Int(1)], "{document}");
        }
    }
}

#[test]
fn an_event_that_nobody_wants_needs_no_time() {
    let mut decoder = timed(&["type"], "at", TimeFormat::UnixMillis);
    let mut outcomes = |payload: &str| {
        let mut found = Vec::new();
        let wanted = |values: &[Value<'_>]| values == [Value::Str("request")];
        decoder.events(payload.as_bytes(), Record::at(None), wanted, |_, outcome| {
            found.push(outcome.map(|event| event.map(|event| event.time)).map_err(|error| error.reason()));
        });
        found
    };
    assert_eq!(outcomes(r#"{"type":"audit"}"#), [Ok(None)]);
    assert_eq!(outcomes(r#"{"type":"request"}"#), [Err("missing_timestamp")]);
    assert_eq!(outcomes(r#"{"type":"request","at":5}"#), [Ok(Some(5))]);
}

#[test]
fn the_time_is_no_value_unless_it_was_asked_for() {
    let mut decoder = timed(&["status"], "timestamp", TimeFormat::UnixMillis);
    assert_eq!(decoder.decode(EVENT.as_bytes(), Record::at(None)).unwrap().values[..], [Value::Int(200)]);
}

#[test]
fn a_time_may_be_nested_and_escaped() {
    let mut decoder = timed(&["a"], "meta.at", TimeFormat::Rfc3339);
    let event = br#"{"a":"\"","meta":{"at":"2025-11-20T16:57:52\u002e123Z"}}"#;
    for _ in 0..2 {
        let decoded = decoder.decode(event, Record::at(None)).unwrap();
        assert_eq!((decoded.time, decoded.values[0]), (1_763_657_872_123, Value::Str("\"")));
    }
}

#[test]
fn the_records_own_time_is_used_and_checked() {
    let mut decoder = decoder(&[]);
    assert_eq!(decoder.decode(b"{}", Record::at(Some(5))).unwrap().time, 5);
    assert_eq!(decoder.decode(b"{}", Record::at(None)).unwrap_err().reason(), "missing_timestamp");
    assert_eq!(decoder.decode(b"{}", Record::at(Some(-1))).unwrap_err().reason(), "bad_timestamp");
}

#[test]
fn every_error_has_a_reason_and_says_where() {
    let field = Timestamp::field(path("meta.at"), TimeFormat::UnixMillis);
    let mut decoder = Decoder::new(&[], &field, 40);
    for (payload, reason, says) in [
        ("", "empty", "empty"),
        (&"x".repeat(41), "too_large", "41 bytes"),
        ("{\"a\":1,\n x}", "not_json", "line 2 column 2"),
        ("[1]", "not_an_object", "an array"),
        ("{}", "missing_timestamp", "field `meta.at` is missing"),
        (r#"{"meta":{"at":null}}"#, "missing_timestamp", "field `meta.at`"),
        (r#"{"meta":{"at":true}}"#, "bad_timestamp", "field `meta.at` is a boolean"),
        (r#"{"meta":{"at":"now"}}"#, "bad_timestamp", "`now`"),
        (r#"{"meta":{"at":-1}}"#, "bad_timestamp", "before 1970"),
        (r#"{"meta":{"at":1763657472123456789}}"#, "bad_timestamp", "format"),
    ] {
        let error = decoder.decode(payload.as_bytes(), Record::at(Some(1))).unwrap_err();
        assert_eq!(error.reason(), reason, "{payload}");
        assert!(DecodeError::REASONS.contains(&reason));
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = decoder.decode(b"{\"a\":\"\xff\"}", Record::at(None)).unwrap_err();
    assert_eq!((error.reason(), error.to_string().contains("byte 6")), ("not_json", true));
}

#[test]
fn only_what_is_beyond_the_limit_is_too_far_ahead() {
    let hour = Duration::from_secs(3600);
    let check = |event, record, most| check_not_too_far_ahead(event, record, most).is_ok();
    assert!(check(3_600_000, Some(0), hour));
    assert!(!check(3_600_001, Some(0), hour));
    assert!(check(i64::MAX, None, hour), "it has nothing to be ahead of");
    assert!(check(0, Some(i64::MAX), Duration::MAX));
}

#[test]
fn an_event_moves_stream_time_to_its_own_time_but_no_further_than_the_lead_beyond_its_record() {
    let lead = Duration::from_millis(10);
    for (time, written, expected) in
        [(5, 100, 5), (100, 100, 100), (110, 100, 110), (111, 100, 110), (i64::MAX, i64::MAX - 3, i64::MAX)]
    {
        assert_eq!(reach(time, written, lead), expected, "{time} {written}");
    }
    assert_eq!(reach(101, 100, Duration::ZERO), 100);
    assert_eq!(reach(i64::MAX, 0, Duration::MAX), i64::MAX);
}
