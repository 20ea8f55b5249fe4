//! How cost grows: with keys, with partitions, with aggregates. Each point is a fresh topic, group and state directory.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::process::Agent;

/// One point of a curve.
struct Point {
    name: &'static str,
    keys: u64,
    partitions: i32,
    aggregates: usize,
}

const KEYS: [u64; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
const PARTITIONS: [i32; 6] = [1, 4, 12, 50, 100, 200];
const AGGREGATES: [usize; 5] = [1, 2, 5, 10, 20];

/// Measures every point with `events` events, and prints a line for each.
pub fn growth(binary: &str, servers: &str, dir: &Path, events: u64) {
    let usual = Point { name: "", keys: 1_000, partitions: 12, aggregates: 1 };
    let keys = KEYS.map(|keys| Point { name: "keys", keys, ..usual });
    let partitions = PARTITIONS.map(|partitions| Point { name: "partitions", partitions, ..usual });
    let aggregates = AGGREGATES.map(|aggregates| Point { name: "aggregates", aggregates, ..usual });
    for point in keys.iter().chain(&partitions).chain(&aggregates) {
        measure(point, binary, servers, dir, events);
    }
}

fn measure(point: &Point, binary: &str, servers: &str, dir: &Path, events: u64) {
    let topic = format!("growth-{}-{}-{}-{}", point.name, point.keys, point.partitions, point.aggregates);
    produce(servers, &topic, point, events);
    let path = dir.join(format!("{topic}.yaml"));
    std::fs::write(&path, config(servers, &topic, dir, point)).unwrap();
    let mut agent = Agent::start(binary, path.to_str().unwrap());
    let rate = agent.catch_up(events, |_| {});
    let caught_up = agent.cost();
    // All is committed when every event is in the totals; then a steady state has its memory.
    agent.wait_for("m0_requests_total{", events as f64, Duration::from_millis(100));
    std::thread::sleep(Duration::from_secs(2));
    let settled = agent.cost();
    println!(
        "{{\"what\": \"growth\", \"curve\": \"{}\", \"keys\": {}, \"partitions\": {}, \"aggregates\": {}, \"events_per_s\": {:.0}, \
         \"cpu_us_per_event\": {:.3}, \"peak_mb\": {:.1}, \"resident_mb\": {:.1}}}",
        point.name,
        point.keys,
        point.partitions,
        point.aggregates,
        rate.events as f64 / rate.seconds,
        caught_up.cpu_s * 1e6 / events as f64,
        settled.peak_mb,
        settled.resident_mb
    );
}

/// Three measures without a histogram, over all time and in one window of a minute, for each of the aggregates.
fn config(servers: &str, topic: &str, dir: &Path, point: &Point) -> String {
    let mut aggregates = String::new();
    for aggregate in 0..point.aggregates {
        write!(
            aggregates,
            "  m{aggregate}:\n    source: events\n    by: {{ key: key }}\n    windows: [1m]\n    limit: {}\n    measures: \
             {{ requests: count, bytes: {{ sum: value }}, slowest: {{ max: value }} }}\n",
            2 * point.keys
        )
        .unwrap();
    }
    let [http, grpc] = [(), ()].map(|()| free_port());
    format!(
        "kafka: {{ bootstrap_servers: \"{servers}\", group_id: {topic} }}\nsources:\n  events:\n    topics: [{topic}]\n    \
         timestamp: {{ field: timestamp, format: unix_ms }}\naggregates:\n{aggregates}state: {{ dir: {}/{topic} }}\n\
         http: {{ listen: \"127.0.0.1:{http}\" }}\ngrpc: {{ listen: \"127.0.0.1:{grpc}\" }}\n",
        dir.display()
    )
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every key in turn, all within one minute of event time, so that each key has one total and one window.
fn produce(servers: &str, topic: &str, point: &Point, events: u64) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", servers);
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let new = NewTopic::new(topic, point.partitions, TopicReplication::Fixed(1));
    let created = runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    client.set("linger.ms", "20").set("compression.type", "snappy").set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create().unwrap();
    for event in 0..events {
        let key = event % point.keys;
        let payload = format!(
            "{{\"timestamp\": {}, \"key\": \"key{key:07}\", \"value\": {event}}}",
            1_760_000_000_000 + event % 50_000
        );
        // A key has a partition of its own, so that keys and cells are as many.
        let partition = (key % point.partitions as u64) as i32;
        let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
            std::thread::sleep(Duration::from_millis(5));
            record = refused;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}
