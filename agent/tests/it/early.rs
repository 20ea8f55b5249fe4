//! One event ahead of its time, and a producer whose clock is ahead: what others send in the meantime is on time, windows
//! close and show, and what was dated ahead is in the window that it names, once time has got there.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::oracle::{GRACE, ONE_MINUTE, Recount, parse_page};
use crate::scene::{Scene, number, unix_millis};

const MINUTE: i64 = 60_000;
const EVENTS: i64 = 2_450;

/// An event at `time` in a record that says `written`.
fn send(scene: &Scene, producer: &BaseProducer, partition: i32, (time, written): (i64, i64)) {
    let event = format!(
        r#"{{"timestamp": {time}, "endpoint": "/api/users", "method": "GET", "status": 200, "response_time_ms": 12.5, "region": "us-east"}}"#
    );
    let record: BaseRecord<'_, str, str> =
        BaseRecord::to(&scene.topic).partition(partition).timestamp(written).payload(&event);
    producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    producer.poll(Duration::ZERO);
}

/// One event in each partition every 100 ms of this time, each as old as its record.
fn send_steadily(scene: &Scene, producer: &BaseProducer, from: i64, count: i64) {
    for time in (0..count).map(|nth| from + nth * 100) {
        (0..2).for_each(|partition| send(scene, producer, partition, (time, time)));
    }
}

/// End and number of requests of the newest closed minute on the page.
fn newest_window(agent: &Agent) -> Option<(i64, f64)> {
    let samples = parse_page(&agent.scrape()).expect("a sound page");
    let of = |name: &str| {
        let is_minute = |window: &String| window == "1m";
        let mut found = samples.iter().filter(|s| s.name == name && s.labels.get("window").is_some_and(is_minute));
        found.next().map(|sample| sample.value)
    };
    let end = of("http_window_end_timestamp_seconds")?;
    Some(((end * 1_000.0) as i64, of("http_window_requests").unwrap_or_default()))
}

/// What the recount says of the newest minute that every partition has passed by the grace.
fn closed(recount: &Recount) -> (i64, f64) {
    let slowest = recount.partitions.values().filter_map(|partition| partition.stream_time).min().expect("events");
    let end = (slowest - GRACE).div_euclid(MINUTE) * MINUTE;
    let requests: u64 = recount.window("http", ONE_MINUTE, end - MINUTE).values().map(|cell| cell.requests).sum();
    (end, requests as f64)
}

fn assert_shows(agent: &Agent, recount: &Recount) {
    let (end, requests) = closed(recount);
    wait_until("the newest closed window shows", || newest_window(agent).is_some_and(|(shown, _)| shown >= end));
    assert_eq!(newest_window(agent), Some((end, requests)));
}

#[test]
fn an_event_59_minutes_ahead_of_its_record_is_counted_and_takes_no_window_from_anybody() {
    let scene = Scene::new("early", 2);
    let producer = scene.kafka.producer();
    let mut agent = scene.agent();
    let began = (unix_millis() - 15 * MINUTE).div_euclid(MINUTE) * MINUTE;
    let ahead = began + 59 * MINUTE;
    send_steadily(&scene, &producer, began, 100);
    send(&scene, &producer, 0, (ahead, began));
    send_steadily(&scene, &producer, began + 10_000, EVENTS - 100);
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!((recount.late("http"), recount.early(), recount.events()), (0, 1, 2 * EVENTS as u64 + 1));
    assert_shows(&agent, &recount);
    let page = agent.scrape();
    assert_eq!(number(&page, "streamgauge_late_events_total", &[]), 0.0);
    assert_eq!(number(&page, "streamgauge_early_events_total", &[("source", "requests")]), 1.0);

    // Whoever reads it again comes to the same: from the changelog, and from the topic.
    agent.kill9();
    std::fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
    agent.restart();
    send_steadily(&scene, &producer, began + EVENTS * 100, 600);
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.late("http"), 0);
    assert_shows(&agent, &recount);

    // Time gets there: the window closes with that event among the others.
    send_steadily(&scene, &producer, ahead - 20_000, 1_200);
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_shows(&agent, &recount);
    let (end, requests) = closed(&recount);
    assert_eq!((end, requests), (ahead + MINUTE, 2.0 * 600.0 + 1.0));
}
