//! `streamgauge produce`: the generated event stream, sent to Kafka at a steady rate or as fast as it can.

mod report;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use self::report::{Progress, Summary};
use self::stream::Plan;
use super::target::BrokerArgs;
use super::values::parse_duration;
use crate::clock::Clock;
use crate::config::Kafka;
use crate::generate::{EventTime, Generator, Rate};
use crate::kafka::event_producer::{EventProducer, ProduceError};

/// Event time goes on at this rate when events are sent as fast as possible.
const DEFAULT_RATE: u64 = 40_000;

/// Produce a reproducible stream of HTTP request events.
#[derive(Args, Clone, Debug)]
pub struct ProduceArgs {
    #[command(flatten)]
    pub brokers: BrokerArgs,
    /// Topic to produce to.
    #[arg(long, default_value = "log-events")]
    pub topic: String,
    /// Partitions of the topic, if it has to be created (with the cluster's default replication).
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Do not create the topic.
    #[arg(long)]
    pub no_create: bool,
    /// Events per second, or `max` for as fast as it can.
    #[arg(long, default_value = "40000", value_parser = parse_rate)]
    pub rate: EventRate,
    /// Stop after this time, such as 30s or 5m. At a steady rate exactly rate × duration events are sent.
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Stop after this many events.
    #[arg(long)]
    pub count: Option<u64>,
    /// The same seed gives the same events.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What the events are keyed, and thereby partitioned, by.
    #[arg(long, value_enum, default_value_t = KeyBy::User)]
    pub key: KeyBy,
    /// Share of the events, 0 to 1, that are dated back and so come late and out of order.
    #[arg(long, default_value_t = 0.0, value_parser = parse_fraction)]
    pub late_fraction: f64,
    /// Late events are dated back by 1 ms up to this.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    pub late_by: Duration,
    /// Event time of the first event, Unix milliseconds; from there event time goes on at --event-rate, whatever the
    /// clock shows. Without it events are dated when they are due.
    #[arg(long, value_name = "UNIX_MS")]
    pub timestamp_start: Option<i64>,
    /// Events per second of event time, with --timestamp-start [default: --rate, or 40000 with --rate max].
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
pub enum KeyBy {
    Endpoint,
    User,
    /// No key: librdkafka spreads the events.
    None,
}

/// Runs the verb. Exit code 0: every event was acknowledged; 1: some were not; 64: a property is wrong.
pub fn run(args: ProduceArgs) -> anyhow::Result<ExitCode> {
    let clock = Clock::System;
    let Kafka { bootstrap_servers, mut properties, .. } = args.brokers.kafka()?;
    properties.entry("bootstrap.servers".to_owned()).or_insert(bootstrap_servers);
    let producer = match EventProducer::new(&properties, clock.clone()) {
        Err(error @ ProduceError::Properties(_)) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(64));
        }
        other => other?,
    };
    // For the admin calls and the signals only; events are sent from this thread.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    prepare_topic(&args, &producer, &runtime)?;
    // Not before: until events are sent, a signal may simply end the process.
    let signals = Arc::new(AtomicU8::new(0));
    runtime.spawn(count_signals(signals.clone()));

    let plan = Plan::new(&args, producer.elapsed(), clock.unix_millis());
    let mut progress = Progress::new(plan.count);
    let sent = stream::send(&plan, &producer, &clock, &signals, &mut progress);
    progress.finish();
    let summary = Summary::new(&sent, &producer.delivered());
    if args.json {
        println!("{}", serde_json::to_string(&summary)?)
    } else {
        println!("{summary}")
    }
    runtime.shutdown_background();
    Ok(if summary.all_acknowledged() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Makes sure that the topic is there.
fn prepare_topic(
    args: &ProduceArgs,
    producer: &EventProducer,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let refused = match args.no_create {
        true => None,
        false => match runtime.block_on(producer.create_topic(&args.topic, args.partitions)) {
            Err(error @ ProduceError::Unreachable { .. }) => return Err(error.into()),
            result => result.err(),
        },
    };
    // Someone who may write to a topic need not be allowed to create it.
    match (producer.partitions(&args.topic), refused) {
        (Ok(_), _) => Ok(()),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(error), None) => Err(error.into()),
    }
}

impl Plan {
    fn new(args: &ProduceArgs, start: Duration, now: i64) -> Self {
        let (rate, per_second) = match args.rate {
            EventRate::PerSecond(n) => (Rate::steady(n), n),
            EventRate::Max => (Rate::unlimited(), DEFAULT_RATE),
        };
        let by_duration = match (args.rate, args.duration) {
            (EventRate::PerSecond(n), Some(time)) => {
                u64::try_from(time.as_nanos() * u128::from(n) / 1_000_000_000).ok()
            }
            _ => None,
        };
        let count = [args.count, by_duration].into_iter().flatten().min();
        let event_time = EventTime {
            start: args.timestamp_start.unwrap_or(now),
            per_second: args.event_rate.unwrap_or(per_second),
            seed: args.seed,
            late_fraction: args.late_fraction,
            late_by: u32::try_from(args.late_by.as_millis()).unwrap_or(u32::MAX),
        };
        Plan {
            topic: args.topic.clone(),
            key: args.key,
            rate,
            start,
            count,
            until: if args.rate == EventRate::Max { args.duration } else { None },
            generator: Generator::new(args.seed),
            event_time,
            by_clock: args.rate == EventRate::Max && args.timestamp_start.is_none(),
        }
    }
}

/// Counts SIGINT and SIGTERM: the first asks for an orderly end, the second for an immediate one.
async fn count_signals(signals: Arc<AtomicU8>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return; // The default action stays: the process ends without a summary.
    };
    loop {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        signals.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn parse_rate(text: &str) -> Result<EventRate, String> {
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

#[cfg(test)]
mod tests;
