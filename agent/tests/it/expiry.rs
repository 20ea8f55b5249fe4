//! What is gone for good: totals that `key_ttl` has dropped, and a state that is lost while the group has offsets.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::agent::{Agent, http_get_as};
use crate::kafka::wait_until;
use crate::oracle::{Recount, parse_page};
use crate::scene::{Scene, number, unix_millis};

const TIMEOUT: Duration = Duration::from_secs(30);
const HOUR: i64 = 3_600_000;

/// So many requests to an endpoint, in records as old as they are.
fn send(scene: &Scene, producer: &BaseProducer, endpoint: &str, time: i64, count: u64) {
    for _ in 0..count {
        let event = format!(
            r#"{{"timestamp": {time}, "endpoint": "{endpoint}", "method": "GET", "status": 200, "response_time_ms": 12.5, "region": "us-east"}}"#
        );
        let record: BaseRecord<'_, str, str> =
            BaseRecord::to(&scene.topic).partition(0).timestamp(time).payload(&event);
        producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
}

/// Totals of an aggregate by endpoint, and since when they count in seconds.
fn told(agent: &Agent, aggregate: &str) -> BTreeMap<String, (f64, f64)> {
    let (_, page) = http_get_as(agent.http(), "/metrics", "application/openmetrics-text", TIMEOUT).expect("a page");
    let samples = parse_page(&page).expect("a sound page");
    let of = |what: &str| {
        let name = format!("{aggregate}_requests_{what}");
        let found = samples.iter().filter(move |sample| sample.name == name);
        found.map(|sample| (sample.labels["endpoint"].clone(), sample.value)).collect::<BTreeMap<_, _>>()
    };
    let since = of("created");
    of("total").into_iter().map(|(key, total)| (key.clone(), (total, since[&key]))).collect()
}

fn wait_for(agent: &Agent, wanted: &[(&str, f64)]) -> BTreeMap<String, (f64, f64)> {
    let wanted: BTreeMap<String, f64> = wanted.iter().map(|(key, total)| ((*key).to_owned(), *total)).collect();
    let totals = || told(agent, "http").into_iter().map(|(key, (total, _))| (key, total)).collect::<BTreeMap<_, _>>();
    wait_until(&format!("the totals are {wanted:?}"), || totals() == wanted);
    told(agent, "http")
}

#[test]
fn a_key_that_time_to_live_has_dropped_comes_back_as_a_new_one_and_others_go_on() {
    let scene = Scene::new("key-ttl", 1)
        .replacing("    retention: 2h                       # closed", "    key_ttl: 2h\n    retention: 2h  # closed");
    let producer = scene.kafka.producer();
    let mut agent = scene.agent();
    agent.wait_ready();
    let began = unix_millis() - 5 * HOUR;
    send(&scene, &producer, "/seldom", began, 10);
    send(&scene, &producer, "/often", began, 10);
    let first = wait_for(&agent, &[("/seldom", 10.0), ("/often", 10.0)]);

    // Three hours later by event time one of them has not been seen for longer than two.
    send(&scene, &producer, "/often", began + 3 * HOUR, 10);
    wait_for(&agent, &[("/often", 20.0)]);
    let dropped_at = unix_millis();
    send(&scene, &producer, "/seldom", began + 3 * HOUR + 1_000, 4);
    let second = wait_for(&agent, &[("/seldom", 4.0), ("/often", 20.0)]);
    assert_eq!(second["/often"].1, first["/often"].1, "it goes on");
    assert!(first["/seldom"].1 <= dropped_at as f64 / 1e3 && second["/seldom"].1 >= dropped_at as f64 / 1e3);

    // Aggregates without a time to live have everything, as the recount has it.
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    for (key, cell) in recount.merged_totals("http_status") {
        let labels = [("endpoint", key[0].as_str())];
        let total = number(&agent.scrape(), "http_status_requests_total", &labels);
        assert_eq!(total, cell.requests as f64, "{key:?}");
    }

    // What was dropped stays dropped, and what began then still did, for whoever reads the state back.
    for without_files in [false, true] {
        agent.kill9();
        if without_files {
            fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
        }
        agent.restart();
        agent.wait_ready();
        assert_eq!(wait_for(&agent, &[("/seldom", 4.0), ("/often", 20.0)]), second);
    }
    send(&scene, &producer, "/seldom", began + 3 * HOUR + 2_000, 1);
    wait_for(&agent, &[("/seldom", 5.0), ("/often", 20.0)]);
}

/// 20 events are counted, then changelog and files are lost; 7 more come before the agent starts again.
fn after_a_loss(what: &str, on_loss: &str) -> (Scene, Agent) {
    let scene = Scene::new(what, 1).state_line(&format!("on_loss: {on_loss}"));
    let producer = scene.kafka.producer();
    let mut agent = scene.agent();
    agent.wait_ready();
    let began = unix_millis() - HOUR;
    send(&scene, &producer, "/a", began, 20);
    wait_for(&agent, &[("/a", 20.0)]);
    assert!(agent.terminate().success());
    scene.kafka.delete_topic(&format!("streamgauge-{}-{}-changelog", scene.group, scene.topic));
    fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
    send(&scene, &producer, "/a", began + 1_000, 7);
    agent.restart();
    (scene, agent)
}

#[test]
fn a_lost_state_stops_the_agent_which_says_what_can_be_chosen() {
    let (_scene, mut agent) = after_a_loss("lost-fail", "fail");
    assert_eq!(agent.wait_exit().code(), Some(1));
    assert!(agent.log().contains("the state is gone") && agent.log().contains("state.on_loss"), "{}", agent.log());
}

#[test]
fn a_lost_state_counted_again_from_the_earliest_record_equals_the_recount() {
    let (scene, agent) = after_a_loss("lost-earliest", "earliest");
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.events(), 27);
}

#[test]
fn a_lost_state_that_is_gone_on_without_has_what_came_afterwards() {
    let (_scene, mut agent) = after_a_loss("lost-continue", "continue");
    agent.wait_ready();
    wait_for(&agent, &[("/a", 7.0)]);
}
