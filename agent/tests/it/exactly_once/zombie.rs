//! A process that stands still for longer than its session, and then goes on as if nothing had happened.

use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::agent::http_get;
use crate::scene::{Scene, number};

const GROUP_WIDE: [&str; 2] = ["http_requests_total{", "http_window_requests{"];

#[test]
fn a_stopped_agent_that_goes_on_shows_nothing_old_commits_nothing_and_joins_again() {
    let scene = Scene::new("zombie", 6).kafka_line("session_timeout: 6s");
    let mut zombie = scene.agent();
    zombie.wait_ready();
    let stream = scene.produce(240_000, 7, &["--rate", "8000"]);
    std::thread::sleep(Duration::from_secs(2));
    let mut other = scene.agent();
    other.wait_ready();
    let watch = Watch::start(&[zombie.http(), other.http()]);
    std::thread::sleep(Duration::from_secs(2));
    zombie.pause();
    std::thread::sleep(Duration::from_secs(15));
    zombie.resume();
    // Its first words: nothing that belongs to the whole group.
    let page = first_page(&zombie);
    let shown = GROUP_WIDE.iter().find(|series| page.contains(**series));
    assert_eq!(shown, None, "{page}");
    stream.finish();
    scene.assert_equals_recount(&[&zombie, &other]);
    crate::kafka::wait_until("both have a share again", || {
        [&zombie, &other].iter().all(|agent| agent.scrape().contains("http_requests_total{"))
    });
    watch.finish();
    assert!(number(&zombie.scrape(), "streamgauge_rebalances_total", &[("event", "lost")]) > 0.0);
    assert!(zombie.terminate().success() && other.terminate().success());
}

fn first_page(agent: &crate::agent::Agent) -> String {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some((200, page)) = http_get(agent.http(), "/metrics", Duration::from_secs(5)) {
            return page;
        }
        assert!(Instant::now() < until, "the resumed agent does not answer");
    }
}
