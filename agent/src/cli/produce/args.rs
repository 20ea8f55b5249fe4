//! What may be asked of `produce`, and what goes together.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::Wrong;
use crate::cli::client::AccessArgs;
use crate::cli::target::BrokerArgs;
use crate::cli::values::parse_duration;

/// Events per second where nothing else is said.
pub(super) const DEFAULT_RATE: u64 = 40_000;
/// Events that go to an agent in one request where nothing else is said.
pub(super) const DEFAULT_BATCH: u64 = 100;

/// Produce reproducible events, or the lines of a file: to Kafka, to an agent's front door, or to standard output.
#[derive(Args, Clone, Debug)]
pub struct ProduceArgs {
    #[command(flatten)]
    pub brokers: BrokerArgs,
    /// What the events are: HTTP requests, what users do on a site, or the log events of those requests.
    #[arg(long, value_enum, default_value_t = Kind::Requests)]
    pub kind: Kind,
    /// Send the lines of this file instead, as they are; `-`: of standard input. Blank lines are left out.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "seed", "failing_fraction", "late_fraction", "timestamp_start"])]
    pub input: Option<PathBuf>,
    /// Go on at the end of the file when it grows, or when another file takes its name.
    #[arg(long, requires = "input", conflicts_with_all = ["rate", "interval"])]
    pub follow: bool,
    /// Where events go: to Kafka, or to an agent's front door over HTTP (/api/logs, or /api/events for events that are no log
    /// events) or gRPC (log events only).
    #[arg(long, value_enum, default_value_t = To::Kafka)]
    pub to: To,
    /// With --to: the agent [default: http://127.0.0.1:9748 for http, http://127.0.0.1:9747 for grpc].
    #[arg(long, visible_aliases = ["http", "grpc"], value_name = "URL")]
    pub address: Option<String>,
    #[command(flatten)]
    pub access: AccessArgs,
    /// The source of the log events that lines become on their way to an agent, unless they are JSON objects
    /// [default: the file's name, or stdin].
    #[arg(long, requires = "input")]
    pub source: Option<String>,
    /// Print the events to standard output, and send nothing. No Kafka is needed.
    #[arg(long, conflicts_with = "json")]
    pub dry_run: bool,
    /// Topic to produce to [default: log-events, user-actions or logs, by --kind].
    #[arg(long)]
    pub topic: Option<String>,
    /// Partitions of the topic, if it has to be created (with the cluster's default replication).
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Do not create the topic.
    #[arg(long)]
    pub no_create: bool,
    /// Events per second, or `max` for as fast as it can [default: 40000; with --input: max].
    #[arg(long, value_parser = parse_rate, conflicts_with = "interval")]
    pub rate: Option<EventRate>,
    /// One event each time this has passed, such as 2s; with --batch-size so many.
    #[arg(long, value_parser = parse_interval)]
    pub interval: Option<Duration>,
    /// So many events at a time, and in one request to an agent. With no --rate, --interval, --duration, --count,
    /// --continuous and --input, one batch is sent [default: 1 at a time, 100 in a request].
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch_size: Option<u64>,
    /// Stop after this time, such as 30s or 5m. At a steady rate exactly rate × duration events are sent.
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Stop after this many events.
    #[arg(long)]
    pub count: Option<u64>,
    /// Go on until it is interrupted, which it also does without --duration and --count.
    #[arg(long, conflicts_with_all = ["duration", "count"])]
    pub continuous: bool,
    /// The same seed gives the same events.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What the events are keyed, and thereby partitioned, by [default: user, user-and-type or source, by --kind].
    #[arg(long, value_enum)]
    pub key: Option<KeyBy>,
    /// Share of the events, 0 to 1, that are delayed: dated back, and so late and out of order.
    #[arg(long, default_value_t = 0.0, value_parser = parse_fraction)]
    pub late_fraction: f64,
    /// Late events are dated back by 1 ms up to this.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    pub late_by: Duration,
    /// Share of the events, 0 to 1, that fail: cut off in the middle, they are no JSON. An agent makes them dead letters, its
    /// front door refuses them.
    #[arg(long, default_value_t = 0.0, value_parser = parse_fraction)]
    pub failing_fraction: f64,
    /// Event time of the first event, Unix milliseconds; from there event time goes on at --event-rate, whatever the
    /// clock shows. Without it events are dated when they are due.
    #[arg(long, value_name = "UNIX_MS")]
    pub timestamp_start: Option<i64>,
    /// Events per second of event time, with --timestamp-start [default: --rate, or 40000 without a number there].
    #[arg(long, requires = "timestamp_start", value_parser = clap::value_parser!(u64).range(1..))]
    pub event_rate: Option<u64>,
    /// Print the summary as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventRate {
    PerSecond(u64),
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Requests,
    UserActions,
    Logs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum To {
    Kafka,
    Http,
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyBy {
    /// Of requests.
    Endpoint,
    /// Of requests and user actions.
    User,
    /// Of user actions: both, with `:` between them.
    UserAndType,
    /// Of log events.
    Source,
    /// No key: librdkafka spreads the events.
    None,
}

impl ProduceArgs {
    /// # Errors
    /// What does not go together.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = |text: &str| Err(Wrong(text.to_owned()));
        if self.to == To::Grpc && !self.are_logs() {
            return wrong("--to grpc takes log events: --kind logs, or --input; other events go over --to http");
        }
        if self.to == To::Kafka && (self.address.is_some() || self.source.is_some()) {
            return wrong("--address and --source are for --to http and --to grpc");
        }
        if self.to != To::Kafka && (self.key.is_some() || self.topic.is_some() || self.no_create) {
            return wrong("--key, --topic and --no-create are for --to kafka: the agent's config says where events go");
        }
        if self.follow && self.input.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            return wrong("--follow needs a file: standard input is followed to its end anyway");
        }
        let fits = match (&self.input, self.kind, self.key_by()) {
            (Some(_), _, key) => self.key.is_none() || key == KeyBy::None,
            (None, Kind::Requests, key) => matches!(key, KeyBy::Endpoint | KeyBy::User | KeyBy::None),
            (None, Kind::UserActions, key) => matches!(key, KeyBy::User | KeyBy::UserAndType | KeyBy::None),
            (None, Kind::Logs, key) => matches!(key, KeyBy::Source | KeyBy::None),
        };
        match fits {
            true => Ok(()),
            false => wrong(
                "these events have no such key: --key is endpoint or user for requests, user or user-and-type for user-actions, source for logs, none for lines",
            ),
        }
    }

