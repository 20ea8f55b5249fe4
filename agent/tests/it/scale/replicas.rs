//! Copies: a take-over that reads only the changelog's newest part, answers while nobody owns a partition, and merged
//! totals that never go back.

use std::time::{Duration, Instant};

use streamgauge_proto::v1::partition_status::State;

use super::cluster_query::{everything, missing, requests};
use crate::agent::Agent;
use crate::exactly_once::Watch;
use crate::kafka::wait_until;
use crate::oracle::{Recount, parse_page};
use crate::scene::{Scene, number};

fn replicas_at_the_end(agent: &Agent, count: usize) -> bool {
    let page = agent.scrape();
    let samples = parse_page(&page).expect("a sound page");
    let behind: Vec<f64> =
        samples.iter().filter(|s| s.name == "streamgauge_replica_lag_records").map(|s| s.value).collect();
    behind.len() == count && behind.iter().all(|&behind| behind < 20.0)
}

fn restored_records(agent: &Agent) -> f64 {
    number(&agent.scrape(), "streamgauge_restore_records_total", &[])
}

#[test]
fn a_standby_takes_over_with_the_tail_alone_and_answers_until_then() {
    // Where each partition's state came from is said at debug level.
    let scene = Scene::new("standby", 4)
        .kafka_line("session_timeout: 6s")
        .state_line("standby_replicas: 1")
        .section("telemetry: { log_level: 'info,streamgauge=debug' }\n");
    let mut first = scene.agent();
    first.wait_ready();
    scene.produce(200_000, 3, &["--rate", "40000"]).finish();
    let mut second = scene.agent();
    second.wait_ready();
    wait_until("both have a share", || everything(&first).as_of.iter().filter(|p| p.agent.is_empty()).count() == 2);
    let recount = scene.assert_equals_recount(&[&first, &second]);
    wait_until("each has caught up with the other", || {
        replicas_at_the_end(&first, 2) && replicas_at_the_end(&second, 2)
    });
    let before = restored_records(&first);
    let whole = number(&first.scrape(), "streamgauge_replica_records_total", &[]);
    second.kill9();
    let answer = everything(&first);
    assert!(missing(&answer).is_empty(), "{:?}", answer.missing);
    assert_eq!(requests(&answer), recount.events());
    let replicas: Vec<_> = answer.as_of.iter().filter(|partition| partition.state() == State::Replica).collect();
    assert_eq!(replicas.len(), 2, "{:?}", answer.as_of);
    assert!(replicas.iter().all(|replica| replica.behind.is_some_and(|behind| behind < 20)), "{replicas:?}");
    scene.assert_equals_recount(&[&first]);
    let tail = restored_records(&first) - before;
    assert!(tail <= 40.0, "{tail} records were read again, of {whole} that the replicas had read");
    assert_eq!(first.log().matches("origin=\"replica\"").count(), 2, "both came from replicas");
    assert!(first.terminate().success());
}

#[test]
fn merged_totals_never_go_back_when_their_publisher_changes() {
    let scene = Scene::new("merged", 4)
        .kafka_line("session_timeout: 6s")
        .kafka_line("on_shutdown: leave")
        .state_line("global_view: true")
        .replacing(
            "    retention: 2h                       # closed",
            "    publish: merged\n    retention: 2h  # closed",
        );
    let (mut first, mut second) = (scene.agent(), scene.agent());
    first.wait_ready();
    second.wait_ready();
    let stream = scene.produce(240_000, 8, &["--rate", "8000"]);
    let addresses = [first.http(), second.http()];
    let watch = Watch::start(&addresses);
    wait_until("merged totals show", || merged([&first, &second]).is_some());
    std::thread::sleep(Duration::from_secs(5));
    let publisher = if merged([&first]).is_some() { &mut first } else { &mut second };
    publisher.kill9();
    std::thread::sleep(Duration::from_secs(12));
    publisher.restart();
    stream.finish();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&first, &second], &recount);
    let until = Instant::now() + Duration::from_secs(30);
    while merged([&first, &second]) != Some(recount.events() as f64) {
        assert!(Instant::now() < until, "{:?} of {}", merged([&first, &second]), recount.events());
        std::thread::sleep(Duration::from_millis(100));
    }
    let seen = watch.finish();
    assert!(seen.with_merged > 20, "merged totals were on {} pages only", seen.with_merged);
}

#[test]
fn merged_totals_go_on_with_the_partitions_that_are_added() {
    let scene = Scene::new("merged-grown", 4)
        .kafka_line("properties: { topic.metadata.refresh.interval.ms: 1000 }")
        .state_line("global_view: true")
        .replacing(
            "    retention: 2h                       # closed",
            "    publish: merged\n    retention: 2h  # closed",
        );
    let (mut first, mut second) = (scene.agent(), scene.agent());
    first.wait_ready();
    second.wait_ready();
    scene.produce_now(20_000, 1);
    let watch = Watch::start(&[first.http(), second.http()]);
    wait_until("merged totals show", || merged([&first, &second]) == Some(20_000.0));
    scene.kafka.grow_topic(&scene.topic, 8);
    scene.produce_now(40_000, 2);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    assert!((4..8).all(|added| recount.partitions[&added].events > 1_000), "{:?}", recount.partitions);
    wait_until("they have the added partitions", || merged([&first, &second]) == Some(recount.events() as f64));
    let stalled = [&first, &second].map(|agent| number(&agent.scrape(), "streamgauge_merged_publication_stalled", &[]));
    assert_eq!(stalled, [0.0, 0.0]);
    watch.finish();
}

/// All requests of the group by the merged series; none if no page has them.
fn merged<const N: usize>(agents: [&Agent; N]) -> Option<f64> {
    let page = |agent: &Agent| agent.try_get("/metrics").map(|(_, page)| parse_page(&page).expect("a sound page"));
    let samples = agents.into_iter().filter_map(page).flatten();
    let merged: Vec<f64> = samples
        .filter(|sample| sample.name == "http_requests_total" && !sample.labels.contains_key("partition"))
        .map(|sample| sample.value)
        .collect();
    (!merged.is_empty()).then(|| merged.iter().sum())
}
