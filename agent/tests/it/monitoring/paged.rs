//! From the fault to the page: Kafka, agent, producer, Prometheus and Alertmanager with the shipped configs. Three things
//! break; each time the right alert arrives at the webhook and resolves, and nothing else fires meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::servers::{Alertmanager, Prometheus, Webhook};
use super::stream::Stream;
use crate::scene::{Scene, unix_millis};

const PARTITIONS: i32 = 4;
/// The endpoint that fails.
const ENDPOINT: &str = "/api/payments";

/// The alerts that are expected now, and the patience for each step.
struct Watch<'a> {
    prometheus: &'a Prometheus,
    webhook: &'a Webhook,
    expected: BTreeSet<&'static str>,
}

impl Watch<'_> {
    /// Waits until the alert has arrived, firing or resolved, and looks meanwhile that nothing unexpected fires.
    fn arrives(&mut self, name: &'static str, firing: bool) -> Duration {
        self.expected.insert(name);
        let begun = Instant::now();
        loop {
            self.nothing_else();
            let of_it = self.webhook.arrived().into_iter().rfind(|arrived| arrived.name == name);
            if of_it.is_some_and(|arrived| arrived.firing == firing) {
                return begun.elapsed();
            }
            let word = if firing { "fire" } else { "resolve" };
            let pending = self.prometheus.alerts("pending");
            assert!(begun.elapsed() < Duration::from_secs(110), "{name} did not {word}; pending: {pending:?}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn quiet_for(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.nothing_else();
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Neither in Prometheus nor at the webhook is there an alert that nothing explains.
    fn nothing_else(&self) {
        let arrived = self.webhook.arrived().into_iter().map(|arrived| arrived.name);
        for name in self.prometheus.alerts("firing").into_iter().chain(arrived) {
            assert!(self.expected.contains(name.as_str()), "{name} fires; expected were {:?}", self.expected);
        }
    }
}

#[test]
fn the_right_alert_arrives_and_resolves_for_each_fault_and_no_other() {
    let scene = Scene::new("paged", PARTITIONS);
    let mut agent = scene.agent();
    agent.wait_ready();
    let webhook = Webhook::start();
    let alertmanager = Alertmanager::start(webhook.address());
    let stream = Stream::start(&scene, 400, 1_000, &[]);
    let prometheus = Prometheus::start(&[agent.http()], Some(alertmanager.address()));
    let mut watch = Watch { prometheus: &prometheus, webhook: &webhook, expected: BTreeSet::new() };
    watch.quiet_for(Duration::from_secs(10));

    agent.kill9();
    watch.arrives("StreamgaugeDown", true);
    agent.restart();
    watch.arrives("StreamgaugeDown", false);

    flood(&scene, 500, 30_000);
    watch.arrives("ErrorBudgetBurn14x", true);
    let burning =
        webhook.arrived().into_iter().find(|arrived| arrived.name == "ErrorBudgetBurn14x").expect("it arrived");
    assert_eq!((burning.alert["labels"]["endpoint"].as_str(), burning.path.as_str()), (Some(ENDPOINT), "/page"));
    // As many that succeed: half of the requests have failed then, which is within 14.4 budgets.
    flood(&scene, 200, 30_000);
    watch.arrives("ErrorBudgetBurn14x", false);

    agent.terminate();
    agent.set("STREAMGAUGE_FAILPOINTS", Some("commit.begun=sleep:75000@30"));
    agent.restart();
    watch.arrives("StreamgaugeEventTimeBehind", true);
    watch.arrives("StreamgaugeEventTimeBehind", false);
    drop(stream);

    for arrived in webhook.arrived() {
        let text = |key: &str| arrived.alert["annotations"][key].as_str().unwrap_or_default().to_owned();
        for key in ["summary", "description", "runbook_url", "dashboard_url"] {
            assert!(
                text(key).len() > 10 && !text(key).contains("<no value>"),
                "{}: {key} is {:?}",
                arrived.name,
                text(key)
            );
        }
    }
}

/// So many requests of one endpoint, all with one status, dated now.
fn flood(scene: &Scene, status: u16, count: usize) {
    let event = format!(
        "{{\"timestamp\": {}, \"endpoint\": \"{ENDPOINT}\", \"method\": \"POST\", \"status\": {status}, \"response_time_ms\": 30.5, \
         \"region\": \"us-east\", \"user_id\": \"user_000001\", \"message\": \"flood\"}}",
        unix_millis()
    );
    for partition in 0..PARTITIONS {
        scene.kafka.produce(
            &scene.topic,
            partition,
            (0..count / PARTITIONS as usize).map(|_| ("flood", event.as_str())),
        );
    }
}
