//! The stage of a fault run: a topic and a group of their own, agents, the known stream, a watch over the agents' pages;
//! and the row that comes of it.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::answers;
use super::changelog;
use super::recovery::{Offsets, Recovery};
use super::stream::{Stream, Style};
use super::truth::{Truth, Verdict, forgive_more, judge};
use crate::agent::Agent;
use crate::exactly_once::Watch;
use crate::kafka::{Kafka, shared, unique, wait_until};

/// How long the group may take to recover before the run has failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a stage differs from the plain one.
#[derive(Clone, Copy)]
pub struct Plan {
    pub partitions: i32,
    pub rate: u64,
    /// Of the group, in seconds.
    pub session: u32,
    /// Whether an agent that ends leaves the group at once.
    pub leave: bool,
    /// The input comes in transactions, every third of which is aborted.
    pub aborting: bool,
    /// How long closed windows stay, as the config has it.
    pub retention: &'static str,
    pub topic_config: &'static [(&'static str, &'static str)],
    /// Of the topic and its changelog; `-1`: as many as the brokers make.
    pub replicas: i32,
    /// Of each agent.
    pub workers: u32,
    /// More lines of the config's `kafka` section.
    pub kafka: &'static [&'static str],
    /// Counted at least once: a cell may hold more than it should.
    pub at_least_once: bool,
    /// Many events in a record, each as text in a field, some with a time that the config cannot read until it is mended.
    pub packed: bool,
}

pub const PLAIN: Plan = Plan {
    partitions: 6,
    rate: 4_000,
    session: 6,
    leave: false,
    aborting: false,
    retention: "2h",
    topic_config: &[],
    replicas: -1,
    workers: 1,
    kafka: &[],
    at_least_once: false,
    packed: false,
};

/// The brokers: those that all tests share, or a cluster of the run's own.
pub enum Brokers {
    Shared(&'static Kafka),
    Own(Kafka),
}

impl Deref for Brokers {
    type Target = Kafka;

