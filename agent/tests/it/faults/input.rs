//! What comes in, what is kept in Kafka, and what Kafka has lost.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use streamgauge_proto::v1::partition_status::State;

use super::Fault;
use super::stage::{PLAIN, Plan, Row, Stage};
use crate::agent::{Agent, program};
use crate::kafka::wait_until;
use crate::scene::number;

const TIMEOUT: Duration = Duration::from_secs(60);

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "input-aborted",
        about: "every third transaction of the input is aborted; kill -9",
        times: 5,
        run: aborted,
    },
    Fault {
        name: "foreign-transaction",
        about: "a foreign producer leaves a transaction open on the changelog; kill -9",
        times: 4,
        run: foreign,
    },
    Fault {
        name: "offsets-reset",
        about: "the group's committed offsets set to 0, ahead of the end, and back",
        times: 3,
        run: offsets_reset,
    },
    Fault { name: "partitions-added", about: "partitions 12 to 24 under load", times: 1, run: partitions_added },
    Fault {
        name: "packed",
        about: "many events in a record as text in a field, some dead letters; kill -9, and again while these are replayed",
        times: 4,
        run: packed,
    },
    Fault { name: "retention", about: "Kafka deletes records while the agent is away", times: 3, run: retention },
];

/// Kills an agent again and again, each time once it has recovered.
fn kills(stage: &mut Stage, agent: &mut Agent, times: u32) {
    for _ in 0..times {
        stage.sleep(0.5, 2.5);
        agent.kill9();
        agent.restart();
        stage.recovered("kill -9");
    }
}

fn aborted(times: u32) -> Row {
    let mut stage = Stage::new("input-aborted", Plan { aborting: true, ..PLAIN });
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    kills(&mut stage, &mut agent, times);
    stage.finish(&[&agent])
}

fn foreign(times: u32) -> Row {
    let mut stage = Stage::new("foreign-transaction", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    let mut client = stage.kafka.client();
    client.set("transactional.id", format!("foreign-{}", stage.topic)).set("transaction.timeout.ms", "60000");
    let producer: BaseProducer = client.create().expect("a transactional producer");
    producer.init_transactions(TIMEOUT).expect("transactions");
    for round in 0..times {
        stage.sleep(0.5, 1.5);
        producer.begin_transaction().expect("begun");
        let changelog = stage.changelog();
        for partition in 0..PLAIN.partitions / 2 {
            let record = BaseRecord::to(&changelog).partition(partition).key("nobody's").payload("whatever");
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
        producer.flush(TIMEOUT).expect("written");
        // An agent that runs does not mind; one that restores waits, and says for how long.
        stage.recovered("with the transaction open");
        agent.kill9();
        agent.restart();
        wait_until("the restore says what it waits for", || {
            let page = agent.try_get("/metrics");
            page.is_some_and(|(_, page)| number(&page, "streamgauge_restore_unstable_seconds", &[]) > 3.0)
        });
        // On the other half nothing hangs.
        let (held_up, free) = (0..PLAIN.partitions / 2, PLAIN.partitions / 2..PLAIN.partitions);
        wait_until("the others are restored", || running(&agent) == free.clone().collect::<Vec<_>>());
        let (status, reasons) = agent.get("/-/ready");
        assert_eq!(status, 503);
        for partition in held_up {
            let reason = reasons.lines().find(|line| line.starts_with(&format!("{}/{partition}:", stage.topic)));
            assert!(reason.is_some_and(|reason| reason.contains("open transaction")), "{partition}: {reasons}");
        }
        let end =
            if round % 2 == 0 { producer.abort_transaction(TIMEOUT) } else { producer.commit_transaction(TIMEOUT) };
        end.expect("ended");
        stage.recovered("the transaction has ended");
    }
    stage.finish(&[&agent])
}

/// The partitions that an agent runs.
pub fn running(agent: &Agent) -> Vec<i32> {
    let partitions = agent.status().map(|status| status.partitions).unwrap_or_default();
    let mut running: Vec<_> =
        partitions.iter().filter(|status| status.state() == State::Running).map(|status| status.partition).collect();
    running.sort_unstable();
    running
}

fn offsets_reset(times: u32) -> Row {
    let mut stage = Stage::new("offsets-reset", Plan { leave: true, ..PLAIN });
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times {
        stage.sleep(1.0, 3.0);
        // An operator's tool refuses a group that has members.
        assert!(agent.terminate().success());
        let before = stage.kafka.committed(&stage.group, &stage.topic, PLAIN.partitions);
        assert_eq!(before.len(), PLAIN.partitions as usize);
        let ends = stage.acknowledged();
        let set: BTreeMap<i32, i64> = match round % 3 {
            0 => before.keys().map(|&partition| (partition, 0)).collect(),
            1 => ends.iter().map(|(&partition, &end)| (partition, end + 1_000)).collect(),
            _ => before.iter().map(|(&partition, &offset)| (partition, offset / 2)).collect(),
        };
        stage.kafka.commit(&stage.group, &stage.topic, &set);
        assert_eq!(stage.kafka.committed(&stage.group, &stage.topic, PLAIN.partitions), set);
        agent.restart();
        stage.recovered("offsets were reset");
        assert!(agent.log().contains("which wins"), "the log does not say that the state wins: {}", agent.log());
    }
    stage.finish(&[&agent])
}

fn partitions_added(times: u32) -> Row {
    let mut stage = Stage::new("partitions-added", Plan { partitions: 12, ..PLAIN });
    let (mut one, mut two) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut one, &mut two]);
    stage.watch(&[&one, &two]);
    for round in 1..=times as i32 {
        stage.sleep(1.0, 2.0);
        let partitions = 12 * (round + 1);
        stage.kafka.add_partitions(&stage.topic, partitions);
        stage.widen(partitions);
        wait_until("events go to all partitions", || stage.acknowledged().len() == partitions as usize);
        stage.recovered("partitions were added");
    }
    stage.finish(&[&one, &two])
}

