//! In a real Prometheus a total is one series that only grows, whoever counts it: across a kill, a restart and a move of
//! partitions between two agents its end is the number of events produced, and it was never reset.

use std::time::Duration;

use super::servers::Prometheus;
use super::stream::Stream;
use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::oracle::Recount;
use crate::scene::Scene;

#[test]
fn totals_in_prometheus_equal_the_events_across_a_restart_and_a_move_of_partitions() {
    let scene = Scene::new("moved", 6).kafka_line("on_shutdown: leave").kafka_line("session_timeout: 6s");
    let mut first = scene.agent();
    first.wait_ready();
    // Its address has to be known before it runs; it joins later.
    let mut second = scene.agent();
    second.kill9();
    let prometheus = Prometheus::start(&[first.http(), second.http()], None);
    let stream = Stream::start(&scene, 30, 3_000, &[]);
    std::thread::sleep(Duration::from_secs(4));
    first.kill9();
    std::thread::sleep(Duration::from_secs(2));
    first.restart();
    wait_until("the first is back", || owned(&prometheus, &first) == 6.0);
    second.restart();
    wait_until("partitions have moved", || owned(&prometheus, &second) >= 2.0 && owned(&prometheus, &first) >= 2.0);
    std::thread::sleep(Duration::from_secs(3));
    assert!(first.terminate().success());
    wait_until("they have moved again", || owned(&prometheus, &second) == 6.0);
    stream.finish();

    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    assert_eq!(recount.events(), 90_000);
    scene.wait_caught_up(&[&second], &recount);
    wait_until("Prometheus has scraped the end", || prometheus.number("sum(http_requests_total)") == Some(90_000.0));
    for total in
        ["http_requests_total", "http_errors_total", "http_status_requests_total", "http_duration_seconds_count"]
    {
        assert_eq!(prometheus.number(&format!("sum(resets({total}[5m]))")), Some(0.0), "{total}");
    }
    // One series for each endpoint and partition, from the first scrape to the last, whoever was its owner.
    let series = prometheus.number("count(count_over_time(http_requests_total[5m]))");
    assert_eq!(series, Some(8.0 * 6.0));
    for (endpoint, cell) in recount.merged_totals("http") {
        let of = |metric: &str| prometheus.number(&format!("sum({metric}{{endpoint=\"{}\"}})", endpoint[0]));
        assert_eq!(of("http_requests_total"), Some(cell.requests as f64), "{endpoint:?}");
        assert_eq!(of("http_errors_total"), Some(cell.errors as f64), "{endpoint:?}");
    }
}

/// Partitions that an agent shows, as Prometheus sees it.
fn owned(prometheus: &Prometheus, agent: &Agent) -> f64 {
    prometheus.number(&format!("sum(streamgauge_lease_held{{instance=\"{}\"}})", agent.http())).unwrap_or(0.0)
}
