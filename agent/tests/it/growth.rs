//! Partitions added to the source topic are counted from their first record, with no restart, whether the agents run
//! meanwhile or are away.

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
    std::thread::sleep(std::time::Duration::from_secs(2));
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
