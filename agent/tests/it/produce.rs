//! `streamgauge produce` against a mock cluster: what arrives is the seed's stream, and the numbers it prints are true.

use std::process::{Command, Output};

use rdkafka::mocking::MockCluster;
use serde_json::Value;
use streamgauge::generate::{EventTime, Generator};

use crate::oracle::{FIVE_MINUTES, ONE_MINUTE, Recount};

/// A whole minute, so that windows are easy to count.
const START: i64 = 1_763_657_460_000;

fn produce(servers: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    // A mock cluster has no admin calls.
    command.args(["produce", "--bootstrap-servers", servers, "--topic", "t", "--no-create", "--json"]);
    command.args(flags).output().expect("the binary was built with this test")
}

fn summary(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_event_of_the_seed_arrives_once() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 4, 1).unwrap();
    let start = START.to_string();
    let flags = ["--rate", "max", "--count", "6000", "--seed", "7", "--timestamp-start", &start, "--event-rate", "50"];
    let late = ["--late-fraction", "0.05", "--late-by", "2m"];
    let output = produce(&cluster.bootstrap_servers(), &[&flags[..], &late].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&output);
    assert_eq!(
        (&summary["events"], &summary["acknowledged"], &summary["failed"]),
        (&6000.into(), &6000.into(), &0.into())
    );
    assert!(
        summary["ack_p50_ms"].as_f64() > Some(0.0) && summary["ack_p99_ms"].as_f64() >= summary["ack_p50_ms"].as_f64()
    );

    let recount = Recount::read(&cluster.bootstrap_servers(), "t").unwrap();
    assert_eq!(recount.events(), 6000);
    assert!(recount.partitions.len() == 4 && recount.partitions.values().all(|p| p.events > 1000), "keys spread");
    // The same, without Kafka.
    let time = EventTime { start: START, per_second: 50, seed: 7, late_fraction: 0.05, late_by: 120_000 };
    let events: Vec<_> = (0..6000).map(|n| Generator::new(7).event(n, time.at(n))).collect();
    let of_users: Vec<_> = events.iter().filter(|e| e.endpoint == "/api/users").collect();
    let totals = recount.merged_totals("http");
    let users = &totals[&vec!["/api/users".to_owned()]];
    assert_eq!(users.requests, of_users.len() as u64);
    assert_eq!(users.errors, of_users.iter().filter(|e| e.status >= 400).count() as u64);
    let tenths: i128 = of_users.iter().map(|e| i128::from(e.response_time_tenths)).sum();
    assert_eq!(users.duration.sum_nanos, tenths * 100_000);
    // Two minutes of events and some from before them: all that is missing from a window is counted as late.
    assert!(events.iter().any(|e| e.timestamp < START));
    let counted = |name: &str, window| -> u64 {
        let windows = recount.windows.iter().filter(|(id, _)| id.aggregate == name && id.window == window);
        windows.flat_map(|(_, cells)| cells.values()).map(|cell| cell.requests).sum()
    };
    let late = recount.late("http_region");
    assert!(late > 0);
    assert_eq!(counted("http_region", ONE_MINUTE), 6000 - late);
    assert!(counted("http_status", FIVE_MINUTES) > 5 * (6000 - late), "hopping windows overlap");
}

#[test]
fn a_steady_rate_takes_its_time() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let output = produce(&cluster.bootstrap_servers(), &["--rate", "500", "--duration", "2s", "--key", "none"]);
    let summary = summary(&output);
    assert_eq!(summary["events"], 1000);
    let seconds = summary["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.99, "the last event is due after 1.998 s, all were there after {seconds} s");
}

#[test]
fn events_without_an_acknowledgement_make_it_fail() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let flags = ["--count", "10", "--property", "message.timeout.ms=1500", "--rate", "5"];
    let producing = std::thread::spawn(move || produce(&servers, &flags));
    // The first events arrive, then the broker is gone.
    std::thread::sleep(std::time::Duration::from_millis(1000));
    cluster.broker_down(1).unwrap();
    let output = producing.join().unwrap();
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(summary["events"], 10);
    assert!(summary["failed"].as_u64() > Some(0) && summary["error"].is_string(), "{summary}");
}

#[test]
fn an_interrupt_ends_it_with_the_summary() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.args(["produce", "--bootstrap-servers", &servers, "--topic", "t", "--no-create", "--json"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    // SAFETY: kill has no memory effects; the child is ours and was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let summary = summary(&output);
    assert!(summary["events"].as_u64() > Some(0) && summary["events"] == summary["acknowledged"], "{summary}");
}

#[test]
fn what_cannot_work_is_said_in_one_line() {
    let cluster = MockCluster::new(1).unwrap();
    let servers = cluster.bootstrap_servers();
    let password = ["--property", "sasl.secret=hush"];
    let cases: [(&[&str], i32, &str); 3] = [
        (&["--property", "linger.ms=soon"], 64, "linger.ms"),
        (&password, 64, "sasl.secret"),
        (&["--property", "bootstrap.servers=127.0.0.1:1"], 1, "127.0.0.1:1 cannot be used: nothing listens"),
    ];
    for (flags, code, message) in cases {
        let output = produce(&servers, flags);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {error}");
        let first = error.lines().next().unwrap_or_default();
        assert!(first.contains(message) && !error.contains("hush"), "{flags:?}: {error}");
    }
}
