//! Closed windows are on one page of the group, and they are the whole group's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::oracle::{ONE_MINUTE, Recount, Sample, parse_page};
use crate::scene::Scene;

/// Minutes windows of `http` on the agents' pages, by endpoint; with the page's number.
fn shown(agents: &[&Agent]) -> Vec<(usize, Sample)> {
    let page = |(at, agent): (usize, &&Agent)| {
        let samples = agent.try_get("/metrics").map(|(_, page)| parse_page(&page).expect("a sound page"));
        samples.unwrap_or_default().into_iter().map(move |sample| (at, sample)).collect::<Vec<_>>()
    };
    let minute = |sample: &Sample| sample.labels.get("window").is_some_and(|window| window == "1m");
    agents.iter().enumerate().flat_map(page).filter(|(_, sample)| minute(sample)).collect()
}

/// The end of the newest closed minute, Unix milliseconds, and which agent shows it; none while nobody does.
fn newest(agents: &[&Agent]) -> Option<(usize, i64)> {
    let shown = shown(agents);
    let mut ends = shown.iter().filter(|(_, sample)| sample.name == "http_window_end_timestamp_seconds");
    let (at, end) = ends.next()?;
    assert!(ends.next().is_none(), "two agents show closed windows");
    Some((*at, (end.value * 1_000.0) as i64))
}

fn assert_equals(agents: &[&Agent], recount: &Recount, end: i64) {
    let wanted = recount.window("http", ONE_MINUTE, end - ONE_MINUTE.size);
    assert!(!wanted.is_empty());
    let samples = shown(agents);
    let mut counts = BTreeMap::new();
    for (_, sample) in samples.iter().filter(|(_, sample)| sample.name == "http_window_requests") {
        let before = counts.insert(vec![sample.labels["endpoint"].clone()], sample.value);
        assert!(before.is_none(), "twice: {sample:?}");
    }
    let wanted: BTreeMap<_, _> = wanted.into_iter().map(|(key, cell)| (key, cell.requests as f64)).collect();
    assert_eq!(counts, wanted);
}

/// The newest window that the recount says is closed: every partition has passed its end plus grace.
fn closed(recount: &Recount) -> i64 {
    let slowest = recount.partitions.values().filter_map(|partition| partition.stream_time).min().expect("events");
    (slowest - crate::oracle::GRACE).div_euclid(ONE_MINUTE.size) * ONE_MINUTE.size
}

#[test]
fn closed_windows_show_once_in_the_group_with_everybodys_events_and_move_on_with_their_publisher() {
    let scene = Scene::new("windows-once", 6).kafka_line("session_timeout: 6s");
    let mut agents = [scene.agent(), scene.agent(), scene.agent()];
    agents.iter_mut().for_each(Agent::wait_ready);
    scene.produce_now(300_000, 5);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agents[0], &agents[1], &agents[2]], &recount);
    let end = closed(&recount);
    let all = |agents: &[Agent; 3]| newest(&[&agents[0], &agents[1], &agents[2]]);
    wait_until("the newest closed window shows", || all(&agents).is_some_and(|(_, shown)| shown >= end));
    let (publisher, shown) = all(&agents).expect("it shows");
    // As long as no partition is idle. Then the window of the last event closes too.
    if shown == end {
        assert_equals(&[&agents[0], &agents[1], &agents[2]], &recount, end);
    }
    agents[publisher].kill9();
    let rest: Vec<&Agent> = agents.iter().enumerate().filter(|(at, _)| *at != publisher).map(|(_, a)| a).collect();
    let until = Instant::now() + Duration::from_secs(60);
    let after = loop {
        if let Some((_, after)) = newest(&rest) {
            assert!(after >= shown, "back from {shown} to {after}");
            break after;
        }
        assert!(Instant::now() < until, "nobody shows windows after the publisher died");
        std::thread::sleep(Duration::from_millis(100));
    };
    if after == end {
        wait_until("it is complete", || {
            let complete = |(_, sample): &(usize, Sample)| sample.name == "http_window_complete" && sample.value == 1.0;
            super::windows::shown(&rest).iter().any(complete)
        });
        assert_equals(&rest, &recount, end);
    }
}