    /// Whether what is sent are log events.
    pub fn are_logs(&self) -> bool {
        self.input.is_some() || self.kind == Kind::Logs
    }

    pub fn key_by(&self) -> KeyBy {
        self.key.unwrap_or(match self.kind {
            Kind::Requests => KeyBy::User,
            Kind::UserActions => KeyBy::UserAndType,
            Kind::Logs => KeyBy::Source,
        })
    }

    pub fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or(match self.kind {
            _ if self.input.is_some() => "logs",
            Kind::Requests => "log-events",
            Kind::UserActions => "user-actions",
            Kind::Logs => "logs",
        })
    }

    /// Where the agent is that takes the events.
    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or(match self.to {
            To::Grpc => crate::cli::client::GRPC,
            _ => "http://127.0.0.1:9748",
        })
    }
}

pub fn parse_rate(text: &str) -> Result<EventRate, String> {
    match text {
        "max" => Ok(EventRate::Max),
        _ => match text.parse() {
            Ok(rate) if rate > 0 => Ok(EventRate::PerSecond(rate)),
            _ => Err("give events per second, at least 1, or max".into()),
        },
    }
}

fn parse_fraction(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("give a number from 0 to 1".into())
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|time| if time.is_zero() { Err("give a time above 0".into()) } else { Ok(time) })
}
