//! The decoder against serde_json: same documents accepted, same values found.

use proptest::prelude::*;
use serde_json::Value as Json;

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
    match (serde_json::from_slice::<Json>(payload), decoder.decode(payload, Record::at(Some(1)))) {
        (Ok(json @ Json::Object(_)), Ok(decoded)) => {
            prop_assert_eq!(decoded.values.len(), fields.len());
            for (field, found) in fields.iter().zip(&decoded.values) {
                let want = expected(&json, field);
                // serde_json's tree has no digits beyond 64 bits; as floats they are the same.
                let found = match *found {
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
            prop_assert!(!json.is_object() && error.reason() == "not_an_object", "{}: {}", shown, error)
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

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(r#""a""#), 4 => Just(r#""b""#), 2 => Just(r#""c""#), 2 => Just(r#""d""#), 1 => Just(r#""status""#),
        1 => Just(r#""é\"""#), 1 => Just(r#""\u0061""#), 1 => Just(r#""""#),
        1 => Just(r#""a key that nobody asked for""#),
        1 => Just(r#""\ud83d\ude00""#),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (-2000i64..2000).prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:?}")),
        (0.0..1e6).prop_map(|f: f64| f.to_string()),
        r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
        r"-?[0-9]{1,3}\.[0-9]{1,3}",
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[ -!#-\\[\\]-~]{0,40}\"",
        1 => "\"[a-zé😀]{0,20}\"",
        2 => r#""([a-z /]{0,9}(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude00)){0,4}[a-z]{0,9}""#,
        1 => any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 4 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r")]
}

fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => number(), 3 => string(),
        1 => Just("true".to_owned()), 1 => Just("false".to_owned()), 1 => Just("null".to_owned()),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            1 => (prop::collection::vec(inner, 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},")))),
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop::collection::vec((key(), value), 0..7), space(), space()).prop_map(|(members, s, t)| {
        let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}{t}:{s}{value}")).collect();
        format!("{{{s}{}{t}}}", members.join(&format!("{t},{s}")))
    })
}

/// Breaks or changes a document a little.
fn mutate(document: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
    const BYTES: &[u8] = b"\"\\{}[]:,-+.0123456789eEutfn \n\0\x1f\x7f\xc3\xa9\xff\xed";
    let mut bytes = document.as_bytes().to_vec();
    for &(at, kind, byte) in edits {
        let at = at % (bytes.len() + 1);
        let byte = BYTES[usize::from(byte) % BYTES.len()];
        match kind % 4 {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => bytes[at] = byte,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at.max(1)),
            _ => {}
        }
    }
    bytes
}

fn any_path() -> impl Strategy<Value = FieldPath> {
    let key = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("status"), Just("")];
    let value = prop_oneof![Just("1"), Just("x"), Just("true"), Just("0.5"), Just("\n"), Just("")];
    let step = prop_oneof![
        3 => key().prop_map(|key| Step::Key(key.into())),
        2 => (-4..4).prop_map(Step::Index),
        2 => (key(), value).prop_map(|(name, value)| Step::Item { name: name.into(), value: value.into() }),
    ];
    (key(), prop::collection::vec(step, 0..4))
        .prop_map(|(first, more)| FieldPath::Event([Step::Key(first.into())].into_iter().chain(more).collect()))
}

/// Documents of many arrays, of few values and of objects with few keys.
fn arrays() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("1"),
        Just("\"x\""),
        Just("true"),
        Just("0.5"),
        Just("null"),
        Just(r#""\n""#),
        Just(r#""\u0078""#),
        Just("-7"),
        Just(r#""""#),
    ];
    let value = scalar.prop_map(str::to_owned).prop_recursive(4, 40, 5, |inner| {
        let array = (prop::collection::vec(inner.clone(), 0..5), space())
            .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}"))));
        prop_oneof![2 => object(inner), 3 => array]
    });
    object(value)
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
    let is = |wanted| move |values: &[Value<'_>]| values == [Value::Str(wanted)];
    assert_eq!(decoder.decode_if(br#"{"type":"audit"}"#, Record::at(None), is("request")).unwrap(), None);
    let reason = decoder.decode_if(br#"{"type":"request"}"#, Record::at(None), is("request")).unwrap_err().reason();
    assert_eq!(reason, "missing_timestamp");
    let event = decoder.decode_if(br#"{"type":"request","at":5}"#, Record::at(None), is("request")).unwrap();
    assert_eq!(event.map(|event| event.time), Some(5));
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
    assert!(!too_far_ahead(3_600_000, 0, hour));
    assert!(too_far_ahead(3_600_001, 0, hour));
    assert!(!too_far_ahead(0, i64::MAX, Duration::MAX));
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
