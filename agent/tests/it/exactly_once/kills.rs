//! The agent dies, anywhere: nothing is lost, nothing counts twice.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};

use crate::scene::{Scene, number};

/// Kills and restarts the agent at `kills` moments while a stream of `count` events comes in at 40,000/s.
fn killed_in_mid_stream(scene: &Scene, count: u64, kills: u32, flags: &[&str]) {
    let mut agent = scene.agent();
    agent.wait_ready();
    let stream = scene.produce(count, 1, &[&["--rate", "40000"], flags].concat());
    let began = Instant::now();
    let lasts = Duration::from_secs_f64(count as f64 / 40_000.0);
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(42);
    for kill in 0..kills {
        // Once in each of equal parts of the stream, so that the agent is at work in between.
        let moment = lasts.mul_f64((f64::from(kill) + random.random_range(0.3..1.0)) / f64::from(kills));
        std::thread::sleep(moment.saturating_sub(began.elapsed()));
        agent.kill9();
        agent.restart();
    }
    stream.finish();
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.events(), count);
}

#[test]
fn counts_equal_a_recount_after_three_kills_in_mid_stream() {
    killed_in_mid_stream(&Scene::new("kills", 12), 400_000, 3, &[]);
}

#[test]
fn late_events_are_counted_once_whatever_is_killed() {
    let flags = ["--late-fraction", "0.02", "--late-by", "3m"];
    killed_in_mid_stream(&Scene::new("kills-late", 4), 240_000, 2, &flags);
}

#[test]
fn a_minute_at_forty_thousand_a_second_with_three_kills_is_exact() {
    if crate::heavy_tests() {
        killed_in_mid_stream(&Scene::new("kills-heavy", 12), 2_400_000, 3, &[]);
    }
}

/// Where to die, and at which of the visits there.
pub const DEATHS: &[(&str, u32)] = &[
    ("commit.sealed", 3),
    ("commit.begun", 4),
    ("commit.produced", 3),
    ("commit.delivered", 3),
    ("commit.offsets_sent", 3),
    ("commit.after_kafka", 3),
    ("commit.published", 3),
    ("checkpoint.before_write", 2),
    ("checkpoint.after_write", 3),
    ("restore.initialised", 1),
    ("restore.loaded", 1),
    ("restore.replayed", 2),
    ("restore.promoted", 1),
    ("revoke.begun", 1),
    ("revoke.committed", 1),
    ("revoke.dropped", 1),
];

#[test]
fn a_death_at_any_step_of_the_protocol_loses_nothing_and_counts_nothing_twice() {
    // Those of the spool are no steps of this protocol: `ingest/faults.rs` dies at them.
    for failpoint in streamgauge::failpoint::ALL.iter().filter(|name| !name.starts_with("spool.")) {
        assert!(DEATHS.iter().any(|(name, _)| name == failpoint), "{failpoint} is not tried");
    }
    let scene = Scene::new("deaths", 4);
    let mut agent = scene.agent();
    agent.wait_ready();
    for (step, (failpoint, visit)) in DEATHS.iter().enumerate() {
        agent.kill9();
        agent.set("STREAMGAUGE_FAILPOINTS", Some(&format!("{failpoint}=kill@{visit}")));
        agent.restart();
        let stream = scene.produce(12_000, step as u64, &["--rate", "8000"]);
        if failpoint.starts_with("revoke.") {
            agent.wait_ready();
            agent.signal(libc::SIGTERM);
        }
        let status = agent.wait_exit();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{failpoint} was not reached: {status}");
        agent.set("STREAMGAUGE_FAILPOINTS", None);
        agent.restart();
        stream.finish();
        println!("died at {failpoint}");
        scene.assert_equals_recount(&[&agent]);
    }
}

#[test]
fn an_aborted_transaction_loses_nothing_and_counts_nothing_twice() {
    let scene = Scene::new("aborted", 4);
    let failing = "commit.offsets_sent=fail@3,commit.produced=fail@6";
    let mut agent = scene.agent_with(&[("STREAMGAUGE_FAILPOINTS", failing)]);
    agent.wait_ready();
    scene.produce(60_000, 3, &["--rate", "20000"]).finish();
    scene.assert_equals_recount(&[&agent]);
    let page = agent.scrape();
    assert_eq!(number(&page, "streamgauge_epochs_aborted_total", &[("reason", "kafka")]), 2.0);
}
