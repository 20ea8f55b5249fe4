//! The push of the whole agent: real Kafka, a receiver that goes away, an agent that is killed, and a real Prometheus.

mod group;
mod prometheus;
mod signals;
mod since;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::heavy_tests;
use crate::kafka::wait_until;
use crate::oracle::{AGGREGATES, GRACE, Recount, WindowId, parse_page};
use crate::receiver::{Point, Receiver};
use crate::scene::{Scene, number};

/// Start, end and key of a window of the recount that every partition has passed, with its requests.
type Expected = BTreeMap<(&'static str, i64, i64, Vec<String>), f64>;

/// All windows that are closed by event time alone.
fn expected(recount: &Recount) -> Expected {
    let slowest = recount.partitions.values().filter_map(|partition| partition.stream_time).min().expect("events");
    let closed = |id: &&WindowId| id.start + id.window.size + GRACE <= slowest;
    let mut expected = Expected::new();
    for id in recount.windows.keys().filter(closed) {
        for (key, cell) in &recount.windows[id] {
            expected.insert((id.aggregate, id.start, id.start + id.window.size, key.clone()), cell.requests as f64);
        }
    }
    expected
}

/// The requests of each pushed window, and how often each came.
fn pushed(points: &[Point]) -> BTreeMap<(&'static str, i64, i64, Vec<String>), Vec<f64>> {
    let mut found = BTreeMap::<_, Vec<f64>>::new();
    for aggregate in &AGGREGATES {
        let name = format!("{}_window_requests", aggregate.name);
        for point in points.iter().filter(|point| point.name == name) {
            let key = aggregate.by.iter().map(|label| point.labels[*label].clone()).collect();
            found.entry((aggregate.name, point.start, point.time, key)).or_default().push(point.value);
        }
    }
    found
}

/// Waits until all that is closed has arrived, and compares: each once, with its own time and value.
fn assert_every_window_once(agent: &Agent, receiver: &Receiver, recount: &Recount) {
    let expected = expected(recount);
    assert!(expected.len() > 50, "{} closed windows are too few to prove anything", expected.len());
    wait_until("every closed window arrives", || {
        let found = pushed(&receiver.points());
        expected.keys().all(|window| found.contains_key(window))
    });
    wait_until("nothing waits", || number(&agent.scrape(), "streamgauge_otlp_queued_windows", &[]) == 0.0);
    let found = pushed(&receiver.points());
    let wrong: Vec<_> = expected.iter().filter(|(window, value)| found[*window] != [**value]).take(10).collect();
    assert!(wrong.is_empty(), "not once, or not with this value: {wrong:?}");
    assert!(found.values().all(|values| values.len() == 1), "a window came twice");
    assert_eq!(number(&agent.scrape(), "streamgauge_otlp_dropped_windows_total", &[]), 0.0);
}

#[test]
fn an_outage_of_the_receiver_and_a_kill_of_the_agent_lose_no_window_and_repeat_none() {
    let mut receiver = Receiver::start();
    let section = format!("otlp:\n  endpoint: {}\n  protocol: grpc\n  compression: gzip\n", receiver.grpc());
    let scene = Scene::new("pushed", 3).section(&section);
    receiver.go_away();
    let mut agent = scene.agent();
    scene.produce_now(240_000, 7);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agent], &recount);
    wait_until("closed windows wait", || number(&agent.scrape(), "streamgauge_otlp_queued_windows", &[]) > 0.0);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    receiver.come_back();
    assert_every_window_once(&agent, &receiver, &recount);
    let log = agent.log();
    assert!(log.contains("takes nothing") && log.contains("answers again"), "the outage is in the log");
    promtool_finds_nothing_wrong_with(&agent.scrape());
}

/// `scripts/test --all`: three minutes without a receiver, while events and windows go on in real time.
#[test]
fn an_outage_of_three_minutes_leaves_no_gap() {
    if !heavy_tests() {
        return;
    }
    let mut receiver = Receiver::start();
    let section = format!("otlp:\n  endpoint: {}\n", receiver.http());
    let scene = Scene::new("outage", 3).section(&section);
    let mut agent = scene.agent();
    agent.wait_ready();
    let producing = scene.produce(300_000, 8, &["--rate", "1000"]);
    // A minute and its grace, at worst two.
    let first = || !receiver.named("http_window_requests").is_empty();
    wait_long("the first window", Duration::from_secs(150), first);
    receiver.go_away();
    std::thread::sleep(Duration::from_secs(180));
    receiver.come_back();
    producing.finish();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agent], &recount);
    assert_every_window_once(&agent, &receiver, &recount);
}

/// Names that kafka_exporter gave its metrics, and that dashboards know; promtool would have them otherwise. Frozen: a
/// name of our own does not come in here.
const KAFKA_EXPORTER: [&str; 14] = [
    "kafka_brokers",
    "kafka_topic_partitions",
    "kafka_topic_partition_current_offset",
    "kafka_topic_partition_oldest_offset",
    "kafka_topic_partition_in_sync_replica",
    "kafka_topic_partition_leader",
    "kafka_topic_partition_leader_is_preferred",
    "kafka_topic_partition_replicas",
    "kafka_topic_partition_under_replicated_partition",
    "kafka_consumergroup_current_offset",
    "kafka_consumergroup_current_offset_sum",
    "kafka_consumergroup_lag",
    "kafka_consumergroup_lag_sum",
    "kafka_consumergroup_members",
];

fn promtool_finds_nothing_wrong_with(page: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let promtool = prometheus::tool("promtool", "STREAMGAUGE_PROMTOOL");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("promtool reads");
    let out = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    let frozen = |line: &&str| !KAFKA_EXPORTER.iter().any(|name| line.split(' ').next() == Some(name));
    let complaints: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).filter(frozen).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Waits up to `patience`, for what takes longer than other waits.
fn wait_long(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < until, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_is_known_of_the_cluster_has_the_same_names_scraped_and_pushed() {
    let receiver = Receiver::start();
    let section = format!(
        "otlp: {{ endpoint: \"{}\", interval: 1s }}\ncluster: {{ interval: 2s, lag: {{ interval: 2s }} }}\n",
        receiver.http()
    );
    let scene = Scene::new("cluster-pushed", 2).section(&section);
    let mut agent = scene.agent();
    agent.wait_ready();
    let of_kafka = |name: &String| name.starts_with("kafka_") && !name.starts_with("kafka_producer_");
    let pushed = || receiver.points().into_iter().map(|point| point.name).filter(of_kafka).collect::<BTreeSet<_>>();
    let scraped = || {
        let page = parse_page(&agent.scrape()).expect("a page").into_iter();
        page.map(|sample| sample.name).filter(of_kafka).collect::<BTreeSet<_>>()
    };
    wait_until("lag is known", || pushed().contains("kafka_consumergroup_members"));
    wait_until("both know the same", || scraped() == pushed());
    assert!(scraped().len() > 8, "{:?}", scraped());
    let partitions = receiver.named("kafka_topic_partitions");
    assert!(partitions.iter().any(|point| point.labels["topic"] == scene.topic && point.value == 2.0));
}
