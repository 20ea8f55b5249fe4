//! Whole-process measurements for `bench/run`: loops that only consume and drop, and the agent catching up.
//! Each prints one JSON line; rates count from the first event seen, CPU and memory are the process's own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark reads the clock, and may fail loudly")]

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use streamgauge::config::{self, Config};
use streamgauge::kafka::{Batch, GroupConsumer, Identity, Rebalance, Settings};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["poll", config, events] => poll_and_drop(&load(config), events.parse().unwrap()),
        ["batch", config, events] => batch_and_drop(&load(config), events.parse().unwrap()),
        ["agent", binary, config, events] => agent(binary, config, events.parse().unwrap()),
        ["recover", binary, config, kills] => recover(binary, config, kills.parse().unwrap()),
        _ => {
            eprintln!(
                "usage: bench poll|batch CONFIG EVENTS | bench agent BINARY CONFIG EVENTS | bench recover BINARY CONFIG KILLS"
            );
            std::process::exit(64);
        }
    }
}

fn load(path: &str) -> Config {
    config::load(path.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn settings(config: &Config) -> (Settings, Identity) {
    let settings = Settings::new(config.kafka.clone(), "bench".into());
    (settings, Identity { instance: format!("bench-{}", std::process::id()), worker: 0 })
}

/// What many consumers do: poll, look at the payload, drop; with the agent's librdkafka settings.
fn poll_and_drop(config: &Config, events: u64) {
    let (settings, identity) = settings(config);
    let mut client: ClientConfig = settings.consumer(&identity);
    client.set("auto.offset.reset", "earliest").set("statistics.interval.ms", "0");
    client.set("partition.assignment.strategy", "range");
    let consumer: BaseConsumer = client.create().unwrap();
    consumer.subscribe(&[&config.sources[0].topics[0]]).unwrap();
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
fn batch_and_drop(config: &Config, events: u64) {
    let (settings, identity) = settings(config);
    let consumer = GroupConsumer::join(&settings, &identity, &[&config.sources[0].topics[0]]).unwrap();
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
            partitions.iter().for_each(|partition| consumer.assign(partition, 0).unwrap());
        }
    }
    report("batch", seen, bytes, first.unwrap());
    // Leaving the group takes answers that are not worth the wait here.
    std::process::exit(0);
}

fn report(what: &str, events: u64, bytes: usize, first: Instant) {
    let seconds = first.elapsed().as_secs_f64();
    print_line(what, events, seconds, bytes as f64 / events as f64, std::process::id());
}

/// Starts the agent and watches it catch up with `events` events.
fn agent(binary: &str, path: &str, events: u64) {
    let config = load(path);
    let address = config.http.listen.to_string();
    let mut child = Command::new(binary).args(["run", "-c", path]).spawn().unwrap();
    let mut first: Option<(Instant, u64)> = None;
    let seen = loop {
        std::thread::sleep(Duration::from_millis(20));
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the agent ended: {status}");
        }
        let Some(seen) = folded(&address) else { continue };
        if seen > 0 {
            first.get_or_insert_with(|| (Instant::now(), seen));
        }
        if seen >= events {
            break seen;
        }
    };
    let (began, at) = first.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    print_line("agent", seen - at, seconds, 0.0, child.id());
    stop(&mut child);
}

/// Kills the agent again and again while events flow (somebody else produces them); each time measures from the SIGKILL to
/// the first scrape that shows totals at least as high as the last one before it.
fn recover(binary: &str, path: &str, kills: usize) {
    let address = load(path).http.listen.to_string();
    let start = || Command::new(binary).args(["run", "-c", path]).spawn().unwrap();
    let mut child = start();
    let mut took = Vec::new();
    wait_for_total(&address, 1.0);
    for kill in 0..kills {
        // A different moment of the commit interval each time.
        std::thread::sleep(Duration::from_millis(2_000 + (kill as u64 * 37) % 100));
        let before = total(&address).unwrap();
        child.kill().unwrap();
        let killed = Instant::now();
        child.wait().unwrap();
        child = start();
        wait_for_total(&address, before);
        took.push(killed.elapsed().as_secs_f64());
    }
    print_line("recover", kills as u64, 1.0, 0.0, child.id());
    stop(&mut child);
    took.sort_by(f64::total_cmp);
    let list: Vec<String> = took.iter().map(|seconds| format!("{seconds:.2}")).collect();
    println!(
        "{{\"what\": \"recovery\", \"kills\": {kills}, \"median_s\": {:.2}, \"worst_s\": {:.2}, \"all_s\": [{}]}}",
        took[took.len() / 2],
        took[took.len() - 1],
        list.join(", ")
    );
}

fn wait_for_total(address: &str, least: f64) {
    while total(address).is_none_or(|now| now < least) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sum of the example's request totals on the page; `None` without an answer or with no totals on it.
fn total(address: &str) -> Option<f64> {
    let page = scrape(address)?;
    let totals = page.lines().filter(|line| line.starts_with("http_requests_total{"));
    totals.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<Option<f64>>().filter(|&sum| sum > 0.0)
}

fn stop(child: &mut Child) {
    // SAFETY: a signal to our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    child.wait().unwrap();
}

fn folded(address: &str) -> Option<u64> {
    let page = scrape(address)?;
    let line = page.lines().find(|line| line.starts_with("streamgauge_events_total{"))?;
    line.rsplit(' ').next()?.parse::<f64>().ok().map(|value| value as u64)
}

fn scrape(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    page.starts_with("HTTP/1.1 200").then_some(page)
}

fn print_line(what: &str, events: u64, seconds: f64, bytes: f64, pid: u32) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // SAFETY: sysconf only reads.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let cpu = (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / ticks;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    println!(
        "{{\"what\": \"{what}\", \"events\": {events}, \"seconds\": {seconds:.3}, \"events_per_s\": {:.0}, \
         \"cpu_s\": {cpu:.2}, \"events_per_cpu_s\": {:.0}, \"peak_mb\": {:.1}, \"event_bytes\": {bytes:.1}}}",
        events as f64 / seconds,
        events as f64 / cpu,
        peak.parse::<f64>().unwrap() / 1024.0
    );
}
