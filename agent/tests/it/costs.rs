//! What an agent costs the cluster: transactions, changelog bytes, connections, by how often it commits. The figures of
//! docs/kafka-versions.md come from here: `cargo test -p streamgauge --test it costs -- --nocapture`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer};

use crate::agent::Agent;
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::scene::number;

const PARTITIONS: i32 = 2;
/// Keys, each of which has an event every second.
const KEYS: usize = 1_000;
/// Slices of a second in which a part of the keys has its events.
const SLICES: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(30);
const MEASURED: Duration = Duration::from_secs(20);

/// What was seen of one agent.
#[derive(Debug)]
struct Cost {
    transactions_per_second: f64,
    changelog_bytes_per_second: f64,
    connections: usize,
}

/// Bytes of a topic's partitions in a broker's directory.
fn stored(kafka: &Kafka, topic: &str) -> u64 {
    let data = kafka.dir().join("1/data");
    let logs = (0..PARTITIONS).flat_map(|p| fs::read_dir(data.join(format!("{topic}-{p}"))).into_iter().flatten());
    let logs = logs.flatten().filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Open connections of a process to a port.
fn connections(pid: u32, port: &str) -> usize {
    let link = |fd: fs::DirEntry| fs::read_link(fd.path()).ok()?.to_str().map(str::to_owned);
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let sockets: BTreeSet<String> = fds.filter_map(link).collect();
    let port = format!(":{:04X}", port.parse::<u16>().expect("a port"));
    let table = fs::read_to_string(Path::new("/proc/net/tcp")).expect("a table");
    let open = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let to_port = open.filter(|line| line.get(2).is_some_and(|to| to.ends_with(&port)) && line.get(3) == Some(&"01"));
    to_port.filter(|line| line.get(9).is_some_and(|inode| sockets.contains(&format!("socket:[{inode}]")))).count()
}

#[test]
fn the_rarer_an_agent_commits_the_less_it_costs_the_cluster() {
    let (kafka, topic) = (shared(), unique("costs"));
    kafka.create_topic(&topic, PARTITIONS, &[]);
    let agent = |name: &str, interval: &str| {
        let group = format!("{topic}-{name}");
        let config = format!(
            "kafka: {{ bootstrap_servers: '{}', group_id: {group}, session_timeout: 30s, transaction_timeout: 30s }}\n\
             sources:\n  s: {{ topics: [{topic}], timestamp: {{ from: kafka }} }}\n\
             aggregates:\n  a: {{ source: s, by: {{ user: user }}, windows: [1m], measures: {{ events: count, took: {{ sum: ms, unit: ms }} }} }}\n\
             state:\n  dir: ${{STATE_DIR}}\n  commit_interval: {interval}\n\
             cluster: {{ enabled: false }}\n",
            kafka.bootstrap(),
        );
        (Agent::start(kafka.bootstrap(), &config), format!("streamgauge-{group}-{topic}-changelog"))
    };
    let mut agents = [agent("often", "100ms"), agent("seldom", "5s")];
    agents.iter_mut().for_each(|(agent, _)| agent.wait_ready());
    let port = kafka.bootstrap().rsplit(':').next().expect("a port").to_owned();
    let producer = kafka.producer();
    let (mut sent, mut slice) = (0, 0);
    let mut send_for = |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let next = Instant::now() + Duration::from_secs(1) / SLICES as u32;
            for key in (slice % SLICES..KEYS).step_by(SLICES) {
                let event = format!(r#"{{"user":"user-{key:04}","ms":12}}"#);
                let record = BaseRecord::<(), str>::to(&topic).partition(key as i32 / SLICES as i32 % PARTITIONS);
                producer.send(record.payload(&event)).map_err(|(error, _)| error).expect("there is room");
                sent += 1;
            }
            producer.flush(TIMEOUT).expect("the brokers answer");
            slice += 1;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    send_for(Duration::from_secs(10));
    let look = |(agent, changelog): &(Agent, String)| {
        let commits = number(&agent.scrape(), "streamgauge_commits_total", &[("result", "committed")]);
        (commits, stored(kafka, changelog), Instant::now())
    };
    let before = [look(&agents[0]), look(&agents[1])];
    send_for(MEASURED);
    let costs: Vec<Cost> = agents
        .iter()
        .zip(before)
        .map(|(agent, (commits, bytes, since))| {
            let (commits_now, bytes_now, now) = look(agent);
            let seconds = (now - since).as_secs_f64();
            Cost {
                transactions_per_second: (commits_now - commits) / seconds,
                changelog_bytes_per_second: (bytes_now - bytes) as f64 / seconds,
                connections: connections(agent.0.pid(), &port),
            }
        })
        .collect();
    println!("{KEYS} keys, one event a second each, one worker: every 100ms {:?}, every 5s {:?}", costs[0], costs[1]);
    for (agent, _) in &agents {
        wait_until("all is counted", || number(&agent.scrape(), "a_events_total", &[]) == sent as f64);
    }
    let [often, seldom] = [&costs[0], &costs[1]];
    assert!(often.transactions_per_second <= 10.5, "one each interval at most: {often:?}");
    assert!(seldom.transactions_per_second <= 0.3, "one each interval at most: {seldom:?}");
    assert!(often.transactions_per_second > 2.0 && seldom.transactions_per_second > 0.1, "{costs:?}");
    assert!(seldom.changelog_bytes_per_second * 2.0 < often.changelog_bytes_per_second, "{costs:?}");
    assert!(often.changelog_bytes_per_second < 300.0 * KEYS as f64, "each event's key, total and pane: {often:?}");
    assert!((1..=12).contains(&often.connections) && often.connections.abs_diff(seldom.connections) <= 2, "{costs:?}");
}
