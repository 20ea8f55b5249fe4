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
fn what_can_be_counted_whole_is_good() {
    let (_, summary) = rehearse(&RECORDS[..2]);
    assert!(summary.is_good(), "{summary}");
}

#[test]
fn it_says_what_the_agent_itself_folds() {
    use crate::aggregate::{Event, TaskState};
    let config = config::parse(CONFIG, "c.yaml", &|_| None).unwrap();
    let plan = std::sync::Arc::new(Plan::new(&config.sources[0], &config.aggregates));
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
