//! Every query of every dashboard, filled in as Grafana does, against a Prometheus that scrapes real agents under load: no
//! error, nothing empty, and the main numbers are the producer's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use streamgauge_proto::v1::load_test_service_client::LoadTestServiceClient;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{QueryRequest, StartLoadTestRequest};

use super::names::queries;
use super::panels::{FOUR_SCRAPES, OF_A_DOOR, OF_A_REGISTRY, OF_BROKERS, boards, filled_in, range, unmoved};
use super::servers::Prometheus;
use super::stream::Stream;
use crate::agent::{Agent, free_address, repository};
use crate::ingest::Client;
use crate::kafka::{block_on, block_on_io, wait_until};
use crate::oracle::Recount;
use crate::scene::Scene;

const PARTITIONS: i32 = 4;
const RATE: f64 = 2_000.0;
/// What the main numbers are rates over.
const RATED: &str = "20s";

/// Looks after the cluster more often than a production agent would, and probes it.
const CLUSTER: &str =
    "cluster:\n  interval: 2s\n  lag: { interval: 2s }\n  probe: { enabled: true }\n  load_tests: { allow: true }\n";

/// A receiver of OTLP that is down.
const NOBODY: &str = "otlp: { endpoint: \"http://127.0.0.1:1\" }\n";

/// An aggregate with more keys than its limit, not for events that name no user, and of what is in a text that is no JSON.
const SMALL: &str = "aggregates:\n  small:\n    source: requests\n    by: { user: { field: user_id, required: true } }\n    limit: 10\n    windows: [1m]\n    \
                     measures: { requests: count, hints: { sum: message.hint } }\n";

/// Front doors: the first agent's has a topic that takes no large events, the second one's a topic that is not there.
const DOOR: &str = "ingest:\n  topic: ${INGEST_TOPIC}\n  listen: ${INGEST_LISTEN}\n  delivery_timeout: 2s\n  circuit_open: 1s\n  \
                    buffer_size: 1MiB\n  spool_size: 1MiB\n  batches_per_second: 0\n";

fn config(scene: &Scene) -> String {
    let config = scene.config();
    assert_eq!(config.matches("\naggregates:\n").count(), 1);
    let topics = format!("topics: [{}]", scene.topic);
    assert_eq!(config.matches(&topics).count(), 1);
    let config = config.replace(&topics, &format!("{topics}\n    parse: {{ message: json }}"));
    config.replace("\naggregates:\n", &format!("\n{SMALL}"))
}

/// A scene whose first agent has had every misfortune that a panel is there to show: records that Kafka deleted, a
/// damaged state file, dead letters that nobody takes.
fn unlucky(scene: &Scene) -> Agent {
    // Dead letters are larger than this topic takes.
    scene.kafka.create_topic(&format!("{}-dlq", scene.topic), 1, &[("max.message.bytes", "100")]);
    let topic = format!("{}-ingest", scene.topic);
    scene.kafka.create_topic(&topic, 1, &[("max.message.bytes", "5000")]);
    let door = free_address().to_string();
    let variables = [("INGEST_TOPIC", topic.as_str()), ("INGEST_LISTEN", door.as_str())];
    let mut agent = Agent::start_with(scene.kafka.bootstrap(), &config(scene), &variables);
    scene.produce_now(4_000, 1);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agent], &recount);
    assert!(agent.terminate().success());
    scene.produce_now(4_000, 2);
    delete_all_records(scene);
    let file = agent.state_dir().join("tasks").join(&scene.topic).join("0.redb");
    fs::write(&file, "not a database").expect("the state file is overwritten");
    agent
}

fn delete_all_records(scene: &Scene) {
    let admin: AdminClient<DefaultClientContext> = scene.kafka.client().create().expect("an admin client");
    let mut ends = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        ends.add_partition_offset(&scene.topic, partition, Offset::End).expect("an offset");
    }
    block_on(admin.delete_records(&ends, &AdminOptions::new())).expect("the brokers delete them");
}

