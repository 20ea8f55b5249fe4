//! A scene: a topic and a group of their own on the shared broker, the example's config for them, a stream of events, and
//! the question every exactly-once test ends with: does each number equal the recount?

mod cells;
mod turn;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use streamgauge_proto::v1::partition_status::State;

use crate::agent::{Agent, program, repository};
use crate::kafka::{Kafka, block_on_io, shared, unique};
use crate::oracle::{Recount, Sample, differences, parse_page};
use turn::Turn;

/// How long agents may take to catch up with the stream.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Scene {
    pub kafka: &'static Kafka,
    pub topic: String,
    pub group: String,
    /// More lines of the config's `kafka` section.
    kafka_lines: Vec<String>,
    /// More sections of the config.
    sections: String,
    _turn: Turn,
}

impl Scene {
    /// A fresh topic of so many partitions. Waits until few enough other scenes are on.
    pub fn new(what: &str, partitions: i32) -> Scene {
        Scene::with_turn(what, partitions, Turn::wait())
    }

    fn with_turn(what: &str, partitions: i32, turn: Turn) -> Scene {
        let (kafka, topic) = (shared(), unique(what));
        kafka.create_topic(&topic, partitions, &[]);
        let group = format!("group-of-{topic}");
        Scene { kafka, topic, group, kafka_lines: Vec::new(), sections: String::new(), _turn: turn }
    }

    /// Adds a line to the config's `kafka` section, such as `session_timeout: 6s`.
    pub fn kafka_line(mut self, line: &str) -> Scene {
        self.kafka_lines.push(line.to_owned());
        self
    }

    /// Adds a top-level section to the config.
    pub fn section(mut self, text: &str) -> Scene {
        self.sections.push_str(text);
        self
    }

    /// `examples/http-requests.yaml` for this scene: only names, addresses and directories differ.
    pub fn config(&self) -> String {
        let example = std::fs::read_to_string(repository().join("examples/http-requests.yaml")).expect("the example");
        let lines: String = self.kafka_lines.iter().map(|line| format!("\n  {line}")).collect();
        let replacements = [
            ("topics: [log-events]", format!("topics: [{}]", self.topic)),
            ("group_id: streamgauge", format!("group_id: {}{lines}", self.group)),
            ("dir: ./state ", "dir: ${STATE_DIR} ".to_owned()),
            ("http: { listen: 127.0.0.1:9746 }", "http:\n  listen: ${HTTP_LISTEN}".to_owned()),
            ("grpc: { listen: 127.0.0.1:9747 }", "grpc:\n  listen: ${GRPC_LISTEN}".to_owned()),
        ];
        let config = replacements.iter().fold(example, |text, (from, to)| {
            assert_eq!(text.matches(from).count(), 1, "the example changed: {from:?} is not there once");
            text.replace(from, to)
        });
        config + &self.sections
    }

    /// An agent on a state directory of its own.
    pub fn agent(&self) -> Agent {
        self.agent_with(&[])
    }

    /// The same with failpoints or other environment variables.
    pub fn agent_with(&self, variables: &[(&str, &str)]) -> Agent {
        Agent::start_with(self.kafka.bootstrap(), &self.config(), variables)
    }

    /// Starts `streamgauge produce`: events whose time begins a quarter of an hour ago and goes on at 1,000 events per
    /// second of event time, so that a short stream fills many windows.
    pub fn produce(&self, count: u64, seed: u64, flags: &[&str]) -> Producing {
        let start = (unix_millis() - 900_000).to_string();
        let mut command = Command::new(program());
        command.args(["produce", "--no-create", "--json", "--bootstrap-servers", self.kafka.bootstrap()]);
        command.args(["--topic", &self.topic, "--count", &count.to_string(), "--seed", &seed.to_string()]);
        command.args(["--timestamp-start", &start, "--event-rate", "1000"]).args(flags);
        Producing(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the binary was built"))
    }

    /// Produces as fast as it goes, and waits for the end.
    pub fn produce_now(&self, count: u64, seed: u64) {
        self.produce(count, seed, &["--rate", "max"]).finish();
    }

    /// Recounts the topic, waits until the agents together are at its end, and compares every total on their pages and
    /// every cell of every window with the recount.
    pub fn assert_equals_recount(&self, agents: &[&Agent]) -> Recount {
        let recount = Recount::read(self.kafka.bootstrap(), &self.topic).expect("the topic can be read");
        self.wait_caught_up(agents, &recount);
        let samples: Vec<Sample> =
            agents.iter().flat_map(|agent| parse_page(&agent.scrape()).expect("a sound page")).collect();
        let mut wrong = differences(&samples, &recount);
        let addresses: Vec<_> = agents.iter().map(|agent| agent.grpc()).collect();
        wrong.extend(block_on_io(cells::differences(&addresses, &recount)));
        let shown: Vec<_> = wrong.iter().take(20).map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} differences from the recount:\n{}", wrong.len(), shown.join("\n"));
        recount
    }

    /// Waits until every partition of the recount has been committed to its end by one of the agents.
    pub fn wait_caught_up(&self, agents: &[&Agent], recount: &Recount) {
        let until = Instant::now() + PATIENCE;
        loop {
            let behind: Vec<String> = recount
                .partitions
                .iter()
                .filter(|(_, wanted)| wanted.next_offset > 0)
                .filter_map(|(&partition, wanted)| {
                    let at = agents.iter().filter_map(|agent| running_at(agent, partition)).max().unwrap_or(-1);
                    (at < wanted.next_offset).then(|| format!("{partition}: {at} of {}", wanted.next_offset))
                })
                .collect();
            if behind.is_empty() {
                return;
            }
            assert!(!agents.iter().any(|agent| agent.has_ended()), "an agent has ended");
            assert!(Instant::now() < until, "{} not caught up within {PATIENCE:?}: {behind:?}", self.topic);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The committed input offset of a partition, if this agent runs it under a lease that holds.
fn running_at(agent: &Agent, partition: i32) -> Option<i64> {
    let status = agent.status()?;
    let found = status.partitions.into_iter().find(|p| p.partition == partition && p.state() == State::Running)?;
    Some(found.next_offset)
}

/// A number on a `/metrics` page, summed over the series that have all of these labels; 0 if there is none.
pub fn number(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = parse_page(page).expect("a sound page");
    let matching = samples.iter().filter(|sample| {
        sample.name == name && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
    });
    matching.map(|sample| sample.value).sum()
}

pub fn unix_millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    now.as_millis() as i64
}

/// A running `streamgauge produce`; killed if the test ends before it.
pub struct Producing(Child);

impl Producing {
    pub fn finish(mut self) {
        let status = self.0.wait().expect("its state is known");
        assert!(status.success(), "produce: {status}");
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
