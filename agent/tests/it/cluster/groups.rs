//! Lag where offsets alone mislead, and groups of every kind, on a real broker.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use super::scene::{command, commit};
use super::tools;
use crate::kafka::{Kafka, shared, unique, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// The partition 0 of what `cluster lag` says of a group, asked of the brokers.
fn partition(kafka: &Kafka, group: &str) -> Value {
    let found = lag(kafka, group, "partition");
    found["topics"][0]["partitions"][0].clone()
}

fn lag(kafka: &Kafka, group: &str, by: &str) -> Value {
    let asked =
        ["cluster", "lag", "--bootstrap-servers", kafka.bootstrap(), "--group", group, "--by", by, "-o", "json"];
    let (_, text) = command(&asked);
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    answer["groups"][0].clone()
}

fn exit_code_with_a_limit(kafka: &Kafka, group: &str) -> Option<i32> {
    command(&["cluster", "lag", "--bootstrap-servers", kafka.bootstrap(), "--group", group, "--max-lag", "0"]).0
}

#[test]
fn deleted_records_are_no_lag_but_are_said_to_be_lost() {
    let (kafka, topic, group) = (shared(), unique("deleted"), unique("deleted-group"));
    kafka.create_topic(&topic, 1, &[]);
    kafka.produce(&topic, 0, (0..100).map(|_| ("k", "v")));
    commit(kafka, &group, &topic, &[(0, 0)]);
    assert_eq!(partition(kafka, &group)["lagMessages"], "100");
    kafka.delete_records(&topic, &BTreeMap::from([(0, 100)]));
    let found = partition(kafka, &group);
    assert_eq!((&found["lagMessages"], &found["lostMessages"]), (&"0".into(), &"100".into()), "{found}");
    assert_eq!(exit_code_with_a_limit(kafka, &group), Some(0));
}

#[test]
fn an_offset_beyond_the_end_of_a_topic_that_was_made_again_is_not_healthy() {
    let (kafka, topic, group) = (shared(), unique("again"), unique("again-group"));
    kafka.create_topic(&topic, 1, &[]);
    kafka.produce(&topic, 0, (0..100).map(|_| ("k", "v")));
    commit(kafka, &group, &topic, &[(0, 100)]);
    assert_eq!(exit_code_with_a_limit(kafka, &group), Some(0));
    kafka.recreate_topic(&topic, 1);
    // The brokers forget a deleted topic's offsets; whoever holds a position commits it again.
    commit(kafka, &group, &topic, &[(0, 100)]);
    kafka.produce(&topic, 0, (0..10).map(|_| ("k", "v")));
    let found = partition(kafka, &group);
    assert_eq!((&found["beyondEnd"], &found["lagMessages"]), (&true.into(), &Value::Null), "{found}");
    assert_eq!(exit_code_with_a_limit(kafka, &group), Some(2));
}

#[test]
fn a_transaction_s_marker_is_no_lag_and_a_record_behind_it_is() {
    let (kafka, topic, group) = (shared(), unique("marker"), unique("marker-group"));
    kafka.create_topic(&topic, 1, &[]);
    let mut config = kafka.client();
    config.set("transactional.id", unique("marker-writer"));
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(SOON).expect("transactions");
    let write = |records: i64, ends_well: bool| {
        producer.begin_transaction().expect("a transaction");
        for _ in 0..records {
            producer.send(BaseRecord::to(&topic).partition(0).key("k").payload("v")).expect("room");
        }
        producer.flush(SOON).expect("delivered");
        match ends_well {
            true => producer.commit_transaction(SOON).expect("committed"),
            false => producer.abort_transaction(SOON).expect("aborted"),
        }
    };
    write(10, true);
    commit(kafka, &group, &topic, &[(0, 10)]);
    let lag_of = || {
        let found = partition(kafka, &group);
        (found["lagMessages"].clone(), found["logEndOffset"].clone(), found["lagSeconds"].clone())
    };
    assert_eq!(lag_of(), ("0".into(), "11".into(), 0.0.into()), "only a marker is left");
    write(5, false);
    assert_eq!(lag_of(), ("0".into(), "17".into(), 0.0.into()), "what was aborted is nothing to read");
    write(2, true);
    assert_eq!(lag_of().0, "10", "a record is left: offsets are all there is to count by");
    commit(kafka, &group, &topic, &[(0, 19)]);
    assert_eq!(lag_of(), ("0".into(), "20".into(), 0.0.into()));
}

/// A process that is killed when it is not needed any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn groups_of_every_protocol_are_listed_with_their_type() {
    let (kafka, topic) = (shared(), unique("kinds"));
    kafka.create_topic(&topic, 1, &[]);
    kafka.produce(&topic, 0, (0..10).map(|_| ("k", "v")));
    let (classic, consumer, share) = (unique("kind-classic"), unique("kind-consumer"), unique("kind-share"));
    let member = |group: &str, protocol: &str| -> BaseConsumer {
        let mut config = kafka.client();
        config.set("group.id", group).set("group.protocol", protocol).set("auto.offset.reset", "earliest");
        let member: BaseConsumer = config.create().expect("a consumer");
        member.subscribe(&[&topic]).expect("a subscription");
        member
    };
    let members = [member(&classic, "classic"), member(&consumer, "consumer")];
    let sharing = Running(
        Command::new(crate::agent::repository().join("scripts/kafka"))
            .args(["run", "org.apache.kafka.tools.consumer.ConsoleShareConsumer"])
            .args(["--bootstrap-server", kafka.bootstrap(), "--topic", &topic, "--group", &share])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Kafka's own console"),
    );
    for member in &members {
        wait_until("the member reads", || member.poll(Duration::from_millis(50)).is_some_and(|read| read.is_ok()));
        wait_until("its offset is committed", || {
            member.commit_consumer_state(rdkafka::consumer::CommitMode::Sync).is_ok()
        });
    }
    wait_until("the share group is listed", || lag(kafka, &share, "group")["type"] == "other");
    for (group, kind) in [(&classic, "classic"), (&consumer, "consumer")] {
        let found = lag(kafka, group, "group");
        assert_eq!((&found["type"], &found["memberCount"]), (&kind.into(), &1.into()), "{found}");
        assert!(found["lagMessages"].as_str().is_some_and(|lag| lag.len() == 1), "{found}");
    }
    let found = lag(kafka, &share, "group");
    assert_eq!(found["lagMessages"], Value::Null, "{found}");
    assert!(found["lagUnknownBecause"].as_str().is_some_and(|why| why.contains("share group")), "{found}");
    assert_eq!(exit_code_with_a_limit(kafka, &share), Some(2), "what is not known is not within a limit");
    // Whatever Kafka's own tool lists is listed here, by the kinds that a client library tells apart.
    let kinds = tools::kinds(kafka);
    let ours = [(&classic, "Classic"), (&consumer, "Consumer"), (&share, "Share")];
    for (group, kind) in ours {
        assert_eq!(kinds.get(group).map(String::as_str), Some(kind), "{kinds:?}");
    }
    let (_, text) =
        command(&["cluster", "lag", "--bootstrap-servers", kafka.bootstrap(), "--by", "group", "-o", "json"]);
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    for (group, kind) in &kinds {
        let found = answer["groups"].as_array().expect("groups").iter().find(|found| found["name"] == **group);
        let expected = match kind.as_str() {
            "Classic" | "Consumer" => kind.to_lowercase(),
            _ => "other".to_owned(),
        };
        // Other tests on these brokers may have ended theirs since.
        let is_ours = ours.iter().any(|(name, _)| *name == group);
        let is_right = found.map_or(!is_ours, |found| found["type"] == *expected);
        assert!(is_right, "{group} is {kind} for Kafka's tool: {found:?}");
    }
    drop(sharing);
}
