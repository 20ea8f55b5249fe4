//! `streamgauge demo`: brokers, producer and agent in one process, nothing installed and nothing configured.
//!
//! The agent runs `examples/http-requests.yaml`, as `run` would. It shows counting; with the mock cluster, which knows no
//! transactions, it does not prove exactly-once, and says so.

mod cluster;
mod numbers;
mod producer;
mod screen;

use self::cluster::Cluster;
use self::numbers::Numbers;
use self::producer::{MOCK_BACKLOG, Plan, Producing};
use self::screen::{Look, Screen};
use super::colours::ColourArgs;
use super::produce::{EventRate, parse_rate};
use super::values::{parse_duration, parse_property};
use crate::app::{Agent, Listeners, Running, shutdown_signal};
use crate::clock::{BootTime, Clock};
use crate::config::{self, Config, Membership, Start, TopicSelector};
use crate::human;
use crate::kafka::event_producer::EventProducer;
use crate::server::Protocol;
use anyhow::Context;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../../examples/http-requests.yaml");
/// Waiting for the group's first assignment; brokers wait for more members, the mock 3 s.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// The last events are counted when nothing more has come for this long, if they are not sooner.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// What is counted twice would show within it: some commits.
const SETTLE: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A check did not hold.
const DIFFERENT: u8 = 2;

/// Show it working: an in-process broker, a producer and the agent.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// End after this time, such as 20s; without it, when interrupted.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Events per second, or `max`. When the agent lags, the producer waits.
    #[arg(long, default_value = "40000", value_parser = parse_rate)]
    rate: EventRate,
    /// A real Kafka instead of the mock cluster: host:port, separated by commas.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
    /// Topic of the events [default: a new one, deleted at the end].
    #[arg(long, requires = "bootstrap_servers")]
    topic: Option<String>,
    /// A librdkafka property, such as security.protocol=SASL_SSL. Can be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    properties: Vec<(String, String)>,
    /// What the agent logs to standard error, such as info.
    #[arg(long, default_value = "error", value_name = "LEVEL")]
    log_level: String,
}

/// Runs the verb. Exit code 0: what was produced was counted, to the event; 2: it was not.
pub fn run(args: &DemoArgs, colours: &ColourArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(demo(args, colours));
    runtime.shutdown_background();
    code
}

async fn demo(args: &DemoArgs, colours: &ColourArgs) -> anyhow::Result<ExitCode> {
    let clock = Clock::default();
    let home = Home::new();
    let cluster = Cluster::start(args)?;
    let (config, topic) = configure(args, &cluster, &home)?;
    let is_coloured = colours.are_on(std::io::stderr().is_terminal());
    crate::telemetry::init_logging(&config.telemetry, config.otlp.as_ref(), is_coloured)?;
    println!(
        "Streamgauge demo, {}.",
        if cluster.is_mock() { "on a mock Kafka in this process" } else { "on your Kafka" }
    );

    let mut properties = config.kafka.properties.clone();
    properties.insert("bootstrap.servers".into(), config.kafka.bootstrap_servers.clone());
    properties.remove("fetch.wait.max.ms");
    let producer = Arc::new(EventProducer::new(&properties, clock.clone())?);
    let partitions = cluster.prepare(&config, &topic, &producer).await?;
    let listeners = Listeners::bind_or_free(&config).await.context("cannot listen on loopback")?;
    let agent = Agent::build(config.clone(), listeners, clock.clone())?;
    let agent = if cluster.is_mock() { agent.with_topics_given() } else { agent };
    let mut running = agent.run()?;
    // There before the first event is, and says what is waited for.
    if let Some(address) = running.address(Protocol::Http) {
        println!("page:     http://{address}/");
    }
    let result = play(args, &mut running, producer, (&topic, partitions), cluster.is_mock(), &clock).await;
    let stopped = running.stop().await;
    cluster.clean(&config, &topic, args.topic.is_none()).await;
    // Why a worker ended says more than that it ended.
    stopped?;
    let (produced, counted) = result?;
    Ok(verdict(produced, counted, cluster.is_mock()))
}

/// Produces and shows, from when the agent is ready until all is counted. Returns the events produced and counted.
async fn play(
    args: &DemoArgs,
    running: &mut Running,
    producer: Arc<EventProducer>,
    (topic, partitions): (&str, usize),
    mock: bool,
    clock: &Clock,
) -> anyhow::Result<(u64, u64)> {
    wait_ready(running, partitions, clock).await?;
    println!("{}", hints(running));
    let plan = Plan { topic: topic.to_owned(), rate: args.rate, backlog: mock.then_some(MOCK_BACKLOG) };
    let mut producing = Producing::start(plan, producer, running.reader.registry.clone(), clock.clone())?;
    watch(args.duration, running, &producing, clock).await?;
    let counted = drain(running, &producing, clock).await?;
    producing.result()?;
    Ok((producing.acknowledged(), counted))
}

