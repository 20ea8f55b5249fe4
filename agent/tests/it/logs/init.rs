//! `streamgauge init` with a sample: the config that it drafts is accepted on the same records, and counts each that is one.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::Value;

use crate::agent::{program, repository};
use crate::kafka::{shared, unique};

/// Runs the program in a directory.
fn streamgauge(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.current_dir(dir).args(arguments).env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
    command.output().expect("the program runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `validate` says of the records, and whether all of them can be counted.
fn validated(dir: &Path, arguments: &[&str]) -> (Value, bool) {
    let output = streamgauge(dir, &[&["validate", "-c", "drafted.yaml", "-o", "json"], arguments].concat());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    (serde_json::from_slice(&output.stdout).expect("JSON"), output.status.success())
}

#[test]
fn a_draft_of_a_file_counts_every_line_of_it_that_is_json() {
    let samples = std::fs::read_dir(repository().join("agent/tests/it/logs/samples")).expect("samples");
    let samples: Vec<_> = samples.map(|file| file.expect("a file").path()).collect();
    assert_eq!(samples.len(), 30);
    for file in samples {
        let dir = tempfile::tempdir().expect("a directory");
        let sample = file.to_string_lossy();
        let drafted = streamgauge(dir.path(), &["init", "drafted.yaml", "--sample", &sample]);
        assert!(drafted.status.success(), "{sample}: {}", said(&drafted));
        let (account, whole) = validated(dir.path(), &["--sample", &sample]);
        let text = std::fs::read_to_string(&file).expect("lines");
        let lines = text.lines().filter(|line| !line.is_empty());
        let bad = lines.filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
        let dead: u64 = account["summary"]["dead_letters"]
            .as_object()
            .expect("reasons")
            .values()
            .map(|records| records.as_u64().expect("a number"))
            .sum();
        assert_eq!((dead, whole), (bad as u64, bad == 0), "{sample}: {:#}", account["summary"]);
        let summary = &account["summary"];
        assert!(summary["passed_by"].as_object().expect("reasons").is_empty(), "{sample}: {summary:#}");
        for aggregate in summary["aggregates"].as_array().expect("aggregates") {
            assert_eq!(aggregate["taken"], summary["events"], "{sample}: {summary:#}");
        }
    }
}

#[test]
fn a_draft_of_a_topic_is_made_of_its_records_and_counts_them() {
    let kafka = shared();
    let topic = unique("drafted");
    kafka.create_topic(&topic, 2, &[]);
    let producer = kafka.producer();
    for number in 0..40 {
        let line = format!(
            r#"{{"time":"2026-01-01T00:00:{:02}Z","method":"{}","status":"{}","took_ms":{number}}}"#,
            number,
            ["GET", "PUT"][number % 2],
            [200, 404, 503][number % 3],
        );
        let record = BaseRecord::<str, str>::to(&topic).partition((number % 2) as i32).payload(&line);
        producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    }
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = ["init", "drafted.yaml", "--topic", &topic, "--bootstrap-servers", kafka.bootstrap()];
    let drafted = streamgauge(dir.path(), &arguments);
    assert!(drafted.status.success(), "{}", said(&drafted));
    let path = dir.path().join("drafted.yaml");
    let text = std::fs::read_to_string(&path).expect("a config");
    for wanted in
        ["{ field: time, format: rfc3339 }", "method: method", "status: status", "{ histogram: took_ms, unit: ms }"]
    {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    // Its own brokers stand in the config, unless the environment says otherwise.
    std::fs::write(&path, text.replace("KAFKA_BOOTSTRAP_SERVERS", "NOT_SET")).expect("a config");
    let (account, whole) = validated(dir.path(), &["--topic", &topic]);
    assert!(whole, "{:#}", account["summary"]);
    assert_eq!(account["summary"]["events"], 40);
    let again = streamgauge(dir.path(), &arguments);
    assert!(!again.status.success() && said(&again).contains("already exists"), "{}", said(&again));
}
