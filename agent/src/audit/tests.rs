//! The recount against numbers worked out by hand, and what it makes of answers that are wrong.

use super::*;
use crate::config::{self, Config, Window};
use crate::kafka::TopicPartition;
use streamgauge_proto::types::Timestamp;
use streamgauge_proto::v1 as pb;

const CONFIG: &str = "
kafka: { bootstrap_servers: 'localhost:9092' }
sources:
  requests: { topics: [t], timestamp: { field: at, format: unix_ms } }
aggregates:
  http:
    source: requests
    by: { path: path }
    windows: [1m]
    grace: 30s
    retention: 2h
    measures:
      requests: count
      errors: { count: { where: { status: { gte: 400 } } } }
      duration: { histogram: ms, unit: ms }
";
const MINUTE: i64 = 60_000;

fn envelope(time: i64) -> event::Envelope {
    event::Envelope { topic: "t".into(), time: Some(time), ..event::Envelope::default() }
}

fn parsed() -> Config {
    config::parse(CONFIG, "test.yaml", &|_| None).unwrap()
}

/// Events of one partition: time, status, milliseconds. The third comes after its window and the grace.
const EVENTS: [(i64, u32, f64); 4] =
    [(10_000, 200, 250.0), (50_000, 500, 500.0), (200_000, 200, 8.0), (59_000, 200, 1.0)];

