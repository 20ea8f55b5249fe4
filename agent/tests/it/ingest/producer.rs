//! `streamgauge produce` through the front door, and what it follows: acknowledged is found in Kafka.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Door;
use crate::agent::program;
use crate::kafka::{shared, unique, wait_until};

const UNLIMITED: &str = "  requests_per_second: 0\n  batches_per_second: 0\n";

fn produce(flags: &[&str]) -> Child {
    let mut command = Command::new(program());
    command.args(["produce", "--json"]).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary")
}

/// The summary of a run that has ended, and its exit code.
fn ended(child: Child) -> (Value, Option<i32>) {
    let output = child.wait_with_output().expect("it ends");
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (serde_json::from_str(&text).unwrap_or_else(|bad| panic!("{bad}: {text}{error}")), output.status.code())
}

fn values(topic: &str) -> Vec<Value> {
    let records = shared().read(topic);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_is_acknowledged_over_http_and_grpc_is_in_kafka() {
    let events = unique("user-events");
    shared().create_topic(&events, 3, &[]);
    let door = Door::open(shared(), "produce-door", &format!("{UNLIMITED}  events: {{ topic: {events} }}\n"));
    let (http, grpc) = (format!("http://{}", door.address), format!("http://{}", door.agent.grpc()));
    let paced = ["--rate", "2000", "--count", "3000", "--batch-size", "50"];
    for (to, address) in [("http", &http), ("grpc", &grpc)] {
        let before = values(&door.topic).len();
        let run = ended(produce(&[&["--kind", "logs", "--to", to, "--address", address], &paced[..]].concat()));
        assert_eq!(
            (&run.0["acknowledged"], &run.0["failed"], run.1),
            (&3000.into(), &0.into(), Some(0)),
            "{to}: {run:?}"
        );
        assert!(run.0["seconds"].as_f64() > Some(1.4), "{to}: it keeps its pace: {run:?}");
        assert!(run.0["ack_p99_ms"].as_f64() > Some(0.0));
        wait_until("all that is acknowledged is in Kafka", || values(&door.topic).len() == before + 3_000);
    }
    // The same seed sends the same, whatever the way.
    let mut messages: Vec<_> = values(&door.topic).iter().map(|event| event["message"].to_string()).collect();
    messages.sort();
    assert!(messages.chunks(2).all(|pair| pair[0] == pair[1]), "each is there twice");
    let flags = [
        "--kind",
        "user-actions",
        "--to",
        "http",
        "--address",
        &http,
        "--batch-size",
        "500",
        "--failing-fraction",
        "0.1",
    ];
    let (summary, code) = ended(produce(&flags));
    let (acknowledged, failed) = (summary["acknowledged"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
    assert!(failed > 20 && acknowledged + failed == 500 && code == Some(1), "{summary}");
    assert!(summary["error"].as_str().unwrap().contains("not valid JSON"), "{summary}");
    wait_until("the good ones are in Kafka", || values(&events).len() as u64 == acknowledged);
}

#[test]
fn a_door_that_asks_to_come_again_is_asked_again() {
    // Two batches at once, then two each second: the rest is told to wait.
    let door = Door::open(shared(), "produce-limited", "  batches_per_second: 2\n");
    let address = format!("http://{}", door.address);
    let flags = [
        "--kind",
        "logs",
        "--to",
        "http",
        "--address",
        &address,
        "--rate",
        "max",
        "--count",
        "800",
        "--batch-size",
        "100",
    ];
    let (summary, code) = ended(produce(&flags));
    assert_eq!((&summary["acknowledged"], code), (&800.into(), Some(0)), "{summary}");
    wait_until("all is in Kafka", || values(&door.topic).len() == 800);
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_requests_total{endpoint=\"batch\",code=\"429\"}"), "{page}");
}

#[test]
fn what_is_never_taken_ends_it_with_one_line() {
    let door = Door::open(shared(), "produce-closed", UNLIMITED);
    let address = format!("http://{}", door.address);
    let (summary, code) = ended(produce(&["--kind", "user-actions", "--to", "http", "--address", &address]));
    assert_eq!(code, Some(1));
    assert!(
        summary["error"]
            .as_str()
            .unwrap()
            .ends_with("404: this agent takes no user events: its config has no `ingest.events`"),
        "{summary}"
    );
    let (summary, _) = ended(produce(&["--kind", "logs", "--to", "http", "--address", "http://127.0.0.1:1"]));
    assert!(summary["error"].as_str().unwrap().contains("Connection refused"), "{summary}");
}

#[test]
fn a_log_that_is_rotated_is_followed_line_by_line() {
    let door = Door::open(shared(), "produce-follow", UNLIMITED);
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
    append(&log, "line 0\n");
    let address = format!("http://{}", door.address);
    let flags = ["--input", log.to_str().unwrap(), "--follow", "--to", "http", "--address", &address];
    let child = produce(&flags);
    wait_until("it has opened the file", || values(&door.topic).len() == 1);
    for n in 1..400 {
        append(&log, &format!("line {n}\n"));
        if n % 100 == 0 {
            fs::rename(&log, &old).unwrap();
            append(&old, &format!("after the renaming {n}\n"));
            append(&log, "");
            std::thread::sleep(Duration::from_millis(700));
        }
    }
    wait_until("every line is in Kafka", || values(&door.topic).len() == 403);
    // SAFETY: kill has no memory effects; the child is ours and was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let (summary, code) = ended(child);
    assert_eq!((&summary["acknowledged"], code), (&403.into(), Some(0)), "{summary}");
    let all = values(&door.topic);
    let numbers: Vec<_> =
        all.iter().filter_map(|event| event["message"].as_str()?.strip_prefix("line ")?.parse::<u32>().ok()).collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>(), "in their order");
    assert!(all.iter().all(|event| event["source"] == "app" && event["level"] == "INFO"));
}
