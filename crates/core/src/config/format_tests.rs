//! How records are written: what may be said of it is shown again as it was, and what is wrong is told with its place.

use super::parse;
use super::tests::{all_refused, changed, snapshot};
use super::types::{Each, Format, FormatKind};

fn source(lines: &str) -> String {
    changed("    timestamp: { from: kafka }", &format!("    timestamp: {{ from: kafka }}\n{lines}"))
}

#[test]
fn formats_are_shown_as_they_were_written() {
    for lines in [
        "",
        "    format: json",
        "    format: raw",
        "    format: { raw: { lines: true } }",
        "    each: Records",
        "    each: 'resourceLogs[].scopeLogs[].logRecords[]'",
        "    each: detail.\"all.records\"[].items",
        "    parse: { log: json, \"log.message\": { raw: { lines: true } }, a.b: raw }",
    ] {
        let config = parse(&source(lines), "c.yaml", &|_| None).unwrap_or_else(|error| panic!("{lines}: {error}"));
        let shown = config.redacted_yaml();
        let again = parse(&shown, "shown.yaml", &|_| None).unwrap_or_else(|error| panic!("{shown}\n{error}"));
        assert_eq!(again.sources, config.sources, "{lines}\n{shown}");
    }
    let config = parse(&source("    each: 'a.\"b.c\"[].d'"), "c.yaml", &|_| None).unwrap();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(config.sources[0].each, Some(Each(vec![names(&["a", "b.c"]), names(&["d"])])));
    assert_eq!(config.sources[0].format, Format { kind: FormatKind::Json, lines: false });
}

#[test]
fn errors_of_formats_are_told() {
    snapshot(
        "errors_of_formats",
        &all_refused(&[
            ("unknown format", source("    format: jsn")),
            ("no format at all", source("    format: {}")),
            ("two formats", source("    format: { json: {}, raw: {} }")),
            ("unknown option", source("    format: { raw: { line: true } }")),
            ("an option that is none of its", source("    format: { json: { lines: true } }")),
            ("unknown format of a field", source("    parse: { log: jason, a..b: raw }")),
            ("arrays of text", source("    format: raw\n    each: Records")),
            ("an array by its place", source("    each: 'a[0].b'")),
            ("no array", source("    each: 'a[][].b'")),
            ("out of the record", source("    each: Records\n    where: { ^.a: 1, ^.^.b: 1, ^: 1 }")),
            ("out of a document", source("    where: { ^.a: 1 }")),
        ]),
    );
}