/// The example's config, on the demo's own topic, group and state directory.
fn configure(args: &DemoArgs, cluster: &Cluster, home: &Home) -> anyhow::Result<(Config, String)> {
    let mut config = config::parse(EXAMPLE, "examples/http-requests.yaml", &|_| None)?;
    let suffix = format!("{:08x}", rand::random::<u32>());
    let topic = args.topic.clone().unwrap_or_else(|| match cluster.is_mock() {
        true => "log-events".to_owned(),
        false => format!("streamgauge-demo-{suffix}"),
    });
    config.kafka.bootstrap_servers = cluster.bootstrap_servers();
    config.kafka.group_id = format!("demo-{suffix}");
    config.kafka.membership = Membership::Dynamic;
    // A busy machine is to be slower, and nothing else.
    config.kafka.session_timeout = Duration::from_secs(45);
    config.kafka.properties.extend(args.properties.iter().cloned());
    if cluster.is_mock() {
        // The mock answers a fetch only after this time or when there is much to give.
        config.kafka.properties.insert("fetch.wait.max.ms".into(), "20".into());
    }
    for source in &mut config.sources {
        source.topics = vec![TopicSelector::named(&topic)];
        // What others put into a topic of theirs before is not to be counted.
        source.start = if args.topic.is_some() { Start::Latest } else { Start::Earliest };
    }
    config.state.dir = home.0.clone();
    // The mock knows no consumer groups and no settings.
    config.cluster.watch.enabled = !cluster.is_mock();
    config.telemetry.log_level = args.log_level.clone();
    Ok((config, topic))
}

/// Waits until the agent has all partitions and their state.
async fn wait_ready(running: &mut Running, partitions: usize, clock: &Clock) -> anyhow::Result<()> {
    let began = clock.boot_time();
    let mut interrupted = pin!(shutdown_signal());
    loop {
        let reasons = (running.readiness)();
        if reasons.is_empty() && running.reader.registry.tasks().len() == partitions {
            return Ok(());
        }
        if clock.boot_time().since(began) > START_DEADLINE {
            anyhow::bail!("the agent is not ready after {START_DEADLINE:?}: {}", reasons.join("; "));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = &mut interrupted => anyhow::bail!("interrupted"),
            () = running.ended() => anyhow::bail!("the agent has ended"),
        }
    }
}

/// What to try while it runs.
fn hints(running: &Running) -> String {
    let address = |listener| running.address(listener).map_or_else(String::new, |address| address.to_string());
    format!(
        "metrics:  curl -s http://{http}/metrics\n\
         query:    streamgauge query http --last 1m --address http://{grpc}\n\
         or:       grpcurl -plaintext -d '{{\"aggregate\": \"http\", \"last\": \"60s\"}}' {grpc} streamgauge.v1.QueryService/Query\n",
        http = address(Protocol::Http),
        grpc = address(Protocol::Grpc),
    )
}

/// Shows what is counted, until the time is over or a signal comes.
async fn watch(
    duration: Option<Duration>,
    running: &mut Running,
    producing: &Producing,
    clock: &Clock,
) -> anyhow::Result<()> {
    let began = clock.boot_time();
    let mut screen = Screen::new();
    let mut interrupted = pin!(shutdown_signal());
    let mut over = pin!(async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    });
    let mut ticks = tokio::time::interval(screen.interval());
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut over => return Ok(()),
            () = &mut interrupted => return Ok(()),
            () = running.ended() => anyhow::bail!("the agent has ended"),
        }
        if producing.has_failed() {
            return Ok(());
        }
        screen.show(look(running, producing, clock, began)?);
    }
}

fn look(running: &Running, producing: &Producing, clock: &Clock, began: BootTime) -> anyhow::Result<Look> {
    // In this order, so that what is counted is never ahead of what was produced.
    let numbers = Numbers::read(&running.reader)?;
    Ok(Look { elapsed: clock.boot_time().since(began), acknowledged: producing.acknowledged(), numbers })
}

/// Stops producing, and waits until everything is counted or nothing more comes. Returns the events counted.
async fn drain(running: &mut Running, producing: &Producing, clock: &Clock) -> anyhow::Result<u64> {
    producing.stop();
    let counted = |running: &Running| Numbers::read(&running.reader).map(|numbers| numbers.all.requests);
    let mut last = (counted(running)?, clock.boot_time());
    loop {
        let now = (counted(running)?, clock.boot_time());
        if producing.is_drained() && now.0 >= producing.acknowledged() {
            break;
        }
        if now.0 != last.0 || !producing.is_drained() {
            last = now;
        } else if now.1.since(last.1) > DRAIN_PATIENCE {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = running.ended() => anyhow::bail!("the agent has ended"),
        }
    }
    tokio::time::sleep(SETTLE).await;
    Ok(counted(running)?)
}

fn verdict(produced: u64, counted: u64, mock: bool) -> ExitCode {
    if mock {
        println!(
            "\nThis shows counting. The mock knows no transactions, so that it proves no exactly-once: a crash on a real\n\
             Kafka does. `--bootstrap-servers` runs the same there, and `streamgauge audit` recounts any topic."
        );
    }
    let numbers = format!("produced {}, counted {}", human::count(produced), human::count(counted));
    if produced == counted {
        println!("\n{numbers}: exact");
        return ExitCode::SUCCESS;
    }
    let (difference, word) = (produced.abs_diff(counted), if counted < produced { "missing" } else { "too many" });
    println!("\n{numbers}: {} {word}", human::count(difference));
    ExitCode::from(DIFFERENT)
}

/// A state directory that goes when the demo does.
struct Home(PathBuf);

impl Home {
    fn new() -> Home {
        Home(std::env::temp_dir().join(format!("streamgauge-demo-{:016x}", rand::random::<u64>())))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_mock_may_have_to_keep_is_well_below_what_it_keeps() {
        let mut value = Vec::new();
        let longest = (0..20_000).map(|n| {
            crate::generate::Generator::new(1).event(n, 1_763_657_472_123).write_json(&mut value);
            value.len()
        });
        // A key, and what a record batch adds for each record.
        let bytes = longest.max().unwrap_or(0) as u64 + 11 + 15;
        assert!(MOCK_BACKLOG * bytes < 5 * 1024 * 1024 * 9 / 10, "{bytes} bytes an event");
    }
}
