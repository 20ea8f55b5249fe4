//! What the file means, and that its plan leads there and then has nothing left to do.

use super::*;

const EXAMPLE: &str = include_str!("../../../examples/topics.yaml");

fn one(text: &str) -> Desired {
    read(text, None).unwrap().remove(0)
}

/// The topic as it is once it is as wanted.
fn made(wanted: &Desired) -> Actual {
    Actual {
        partitions: wanted.partitions.unwrap_or(1),
        replication: wanted.replication.unwrap_or(1),
        configs: wanted.configs.iter().map(|(key, value)| (key.clone(), (value.clone(), true))).collect(),
    }
}

#[test]
fn the_example_has_the_presets_as_documented() {
    let topics = read(EXAMPLE, None).unwrap();
    let shown: Vec<String> = topics
        .iter()
        .map(|t| format!("{} {:?} {:?} {:?}", t.name, t.partitions.unwrap(), t.replication.unwrap(), t.configs))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    audit-logs 6 3 {"cleanup.policy": "compact,delete", "min.insync.replicas": "2", "retention.ms": "2592000000"}
    critical-logs 4 3 {"min.insync.replicas": "2", "retention.ms": "1209600000"}
    log-events 12 3 {"compression.type": "snappy", "min.insync.replicas": "2", "retention.ms": "604800000"}
    "#);
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    for wanted in read(EXAMPLE, None).unwrap() {
        assert!(matches!(&plan(&wanted, None)[..], [Step::Create(new)] if new.partitions == wanted.partitions));
        assert_eq!(plan(&wanted, Some(&made(&wanted))), []);
    }
}

#[test]
fn only_what_differs_is_changed() {
    let wanted =
        one("topics: { t: { partitions: 6, replication_factor: 1, retention: 1h, configs: { a: 1, b: true } } }");
    let mut actual = made(&wanted);
    actual.partitions = 4;
    actual.configs.insert("a".into(), ("2".into(), true));
    actual.configs.insert("other".into(), ("x".into(), true));
    // Right by chance: a default may change.
    actual.configs.insert("b".into(), ("true".into(), false));
    let set = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "true".to_owned())];
    let expected = [
        Step::Grow { topic: "t".into(), from: 4, to: 6 },
        Step::Update {
            topic: "t".into(),
            change: SettingsChange { set, reset: vec![] },
            before: vec![Some("2".into()), Some("true".into())],
        },
    ];
    assert_eq!(plan(&wanted, Some(&actual)), expected);
}

#[test]
fn what_cannot_be_done_is_said_and_the_rest_is_planned() {
    let wanted = one("topics: { t: { partitions: 2, replication_factor: 3, configs: { a: 1 } } }");
    let steps = plan(&wanted, Some(&Actual { partitions: 4, replication: 1, ..Actual::default() }));
    assert_eq!(steps.iter().filter(|step| matches!(step, Step::Cannot { .. })).count(), 2, "{steps:?}");
    assert!(matches!(steps.last(), Some(Step::Update { .. })));
}

#[test]
fn what_the_file_leaves_open_is_left_as_it_is() {
    let wanted = one("topics: { t: {} }");
    assert_eq!(plan(&wanted, Some(&Actual { partitions: 9, replication: 2, ..Actual::default() })), []);
}

#[test]
fn lists_mean_the_same_in_any_order() {
    let wanted = one("topics: { t: { configs: { cleanup.policy: \"compact, delete\" } } }");
    let mut actual = made(&wanted);
    actual.configs.insert("cleanup.policy".into(), ("delete,compact".into(), true));
    assert_eq!(plan(&wanted, Some(&actual)), []);
}

#[test]
fn fewer_replicas_on_request_lower_what_must_be_in_sync() {
    for topic in read(EXAMPLE, Some(1)).unwrap() {
        assert_eq!((topic.replication, topic.configs["min.insync.replicas"].as_str()), (Some(1), "1"));
    }
}

#[test]
fn mistakes_are_told_in_one_line() {
    for (text, says) in [
        ("topics: { t: { preset: big } }", "log-events, critical-logs, audit-logs"),
        ("topics: { t: { retention: 7 } }", "has no unit"),
        ("topics: { 't t': {} }", "not a valid topic name"),
        ("topics: { t: { partition: 7 } }", "partition"),
        ("topics: { t: { replication_factor: 1, configs: { min.insync.replicas: 2 } } }", "nobody could write"),
        ("", ""),
        ("topics: [", ""),
    ] {
        let error = read(text, None).unwrap_err();
        assert!(error.contains(says) && !error.contains('\n') && !error.is_empty(), "{text}: {error}");
    }
}
