//! The front door on a real Kafka: what it answers, and that what it acknowledged is there.

mod answers;
mod bulk;
mod events;
mod faults;
mod loki;
mod other;
mod otlp_grpc;
mod outside;
mod producer;
mod syslog;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, free_address};
use crate::kafka::{Kafka, unique};

/// An agent with a front door, a topic for it, and the same topic counted by level.
pub struct Door {
    pub agent: Agent,
    pub address: SocketAddr,
    pub topic: String,
}

impl Door {
    /// `lines`: more of the config's `ingest` section, each with its indent of two spaces.
    pub fn open(kafka: &Kafka, what: &str, lines: &str) -> Door {
        let mut door = Door::at_rest(kafka, what, lines);
        door.agent.restart();
        door.agent.wait_ready();
        door
    }

    /// The same without starting the agent.
    pub fn at_rest(kafka: &Kafka, what: &str, lines: &str) -> Door {
        let (topic, address) = (unique(what), free_address());
        kafka.create_topic(&topic, 3, &[]);
        let config = format!(
            "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n  session_timeout: 6s\n\
             sources:\n  logs: {{ topics: [{topic}], timestamp: {{ field: timestamp, format: rfc3339 }} }}\n\
             aggregates:\n  log_events: {{ source: logs, by: {{ level: level }}, measures: {{ events: count }} }}\n\
             ingest:\n  topic: {topic}\n  listen: \"{address}\"\n{lines}"
        );
        Door { agent: Agent::at_rest(kafka.bootstrap(), &config, &[]), address, topic }
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client::new(self.address).post(path, headers, body).expect("an answer")
    }

    pub fn post_json(&self, path: &str, body: &str) -> Answer {
        self.post(path, &[("Content-Type", "application/json")], body.as_bytes())
    }
}

/// Runs curl as the docs say, on this door's port; its output.
pub fn curl(door: SocketAddr, line: &str) -> String {
    let line = line.replace("127.0.0.1:9748", &door.to_string());
    let output =
        Command::new("sh").args(["-c", &format!("{line} -sS -w '\n%{{http_code}}'")]).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A connection that is kept, and made again when it is gone.
pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, stream: None }
    }

    /// `None`: no whole answer came.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let answer = self.try_post(path, headers, body);
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    fn try_post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut()?;
        let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        let request = [request.as_bytes(), b"\r\n", body].concat();
        stream.get_mut().write_all(&request).ok()?;
        read_answer(stream)
    }
}

/// Status, headers and a body of a told length.
pub fn read_answer(stream: &mut BufReader<TcpStream>) -> Option<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None if line == "\r\n" => break,
            None => return None,
        }
    }
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Answer { status, headers, body: String::from_utf8(body).ok()? })
}

/// What is in the topic: events by their ids, and how often each is there.
pub fn found(kafka: &Kafka, topic: &str) -> BTreeMap<String, u64> {
    let mut ids = BTreeMap::new();
    for record in kafka.read(topic) {
        let event: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        *ids.entry(event["eventId"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    ids
}

/// Waits until all that was acknowledged is in the topic; how many are there more than once.
pub fn assert_found(kafka: &Kafka, topic: &str, acknowledged: &BTreeSet<String>) -> usize {
    let mut missing = 0;
    for _ in 0..120 {
        let found = found(kafka, topic);
        missing = acknowledged.iter().filter(|id| !found.contains_key(*id)).count();
        if missing == 0 {
            let twice = found.values().filter(|count| **count > 1).count();
            println!("{topic}: acknowledged {}, found {}, of them twice {twice}", acknowledged.len(), found.len());
            return twice;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("{missing} of {} acknowledged events are not in {topic}", acknowledged.len());
}