/// `each`, `parse` and dead letters under kills; then the config is mended, and the letters are replayed under kills.
fn packed(times: u32) -> Row {
    let mut stage = Stage::new("packed", Plan { packed: true, ..PLAIN });
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    kills(&mut stage, &mut agent, times);
    let before = stage.settle(&[&agent]);
    let (kafka, topic) = (&stage.kafka, &stage.topic);
    let mut letters: Vec<u64> = kafka
        .read(&format!("{topic}-dlq"))
        .iter()
        .map(|letter| number_of_letter(letter.value.as_deref().unwrap_or_default()))
        .collect();
    letters.sort_unstable();
    assert_eq!(letters, stage.truth.letters.iter().copied().collect::<Vec<_>>(), "each odd event is one dead letter");
    assert!(agent.terminate().success());
    // An aggregate whose time is read another way is another aggregate: it begins with the letters.
    stage.mend(&agent);
    agent.restart();
    agent.wait_ready();
    stage.watch(&[&agent]);
    let config = agent.config_path();
    let mut replay = Command::new(program());
    replay.args(["dead-letters", "replay", "--yes", "-c"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    replay.env("KAFKA_BOOTSTRAP_SERVERS", stage.kafka.bootstrap()).env("STATE_DIR", agent.state_dir());
    replay.env("HTTP_LISTEN", "127.0.0.1:0").env("GRPC_LISTEN", "127.0.0.1:0");
    for _ in 0..times {
        let mut killed = replay.spawn().expect("the program was built");
        stage.sleep(0.05, 0.6);
        killed.kill().expect("it is killed, if it has not ended");
        killed.wait().expect("it has ended");
        agent.kill9();
        agent.restart();
    }
    assert!(replay.status().expect("the program was built").success(), "what was left is replayed");
    let mut row =
        stage.finish_with(&[&agent], |truth| assert_eq!(truth.still_letters(), 0, "letters that did not come again"));
    row.lost += before.lost;
    row.duplicated += before.duplicated;
    row.worst = row.worst.max(before.worst);
    row.wrong.extend(before.wrong);
    row
}

/// The number of the only event that a letter has.
fn number_of_letter(payload: &[u8]) -> u64 {
    let record: Value = serde_json::from_slice(payload).expect("a letter is a record like the one that it came from");
    let batch = record["batch"].as_array().expect("its array");
    assert_eq!(batch.len(), 1, "{record}");
    let event: Value = serde_json::from_str(batch[0]["line"].as_str().expect("a line")).expect("an event");
    event["seq"].as_u64().expect("a number")
}

/// What Kafka no longer has is lost, and said: counted to the record, in the log once for each partition.
fn retention(times: u32) -> Row {
    let mut stage = Stage::new("retention", Plan { leave: true, ..PLAIN });
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    // A truth can leave out one range a partition, so it happens once to each, in turn.
    let each = (PLAIN.partitions / times.min(PLAIN.partitions as u32) as i32).max(1);
    let (mut lost, mut lines) = (0, 0);
    for round in 0..(times as i32).min(PLAIN.partitions) {
        stage.sleep(1.0, 2.0);
        assert!(agent.terminate().success());
        let committed = stage.kafka.committed(&stage.group, &stage.topic, PLAIN.partitions);
        stage.sleep(1.0, 2.0);
        let hit = round * each..(round + 1) * each;
        let until: BTreeMap<i32, i64> = stage.acknowledged().into_iter().filter(|(p, _)| hit.contains(p)).collect();
        for (&partition, &end) in &until {
            stage.truth.lost.insert(partition, committed[&partition]..end);
            lost += end - committed[&partition];
            lines += 1;
        }
        let (kafka, topic) = (&stage.kafka, &stage.topic);
        stage.truth.read_on(kafka, topic);
        kafka.delete_records(topic, &until);
        agent.restart();
        stage.recovered("records were deleted");
        let counted = number(&agent.scrape(), "streamgauge_records_lost_total", &[]);
        let now: i64 = until.iter().map(|(partition, end)| end - committed[partition]).sum();
        assert_eq!(counted, now as f64, "{}", said(&agent));
    }
    assert_eq!(agent.log().matches("Kafka no longer has").count(), lines, "{}", said(&agent));
    let row = stage.finish(&[&agent]);
    assert_eq!(row.by_kafka, Some(lost as u64));
    row
}

fn said(agent: &Agent) -> String {
    agent.log().lines().filter(|line| line.contains("no longer")).collect::<Vec<_>>().join("\n")
}