fn recounted(published: Published, scope: Scope) -> Check {
    let config = parsed();
    let check = Check::new(config.aggregates[0].clone(), scope, published);
    let mut recount = Recount::new(&config, &config.sources[0], vec![check]);
    for (offset, (at, status, ms)) in EVENTS.into_iter().enumerate() {
        let json = format!(r#"{{"at": {at}, "path": "/", "status": {status}, "ms": {ms}}}"#);
        recount.record(&envelope(at), offset as i64, Some(json.as_bytes()));
    }
    recount.record(&envelope(0), 4, Some(b"{\"path\": \"/\"}"));
    recount.finish().remove(0)
}

fn windows() -> Scope {
    let minute = std::time::Duration::from_secs(60);
    Scope::Windows { window: Window { size: minute, hop: minute }, from: 0 }
}

/// What an agent that counted right answers of the first minute (the fourth event was late), up to `offset`.
fn answer(offset: i64, totals: bool) -> pb::QueryResponse {
    let measure =
        |name: &str, count| pb::MeasureValue { measure: name.into(), count: Some(count), ..Default::default() };
    let (count, sum, min) = if totals { (4, 0.759, 0.001) } else { (2, 0.75, 0.25) };
    let quantiles = if totals { Vec::new() } else { vec![pb::QuantileValue { quantile: 0.99, value: 0.5 }] };
    let bucket = |upper_bound, count| pb::Bucket { upper_bound, count };
    let duration = pb::MeasureValue {
        sum: Some(sum),
        min: Some(min),
        max: Some(0.5),
        quantiles,
        quantile_relative_error: Some(0.01),
        buckets: vec![bucket(0.25, count - 1), bucket(0.5, count), bucket(f64::INFINITY, count)],
        ..measure("duration", count)
    };
    let time = |millis: i64| (!totals).then_some(Timestamp { seconds: millis / 1_000, nanos: 0 });
    let row = pb::Row {
        labels: [("path".to_owned(), "/".to_owned())].into(),
        window_start: time(0),
        window_end: time(MINUTE),
        closed: true,
        values: vec![measure("requests", count), measure("errors", 1), duration],
        ..Default::default()
    };
    let status = pb::PartitionStatus { topic: "t".into(), partition: 0, next_offset: offset, ..Default::default() };
    pb::QueryResponse { rows: vec![row], as_of: vec![status], ..Default::default() }
}

fn check(answer: &pb::QueryResponse, scope: Scope) -> Comparison {
    compare(&recounted(Published::new(answer, &["path".to_owned()]), scope))
}

#[test]
fn right_windows_and_totals_agree() {
    let windows = check(&answer(5, false), windows());
    assert_eq!((windows.cells, windows.windows, &windows.differences[..]), (1, 1, &[][..]));
    let totals = check(&answer(5, true), Scope::Totals);
    assert_eq!((totals.cells, &totals.differences[..]), (1, &[][..]));
}

#[test]
fn every_number_that_is_wrong_is_found_and_nothing_else() {
    type Doctor = fn(&mut pb::Row);
    let wrong: [(Doctor, &[&str]); 8] = [
        (|row| row.values[0].count = Some(3), &["requests count"]),
        (|row| row.values[1].count = None, &["errors count"]),
        (|row| row.values[2].sum = Some(0.750_001), &["duration sum"]),
        (|row| row.values[2].min = Some(0.2), &["duration min"]),
        (|row| row.values[2].max = None, &["duration max"]),
        (|row| row.values[2].buckets[0].count = 2, &["duration values up to 0.25"]),
        (|row| row.values[2].quantiles[0].value = 0.51, &["duration quantile 0.99"]),
        (|row| row.labels.clear(), &["row", "row"]),
    ];
    for (doctor, expected) in wrong {
        let mut answer = answer(5, false);
        doctor(&mut answer.rows[0]);
        let found = check(&answer, windows()).differences;
        assert_eq!(found.iter().map(|difference| difference.what.as_str()).collect::<Vec<_>>(), expected);
    }
}

const STATISTICS: &str = "
kafka: { bootstrap_servers: 'localhost:9092' }
sources:
  actions: { topics: [t], timestamp: { field: at, format: unix_ms } }
aggregates:
  actions:
    source: actions
    measures:
      events: count
      failures: { count: { where: { ok: false } } }
      failure: { ratio: { part: failures, of: events } }
      users: { distinct: user }
      pages: { top: { of: page, k: 2 } }
      heavy: { top: { of: page, k: 1, by: { sum: ms } }, unit: ms }
      opening: { first: ms }
      closing: { last: ms }
      seen: last_seen
      patience: { apdex: { of: ms, target: 0.2 }, unit: ms }
      slow: { anomaly: { of: ms, sigma: 2, min_count: 4 } }
";

/// What an agent that counted right answers of nine events: the seventh is far from those before it, the ninth is the first
/// by its time.
fn statistics() -> (Vec<serde_json::Value>, pb::QueryResponse) {
    let of = [(10, 100), (20, 110), (30, 90), (40, 100), (50, 110), (60, 90), (70, 900), (80, 100), (5, 300)];
    let event = |(n, (at, ms)): (usize, (i64, i64))| {
        let page = ["/a", "/a", "/b"][n % 3];
        serde_json::json!({ "at": at, "ms": ms, "user": n % 4, "page": page, "ok": n % 3 > 0 })
    };
    let value = |name: &str| pb::MeasureValue { measure: name.into(), ..Default::default() };
    let count = |name: &str, count| pb::MeasureValue { count: Some(count), ..value(name) };
    let one = |name: &str, one| pb::MeasureValue { value: Some(one), ..value(name) };
    let item = |item: &str, value| pb::TopItem { item: item.into(), value };
    let top = |name: &str, top: Vec<pb::TopItem>| pb::MeasureValue { top, top_error: Some(0.0), ..count(name, 9) };
    let values = vec![
        count("events", 9),
        count("failures", 3),
        pb::MeasureValue { value: Some(1.0 / 3.0), ..count("failure", 9) },
        one("users", 4.0),
        top("pages", vec![item("/a", 6.0), item("/b", 3.0)]),
        top("heavy", vec![item("/a", 1.42)]),
        one("opening", 300.0),
        one("closing", 100.0),
        one("seen", 0.08),
        // Seven are satisfied, one waits up to four times as long.
        pb::MeasureValue { value: Some(7.5 / 9.0), ..count("patience", 9) },
        pb::MeasureValue { value: Some(1.0), above: Some(1), below: Some(0), ..count("slow", 9) },
    ];
    let row = pb::Row { values, ..Default::default() };
    let status = pb::PartitionStatus { topic: "t".into(), partition: 0, next_offset: 9, ..Default::default() };
    let answer = pb::QueryResponse { rows: vec![row], as_of: vec![status], ..Default::default() };
    (of.into_iter().enumerate().map(event).collect(), answer)
}

fn statistics_that_differ(doctor: impl Fn(&mut Vec<pb::MeasureValue>)) -> Vec<String> {
    let config = config::parse(STATISTICS, "test.yaml", &|_| None).unwrap();
    let (events, mut answer) = statistics();
    doctor(&mut answer.rows[0].values);
    let check = Check::new(config.aggregates[0].clone(), Scope::Totals, Published::new(&answer, &[]));
    let mut recount = Recount::new(&config, &config.sources[0], vec![check]);
    for (offset, event) in (0..).zip(&events) {
        recount.record(&envelope(100), offset, Some(event.to_string().as_bytes()));
    }
    compare(&recount.finish()[0]).differences.into_iter().map(|difference| difference.what).collect()
}

#[test]
fn a_statistic_that_is_wrong_is_found_and_nothing_else() {
    assert_eq!(statistics_that_differ(|_| ()), Vec::<String>::new());
    type Doctor = fn(&mut Vec<pb::MeasureValue>);
    let wrong: [(Doctor, &[&str]); 14] = [
        (|values| values[2].value = Some(0.34), &["failure value"]),
        (|values| values[2].count = Some(8), &["failure count"]),
        (|values| values[3].value = Some(5.0), &["users value"]),
        (|values| values[4].top[0].value = 7.0, &["pages top /a"]),
        (|values| values[4].top[1].value = 2.0, &["pages top /b"]),
        (|values| values[4].top[1].item = "/c".into(), &["pages top /c"]),
        (|values| values[5].top[0].item = "/b".into(), &["heavy top /b"]),
        (|values| values[5].top_error = Some(9.0), &["heavy top error"]),
        (|values| values[6].value = Some(100.0), &["opening value"]),
        (|values| values[7].value = Some(300.0), &["closing value"]),
        (|values| values[8].value = Some(0.07), &["seen value"]),
        (|values| values[9].value = None, &["patience value"]),
        (|values| values[10].above = Some(0), &["slow above"]),
        (|values| values[10].below = None, &["slow below"]),
    ];
    for (doctor, expected) in wrong {
        assert_eq!(statistics_that_differ(doctor), expected);
    }
}

#[test]
fn a_window_that_every_partition_has_passed_and_that_is_not_published_is_missing() {
    let nothing = pb::QueryResponse { rows: Vec::new(), ..answer(5, false) };
    let found = check(&nothing, windows()).differences;
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].what, &*found[0].published, &*found[0].recounted), ("row", "missing", "there"));
    // As of the second event no window was closed.
    let early = pb::QueryResponse { rows: Vec::new(), ..answer(2, false) };
    assert_eq!(check(&early, windows()).cells, 0);
}

