//! What the agent is compared with: loops that only consume and drop, and the OpenTelemetry Collector.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use streamgauge::config::Config;
use streamgauge::kafka::{Batch, GroupConsumer, Identity, Rebalance, Settings};

use crate::process::{Cost, Rate, page, print_line, stop, sum};

/// Longer than the Collector takes to start and join its group.
const STANDSTILL: Duration = Duration::from_secs(30);

fn settings(config: &Config) -> (Settings, Identity) {
    let settings = Settings::new(config.kafka.clone(), "bench".into());
    (settings, Identity { instance: format!("bench-{}", std::process::id()), worker: 0 })
}

/// What many consumers do: poll, look at the payload, drop; with the agent's librdkafka settings.
pub fn poll_and_drop(config: &Config, events: u64) {
    let (settings, identity) = settings(config);
    let mut client: ClientConfig = settings.consumer(&identity);
    client.set("auto.offset.reset", "earliest").set("statistics.interval.ms", "0");
    client.set("partition.assignment.strategy", "range");
    let consumer: BaseConsumer = client.create().unwrap();
    consumer.subscribe(&[config.sources[0].topics[0].as_str()]).unwrap();
    let (mut seen, mut bytes, mut first) = (0, 0, None);
    while seen < events {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            use rdkafka::Message;
            bytes += message.unwrap().payload().map_or(0, <[u8]>::len);
            first.get_or_insert_with(Instant::now);
            seen += 1;
        }
    }
    report("poll", seen, bytes, first.unwrap());
}

/// The same with the agent's consumer: batches from one queue.
pub fn batch_and_drop(config: &Config, events: u64) {
    let (settings, identity) = settings(config);
    let consumer = GroupConsumer::join(&settings, &identity, &[config.sources[0].topics[0].as_str()]).unwrap();
    let mut batch = Batch::default();
    let (mut seen, mut bytes, mut first) = (0, 0, None);
    while seen < events {
        for record in consumer.consume_batch(Duration::from_millis(5), 2048, &mut batch) {
            assert!(record.error().is_none(), "{:?}", record.error());
            bytes += record.payload().map_or(0, <[u8]>::len);
            first.get_or_insert_with(Instant::now);
            seen += 1;
        }
        batch.clear();
        consumer.poll();
        while let Some(rebalance) = consumer.take_rebalance() {
            let Rebalance::Assigned(partitions) = rebalance else { panic!("{rebalance:?}") };
            consumer.acknowledge().unwrap();
            for partition in &partitions {
                consumer.assign(partition, 0, None).unwrap();
            }
        }
    }
    report("batch", seen, bytes, first.unwrap());
    // Leaving the group takes answers that are not worth the wait here.
    std::process::exit(0);
}

fn report(what: &str, events: u64, bytes: usize, first: Instant) {
    eprintln!("{what}: {:.1} bytes an event", bytes as f64 / events as f64);
    let rate = Rate { events, seconds: first.elapsed().as_secs_f64() };
    print_line(what, &rate, Cost::of(std::process::id()));
}

/// Starts the Collector with `config`, whose prometheus exporter listens on `address`, and watches the count of its
/// histogram until all events are in it; says so if they never are.
pub fn collector(binary: &str, config: &str, address: &str, events: u64) {
    let mut child = Command::new(binary).args(["--config", config]).spawn().unwrap();
    let (mut first, mut last) = (None, (Instant::now(), 0.0));
    while last.1 < events as f64 {
        std::thread::sleep(Duration::from_millis(250));
        assert!(child.try_wait().unwrap().is_none(), "the Collector ended");
        let seen = page(address).and_then(|page| sum(&page, "http_duration_milliseconds_count{")).unwrap_or(0.0);
        if seen > 0.0 {
            first.get_or_insert_with(|| (Instant::now(), seen));
        }
        if seen > last.1 {
            last = (Instant::now(), seen);
        } else if last.0.elapsed() > STANDSTILL {
            eprintln!("the Collector stands still at {seen} of {events} events");
            break;
        }
    }
    let (began, at) = first.expect("the Collector counts nothing");
    let rate = Rate { events: (last.1 - at) as u64, seconds: last.0.duration_since(began).as_secs_f64() };
    let cost = Cost::of(child.id());
    // All events count for the CPU: it was read from the process's start.
    let whole = Rate { events: last.1 as u64, seconds: rate.seconds * last.1 / rate.events as f64 };
    print_line("collector", &whole, cost);
    stop(&mut child);
}
