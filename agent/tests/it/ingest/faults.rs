//! Faults, each with the same question at its end: is everything that was acknowledged in Kafka?

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Client, Door, assert_found};
use crate::kafka::{Kafka, wait_until};

pub const FAST: &str =
    "  requests_per_second: 0\n  batches_per_second: 0\n  delivery_timeout: 2s\n  circuit_open: 1s\n";

/// Somebody who sends event after event, and knows which were acknowledged.
pub struct Sending {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Sending {
    /// `urgent`: every so manieth event is an ERROR; 0: none.
    pub fn start(address: SocketAddr, urgent: usize) -> Sending {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|number| {
            let stop = stop.clone();
            std::thread::spawn(move || send(number, address, urgent, &stop))
        });
        Sending { threads: threads.collect(), stop }
    }

    pub fn finish(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("it only sends")).collect()
    }
}

fn send(thread: usize, address: SocketAddr, urgent: usize, stop: &AtomicBool) -> BTreeSet<String> {
    let (mut client, mut acknowledged) = (Client::new(address), BTreeSet::new());
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let level = if urgent > 0 && number % urgent == 0 { "ERROR" } else { "INFO" };
        let body = format!(r#"{{"source":"app-{thread}","level":"{level}","message":"event {number}"}}"#);
        match client.post("/api/logs", &[], body.as_bytes()) {
            Some(answer) if answer.status == 202 => {
                acknowledged.insert(answer.json()["eventId"].as_str().expect("an id").to_owned());
            }
            Some(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
            // The agent is down.
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        // A stream, and not as much as the machine can do.
        std::thread::sleep(Duration::from_millis(2));
    }
    acknowledged
}

pub fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn brokers_that_come_and_go_cost_no_acknowledged_event() {
    let kafka = Kafka::start(1);
    for durability in ["buffered", "spooled"] {
        let door =
            Door::open(&kafka, &format!("ingest-broker-{durability}"), &format!("{FAST}  durability: {durability}\n"));
        let sending = Sending::start(door.address, 10);
        for _ in 0..2 {
            sleep(1_000);
            kafka.kill_broker(1);
            wait_until("the breaker to open", || door.agent.scrape().contains("streamgauge_ingest_circuit_state 2"));
            sleep(1_000);
            kafka.start_broker(1);
            wait_until("the spool to be empty", || {
                let page = door.agent.scrape();
                page.contains("streamgauge_ingest_circuit_state 0")
                    && (durability == "spooled" || page.contains("\nstreamgauge_ingest_spool_events 0\n"))
            });
        }
        let acknowledged = sending.finish();
        assert!(acknowledged.len() > 500, "{}", acknowledged.len());
        assert_found(&kafka, &door.topic, &acknowledged);
        let page = door.agent.scrape();
        assert!(page.contains("streamgauge_ingest_circuit_transitions_total{to=\"half_open\"}"), "{page}");
    }
}

#[test]
fn a_killed_agent_costs_no_event_that_was_acknowledged_as_spooled() {
    let kafka = Kafka::start(1);
    let mut door = Door::open(&kafka, "ingest-kill", &format!("{FAST}  durability: spooled\n"));
    let sending = Sending::start(door.address, 10);
    for round in 0..4 {
        sleep(700);
        if round == 2 {
            // And then the brokers are gone, too: what is acknowledged now has nowhere else to be.
            kafka.kill_broker(1);
            sleep(1_000);
        }
        door.agent.kill9();
        sleep(100);
        if round == 2 {
            kafka.start_broker(1);
        }
        door.agent.restart();
    }
    door.agent.wait_ready();
    sleep(500);
    let acknowledged = sending.finish();
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    assert_found(&kafka, &door.topic, &acknowledged);
}

#[test]
fn a_death_at_any_write_of_the_spool_costs_no_acknowledged_event() {
    let kafka = crate::kafka::shared();
    let mut door = Door::at_rest(
        kafka,
        "ingest-deaths",
        &format!("{FAST}  durability: spooled\n  spool_size: 1MiB\n  event_size: 1KiB\n"),
    );
    let mut acknowledged = BTreeSet::new();
    for (failpoint, visit) in [
        ("spool.created", 1),
        ("spool.created", 2),
        ("spool.written", 1),
        ("spool.written", 50),
        ("spool.synced", 1),
        ("spool.synced", 50),
        ("spool.saved", 3),
        ("spool.removed", 1),
    ] {
        door.agent.set("STREAMGAUGE_FAILPOINTS", Some(&format!("{failpoint}=kill@{visit}")));
        door.agent.restart();
        let sending = Sending::start(door.address, 0);
        let status = door.agent.wait_exit();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{failpoint} was not reached: {status}");
        acknowledged.extend(sending.finish());
        println!("died at {failpoint}, {} acknowledged", acknowledged.len());
    }
    door.agent.set("STREAMGAUGE_FAILPOINTS", None);
    door.agent.restart();
    door.agent.wait_ready();
    assert_found(kafka, &door.topic, &acknowledged);
}

#[test]
fn an_agent_that_is_told_to_stop_loses_nothing_that_it_acknowledged() {
    let kafka = Kafka::start(1);
    let mut door = Door::open(&kafka, "ingest-stop", FAST);
    let mut acknowledged = BTreeSet::new();
    for broker_is_there in [true, false] {
        let sending = Sending::start(door.address, 10);
        sleep(1_000);
        if !broker_is_there {
            kafka.pause_broker(1);
            sleep(500);
        }
        door.agent.signal(libc::SIGTERM);
        sleep(500);
        if !broker_is_there {
            // The workers' last commit waits for it, too.
            wait_until("the door to be shut", || std::net::TcpStream::connect(door.address).is_err());
            sleep(3_000);
            kafka.resume_broker(1);
        }
        door.agent.wait_exit();
        acknowledged.extend(sending.finish());
        door.agent.restart();
        door.agent.wait_ready();
    }
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    assert_found(&kafka, &door.topic, &acknowledged);
}

#[test]
fn brokers_that_take_a_while_to_answer_at_the_start_hold_events_up_no_longer_than_that() {
    let kafka = Kafka::start(1);
    // With a breaker that opens for a minute, as it does by default.
    let mut door = Door::at_rest(&kafka, "ingest-cold", "  requests_per_second: 0\n");
    kafka.pause_broker(1);
    door.agent.restart();
    wait_until("the door to be open", || std::net::TcpStream::connect(door.address).is_ok());
    let (mut client, mut acknowledged) = (Client::new(door.address), BTreeSet::new());
    for number in 0..200 {
        let body = format!(r#"{{"source":"a","level":"INFO","message":"event {number}"}}"#);
        let answer = client.post("/api/logs", &[], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?}");
        acknowledged.insert(answer.json()["eventId"].as_str().unwrap().to_owned());
    }
    wait_until("the first ones to fail", || door.agent.log().contains("events are not acknowledged"));
    kafka.resume_broker(1);
    wait_until("all of them to arrive", || {
        let page = door.agent.scrape();
        ["queued", "processing", "spool"]
            .iter()
            .all(|what| page.contains(&format!("\nstreamgauge_ingest_{what}_events 0\n")))
    });
    assert_found(&kafka, &door.topic, &acknowledged);
    let page = door.agent.scrape();
    let opened =
        page.lines().find(|line| line.starts_with("streamgauge_ingest_circuit_transitions_total{to=\"open\"}"));
    assert!(opened.is_none_or(|line| line.ends_with(" 0")), "{opened:?}");
}

#[test]
fn a_full_spool_refuses_what_comes_and_keeps_what_it_has() {
    let kafka = Kafka::start(1);
    let lines = format!("{FAST}  durability: spooled\n  spool_size: 1MiB\n  event_size: 64KiB\n");
    let door = Door::open(&kafka, "ingest-spool-full", &lines);
    kafka.kill_broker(1);
    let body = format!(r#"{{"source":"a","level":"INFO","message":"{}"}}"#, "m".repeat(30_000));
    let (mut client, mut acknowledged) = (Client::new(door.address), BTreeSet::new());
    let mut refused = None;
    for _ in 0..100 {
        let answer = client.post("/api/logs", &[], body.as_bytes()).expect("an answer");
        if answer.status != 202 {
            refused = Some(answer);
            break;
        }
        acknowledged.insert(answer.json()["eventId"].as_str().unwrap().to_owned());
    }
    let refused = refused.expect("it gets full");
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "5"), "{refused:?}");
    assert!(refused.body.contains("the spool is full"), "{refused:?}");
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    kafka.start_broker(1);
    assert_found(&kafka, &door.topic, &acknowledged);
    wait_until("there is room again", || {
        client.post("/api/logs", &[], body.as_bytes()).is_some_and(|answer| answer.status == 202)
    });
}