#[test]
fn events_beyond_the_answers_offset_do_not_count() {
    let found = check(&answer(3, true), Scope::Totals).differences;
    assert!(found.iter().any(|d| d.what == "requests count" && d.recounted == "3"), "{found:?}");
}

#[test]
fn an_event_dated_ahead_of_its_record_makes_the_next_ones_no_later() {
    let config = parsed();
    let check =
        Check::new(config.aggregates[0].clone(), windows(), Published::new(&answer(5, false), &["path".to_owned()]));
    let mut recount = Recount::new(&config, &config.sources[0], vec![check]);
    let ahead = 10_000 + 59 * MINUTE;
    for (offset, (at, written)) in [(10_000, 10_000), (ahead, 10_000), (50_000, 50_000)].into_iter().enumerate() {
        let json = format!(r#"{{"at": {at}, "path": "/", "status": 200, "ms": 1}}"#);
        recount.record(&envelope(written), offset as i64, Some(json.as_bytes()));
    }
    let check = recount.finish().remove(0);
    let counts: Vec<_> = check.cells.iter().map(|(id, tallies)| (id.window.unwrap().0, tallies[0].count)).collect();
    assert_eq!(counts, [(0, 2), (59 * MINUTE, 1)]);
    assert_eq!(check.stream_times[&TopicPartition::new("t", 0)], 50_000);
}

#[test]
fn what_cannot_be_known_is_left_out_and_said() {
    let config = parsed();
    let published = Published::new(&answer(5, true), &["path".to_owned()]);
    let checks = vec![Check::new(config.aggregates[0].clone(), Scope::Totals, published)];
    let mut recount = Recount::new(&config, &config.sources[0], checks);
    recount.begins_late(1_000);
    let comparison = compare(&recount.finish()[0]);
    assert!(comparison.left_out.is_some_and(|why| why.contains("beginning")) && comparison.differences.is_empty());
}

#[test]
fn at_the_limit_the_longest_unseen_key_gives_its_counts_to_the_overflow_if_the_config_says_so() {
    let counts = |on_limit: &str| {
        let text = CONFIG.replace(
            "    by: { path: path }",
            &format!("    by: {{ path: path }}\n    limit: 2\n    on_limit: {on_limit}"),
        );
        let config = config::parse(&text, "test.yaml", &|_| None).unwrap();
        let published = Published::new(&answer(9, true), &["path".to_owned()]);
        let checks = vec![Check::new(config.aggregates[0].clone(), Scope::Totals, published)];
        let mut recount = Recount::new(&config, &config.sources[0], checks);
        for (offset, path) in ["/a", "/b", "/a", "/c", "/b", "/b"].into_iter().enumerate() {
            let at = 10_000 + offset as i64;
            let json = format!(r#"{{"at": {at}, "path": "{path}", "status": 200, "ms": 1}}"#);
            recount.record(&envelope(at), offset as i64, Some(json.as_bytes()));
        }
        let check = recount.finish().remove(0);
        let count = |(id, tallies): (&CellId, &Vec<tally::Tally>)| (id.labels.join(","), tallies[0].count);
        check.cells.iter().map(count).collect::<std::collections::BTreeMap<_, _>>()
    };
    let of = |counts: &[(&str, u64)]| counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(counts("overflow"), of(&[("/a", 2), ("/b", 3), ("", 1)]));
    assert_eq!(counts("replace_idle"), of(&[("/c", 1), ("/b", 2), ("", 3)]));
}

#[test]
fn sessions_of_keys_that_give_their_place_to_others_are_recounted_and_compared() {
    let text =
        CONFIG.replace("    by: { path: path }", "    by: { path: path }\n    limit: 2\n    on_limit: replace_idle");
    let config = config::parse(&text.replace("[1m]", "[1m, { session: 10s }]"), "test.yaml", &|_| None).unwrap();
    // `/a` has two visits and `/b` one; `/c` comes in the place of `/b`, and `/a` visits again.
    let of = [("/a", 0), ("/b", 1), ("/a", 2), ("/a", 60), ("/c", 61), ("/a", 200)];
    let differing = |[a, c, overflow]: [(u64, u64, f64); 3]| {
        let sessions = |(count, open, value)| pb::MeasureValue {
            measure: "sessions".into(),
            count: Some(count),
            open: Some(open),
            value: Some(value),
            ..Default::default()
        };
        let row = |path: &str, values| pb::Row {
            labels: [("path".to_owned(), path.to_owned())].into(),
            overflow: path.is_empty(),
            values: vec![sessions(values)],
            ..Default::default()
        };
        let rows = vec![row("/a", a), row("/c", c), row("", overflow)];
        let answer = pb::QueryResponse { rows, ..answer(6, true) };
        let published = Published::new(&answer, &["path".to_owned()]);
        let checks = vec![Check::new(config.aggregates[0].clone(), Scope::Totals, published)];
        let mut recount = Recount::new(&config, &config.sources[0], checks);
        for (offset, (path, second)) in (0..).zip(of) {
            let at = second * 1_000;
            let json = format!(r#"{{"at": {at}, "path": "{path}", "status": 200, "ms": 1}}"#);
            recount.record(&envelope(at), offset, Some(json.as_bytes()));
        }
        let all = compare(&recount.finish()[0]).differences;
        let found = all.into_iter().filter(|found| found.what.starts_with("sessions"));
        found.map(|found| (found.cell.labels.join(","), found.what, found.recounted)).collect::<Vec<_>>()
    };
    let right = [(2, 1, 200.0), (1, 0, 61.0), (1, 0, 1.0)];
    assert_eq!(differing(right), []);
    let found = |cell: &str, what: &str, recounted: &str| (cell.to_owned(), what.to_owned(), recounted.to_owned());
    let wrong = [(3, 1, 200.0), (1, 0, 61.0), (0, 1, 1.0)];
    let expected =
        [found("/a", "sessions count", "2"), found("", "sessions count", "1"), found("", "sessions open", "0")];
    assert_eq!(differing(wrong), expected);
}

#[test]
fn what_counts_in_two_sources_is_recounted_in_both_with_the_fields_of_each() {
    let text = CONFIG.replace("    source: requests", "    sources: [requests, calls]").replace(
        "aggregates:",
        "  calls: { topics: [u], timestamp: { field: when, format: unix_ms }, fields: { path: url, status: res.code } }\naggregates:",
    );
    let config = config::parse(&text, "test.yaml", &|_| None).unwrap();
    let mut published = Published::new(&answer(1, true), &["path".to_owned()]);
    published.as_of.insert(TopicPartition::new("u", 0), 1);
    let mut checks = vec![Check::new(config.aggregates[0].clone(), Scope::Totals, published)];
    let events =
        [("t", r#"{"at": 5, "path": "/", "status": 500}"#), ("u", r#"{"when": 6, "url": "/", "res": {"code": 404}}"#)];
    for (source, (topic, event)) in config.sources.iter().zip(events) {
        let mut recount = Recount::new(&config, source, checks);
        assert_eq!(recount.ends(), [(TopicPartition::new(topic, 0), 1)].into());
        recount.record(&event::Envelope { topic: topic.into(), ..envelope(5) }, 0, Some(event.as_bytes()));
        checks = recount.finish();
    }
    let cells: Vec<_> = checks[0].cells.values().map(|tallies| (tallies[0].count, tallies[1].count)).collect();
    assert_eq!(cells, [(2, 2)], "two requests, both failed");
}
