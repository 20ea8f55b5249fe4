//! Faults of what is around the agent: rights, links, disks, callers. Is everything that was acknowledged in Kafka?

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::faults::{FAST, Sending, sleep};
use super::{Client, Door, assert_found};
use crate::faults::disk::Tmpfs;
use crate::heavy_tests;
use crate::kafka::{Kafka, block_on_io, unique, wait_until};
use crate::proxy::Proxy;

const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";

#[test]
fn a_topic_without_rights_and_a_slow_broker_cost_no_acknowledged_event() {
    let proxy = Proxy::start();
    let (port, others) = (proxy.port().to_string(), "allow.everyone.if.no.acl.found=true");
    let options = ["--proxy-port", &port, "--broker-config", AUTHORIZER, "--broker-config", others];
    let kafka = Kafka::start_with(1, &options);
    proxy.lead_to(&kafka.listener("PROXIED"));
    let locked = unique("ingest-locked");
    kafka.create_topic(&locked, 1, &[]);
    let acl = ["--deny-principal", "User:ANONYMOUS", "--operation", "Write", "--topic", &locked];
    kafka.script(&["acls"], &[&["--add"], &acl[..]].concat());
    let routes = format!("  routes: [{{ where: {{ source: locked }}, topic: {locked} }}]\n");
    let mut door = Door::at_rest(&kafka, "ingest-far", &format!("{FAST}{routes}"));
    door.agent.set("KAFKA_BOOTSTRAP_SERVERS", Some(&format!("127.0.0.1:{port}")));
    door.agent.restart();
    door.agent.wait_ready();
    let sending = Sending::start(door.address, 10);
    let post = |level: &str| {
        door.post_json("/api/logs", &json!({ "source": "locked", "level": level, "message": "m" }).to_string())
    };
    let id = |answer: super::Answer| answer.json()["eventId"].as_str().expect("an id").to_owned();
    let mut waiting = BTreeSet::new();
    let first = post("ERROR");
    assert_eq!(first.status, 202, "it is on disk: {first:?}");
    waiting.insert(id(first));
    let said = format!("topic {locked} is not there, or may not be written to");
    wait_until("what comes then is refused", || {
        let answer = post("INFO");
        let refused = answer.status == 503 && answer.body.contains(&said);
        waiting.extend((answer.status == 202).then(|| id(answer)));
        refused
    });
    assert!(door.agent.log().contains(&said), "{}", door.agent.log());
    // 200 ms each way, and less than is sent.
    proxy.slow(Duration::from_millis(200), 20_000);
    sleep(8_000);
    proxy.mend();
    kafka.script(&["acls"], &[&["--remove", "--force"], &acl[..]].concat());
    sleep(1_000);
    let acknowledged = sending.finish();
    assert!(acknowledged.len() > 500, "{}", acknowledged.len());
    assert_found(&kafka, &door.topic, &acknowledged);
    assert_found(&kafka, &locked, &waiting);
    wait_until("it takes events again", || post("ERROR").status == 202);
}

#[test]
fn a_full_disk_a_long_outage_and_ten_thousand_connections_cost_no_acknowledged_event() {
    if !heavy_tests() {
        return;
    }
    allow_files(12_000);
    let kafka = Kafka::start(1);
    let mut door = Door::at_rest(&kafka, "ingest-hard", &format!("{FAST}  durability: spooled\n"));
    let disk = Tmpfs::mount(door.agent.state_dir().join("ingest"), "128m");
    door.agent.restart();
    door.agent.wait_ready();
    let sending = Sending::start(door.address, 10);
    let post = || {
        let event = json!({ "source": "a", "level": "INFO", "message": "m" }).to_string();
        Client::new(door.address).post("/api/logs", &[], event.as_bytes())
    };
    sleep(1_000);
    disk.fill();
    wait_until("the full disk is told", || {
        post().is_some_and(|answer| {
            answer.status == 503 && answer.body.contains("the spool cannot be written: No space left")
        })
    });
    sleep(5_000);
    disk.free();
    wait_until("there is room again", || post().is_some_and(|answer| answer.status == 202));
    kafka.kill_broker(1);
    wait_until("the breaker opens", || door.agent.scrape().contains("streamgauge_ingest_circuit_state 2"));
    let before = memory(&door);
    block_on_io(async {
        let connect = |_| tokio::spawn(tokio::net::TcpStream::connect(door.address));
        let open: Vec<_> = (0..10_000).map(connect).collect();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let connected = open.iter().filter(|one| one.is_finished()).count();
        println!("{connected} of 10000 connections are open or wait; {} KiB more memory", memory(&door) - before);
        assert!(connected > 1_000 && memory(&door) - before < 64 << 10, "{connected}, {}", memory(&door) - before);
        open.iter().for_each(tokio::task::JoinHandle::abort);
    });
    wait_until("others are answered again", || post().is_some_and(|answer| answer.status == 202));
    sleep(70_000);
    kafka.start_broker(1);
    wait_until("the breaker closes", || door.agent.scrape().contains("streamgauge_ingest_circuit_state 0"));
    let acknowledged = sending.finish();
    assert!(acknowledged.len() > 5_000, "{}", acknowledged.len());
    assert_found(&kafka, &door.topic, &acknowledged);
}

/// Has this process, and the agents that it starts, open so many files.
fn allow_files(files: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and write this struct alone.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = files.max(limit.rlim_cur);
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0, "{files} open files are not allowed: {}", std::io::Error::last_os_error());
}

/// What the agent has of this machine's memory. KiB.
fn memory(door: &Door) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", door.agent.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