    fn deref(&self) -> &Kafka {
        match self {
            Brokers::Shared(kafka) => kafka,
            Brokers::Own(kafka) => kafka,
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Row {
    pub events: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub worst: Duration,
    /// How many events Kafka itself no longer had; all of them have to be accounted for by the agents.
    pub by_kafka: Option<u64>,
    /// What was wrong, in words.
    pub wrong: Vec<String>,
}

impl Row {
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.wrong.is_empty()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { events, lost, duplicated, .. } = self;
        let by_kafka = self.by_kafka.map_or(String::new(), |lost| format!(" (and {lost} by Kafka, all counted)"));
        write!(f, "{events} | {lost}{by_kafka} | {duplicated} | {:.1}", self.worst.as_secs_f64())
    }
}

/// With `STREAMGAUGE_FAULT_LOG` (a log level) the agents tell more, librdkafka's transactions included.
fn debugging() -> String {
    let level = std::env::var("STREAMGAUGE_FAULT_LOG").ok();
    level.map_or(String::new(), |level| format!("telemetry: {{ log_level: \"{level}\" }}\n"))
}

pub struct Stage {
    // In the order of dropping: nobody talks to brokers that are gone.
    recovery: Recovery,
    watches: Vec<Watch>,
    stream: Stream,
    pub kafka: Brokers,
    pub topic: String,
    pub group: String,
    pub random: Pcg64Mcg,
    pub truth: Truth,
    plan: Plan,
    /// Whether the config reads all times.
    mended: bool,
}

impl Stage {
    /// On the shared broker.
    pub fn new(what: &str, plan: Plan) -> Stage {
        Stage::on(Brokers::Shared(shared()), what, plan)
    }

    pub fn on(kafka: Brokers, what: &str, plan: Plan) -> Stage {
        let topic = unique(what);
        kafka.create_topic_with(&topic, plan.partitions, plan.replicas, plan.topic_config);
        let style = Style { rate: plan.rate, aborting: plan.aborting, packed: plan.packed };
        Stage {
            recovery: Recovery::start(),
            watches: Vec::new(),
            stream: Stream::start(&kafka, &topic, plan.partitions, style),
            group: format!("group-of-{topic}"),
            topic,
            kafka,
            random: Pcg64Mcg::seed_from_u64(5),
            truth: Truth::default(),
            plan,
            mended: false,
        }
    }

    /// From now on the config reads all times, that of this agent too, which does not run.
    pub fn mend(&mut self, agent: &Agent) {
        let before = self.times();
        self.mended = true;
        let text = std::fs::read_to_string(agent.config_path()).expect("its config");
        std::fs::write(agent.config_path(), text.replace(&before, &self.times())).expect("it is mended");
    }

    /// What a packed event's fields stand below.
    fn below(&self) -> &'static str {
        if self.plan.packed { "line." } else { "" }
    }

    /// `timestamp` of the source.
    fn times(&self) -> String {
        let numbers = format!("{{ field: {}timestamp, format: unix_ms }}", self.below());
        match self.mended {
            true => format!("[{numbers}, {{ field: {}timestamp, format: rfc3339 }}]", self.below()),
            false => numbers,
        }
    }

    pub fn config(&self) -> String {
        let Stage { topic, group, plan, .. } = self;
        let replicas = match plan.replicas {
            -1 => String::new(),
            replicas => format!("  replication_factor: {replicas}\n"),
        };
        let on_shutdown = if plan.leave { "leave" } else { "keep" };
        let lines: String = plan.kafka.iter().map(|line| format!("  {line}\n")).collect();
        let each = if plan.packed { "    each: batch\n    parse: { line: json }\n" } else { "" };
        let (below, times) = (self.below(), self.times());
        let guarantee = if plan.at_least_once { "at_least_once" } else { "exactly_once" };
        format!(
            "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n  session_timeout: {}s\n  \
             on_shutdown: {on_shutdown}\n{replicas}{lines}workers: {}\nstate:\n  dir: ${{STATE_DIR}}\n  \
              processing_guarantee: {guarantee}\nsources:\n  numbers:\n    topics: [{topic}]\n    format: json\n{each}    \
             timestamp: {times}\naggregates:\n  numbers:\n    source: numbers\n    \
             by: {{ key: {below}key }}\n    windows: [5s, 30s/5s]\n    grace: 2s\n    retention: {}\n    measures:\n      \
             events: count\n      seq: {{ sum: {below}seq }}\n      hash: {{ sum: {below}hash }}\n",
            plan.session, plan.workers, plan.retention
        ) + &debugging()
    }

    /// An agent that runs.
    pub fn agent(&self) -> Agent {
        self.agent_with(self.kafka.bootstrap(), &[])
    }

    /// An agent that reaches the brokers at `bootstrap`, with more environment variables.
    pub fn agent_with(&self, bootstrap: &str, variables: &[(&str, &str)]) -> Agent {
        let mut agent = self.agent_at_rest(bootstrap, variables);
        agent.restart();
        agent
    }

    /// An agent that has not been started.
    pub fn agent_at_rest(&self, bootstrap: &str, variables: &[(&str, &str)]) -> Agent {
        let agent = Agent::at_rest(bootstrap, &self.config(), variables);
        self.recovery.watch(agent.grpc());
        agent
    }

    /// Watches these agents' pages from now on: no total goes back, none is on two pages.
    pub fn watch(&mut self, agents: &[&Agent]) {
        let addresses: Vec<_> = agents.iter().map(|agent| agent.http()).collect();
        self.watches.push(Watch::start(&addresses));
    }

    /// Waits somewhere between these times, in seconds.
    pub fn sleep(&mut self, from: f64, to: f64) {
        std::thread::sleep(Duration::from_secs_f64(self.random.random_range(from..to)));
    }

    /// The fault is over: recovery is measured from now on, in the background.
    pub fn over(&self) {
        self.recovery.begin(self.stream.acknowledged());
    }

    /// The same, and waits for the recovery.
    pub fn recovered(&self, what: &str) {
        self.over();
        self.wait_recovered(what);
    }

    /// Waits for all recoveries that are being measured.
    pub fn wait_recovered(&self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while let behind = self.recovery.behind()
            && !behind.is_empty()
        {
            assert!(Instant::now() < until, "{what}: not recovered within {PATIENCE:?}; partitions behind: {behind:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the agents work, so that a fault hits them at it.
    pub fn begun(&self, agents: &mut [&mut Agent]) {
        agents.iter_mut().for_each(|agent| agent.wait_ready());
        // A start is no recovery from a fault, and yet nothing else shows that all partitions are being read.
        self.recovered("start");
    }

    /// The group's changelog topic.
    pub fn changelog(&self) -> String {
        format!("streamgauge-{}-{}-changelog", self.group, self.topic)
    }

    /// One past the last acknowledged offset of each partition.
    pub fn acknowledged(&self) -> Offsets {
        self.stream.acknowledged()
    }

    /// From now on the stream goes to so many partitions.
    pub fn widen(&self, partitions: i32) {
        self.stream.widen(partitions);
    }

    /// Ends the stream, waits until the agents have counted all of it, and compares every cell.
    pub fn finish(self, agents: &[&Agent]) -> Row {
        self.finish_with(agents, |_| {})
    }

    /// The same, with something to be changed in the truth, or taken out of it, before.
    pub fn finish_with(mut self, agents: &[&Agent], change: impl FnOnce(&mut Truth)) -> Row {
        let mut truth = Truth::default();
        let mut row = self.compare(agents, &mut truth, change);
        let torn = self.read_changelog(&truth);
        // Nobody could begin anew with a changelog that does not add up.
        let anew = if torn.is_empty() { self.begin_anew(agents, &truth) } else { torn };
        row.wrong.extend(anew);
        row
    }

    /// Ends the stream and compares every cell; what is counted from now on is compared by itself.
    pub fn settle(&mut self, agents: &[&Agent]) -> Row {
        let mut truth = Truth::default();
        let row = self.compare(agents, &mut truth, |_| {});
        truth.count_anew();
        self.truth = truth;
        row
    }

    /// Like [`Stage::finish_with`], but leaves the agents as they are.
    pub fn finish_running(mut self, agents: &[&Agent], change: impl FnOnce(&mut Truth)) -> Row {
        let mut truth = Truth::default();
        let mut row = self.compare(agents, &mut truth, change);
        row.wrong.extend(self.read_changelog(&truth));
        row
    }

    /// What is wrong with the changelog of all that was written.
    fn read_changelog(&self, truth: &Truth) -> Vec<String> {
        let written = truth.ends.iter().filter(|(_, end)| **end > 0).map(|(partition, _)| *partition);
        changelog::check(&self.kafka, &self.changelog(), written)
    }

    /// Kills one of the agents, starts one without a state directory in its place, which has only the changelog to read
    /// back from, and compares every cell again.
    fn begin_anew(&self, agents: &[&Agent], truth: &Truth) -> Vec<String> {
        let (gone, rest) = agents.split_first().expect("an agent");
        gone.signal(libc::SIGKILL);
        wait_until("it has ended", || gone.has_ended());
        let fresh = self.agent();
        self.recovery.begin(truth.ends.clone());
        self.wait_recovered("an agent without state");
        let running: Vec<_> = std::iter::once(&fresh).chain(rest.iter().copied()).collect();
        let (cells, mut wrong) = answers::of(&running, &truth.cells);
        wrong.extend(judge(&truth.cells, &cells).wrong);
        wrong.into_iter().map(|wrong| format!("read back from the changelog alone: {wrong}")).collect()
    }

    fn compare(&mut self, agents: &[&Agent], to: &mut Truth, change: impl FnOnce(&mut Truth)) -> Row {
        let counted = self.stream.finish();
        let mut truth = std::mem::take(&mut self.truth);
        truth.read_on(&self.kafka, &self.topic);
        let worst = self.recovery.worst();
        self.recovery.begin(truth.ends.clone());
        self.wait_recovered("the stream's end");
        change(&mut truth);
        let (mut cells, mut wrong) = answers::of(agents, &truth.cells);
        if self.plan.at_least_once {
            forgive_more(&truth.cells, &mut cells);
        }
        let verdict: Verdict = judge(&truth.cells, &cells);
        wrong.extend(verdict.wrong);
        let (missing, doubled) = truth.against_ledger(&counted);
        let by_kafka = truth.lost.values().map(|lost| (lost.end - lost.start) as u64).sum::<u64>();
        if missing != by_kafka || doubled > 0 {
            wrong.push(format!("the topic itself lacks {missing} events and has {doubled} too many"));
        }
        for watch in std::mem::take(&mut self.watches) {
            wrong.extend(watch.complaints());
        }
        let by_kafka = (by_kafka > 0).then_some(by_kafka);
        let row =
            Row { events: truth.events(), lost: verdict.lost, duplicated: verdict.duplicated, worst, by_kafka, wrong };
        *to = truth;
        row
    }
}
