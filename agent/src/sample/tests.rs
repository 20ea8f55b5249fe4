//! A rehearsal says what the agent would count.

use super::*;
use crate::config;

const CONFIG: &str = r#"
kafka: { bootstrap_servers: "127.0.0.1:1", group_id: g }
sources:
  s: { topics: [t], timestamp: { field: time, format: unix_ms }, where: { not: { kind: debug } } }
aggregates:
  a:
    source: s
    by: { path: path, level: log.level }
    where: { status: { exists: true } }
    measures: { requests: count, errors: { count: { where: { status: { gte: 500 } } } }, took: { histogram: ms, unit: ms } }
"#;

fn rehearse(records: &[Option<&str>]) -> (Vec<Line>, Summary) {
    let config = config::parse(CONFIG, "c.yaml", &|_| None).unwrap();
    let mut rehearsal = Rehearsal::new(&config, &config.sources[0]);
    let given = |record: &Option<&str>| Record { payload: record.map(|text| text.into()), ..Record::default() };
    let lines = records.iter().flat_map(|record| rehearsal.record(&given(record))).collect();
    (lines, rehearsal.finish())
}

const RECORDS: [Option<&str>; 6] = [
    Some(r#"{"time": 1763657472123, "path": "/a", "status": "503", "ms": "12.5", "log.level": "warn"}"#),
    Some(r#"{"time": 1763657472124, "path": "/b", "status": 200, "ms": "-", "log.level": "info"}"#),
    Some(r#"{"time": 1763657472125, "path": "/b"}"#),
    Some(r#"{"time": 1763657472125, "kind": "debug"}"#),
    Some("not JSON"),
    None,
];

#[test]
fn each_record_has_its_account() {
    let (lines, _) = rehearse(&RECORDS);
    let text: String = lines.iter().map(Line::to_string).collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("sample_lines", text);
    });
}

#[test]
fn the_summary_adds_up_and_names_what_no_record_has() {
    let (_, summary) = rehearse(&RECORDS);
    assert_eq!((summary.records, summary.events), (6, 3));
    assert_eq!(summary.passed_by.values().sum::<u64>() + summary.dead_letters.values().sum::<u64>(), 3);
    let a = &summary.aggregates[0];
    assert_eq!((a.taken, a.series, a.skipped.get("where")), (2, 2, Some(&1)));
    assert_eq!((a.labels[0].values, a.labels[1].values, a.labels[1].empty), (2, 1, 2));
    let measured: Vec<_> = a.measures.iter().map(|measure| measure.measured).collect();
    assert_eq!(measured, [2, 1, 1]);
    assert!(summary.hints.iter().any(|hint| hint.contains("`log.level`") && hint.contains("quotes")), "{summary}");
    assert!(!summary.is_good());
}

#[test]
fn the_summary_names_conditions_that_held_for_no_event() {
    let (_, summary) = rehearse(&RECORDS[1..3]);
    let never =
        summary.never_held.iter().filter(|hint| hint.contains("measure `errors` of aggregate `a`: the condition"));
    assert_eq!(never.count(), 1, "{summary}");
    assert!(rehearse(&RECORDS[..2]).1.never_held.is_empty(), "one of these has 503");
}

#[test]
fn what_was_read_from_a_file_has_the_time_at_which_it_was_read() {
    let config = |timestamp: &str, format: &str| {
        let text = format!(
            "kafka: {{ bootstrap_servers: \"127.0.0.1:1\", group_id: g }}\nsources: {{ s: {{ topics: [t], {format} {timestamp} }} }}\n\
             aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n"
        );
        config::parse(&text, "c.yaml", &|_| None).unwrap()
    };
    // 2026-07-01.
    let read_at = Some(1_782_864_000_000);
    let time = |config: &Config, line: &str| {
        let record = Record { payload: Some(line.into()), read_at, ..Record::default() };
        match Rehearsal::new(config, &config.sources[0]).record(&record).remove(0).became {
            Became::Event { time, .. } => time,
            other => panic!("{line}: {other:?}"),
        }
    };
    assert_eq!(time(&config("timestamp: { from: kafka }", ""), "{}"), "2026-07-01T00:00:00Z");
    let syslog = "<13>Nov 20 16:57:54 web1 nginx[1234]: upstream timed out";
    assert_eq!(time(&config("", "format: syslog"), syslog), "2026-11-20T16:57:54Z");
    assert_eq!(
        time(&config("", "format: klog"), "I0630 16:57:52.5   28133 server.go:70] on"),
        "2026-06-30T16:57:52.5Z"
    );
    // It is no record's timestamp: how far ahead of it an event is dated says nothing.
    let ahead = r#"{"t": "2031-01-01T00:00:00Z"}"#;
    assert_eq!(time(&config("timestamp: { field: t, format: rfc3339 }", ""), ahead), "2031-01-01T00:00:00Z");
}

#[test]
fn what_can_be_counted_whole_is_good() {
    let (_, summary) = rehearse(&RECORDS[..2]);
    assert!(summary.is_good(), "{summary}");
}

#[test]
fn it_says_what_the_agent_itself_folds() {
    use crate::aggregate::{Event, TaskState};
    let config = config::parse(CONFIG, "c.yaml", &|_| None).unwrap();
    let plan = std::sync::Arc::new(Plan::new(&config.sources[0], &config.sources, &config.aggregates));
    let mut decoder = Decoder::new(&plan.fields, &config.sources[0].timestamp, 1_000_000);
    let mut state = TaskState::new(plan.clone());
    for payload in RECORDS.iter().flatten() {
        let Ok(decoded) = decoder.decode(payload.as_bytes(), decode::Record::at(None)) else { continue };
        if plan.filter.holds(&decoded.values) {
            state.fold(&Event { time: decoded.time, reach: decoded.time, values: &decoded.values }).unwrap();
        }
    }
    let (_, summary) = rehearse(&RECORDS);
    let totals = state.entries().filter(|(entry, _)| entry.pane == crate::aggregate::Pane::TOTAL).count();
    assert_eq!(totals, summary.aggregates[0].series);
}