#[test]
fn every_query_of_every_dashboard_has_an_answer_under_load() {
    let scene = Scene::new("panels", PARTITIONS)
        .kafka_line("dead_letters: drop_and_count")
        .section(CLUSTER)
        .section(NOBODY)
        .section(DOOR);
    let mut first = unlucky(&scene);
    // Aborts a commit, too, once.
    first.set("STREAMGAUGE_FAILPOINTS", Some("restore.loaded=sleep:3000,commit.produced=fail@20"));
    // Falls behind, once.
    let door = free_address().to_string();
    let slow = [
        ("STREAMGAUGE_FAILPOINTS", "commit.produced=sleep:4000@5"),
        ("INGEST_TOPIC", "there-is-no-such-topic"),
        ("INGEST_LISTEN", door.as_str()),
    ];
    // Its address has to be known before it runs.
    let mut second = Agent::at_rest(scene.kafka.bootstrap(), &config(&scene), &slow);
    let prometheus = Prometheus::start(&[first.http(), second.http()], None);
    wait_until("Prometheus has begun", || prometheus.query("up{job=\"streamgauge\"}").len() == 2);
    let foreign = foreign_transaction(&scene);
    first.restart();
    wait_until("the restore waits for the foreign transaction", || {
        prometheus.number("max(streamgauge_restore_unstable_seconds)").is_some_and(|seconds| seconds > 0.0)
    });
    foreign.abort_transaction(Duration::from_secs(30)).expect("it ends");
    wait_until("the restore is seen", || {
        prometheus.number("count(streamgauge_restore_target_records)").is_some_and(|restoring| restoring > 0.0)
    });
    first.wait_ready();
    second.restart();
    // Ten times as fast as time goes, so that windows close.
    let start = crate::scene::unix_millis() - 900_000;
    let flags =
        ["--timestamp-start", &start.to_string(), "--event-rate", "200", "--late-fraction", "0.05", "--late-by", "5m"];
    let stream = Stream::start(&scene, 180, RATE as u64, &flags);
    wait_until("both agents have partitions", || {
        prometheus.query("sum by (instance) (streamgauge_lease_held) > 0").len() == 2
    });
    start_load_test(&scene, &first);
    let until = Instant::now() + Duration::from_secs(45);
    let mut watches = Vec::new();
    while Instant::now() < until {
        scene.kafka.produce(&scene.topic, 0, [("k", "not JSON")]);
        let failing = failing_request(start);
        scene.kafka.produce(&scene.topic, 1, (0..10).map(|_| ("k", failing.as_str())));
        scene.kafka.produce(&scene.topic, 2, [("k", nobodys_request(start).as_str())]);
        tombstone(&scene);
        ask(&first);
        watch(&first, &mut watches);
        hand_in(&first);
        hand_in(&second);
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut empty = unanswered(&prometheus);
    empty.retain(|query| !query.starts_with(&OF_A_REGISTRY.replacen(": ", ", ", 1)));
    if crate::heavy_tests() {
        drawn(&prometheus);
    }
    let unmoved = unmoved(&prometheus);
    let wrong = main_numbers_in_time(&prometheus);
    drop(stream);
    // A topic that is not there opens no breaker, and its events find room; a broker that is slow here may open one.
    let unmoved: Vec<_> = unmoved.into_iter().filter(|panel| !OF_A_DOOR.contains(&panel.as_str())).collect();
    let (others, unmoved): (Vec<_>, Vec<_>) =
        unmoved.iter().partition(|panel| OF_BROKERS.contains(&panel.as_str()) || **panel == OF_A_REGISTRY);
    let (of_a_registry, of_brokers): (Vec<_>, Vec<_>) = others.into_iter().partition(|panel| **panel == OF_A_REGISTRY);
    assert_eq!(of_brokers, OF_BROKERS, "on one broker that is well these stand still");
    assert_eq!(of_a_registry, [OF_A_REGISTRY], "without a schema registry it stands still");
    assert!(unmoved.is_empty(), "zero all the time, in spite of what was done to these agents: {unmoved:?}");
    assert!(empty.is_empty(), "without an answer:\n{}", empty.join("\n"));
    assert!(wrong.is_empty(), "not what was produced:\n{}", wrong.join("\n"));
}

/// Draws every panel with Grafana's components in a browser, light and dark: none is empty, none cannot be read.
fn drawn(prometheus: &Prometheus) {
    let pictures = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(repository().join("scripts/dashboards"));
    command.args(["render", &prometheus.url()]).arg(pictures.path()).args(["--seconds", "90"]);
    let output = command.stdin(Stdio::null()).output().expect("scripts/dashboards runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

/// A transaction of somebody else's on the changelog, left open.
fn foreign_transaction(scene: &Scene) -> BaseProducer {
    let mut config = scene.kafka.client();
    config.set("transactional.id", format!("foreign-{}", scene.topic)).set("transaction.timeout.ms", "60000");
    let producer: BaseProducer = config.create().expect("a transactional producer");
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).expect("transactions");
    producer.begin_transaction().expect("begun");
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    let record = BaseRecord::to(&changelog).partition(0).key("nobody's").payload("whatever");
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    producer.flush(patience).expect("written");
    producer
}

/// Of an endpoint that never succeeds: it is beyond any budget for errors.
fn failing_request(at: i64) -> String {
    format!(
        "{{\"timestamp\": {at}, \"endpoint\": \"/api/failing\", \"method\": \"GET\", \"status\": 500, \
         \"response_time_ms\": 30.5, \"region\": \"us-east\", \"user_id\": \"user_000001\", \"message\": \"no\"}}"
    )
}

/// A request that names no user, so that one aggregate leaves it out, and whose time another cannot measure.
fn nobodys_request(at: i64) -> String {
    format!(
        "{{\"timestamp\": {at}, \"endpoint\": \"/api/failing\", \"status\": 500, \"response_time_ms\": \"-\", \
         \"region\": [\"us-east\"]}}"
    )
}

/// Events for an agent's door: many, one that its topic does not take, and one that nobody takes.
fn hand_in(agent: &Agent) {
    let address = agent.variable("INGEST_LISTEN").parse().expect("an address");
    let event = |size: usize| format!(r#"{{"source":"panels","level":"INFO","message":"{}"}}"#, "m".repeat(size));
    let events = [vec![event(1_000); 100], vec![event(10_000), "{}".to_owned()]].concat();
    Client::new(address).post("/api/logs/batch", &[], events.join("\n").as_bytes());
}

/// A record without a value, which passes by.
fn tombstone(scene: &Scene) {
    let producer = scene.kafka.producer();
    let record = BaseRecord::<str, str>::to(&scene.topic).partition(3).key("k");
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    producer.flush(Duration::from_secs(30)).expect("written");
}

/// A load test that goes on for as long as the test looks.
fn start_load_test(scene: &Scene, agent: &Agent) {
    let topic = format!("{}-load", scene.topic);
    scene.kafka.create_topic(&topic, 2, &[]);
    let request = StartLoadTestRequest { topic, events: 12_000, rate: 200, ..StartLoadTestRequest::default() };
    block_on_io(async {
        let mut client =
            LoadTestServiceClient::connect(format!("http://{}", agent.grpc())).await.expect("a connection");
        client.start_load_test(request).await.expect("the load test starts");
    });
}

/// One query that is answered and one that is refused.
fn ask(agent: &Agent) {
    block_on_io(async {
        let mut client = QueryServiceClient::connect(format!("http://{}", agent.grpc())).await.ok()?;
        for aggregate in ["http", "nothing"] {
            let request = QueryRequest { aggregate: aggregate.into(), ..QueryRequest::default() };
            let _ = client.query(request).await;
        }
        Some(())
    });
}

/// Opens a watch, unless one is open, that nobody reads.
fn watch(agent: &Agent, open: &mut Vec<TcpStream>) {
    if open.is_empty() {
        let mut stream = TcpStream::connect(agent.http()).expect("the agent answers");
        stream.write_all(b"GET /api/v1/watch/http HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is sent");
        open.push(stream);
    }
}

/// Queries that fail, or are empty without being allowed to.
fn unanswered(prometheus: &Prometheus) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, board) in boards() {
        for (what, expr) in queries(&board) {
            let answer = match expr.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')) {
                Some(of) => values_of_label(prometheus, of),
                None => series(prometheus, &filled_in(&expr, &board, FOUR_SCRAPES)),
            };
            match answer {
                Err(error) => wrong.push(format!("{name}, {what}: {error}: {expr}")),
                Ok(0) => wrong.push(format!("{name}, {what}: empty: {expr}")),
                Ok(_) => {}
            }
        }
    }
    wrong
}

