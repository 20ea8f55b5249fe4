//! Documents for the tests of decoding: any, broken ones, and what a lenient reader makes of them, slowly.

use proptest::prelude::*;

use crate::config::{FieldPath, Step};

/// The document with `null` for what is no number to JSON, and whole characters for halves: slowly, piece by piece.
pub fn mended(document: &str) -> String {
    let pieces = regex::Regex::new(r#""(?:[^"\\]|\\.)*"|(?P<word>-?(?:NaN|Infinity))|(?P<number>-?[0-9][0-9.eE+-]*)"#);
    let escapes = regex::Regex::new(
        r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    );
    let grammar = regex::Regex::new(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$").unwrap();
    let escapes = escapes.unwrap();
    let mend = |found: &regex::Captures<'_>| {
        let text = found[0].to_owned();
        if text.starts_with('"') {
            let whole = |found: &regex::Captures<'_>| match found.name("half") {
                Some(_) => r"\ufffd".to_owned(),
                None => found[0].to_owned(),
            };
            return escapes.replace_all(&text, whole).into_owned();
        }
        let fits = text.parse::<f64>().is_ok_and(f64::is_finite);
        match found.name("number") {
            Some(_) if fits || !grammar.is_match(&text) => text,
            _ => "null".to_owned(),
        }
    };
    pieces.unwrap().replace_all(document, mend).into_owned()
}

pub fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(r#""a""#), 4 => Just(r#""b""#), 2 => Just(r#""c""#), 2 => Just(r#""d""#), 1 => Just(r#""status""#),
        1 => Just(r#""é\"""#), 1 => Just(r#""\u0061""#), 1 => Just(r#""""#),
        1 => Just(r#""a key that nobody asked for""#),
        1 => Just(r#""\ud83d\ude00""#),
    ]
}

pub fn number() -> impl Strategy<Value = String> {
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

pub fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[ -!#-\\[\\]-~]{0,40}\"",
        1 => "\"[a-zé😀]{0,20}\"",
        2 => r#""([a-z /]{0,9}(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude00)){0,4}[a-z]{0,9}""#,
        1 => any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ]
}

pub fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 4 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r")]
}

pub fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => number(), 3 => string(),
        1 => Just("true".to_owned()), 1 => Just("false".to_owned()), 1 => Just("null".to_owned()),
        1 => prop::sample::select(vec!["NaN", "-Infinity", "Infinity", "1e999", r#""\ud83d""#, r#""x\udc00\ud83dy""#])
            .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            1 => (prop::collection::vec(inner, 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},")))),
        ]
    })
}

pub fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop::collection::vec((key(), value), 0..7), space(), space()).prop_map(|(members, s, t)| {
        let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}{t}:{s}{value}")).collect();
        format!("{{{s}{}{t}}}", members.join(&format!("{t},{s}")))
    })
}

/// Breaks or changes a document a little.
pub fn mutate(document: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
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

pub fn any_path() -> impl Strategy<Value = FieldPath> {
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
pub fn arrays() -> impl Strategy<Value = String> {
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
