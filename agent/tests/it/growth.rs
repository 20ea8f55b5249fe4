//! Partitions added to the source topic are counted from their first record, with no restart, whether the agents run
//! meanwhile or are away.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::scene::{Scene, number};

/// Agents look every second here; every ten unless told otherwise.
const LOOK_OFTEN: &str = "properties: { topic.metadata.refresh.interval.ms: 1000 }";

fn lag_partitions(agents: &[&Agent]) -> usize {
    let pages = agents.iter().map(|agent| agent.scrape());
    pages.map(|page| page.lines().filter(|line| line.starts_with("streamgauge_lag_messages{")).count()).sum()
}

#[test]
fn partitions_added_under_load_are_read_from_their_first_record_without_a_restart() {
    let scene = Scene::new("grown", 4).kafka_line(LOOK_OFTEN);
    // With `latest`, too: what is in an added partition came after the group began.
    let config = scene.config().replace("format: unix_ms }", "format: unix_ms }\n    start: latest");
    assert!(config.contains("start: latest"));
    let mut agents = [(); 2].map(|()| Agent::start(scene.kafka.bootstrap(), &config));
    agents.iter_mut().for_each(Agent::wait_ready);
    let flowing = scene.produce(60_000, 1, &["--rate", "6000"]);
    std::thread::sleep(Duration::from_secs(2));
    scene.kafka.grow_topic(&scene.topic, 8);
    // This producer knows the new partitions from its start, and is faster than any agent's look.
    scene.produce_now(40_000, 2);
    flowing.finish();
    let [a, b] = &agents;
    let recount = scene.assert_equals_recount(&[a, b]);
    assert!((4..8).all(|added| recount.partitions[&added].events > 1_000), "{:?}", recount.partitions);
    assert_eq!(lag_partitions(&[a, b]), 8);
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    assert_eq!(scene.kafka.partitions(&changelog), 8);
    for agent in [a, b] {
        assert_eq!(agent.get("/-/ready").0, 200);
        assert!(!agent.log().contains("joining it again"), "{}", agent.log());
        let aborted = number(&agent.scrape(), "streamgauge_epochs_aborted_total", &[("reason", "kafka")]);
        assert_eq!(aborted, 0.0, "commits to added changelog partitions were refused:\n{}", agent.log());
    }
}

#[test]
fn partitions_added_while_the_agent_is_away_are_found_when_it_returns() {
    let scene = Scene::new("grown-away", 2).kafka_line(LOOK_OFTEN);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(10_000, 1);
    scene.assert_equals_recount(&[&agent]);
    // Within the session timeout: the group gives it back what it had, without a rebalance.
    agent.kill9();
    scene.kafka.grow_topic(&scene.topic, 4);
    scene.produce_now(10_000, 2);
    agent.restart();
    agent.wait_ready();
    wait_until("all partitions are read", || lag_partitions(&[&agent]) == 4);
    scene.assert_equals_recount(&[&agent]);
    let page = agent.scrape();
    assert_eq!(number(&page, "streamgauge_records_lost_total", &[]), 0.0);
}

/// A scene of two partitions whose group has counted under `start: latest` and is away; the topic has four now, with records
/// in each that nobody has read.
fn grown_while_away(what: &str) -> (Scene, Agent) {
    let scene = Scene::new(what, 2)
        .kafka_line(LOOK_OFTEN)
        .replacing("format: unix_ms }", "format: unix_ms }\n    start: latest");
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(10_000, 1);
    scene.assert_equals_recount(&[&agent]);
    agent.kill9();
    scene.kafka.grow_topic(&scene.topic, 4);
    scene.produce_now(10_000, 2);
    (scene, agent)
}

fn assert_all_is_counted(scene: &Scene, agent: &mut Agent) {
    agent.restart();
    agent.wait_ready();
    wait_until("all partitions are read", || lag_partitions(&[agent]) == 4);
    let recount = scene.assert_equals_recount(&[agent]);
    assert!((2..4).all(|added| recount.partitions[&added].events > 1_000), "{:?}", recount.partitions);
    assert_eq!(number(&agent.scrape(), "streamgauge_records_lost_total", &[]), 0.0);
}

