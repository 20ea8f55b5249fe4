//! Two agents of one group: partitions move to and fro while events flow, and no number shows it.

use std::time::Duration;

use super::watch::Watch;
use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::scene::Scene;

/// How the second agent goes.
enum Ending {
    Killed,
    Leaving,
    Restarting,
}

/// One agent counts, a second joins, goes, and comes again.
fn joined_and_left(scene: &Scene, ending: &Ending) {
    let mut first = scene.agent();
    first.wait_ready();
    let stream = scene.produce(400_000, 11, &["--rate", "20000"]);
    std::thread::sleep(Duration::from_secs(2));
    let mut second = scene.agent();
    let watch = Watch::start(&[first.http(), second.http()]);
    wait_for_a_share(&second);
    std::thread::sleep(Duration::from_secs(2));
    match ending {
        Ending::Killed => second.kill9(),
        Ending::Leaving | Ending::Restarting => assert!(second.terminate().success()),
    }
    if !matches!(ending, Ending::Restarting) {
        // Long enough for the group to have given all to the first, and for that to be at work.
        std::thread::sleep(Duration::from_secs(8));
    }
    second.restart();
    wait_for_a_share(&second);
    stream.finish();
    scene.assert_equals_recount(&[&first, &second]);
    let seen = watch.finish();
    assert!(seen.with_totals.iter().all(|&pages| pages > 5), "{:?}", seen.with_totals);
    assert!(first.terminate().success() && second.terminate().success());
}

/// Waits until the agent shows totals of its own.
fn wait_for_a_share(agent: &Agent) {
    wait_until("the agent agent has a share", || {
        agent.try_get("/metrics").is_some_and(|(_, page)| page.contains("http_requests_total{"))
    });
}

#[test]
fn totals_go_on_when_an_agent_joins_is_killed_and_comes_back() {
    joined_and_left(&Scene::new("joined-killed", 6).kafka_line("session_timeout: 6s"), &Ending::Killed);
}

#[test]
fn totals_go_on_when_an_agent_joins_leaves_and_comes_back() {
    let scene = Scene::new("joined-left", 6).kafka_line("on_shutdown: leave");
    joined_and_left(&scene, &Ending::Leaving);
}

#[test]
fn totals_go_on_when_an_agent_restarts_within_its_session() {
    joined_and_left(&Scene::new("joined-restarted", 6), &Ending::Restarting);
}

/// A restore that takes longer than a rebalance: half of what it restores goes to another agent meanwhile, which commits
/// on. What it finds of that in the changelog is none of its business.
#[test]
fn a_restore_that_is_revoked_ends_nothing_and_the_rest_of_it_goes_on() {
    let scene = Scene::new("revoked-restore", 6);
    let mut first = scene.agent();
    first.wait_ready();
    let stream = scene.produce(320_000, 12, &["--rate", "8000"]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(first.terminate().success());
    first.set("STREAMGAUGE_FAILPOINTS", Some("restore.loaded=sleep:15000"));
    first.restart();
    wait_until("the restore stands still", || first.log().contains("failpoint=\"restore.loaded\""));
    let second = scene.agent();
    wait_for_a_share(&second);
    // The input's ends that the restore has read are far behind by the time that it goes on.
    stream.finish();
    scene.assert_equals_recount(&[&first, &second]);
    assert!(!first.has_ended(), "{}", first.log());
    assert!(!first.log().contains("state reset"), "{}", first.log());
    wait_for_a_share(&first);
}
