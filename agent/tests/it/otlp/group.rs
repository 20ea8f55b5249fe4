//! The push of a group: whoever pushes for it pushes everybody's events, and a receiver that adds up gets them all.

use super::{expected, pushed};
use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::oracle::Recount;
use crate::receiver::Receiver;
use crate::scene::{Scene, number};

/// Waits until every window that event time has closed has arrived, and compares. A window may come again, when another
/// agent goes on where the dead one had not noted that it was; never with another value.
fn assert_whole(receiver: &Receiver, recount: &Recount) {
    let expected = expected(recount);
    assert!(expected.len() > 50, "{} closed windows are too few to prove anything", expected.len());
    wait_until("every closed window arrives", || {
        let found = pushed(&receiver.points());
        expected.keys().all(|window| found.contains_key(window))
    });
    let found = pushed(&receiver.points());
    let is_wrong = |(window, value): &(&_, &f64)| found[*window].iter().any(|pushed| pushed != *value);
    let wrong: Vec<_> = expected.iter().filter(is_wrong).map(|(w, v)| (w, v, &found[w])).take(10).collect();
    assert!(wrong.is_empty(), "not the whole group's: {wrong:?}");
    let complete = receiver.named("http_window_complete");
    assert!(complete.iter().all(|point| point.value == 1.0), "a window was pushed without a partition");
}

fn dropped(agents: &[&Agent]) -> f64 {
    let page = |agent: &&Agent| agent.scrape();
    let names = ["streamgauge_otlp_dropped_windows_total", "streamgauge_otlp_incomplete_windows_total"];
    agents.iter().map(page).map(|page| names.iter().map(|name| number(&page, name, &[])).sum::<f64>()).sum()
}

#[test]
fn two_agents_push_every_window_with_everybodys_events_and_so_do_three_after_a_death() {
    let receiver = Receiver::start();
    let section = format!("otlp:\n  endpoint: {}\n", receiver.http());
    let scene = Scene::new("pushed-by-two", 6).section(&section).kafka_line("session_timeout: 6s");
    let mut agents = vec![scene.agent(), scene.agent()];
    agents.iter_mut().for_each(Agent::wait_ready);
    // More than 4,000 a second: two of them fold a minute of event time in a second or two.
    let stream = scene.produce(240_000, 7, &["--rate", "20000"]);
    wait_until("both have a share", || {
        agents.iter().all(|agent| number(&agent.scrape(), "http_requests_total", &[]) > 0.0)
    });
    let publisher = agents.iter().position(|agent| agent.scrape().contains("http_window_end_timestamp_seconds{"));
    stream.finish();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agents[0], &agents[1]], &recount);
    assert_whole(&receiver, &recount);
    assert_eq!(dropped(&[&agents[0], &agents[1]]), 0.0);

    agents.push(scene.agent());
    agents[2].wait_ready();
    let stream = scene.produce(240_000, 8, &["--rate", "20000"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    agents[publisher.unwrap_or(0)].kill9();
    stream.finish();
    agents[publisher.unwrap_or(0)].restart();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agents[0], &agents[1], &agents[2]], &recount);
    assert_whole(&receiver, &recount);
    assert_eq!(dropped(&[&agents[0], &agents[1], &agents[2]]), 0.0);
}

#[test]
fn merged_totals_are_pushed_as_they_are_shown() {
    let receiver = Receiver::start();
    let section = format!("otlp: {{ endpoint: \"{}\", interval: 1s }}\n", receiver.http());
    let scene = Scene::new("merged-pushed", 4).section(&section).state_line("global_view: true").replacing(
        "    retention: 2h                       # closed",
        "    publish: merged\n    retention: 2h  # closed",
    );
    let mut agents = [scene.agent(), scene.agent()];
    agents.iter_mut().for_each(Agent::wait_ready);
    scene.produce_now(40_000, 3);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    let merged = || {
        let points = receiver.named("http_requests_total");
        let newest = points.iter().map(|point| point.time).max()?;
        Some(points.iter().filter(|point| point.time == newest).map(|point| point.value).sum::<f64>())
    };
    wait_until("all requests have been pushed", || merged() == Some(recount.events() as f64));
    let points = receiver.named("http_requests_total");
    assert!(points.iter().all(|point| !point.labels.contains_key("partition")), "they are the group's");
    let mut highest = std::collections::BTreeMap::new();
    for point in &points {
        let before = highest.insert(&point.labels, point.value).unwrap_or(0.0);
        assert!(before <= point.value, "{:?} went back from {before} to {}", point.labels, point.value);
    }
}
