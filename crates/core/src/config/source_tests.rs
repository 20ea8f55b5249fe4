//! What is wrong with sources and aggregates is told, each with its place.

use super::tests::{all_refused, changed, refused, snapshot};

#[test]
fn errors_of_sources_and_aggregates_are_told() {
    let source = |line: &str| changed("    timestamp: { from: kafka }", line);
    let aggregate = |lines: &str| changed("    windows: [1m]", lines);
    let measure = |text: &str| changed("events: count", text);
    snapshot(
        "errors_of_sources_and_aggregates",
        &all_refused(&[
            ("no sources", changed("  events:\n    topics: [log-events]\n    timestamp: { from: kafka }\n", "  {}\n")),
            ("no topics", changed("[log-events]", "[]")),
            ("bad topic", changed("[log-events]", "[log events, ok]")),
            ("bad pattern", changed("[log-events]", "['^log-(']")),
            (
                "topic in two sources",
                changed(
                    "aggregates:",
                    "  other: { topics: ['^log-.*', log-events], timestamp: { from: kafka } }\naggregates:",
                ),
            ),
            ("no time", source("    timestamp: {}")),
            ("time without a format", source("    timestamp: { field: at }")),
            ("two times", source("    timestamp: { field: at, format: unix_ms, from: kafka }")),
            ("unknown time format", source("    timestamp: { field: at, format: unix_m }")),
            ("a pattern without seconds", source("    timestamp: { field: at, format: '%d.%m.%Y %H:%M' }")),
            ("a pattern of nothing", source("    timestamp: { field: at, format: '%!' }")),
            ("no zone", source("    timestamp: { field: at, format: iso8601, zone: Europe/Berln }")),
            (
                "a zone of what says its own",
                source("    timestamp: { field: at, format: rfc3339, zone: Europe/Berlin }"),
            ),
            ("a part that is no pattern", source("    timestamp: { field: at, format: unix_s, match: '(' }")),
            ("half a time", source("    timestamp: { seconds: at, zone: UTC }")),
            ("no times", source("    timestamp: []")),
            (
                "times after the one that is always there",
                source("    timestamp: [{ from: kafka }, { field: at, format: unix_s }, {}]"),
            ),
            ("a word for a time", source("    timestamp: kafka")),
            ("unknown format", source("    timestamp: { from: kafka }\n    format: parquet")),
            ("no schema registry", source("    timestamp: { from: kafka }\n    format: avro")),
            (
                "a lead that is a dead letter's",
                source("    timestamp: { from: kafka }\n    max_future: 30s\n    max_lead: 1m"),
            ),
            ("bad path", source("    timestamp: { field: a..b, format: unix_ms }")),
            (
                "bad paths",
                aggregate(
                    "    by: { a: 'x[', b: '\"x', c: { field: [ok, 'x[1'] }, d: '%offset', e: '%headers.a.b', f: x.y z. }",
                ),
            ),
            ("made in two ways", aggregate("    by: { a: { field: x, class: true, map: { 1: b } } }")),
            (
                "no template, no route, no map, no pattern",
                aggregate(
                    "    by: { a: { field: x, template: url }, b: { field: y, template: [x, /a/*/b] }, c: { field: z, map: {}, match: '(' }, d: { field: [] } }",
                ),
            ),
            ("unknown source", changed("source: events", "source: event")),
            ("reserved and invalid labels", aggregate("    by: { le: a, __x: b, instance: c, my-label: d, ok: e }")),
            ("bad windows", aggregate("    windows: [1, 5m/3m, 1m/5m, 0s, session, 1m, 60s, 5 minutes]")),
            (
                "bad sessions",
                aggregate(
                    "    windows: [{ session: 0s }, { session: 5m, max: 1m }, { session: 1m, gap: 5 }, { max: 1h }]",
                ),
            ),
            ("a short session", aggregate("    windows: [1m, { session: 10m, max: 5m }]")),
            ("two kinds of sessions", aggregate("    windows: [{ session: 10m }, { session: 1h }]")),
            (
                "a measure that is called as sessions are",
                aggregate("    windows: [{ session: 10m }]").replace("events: count", "sessions: count"),
            ),
            ("window not a multiple of the pane", aggregate("    windows: [1m, 90s]\n    pane: 20s")),
            ("retention too short", aggregate("    windows: [1h]\n    grace: 5m\n    retention: 1h")),
            ("ttl shorter than the retention", aggregate("    windows: [1m]\n    key_ttl: 5m")),
            ("prefix", aggregate("    prefix: 9lives")),
            ("reserved prefix", aggregate("    prefix: streamgauge")),
            ("limit", aggregate("    limit: 0")),
            ("several sources", changed("source: events", "sources: [events, others, events]")),
            ("no source", changed("    source: events\n", "")),
            ("two words for sources", changed("source: events", "source: events\n    sources: [events]")),
            ("bad places of fields", source("    timestamp: { from: kafka }\n    fields: { 'a[': b, c: d..e }")),
            ("aggregate name", changed("  log:\n", "  my-log:\n")),
            ("no measures", measure("{}")),
            ("measure name", measure("my-events: count")),
            ("a count of a field", measure("events: { count: status }")),
            ("a count with a unit", measure("events: { count: {}, unit: ms }")),
            ("no statistic", measure("events: { unit: ms }")),
            ("two statistics", measure("events: { sum: a, avg: a }")),
            ("no field", measure("time: { histogram: { where: { a: 1 } } }")),
            ("no bounds", measure("time: { buckets: a }")),
            ("bad bounds", measure("time: { buckets: { field: a, bounds: [1, 1] } }")),
            ("bounds without buckets", measure("time: { histogram: { field: a, bounds: [1, 2] } }")),
            ("a last time of a field", measure("seen: { last_seen: at }")),
            ("an estimate between two times", measure("users: { distinct: { from: a, to: b } }")),
            ("an estimate with a unit", measure("users: { distinct: a, unit: ms }")),
            ("no such estimate", measure("users: { distinct: { of: a, error: 0.0001 } }")),
            ("an error of a sum", measure("bytes: { sum: { field: a, error: 0.01 } }")),
            ("two words for a field", measure("users: { distinct: { of: a, field: b } }")),
            ("too many items", measure("pages: { top: { of: a, k: 1000 } }")),
            ("ranked by nothing", measure("pages: { top: { of: a, by: size } }")),
            ("ranked by a maximum", measure("pages: { top: { of: a, by: { max: size } } }")),
            ("a label of items that is reserved", measure("pages: { top: { of: a, label: le } }")),
            ("a sum of items", measure("bytes: { sum: { field: a, k: 3, by: count, label: x } }")),
            ("two uses of a label", measure("pages: { top: b }\n    by: { item: a }")),
            ("no such histogram", measure("time: { histogram: { field: a, error: 0.0001 } }")),
            ("quantiles of a sum", measure("time: { sum: a, quantiles: [0.5] }")),
            ("quantiles that do not fit", measure("time: { histogram: a, quantiles: [0.9, 0.5, 1.5] }")),
            ("what nobody is used to", measure("slow: { anomaly: { of: a, sigma: 0, min_count: 1, half_life: 0s } }")),
            (
                "two ways to be unusual",
                measure("slow: { anomaly: { of: a, sigma: 3, above_quantile: 1, half_life: 1m } }"),
            ),
            ("what is usual for a sum", measure("slow: { sum: { field: a, sigma: 3, min_count: 10, half_life: 1h } }")),
            ("no time to wait", measure("score: { apdex: { of: a, target: 0 } }")),
            ("a past that is not kept", measure("trend: { versus: { ago: 7d } }")),
            ("a past beside the panes", measure("trend: { versus: { ago: 90s } }")),
            ("a past of a count", measure("events: { count: { ago: 1h } }")),
            ("a rate of no window", measure("pace: rate").replace("    windows: [1m]\n", "")),
            ("events have no unit", measure("pace: { rate: {}, unit: ms }")),
            ("a ratio of one", measure("share: { ratio: { of: a } }")),
            ("a ratio of others", measure("share: { ratio: { part: failures, of: time } }\n      time: { sum: a }")),
            ("unknown unit", measure("time: { histogram: a, unit: minutes }")),
            ("empty conditions", measure("events: { count: { where: { a: {}, b: [] } } }")),
            ("a pattern that is none", measure("events: { count: { where: { a: { matches: '(' } } } }")),
            ("no choice", measure("events: { count: { where: { any: [], not: {} } } }")),
            ("a choice of both", measure("events: { count: { where: { any: [1, { a: 2 }] } } }")),
            ("a label of nothing", aggregate("    by: { a: { default: x } }")),
            ("required and default", aggregate("    by: { a: { field: x, default: y, required: true } }")),
            ("half a stretch of time", measure("time: { histogram: { from: a } }")),
            ("a stretch of time in bytes", measure("time: { histogram: { from: a, to: b }, unit: MB }")),
            ("a field and a stretch of time", measure("time: { sum: { field: x, from: a, to: b } }")),
            ("a format of a field", measure("time: { sum: { field: x, format: rfc3339 } }")),
            ("signed", measure("time: { max: x, signed: true }")),
            ("dead letters read", source("    timestamp: { from: kafka }\n    dead_letters: { topic: log-events }")),
            ("dead letters nowhere", source("    timestamp: { from: kafka }\n    dead_letters: { topic: '^x' }")),
            ("metric name", measure("events: { count: {}, name: my-events }")),
            ("same metric", measure("events: count\n      events_2: { count: {}, name: log_events_total }")),
            (
                "same metric, two aggregates",
                measure(
                    "window_complete: { max: x, name: log_max }\n  log_window: { source: events, measures: { complete: { count: {} }, x: { max: x, name: log_max } } }",
                ),
            ),
        ]),
    );
}

/// What is wrong with a source that has these lines.
fn of_remap(lines: &str) -> String {
    refused(&changed("    timestamp: { from: kafka }", &format!("    timestamp: {{ from: kafka }}\n{lines}")))
}

#[cfg(not(feature = "vrl"))]
#[test]
fn a_build_without_vrl_says_which_has_it() {
    snapshot("remap_without_vrl", &of_remap("    format: raw\n    remap: '.a = 1'"));
}

#[cfg(feature = "vrl")]
#[test]
fn what_is_wrong_with_a_program_is_told_with_its_place() {
    let cases = [
        "    remap: '.a = nosuch(.b)'",
        "    remap: |\n      .a = 1\n\n      # ä\n      .b = to_int(.x)\n      .c = now()",
        "    remap: >-\n      .a =\n      now()",
        "    remap: '.a = '",
        "    remap: '.a = %offset'",
        "    each: Records\n    format: otlp_json\n    remap: '.a = 1'",
    ];
    let all: Vec<String> = cases.iter().map(|lines| format!("{lines}\n{}", of_remap(lines))).collect();
    snapshot("errors_of_programs", &all.join("\n\n"));
}
