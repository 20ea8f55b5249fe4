//! `streamgauge produce` against a mock cluster: what arrives is the seed's stream, and the numbers it prints are true.

use std::io::Write;
use std::process::{Command, Output, Stdio};

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

fn dry_run(flags: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    // Nothing is asked of any Kafka.
    command.args(["produce", "--dry-run", "--bootstrap-servers", "127.0.0.1:1"]).args(flags);
    let output = command.output().expect("the binary");
    assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Published examples name a seed: these lines stay what they are.
#[test]
fn a_dry_run_prints_the_events_of_its_seed_and_needs_no_kafka() {
    let start = START.to_string();
    let seed = ["--seed", "7", "--count", "3", "--timestamp-start", &start, "--event-rate", "2", "--rate", "max"];
    let of = |kind: &str, more: &[&str]| dry_run(&[&["--kind", kind], &seed[..], more].concat());
    let all = ["requests", "user-actions", "logs"].map(|kind| format!("{kind}\n{}", of(kind, &[])));
    insta::assert_snapshot!(all.join("\n"), @r#"
    requests
    {"timestamp": 1763657460000, "endpoint": "/api/products", "method": "GET", "status": 200, "response_time_ms": 39.6, "region": "eu-central", "user_id": "user_075052", "message": "request completed trace=cfa2a2cb"}
    {"timestamp": 1763657460500, "endpoint": "/api/cart", "method": "PUT", "status": 200, "response_time_ms": 43.1, "region": "eu-west", "user_id": "user_072868", "message": "request completed trace=50b8fd46"}
    {"timestamp": 1763657461000, "endpoint": "/api/users", "method": "GET", "status": 200, "response_time_ms": 61.0, "region": "eu-central", "user_id": "user_087671", "message": "request completed trace=2a078952"}

    user-actions
    {"user_id": "user_093", "event_type": "purchase", "element_id": "btn_buy", "timestamp": "2025-11-20T16:51:00.000Z"}
    {"user_id": "user_471", "event_type": "page_view", "element_id": "page_cart", "timestamp": "2025-11-20T16:51:00.500Z"}
    {"user_id": "user_006", "event_type": "page_view", "element_id": "page_checkout", "timestamp": "2025-11-20T16:51:01.000Z"}

    logs
    {"timestamp": "2025-11-20T16:51:00.000Z", "source": "products", "level": "INFO", "message": "GET /api/products 200 in 39.6 ms", "metadata": {"userId": "user_075052", "region": "eu-central"}}
    {"timestamp": "2025-11-20T16:51:00.500Z", "source": "cart", "level": "INFO", "message": "PUT /api/cart 200 in 43.1 ms", "metadata": {"userId": "user_072868", "region": "eu-west"}}
    {"timestamp": "2025-11-20T16:51:01.000Z", "source": "users", "level": "INFO", "message": "GET /api/users 200 in 61.0 ms", "metadata": {"userId": "user_087671", "region": "eu-central"}}
    "#);
    let failing = of("user-actions", &["--failing-fraction", "1"]);
    assert!(failing.lines().count() == 3 && failing.lines().all(|line| serde_json::from_str::<Value>(line).is_err()));
    let late = of("user-actions", &["--late-fraction", "1", "--late-by", "1m"]);
    assert!(late.lines().next().unwrap().contains("2025-11-20T16:50:"), "{late}");
    assert_eq!(dry_run(&["--batch-size", "25"]).lines().count(), 25, "one batch");
    assert_eq!(dry_run(&["--interval", "50ms", "--batch-size", "2", "--duration", "200ms"]).lines().count(), 8);
}

#[test]
fn lines_of_standard_input_are_printed_as_they_would_be_sent() {
    let run = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
        command.args(["produce", "--dry-run", "--input", "-"]).args(flags).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        child.stdin.take().unwrap().write_all(b"one\n\n{\"source\":\"a\"}\nlast").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(run(&[]), "one\n{\"source\":\"a\"}\nlast\n");
    let wrapped = run(&["--to", "http", "--source", "web"]);
    let first: Value = serde_json::from_str(wrapped.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({ "source": "web", "level": "INFO", "message": "one" }));
    assert_eq!(wrapped.lines().nth(1), Some("{\"source\":\"a\"}"));
}
