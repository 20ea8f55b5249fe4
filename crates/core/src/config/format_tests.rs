//! How records are written: what may be said of it is shown again as it was, and what is wrong is told with its place.

use super::parse;
use super::tests::{all_refused, changed, snapshot};
use super::types::{Each, FieldPath, Format, FormatKind, TimeFormat, Timestamp};

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
        "    unpacked_size: 2MiB",
        "    format: otlp_proto",
        "    format: combined",
        "    format: { syslog: { lines: true } }",
        "    format: { csv: { names: [time, 'a \"b\"'], delimiter: \";\" } }",
        "    format: { tsv: { names: [a], lines: true } }",
        "    format: { w3c: { names: [date, time, cs(User-Agent)] } }",
        "    format: { regex: '^(?<host>\\S+) (?<rest>.*)$' }",
        "    format: { regex: { pattern: '(?<a>b)', lines: true } }",
        "    parse: { log: json, \"log.message\": { raw: { lines: true } }, a.b: raw }",
        "    parse: { log: [json, { regex: '^(?<a>b)' }, combined], message: [raw] }",
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
fn a_list_of_formats_says_which_of_them_is_wrong() {
    let refused = |lines: &str| parse(&source(lines), "c.yaml", &|_| None).unwrap_err().to_string();
    let wrong = refused("    parse: { log: [json, jsn] }");
    assert!(wrong.contains("`jsn` is not a format") && wrong.contains("^^^"), "{wrong}");
    assert!(refused("    parse: { log: [] }").contains("what `log` is parsed as"));
    assert!(refused("    parse: { log: [json, otlp_json] }").contains("not of text in a field"));
}

#[test]
fn errors_of_formats_are_told() {
    snapshot(
        "errors_of_formats",
        &all_refused(&[
            ("unknown format", source("    format: jsn")),
            ("no format at all", source("    format: {}")),
            ("two formats", source("    format: { json: {}, raw: {} }")),
            ("a size that is none", source("    unpacked_size: 10")),
            (
                "a format of records in a field",
                source("    format: otlp_json\n    each: a\n    parse: { log: otlp_json }"),
            ),
            ("no columns", source("    format: csv")),
            ("columns of one name", source("    format: { tsv: { names: [a, b, a] } }")),
            (
                "delimiters",
                source(
                    "    format: { csv: { names: [a], delimiter: '\"' } }\n    parse: { a: { csv: { names: [a], delimiter: '' } } }",
                ),
            ),
            ("no pattern", source("    format: regex")),
            ("patterns", source("    format: { regex: '(' }\n    parse: { a: { regex: '^(.*)$' } }")),
            ("options of others", source("    format: { combined: { names: [a], delimiter: ';', pattern: x } }")),
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

#[test]
fn a_time_that_the_format_knows_needs_no_words() {
    let time = |lines: &str| {
        let text = changed("    timestamp: { from: kafka }", lines);
        parse(&text, "c.yaml", &|_| None).map(|config| config.sources[0].timestamp.clone()).map_err(|e| e.to_string())
    };
    let zone = |zone: &str| zone.to_owned();
    let of = |path: &str, format| Timestamp::field(FieldPath::parse(path).unwrap(), format);
    let clf = of("timestamp", TimeFormat::Clf { zone: zone("UTC") });
    assert_eq!(time("    format: combined"), Ok(clf.clone()));
    assert_eq!(time("    format: combined\n    timestamp: { field: timestamp }"), Ok(clf));
    let berlin = of("timestamp", TimeFormat::Iso8601 { zone: zone("Europe/Berlin") });
    assert_eq!(time("    format: klog\n    timestamp: { field: timestamp, zone: Europe/Berlin }"), Ok(berlin));
    let parsed = of("log.timestamp", TimeFormat::Rfc3339);
    assert_eq!(time("    parse: { log: cri }\n    timestamp: { field: log.timestamp }"), Ok(parsed));
    assert_eq!(time("    format: combined\n    timestamp: { from: kafka }"), Ok(Timestamp::Kafka));
    for lines in ["    format: logfmt", "    strict: false"] {
        assert!(time(lines).is_err_and(|error| error.contains("`timestamp` is missing")), "{lines}");
    }
    for lines in [
        "    format: combined\n    timestamp: { field: host }",
        "    parse: { log: cri }\n    timestamp: { field: timestamp }",
    ] {
        assert!(time(lines).is_err_and(|error| error.contains("`timestamp.format` is missing")), "{lines}");
    }
}