#[test]
fn added_partitions_lose_nothing_when_the_agent_dies_before_their_first_commit() {
    let (scene, mut agent) = grown_while_away("grown-crash");
    // It has made the changelog grow by then, and committed nothing of what was added.
    agent.set("STREAMGAUGE_FAILPOINTS", Some("restore.promoted=kill"));
    agent.restart();
    agent.wait_exit();
    agent.set("STREAMGAUGE_FAILPOINTS", None);
    assert_all_is_counted(&scene, &mut agent);
}

#[test]
fn added_partitions_lose_nothing_when_somebody_else_has_made_the_changelog_grow() {
    let (scene, mut agent) = grown_while_away("grown-by-other");
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    scene.kafka.grow_topic(&changelog, 4);
    assert_all_is_counted(&scene, &mut agent);
}

/// A group that begins under `start: latest`.
fn latest(what: &str) -> Scene {
    Scene::new(what, 2).replacing("format: unix_ms }", "format: unix_ms }\n    start: latest")
}

/// Waits until something has been written to one of the changelog's partitions, committed or not.
fn wait_written(scene: &Scene) {
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    let mut config = scene.kafka.client();
    let consumer: BaseConsumer = config.set("isolation.level", "read_uncommitted").create().expect("a consumer");
    let end = |partition| consumer.fetch_watermarks(&changelog, partition, Duration::from_secs(5));
    wait_until("the first commit is under way", || (0..2).any(|p| end(p).is_ok_and(|(_, high)| high > 0)));
}

/// Whoever asks then how the group began must not be told that it has not.
#[test]
fn partitions_added_while_the_groups_first_commit_is_undecided_lose_nothing() {
    let scene = latest("grown-undecided")
        .kafka_line("transaction_timeout: 60s")
        .kafka_line("properties: { topic.metadata.refresh.interval.ms: 4000 }");
    let mut agent = scene.agent_with(&[("STREAMGAUGE_FAILPOINTS", "commit.offsets_sent=sleep:15000")]);
    wait_written(&scene);
    scene.kafka.grow_topic(&scene.topic, 4);
    scene.produce_now(10_000, 1);
    wait_until("the added partitions are assigned", || {
        let added = format!("{}/2", scene.topic);
        agent.log().lines().any(|line| line.contains("rebalance=Assigned") && line.contains(&added))
    });
    // Time to ask how the group began.
    std::thread::sleep(Duration::from_secs(1));
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    assert!(scene.kafka.read(&changelog).is_empty(), "the first commit was through too early for this test");
    agent.wait_ready();
    let recount = scene.assert_equals_recount(&[&agent]);
    assert!((2..4).all(|added| recount.partitions[&added].events > 1_000), "{:?}", recount.partitions);
}

/// Its owner was ready, for all that anybody could see, and died before it had committed where it begins.
#[test]
fn a_partition_whose_owner_died_before_its_first_commit_begins_when_the_group_began() {
    let scene = latest("begun-by-the-dead").kafka_line("session_timeout: 6s");
    // Its first epoch has both partitions; by the time that it could be committed, one of them has gone.
    let mut first = scene.agent_with(&[("STREAMGAUGE_FAILPOINTS", "commit.begun=sleep:9000")]);
    wait_until("the first agent has both partitions", || first.log().contains("partitions=2 new="));
    let mut second = scene.agent_with(&[("STREAMGAUGE_FAILPOINTS", "commit.begun=kill")]);
    second.wait_exit();
    first.wait_ready();
    wait_until("it has committed one partition", || lag_partitions(&[&first]) == 1);
    // While one partition is nobody's.
    scene.produce_now(10_000, 1);
    scene.assert_equals_recount(&[&first]);
}
