//! `streamgauge produce`: events of a seed, or lines of a file, sent at a steady rate or as fast as it can.

mod args;
mod door;
mod lines;
mod outlet;
mod report;
mod source;
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;

pub use self::args::{EventRate, ProduceArgs, parse_rate};

use self::args::{DEFAULT_BATCH, DEFAULT_RATE, To};
use self::door::{Door, Way};
use self::lines::Lines;
use self::outlet::Outlet;
use self::report::{Progress, Summary};
use self::source::{Generated, Source};
use self::stream::Plan;
use super::client;
use crate::clock::Clock;
use crate::config::Kafka;
use crate::generate::{EventTime, Failing, Rate};
use crate::kafka::event_producer::{EventProducer, ProduceError};

/// Runs the verb. Exit code 0: every event was acknowledged; 1: some were not; 64: a flag or a property is wrong.
pub fn run(args: ProduceArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    let clock = Clock::System;
    // For the calls and the signals only; events are handed over by this thread.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut outlet = match open(&args, &clock, &runtime) {
        Err(error) if matches!(error.downcast_ref(), Some(ProduceError::Properties(_))) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(64));
        }
        other => other?,
    };
    let mut source = source(&args, clock.unix_millis())?;
    // Not before: until events are sent, a signal may simply end the process.
    let signals = Arc::new(AtomicU8::new(0));
    runtime.spawn(count_signals(signals.clone()));

    let plan = Plan::new(&args, outlet.elapsed());
    let mut progress = Progress::new(plan.count, args.dry_run);
    let sent = stream::send(&plan, &mut source, &mut outlet, &clock, &signals, &mut progress);
    progress.finish();
    if let Some(error) = sent.error.as_ref().filter(|_| args.dry_run) {
        anyhow::bail!("{error:#}");
    }
    let summary = Summary::new(&sent, &outlet.delivered(), source.left_out());
    match (args.dry_run, args.json) {
        (true, _) => {}
        (false, true) => println!("{}", serde_json::to_string(&summary)?),
        (false, false) => println!("{summary}"),
    }
    runtime.shutdown_background();
    Ok(if summary.all_acknowledged() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The way that events take.
fn open(args: &ProduceArgs, clock: &Clock, runtime: &Runtime) -> anyhow::Result<Outlet> {
    if args.dry_run {
        return Ok(Outlet::print(clock.clone())?);
    }
    let batch = args.batch_size.unwrap_or(DEFAULT_BATCH) as usize;
    let address = args.address();
    let way = match args.to {
        To::Kafka => {
            let Kafka { bootstrap_servers, mut properties, .. } = args.brokers.kafka()?;
            properties.entry("bootstrap.servers".to_owned()).or_insert(bootstrap_servers);
            let producer = EventProducer::new(&properties, clock.clone())?;
            prepare_topic(args, &producer, runtime)?;
            return Ok(Outlet::Kafka { producer, topic: args.topic().to_owned() });
        }
        To::Http => {
            let path = if args.are_logs() { "/api/logs/batch" } else { "/api/events/batch" };
            Way::Http { posts: Box::new(args.access.posts(address)?), path, address: address.to_owned() }
        }
        To::Grpc => Way::grpc(runtime.block_on(client::channel(address, &args.access))?),
    };
    Ok(Outlet::Door(Door::open(way, batch, clock.clone(), runtime.handle())?))
}

/// What is sent; `now` in Unix milliseconds.
fn source(args: &ProduceArgs, now: i64) -> anyhow::Result<Source> {
    let Some(path) = &args.input else { return Ok(Source::Generated(generated(args, now))) };
    let wrapped = (args.to != To::Kafka).then(|| {
        let name = path.file_stem().filter(|name| *name != "-").unwrap_or_else(|| "stdin".as_ref());
        args.source.clone().unwrap_or_else(|| Path::new(name).display().to_string())
    });
    Ok(Source::Lines { lines: Lines::open(path, args.follow)?, wrapped })
}

fn generated(args: &ProduceArgs, now: i64) -> Generated {
    let per_second = match args.rate {
        Some(EventRate::PerSecond(n)) => n,
        Some(EventRate::Max) | None => DEFAULT_RATE,
    };
    let has_schedule = args.interval.is_none() && args.rate != Some(EventRate::Max);
    Generated {
        kind: args.kind,
        key: args.key_by(),
        seed: args.seed,
        event_time: EventTime {
            start: args.timestamp_start.unwrap_or(now),
            per_second: args.event_rate.unwrap_or(per_second),
            seed: args.seed,
            late_fraction: args.late_fraction,
            late_by: u32::try_from(args.late_by.as_millis()).unwrap_or(u32::MAX),
        },
        by_clock: !has_schedule && args.timestamp_start.is_none(),
        failing: Failing { seed: args.seed, fraction: args.failing_fraction },
    }
}

impl Plan {
    fn new(args: &ProduceArgs, start: Duration) -> Self {
        let batch = args.batch_size.unwrap_or(1);
        let usual = if args.input.is_some() { EventRate::Max } else { EventRate::PerSecond(DEFAULT_RATE) };
        let per_second = match args.rate.unwrap_or(usual) {
            EventRate::PerSecond(n) => Some(n),
            EventRate::Max => None,
        };
        let rate = match (args.interval, per_second) {
            (Some(interval), _) => Rate::every(interval),
            (None, Some(n)) => Rate::steady(n),
            (None, None) => Rate::unlimited(),
        };
        // How many are due within the duration.
        let by_duration = match (args.duration, args.interval, per_second) {
            (None, ..) | (Some(_), None, None) => None,
            (Some(time), Some(interval), _) => u64::try_from(time.as_nanos().div_ceil(interval.as_nanos()))
                .ok()
                .map(|times| times.saturating_mul(batch)),
            (Some(time), None, Some(n)) => u64::try_from(time.as_nanos() * u128::from(n) / 1_000_000_000).ok(),
        };
        let goes_on = args.continuous
            || args.rate.is_some()
            || args.interval.is_some()
            || args.duration.is_some()
            || args.count.is_some()
            || args.input.is_some();
        let one_batch = args.batch_size.filter(|_| !goes_on);
        Plan {
            rate: rate.in_batches(batch),
            start,
            count: [args.count, by_duration, one_batch].into_iter().flatten().min(),
            until: if by_duration.is_none() { args.duration } else { None },
        }
    }
}

/// Makes sure that the topic is there.
fn prepare_topic(args: &ProduceArgs, producer: &EventProducer, runtime: &Runtime) -> anyhow::Result<()> {
    let refused = match args.no_create {
        true => None,
        false => match runtime.block_on(producer.create_topic(args.topic(), args.partitions)) {
            Err(error @ ProduceError::Unreachable { .. }) => return Err(error.into()),
            result => result.err(),
        },
    };
    // Someone who may write to a topic need not be allowed to create it.
    match (producer.partitions(args.topic()), refused) {
        (Ok(_), _) => Ok(()),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(error), None) => Err(error.into()),
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

#[cfg(test)]
mod tests;
