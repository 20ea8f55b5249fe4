//! Windows of a group, watched over time: what is said to be whole is whole, whoever dies meanwhile.

use std::time::Duration;

use crate::agent::Agent;
use crate::exactly_once::Watch;
use crate::kafka::wait_until;
use crate::oracle::{FIVE_MINUTES, Recount, parse_page};
use crate::scene::Scene;

/// How many partitions an agent has of its own.
fn own(agent: &Agent) -> usize {
    agent.scrape().lines().filter(|line| line.starts_with("streamgauge_lag_messages{")).count()
}

/// Two agents, of which the one that does not publish dies in the middle of the stream and stays away for so long that its
/// partitions are another's.
fn an_owner_dies(scene: &Scene) {
    let mut agents = [scene.agent(), scene.agent()];
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_until("both have a share", || agents.iter().all(|agent| own(agent) == 2));
    let watch = Watch::start(&[agents[0].http(), agents[1].http()]);
    // 75 seconds, in which ten minutes of event time pass.
    let stream = scene.produce(600_000, 9, &["--rate", "8000"]);
    let publishes = |agent: &Agent| agent.scrape().contains("http_window_end_timestamp_seconds{");
    wait_until("windows show", || agents.iter().any(publishes));
    let other = usize::from(publishes(&agents[0]));
    agents[other].kill9();
    // Longer than the group's patience, so that the windows of all that time close late.
    std::thread::sleep(Duration::from_secs(30));
    agents[other].restart();
    stream.finish();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agents[0], &agents[1]], &recount);
    std::thread::sleep(Duration::from_secs(2));
    let seen = watch.finish();
    let wrong = seen.differences(&recount);
    assert!(wrong.is_empty(), "said to be whole, and are not:\n{}", wrong.join("\n"));
    let minutes = seen.whole.keys().filter(|(name, window, ..)| name == "http" && window == "1m").count();
    assert!(minutes >= 3, "{:?}", seen.whole.keys());
}

#[test]
fn a_copy_whose_owner_died_is_not_taken_for_idle_and_its_windows_not_for_whole() {
    let scene =
        Scene::new("windows-copied", 4).kafka_line("session_timeout: 20s").state_line("global_view: true").replacing(
            "    retention: 2h                       # closed",
            "    idle_timeout: 5s\n    retention: 2h  # closed",
        );
    an_owner_dies(&scene);
}

#[test]
fn windows_of_standbys_are_whole_when_they_say_so() {
    let scene = Scene::new("windows-standby", 4)
        .kafka_line("session_timeout: 20s")
        .state_line("standby_replicas: 1")
        .replacing(
            "    retention: 2h                       # closed",
            "    idle_timeout: 5s\n    retention: 2h  # closed",
        );
    an_owner_dies(&scene);
}

#[test]
fn a_limit_of_queries_does_not_limit_the_windows_of_a_group() {
    let scene = Scene::new("windows-limited", 4).section("limits: { query_cells: 10 }\n");
    let mut agents = [scene.agent(), scene.agent()];
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_until("both have a share", || agents.iter().all(|agent| own(agent) == 2));
    scene.produce_now(300_000, 6);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agents[0], &agents[1]], &recount);
    let shown = || {
        let pages = agents.iter().map(|agent| parse_page(&agent.scrape()).expect("a sound page"));
        pages.flatten().filter(|sample| sample.name.starts_with("http_status_window_")).collect::<Vec<_>>()
    };
    wait_until("the windows show", || !shown().is_empty());
    let samples = shown();
    let end = samples.iter().find(|sample| sample.name.ends_with("_end_timestamp_seconds")).expect("it has an end");
    let end = (end.value * 1_000.0) as i64;
    let wanted = recount.window("http_status", FIVE_MINUTES, end - FIVE_MINUTES.size);
    assert!(wanted.len() > 10, "{} keys prove nothing", wanted.len());
    let requests = samples.iter().filter(|sample| sample.name == "http_status_window_requests");
    let total: f64 = requests.clone().map(|sample| sample.value).sum();
    assert_eq!(requests.count(), wanted.len());
    assert_eq!(total, wanted.values().map(|cell| cell.requests as f64).sum::<f64>());
}