fn values_of_label(prometheus: &Prometheus, metric_and_label: &str) -> Result<usize, String> {
    let (metric, label) = metric_and_label.rsplit_once(", ").ok_or("no label")?;
    let found = prometheus.get(&format!("label/{label}/values"), &[("match[]", metric)])?;
    Ok(found.as_array().map_or(0, Vec::len))
}

/// How many series that gives that have a number.
fn series(prometheus: &Prometheus, expr: &str) -> Result<usize, String> {
    let with_number = range(prometheus, expr)?
        .into_iter()
        .filter(|series| series["values"].as_array().into_iter().flatten().any(|sample| sample[1] != "NaN"));
    Ok(with_number.count())
}

/// A machine that stood still for a moment shows in the rates for as long as they look back, `RATED`: so they may take some
/// quiet time to be right. Numbers that are wrong stay wrong.
fn main_numbers_in_time(prometheus: &Prometheus) -> Vec<String> {
    let patience = Instant::now() + Duration::from_secs(100);
    loop {
        let wrong = main_numbers(prometheus);
        if wrong.is_empty() || Instant::now() >= patience {
            return wrong;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The stats of the dashboard of requests against what the producer sends: 2,000 events/s, 10 % of them errors, 2 % with
/// 500; durations as the generator draws them, exact to a bucket.
fn main_numbers(prometheus: &Prometheus) -> Vec<String> {
    let expected: [(&str, &str, f64, f64); 6] = [
        ("requests", "Requests", RATE * 0.9, RATE * 1.1),
        ("requests", "Errors", 0.08, 0.12),
        ("requests", "Duration p50", 0.0625, 0.125),
        ("requests", "Duration p99", 0.25, 0.5),
        ("streamgauge-agent", "Events", RATE * 0.9, RATE * 1.1),
        ("streamgauge-agent", "Partitions shown", f64::from(PARTITIONS), f64::from(PARTITIONS)),
    ];
    let boards: BTreeMap<String, Value> = boards().into_iter().collect();
    let mut wrong = Vec::new();
    for (board, title, least, most) in expected {
        let board = &boards[board];
        let panels = board["panels"].as_array().expect("panels");
        let panel = panels.iter().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("no panel {title}"));
        let expr = filled_in(panel["targets"][0]["expr"].as_str().expect("a query"), board, RATED);
        let found = prometheus.number(&expr);
        if !found.is_some_and(|value| (least..=most).contains(&value)) {
            wrong.push(format!("{title} is {found:?}, should be {least} to {most}: {expr}"));
        }
    }
    let by_endpoint = prometheus.query(&format!("sum by (endpoint) (rate(http_requests_total[{RATED}]))"));
    let known: BTreeSet<&str> = by_endpoint.iter().filter_map(|(labels, _)| labels["endpoint"].as_str()).collect();
    for endpoint in streamgauge::generate::ENDPOINTS.iter() {
        let expected = RATE * f64::from(endpoint.weight) / 100.0;
        let found = by_endpoint.iter().find(|(labels, _)| labels["endpoint"] == endpoint.path).map(|(_, rate)| *rate);
        if !found.is_some_and(|rate| (rate / expected - 1.0).abs() < 0.25) {
            wrong.push(format!("{} has {found:?}, should have about {expected} (of {known:?})", endpoint.path));
        }
    }
    wrong
}
