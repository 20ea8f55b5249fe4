//! A broker that dies can lose the end of a transaction: its coordinator takes it for ended, its partitions for open, and no
//! timeout ends it any more (seen with Kafka 4.3.1 and one replica). The agent ends it itself, and counts on exactly.

use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::kafka::{Kafka, wait_until};

const CONFIG: &str = "\
kafka:
  bootstrap_servers: ${KAFKA_BOOTSTRAP_SERVERS}
  group_id: hanging
  transaction_timeout: 2s
sources:
  s: { topics: [events], timestamp: { from: kafka } }
aggregates:
  u: { source: s, measures: { requests: count } }
";
const PARTITIONS: i32 = 3;

fn produce(kafka: &Kafka, events: usize) {
    for partition in 0..PARTITIONS {
        kafka.produce("events", partition, (0..events).map(|_| ("k", "{}")));
    }
}

fn has_counted(agent: &Agent, per_partition: usize) -> bool {
    let Some((200, page)) = agent.try_get("/metrics") else { return false };
    let counted = page.lines().filter_map(|line| line.strip_prefix("u_requests_total{")?.rsplit_once(' '));
    let right = counted.filter(|(labels, value)| labels.contains("partition=") && *value == per_partition.to_string());
    right.count() == PARTITIONS as usize
}

/// The batches of a log: where each begins, and whether it is the end of a transaction.
/// The layout is that of <https://kafka.apache.org/documentation/#recordbatch>.
fn batches(log: &[u8]) -> Vec<(usize, bool)> {
    let mut batches = Vec::new();
    let mut at = 0;
    while let Some(length) = log.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let attributes = log.get(at + 21..at + 23).expect("a whole batch");
        batches.push((at, attributes[1] & 0x20 != 0));
        at += 12 + length;
    }
    batches
}

/// Cuts the last end of a transaction, and what came after it, off a partition's log. The broker is down.
fn lose_last_marker(partition: &Path) {
    let path = partition.join("00000000000000000000.log");
    let log = std::fs::read(&path).expect("the partition's log");
    let marker = batches(&log).into_iter().rev().find(|(_, is_marker)| *is_marker).expect("a transaction has ended");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the partition's log");
    file.set_len(marker.0 as u64).expect("it is cut");
    for entry in std::fs::read_dir(partition).expect("its files").flatten() {
        // What the broker knew of the producers; it is made from the log.
        if entry.path().extension().is_some_and(|extension| extension == "snapshot") {
            std::fs::remove_file(entry.path()).expect("it is removed");
        }
    }
}

/// The partition that holds the group's offsets: the only one with transactions.
fn group_offsets(data: &Path) -> PathBuf {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("__consumer_offsets-")
            && batches(&std::fs::read(path.join("00000000000000000000.log")).expect("its log"))
                .iter()
                .any(|batch| batch.1)
    };
    std::fs::read_dir(data)
        .expect("the broker's data")
        .flatten()
        .map(|entry| entry.path())
        .find(is_it)
        .expect("it is there")
}

fn remove_state_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the state").flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_state_files(&path);
        } else if path.extension().is_some_and(|extension| extension == "redb") {
            std::fs::remove_file(path).expect("it is removed");
        }
    }
}

#[test]
fn a_transaction_whose_end_the_broker_lost_is_ended_and_its_events_are_counted_once() {
    let kafka = Kafka::start(1);
    kafka.create_topic("events", PARTITIONS, &[]);
    let mut agent = Agent::start(kafka.bootstrap(), CONFIG);
    agent.wait_ready();
    produce(&kafka, 100);
    wait_until("the first events are counted", || has_counted(&agent, 100));
    // Written down by now, too: a file that has more than Kafka must not be believed.
    std::thread::sleep(std::time::Duration::from_secs(3));
    agent.kill9();
    kafka.kill_broker(1);
    let data = kafka.dir().join("1/data");
    // Of three partitions in one transaction, one is left open with the group's offsets, and two are not.
    lose_last_marker(&data.join("streamgauge-hanging-events-changelog-0"));
    lose_last_marker(&group_offsets(&data));
    kafka.start_broker(1);
    agent.restart();
    produce(&kafka, 50);
    wait_until("all events are counted once", || has_counted(&agent, 150));
    agent.wait_ready();
    let log = agent.log();
    assert!(log.contains("lost the end of"), "{log}");

    // What is stored is what is shown: without its files the agent comes to the same.
    assert!(agent.terminate().success(), "{}", agent.log());
    remove_state_files(&agent.state_dir());
    agent.restart();
    agent.wait_ready();
    assert!(has_counted(&agent, 150), "{}", agent.scrape());
}
