//! `streamgauge validate --connect` on a real Kafka: what is missing or wrong there is named, with what to do.

use std::process::{Command, Output};

use crate::agent::program;
use crate::kafka::{Kafka, shared, unique};

fn validate(kafka: &Kafka, topic: &str, more: &str) -> Output {
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("config.yaml");
    let text = format!(
        "kafka:\n  bootstrap_servers: {}\n  group_id: g\n{more}\
         sources:\n  s: {{ topics: [{topic}], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, windows: [1m], measures: {{ events: count }} }}\n",
        kafka.bootstrap(),
    );
    std::fs::write(&config, text).expect("the config is written");
    Command::new(program()).args(["validate", "--connect", "-c"]).arg(config).output().expect("the binary was built")
}

#[test]
fn what_an_agent_would_find_wrong_in_kafka_is_named_before_it_runs() {
    let kafka = shared();
    let topic = unique("connect");
    let check = |more: &str, code: i32, expected: &str| {
        let output = validate(kafka, &topic, more);
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "no `{expected}` in: {text}");
    };
    let changelog = format!("streamgauge-g-{topic}-changelog");
    check("", 2, &format!("error: topic {topic} of source s is missing"));
    kafka.create_topic(&topic, 3, &[]);
    check("", 0, &format!("ok: changelog {changelog}: will be made, with 3 partitions"));
    check("", 0, "ok: transactions: can be used");
    check("  create_topics: false\n", 2, &format!("error: changelog {changelog} is missing"));
    kafka.create_topic(&changelog, 2, &[("cleanup.policy", "compact,delete")]);
    check("", 2, "has cleanup.policy=compact,delete; it must be compact alone");
    check("", 2, "has 2 partitions, its topic 3");
}

#[test]
fn a_kafka_that_is_not_there_is_an_error_that_says_where() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("config.yaml");
    let text = "kafka: { bootstrap_servers: '127.0.0.1:1' }\n\
                sources:\n  s: { topics: [t], timestamp: { from: kafka } }\n\
                aggregates:\n  a: { source: s, windows: [1m], measures: { events: count } }\n";
    std::fs::write(&config, text).expect("the config is written");
    let output = Command::new(program()).args(["validate", "--connect", "-c"]).arg(config).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("Kafka at 127.0.0.1:1 cannot be used: nothing listens at 127.0.0.1:1"), "{text}");
}

#[test]
fn the_newest_records_of_a_topic_show_what_a_config_makes_of_them() {
    let kafka = shared();
    let topic = unique("sampled");
    kafka.create_topic(&topic, 2, &[]);
    for partition in 0..2 {
        let events: Vec<_> = (0..40).map(|n| format!(r#"{{"path": "/{partition}/{n}", "ms": "{n}.5"}}"#)).collect();
        kafka.produce(&topic, partition, events.iter().map(|event| ("k", event.as_str())));
    }
    kafka.produce(&topic, 1, [("k", "not JSON")]);
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("config.yaml");
    let text = format!(
        "kafka: {{ bootstrap_servers: '{}' }}\n\
         sources:\n  s: {{ topics: [{topic}], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, by: {{ path: path }}, measures: {{ took: {{ sum: ms, unit: ms }} }} }}\n",
        kafka.bootstrap(),
    );
    std::fs::write(&config, text).expect("the config is written");
    let mut command = Command::new(program());
    command.args(["validate", "--topic", &topic, "--last", "10", "-o", "json", "-c"]).arg(&config);
    let output = command.output().expect("the binary was built");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()))
    });
    assert_eq!(output.status.code(), Some(1), "one of them is a dead letter");
    assert_eq!(told["lines"].as_array().map(Vec::len), Some(10));
    assert_eq!(told["lines"][9]["became"], "dead_letter", "the newest comes last: {told:#}");
    assert_eq!(told["lines"][8]["aggregates"][0]["labels"]["path"], "/1/39");
    assert_eq!(told["lines"][8]["aggregates"][0]["measures"]["took"], 0.0395);
    assert_eq!(told["summary"]["events"], 9);
    assert_eq!(told["summary"]["aggregates"][0]["taken"], 9);
}
