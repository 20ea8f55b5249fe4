//! `streamgauge loadtest`: one load test or a ladder of them, straight against Kafka or in an agent.

mod show;

use super::client::{self, block_on};
use super::target::{Output, TargetArgs};
use super::values::parse_duration;
use crate::app::shutdown_signal;
use crate::clock::Clock;
use crate::config::{LoadTests as Limits, parse_size};
use crate::env::Environment;
use crate::grpc::{LoadTestApi, load_test_request};
use crate::loadtest::{Acks, Compression, LoadTests, Sources, Spec};
use crate::server::Calls;
use clap::Args;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::load_test_service_client::LoadTestServiceClient;
use streamgauge_proto::v1::load_test_service_server::LoadTestService;
use tokio_stream::StreamExt;
use tonic::{Request, Status};

/// The ladder's steps unless others are given.
const LADDER: [u64; 5] = [1_000, 10_000, 50_000, 200_000, 1_000_000];

/// Measure how fast a topic takes events, and how long each waits for its acknowledgement.
#[derive(Args)]
pub struct LoadTestArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The topic to produce to; it has to be there.
    #[arg(long)]
    topic: String,
    /// How many events [default: 100000, unless there is a duration].
    #[arg(long)]
    events: Option<u64>,
    /// How long, such as 30s.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Events per second; latency then counts from when an event was due. Default: as fast as it can.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Bytes of an event.
    #[arg(long, default_value = "200", value_parser = parse_bytes)]
    size: u64,
    /// Distinct keys; 0: events without keys.
    #[arg(long, default_value_t = 0)]
    keys: u32,
    /// Who has to acknowledge an event.
    #[arg(long, value_enum, default_value_t = Acks::All)]
    acks: Acks,
    #[arg(long, value_enum, default_value_t = Compression::Snappy)]
    compression: Compression,
    /// How long a batch waits to be filled.
    #[arg(long, default_value = "5ms", value_parser = parse_duration)]
    linger: Duration,
    /// Bytes of a batch.
    #[arg(long, default_value = "128KiB", value_parser = parse_bytes)]
    batch_size: u64,
    /// Read everything back, and report what is lost, duplicated and out of order.
    #[arg(long)]
    verify: bool,
    /// With --agent: also if the agent counts this topic's events.
    #[arg(long)]
    allow_source_topic: bool,
    /// One test for each of these numbers of events, and a table of them [default: 1000,10000,50000,200000,1000000].
    #[arg(long, value_delimiter = ',', num_args = 0..=1, default_missing_value = "", value_name = "EVENTS,…")]
    ladder: Option<Vec<String>>,
    /// How to print the result.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Whoever runs the tests.
enum Server {
    Here(LoadTestApi),
    Agent(Box<LoadTestServiceClient<Calls>>),
}

/// Runs the verb. Exit code 0: every event was acknowledged; 1: it failed; 2: events were not acknowledged, or what was
/// read back is not what was written.
pub fn run(args: &LoadTestArgs) -> anyhow::Result<ExitCode> {
    let steps = match steps(args) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(super::USAGE));
        }
    };
    block_on(async {
        let server = match &args.target.agent {
            Some(address) => Server::Agent(Box::new(LoadTestServiceClient::new(
                client::channel(address, &args.target.access).await?,
            ))),
            None => Server::Here(here(&args.target)?),
        };
        let mut tests = Vec::new();
        for spec in steps {
            let test = one(&server, &spec).await.map_err(client::refused)?;
            let cancelled = test.state() == pb::load_test::State::Cancelled;
            tests.push(test);
            if cancelled {
                break;
            }
        }
        match (args.output, args.ladder.is_some()) {
            (Output::Table, true) => print!("{}", show::ladder(&tests)),
            (Output::Table, false) => tests.iter().for_each(|test| print!("{}", show::one(test))),
            (Output::Json, true) => println!("{:#}", serde_json::Value::from_iter(tests.iter().map(show::json))),
            (Output::Json, false) => tests.iter().for_each(|test| println!("{:#}", show::json(test))),
        }
        Ok(exit(&tests))
    })
}

/// The tests to run, one after the other.
fn steps(args: &LoadTestArgs) -> Result<Vec<Spec>, String> {
    let spec = |events: Option<u64>| Spec {
        topic: args.topic.clone(),
        events,
        duration: args.duration,
        rate: args.rate,
        event_bytes: usize::try_from(args.size).unwrap_or(usize::MAX),
        keys: args.keys,
        acks: args.acks,
        compression: args.compression,
        linger: args.linger,
        batch_bytes: u32::try_from(args.batch_size).unwrap_or(u32::MAX),
        verify: args.verify,
        allow_source_topic: args.allow_source_topic,
    };
    let Some(ladder) = &args.ladder else {
        return Ok(vec![spec(args.events.or(args.duration.is_none().then_some(100_000)))]);
    };
    let given: Vec<&String> = ladder.iter().filter(|step| !step.is_empty()).collect();
    if given.is_empty() {
        return Ok(LADDER.iter().map(|events| spec(Some(*events))).collect());
    }
    let number = |text: &&String| text.parse().map_err(|_| format!("--ladder: `{text}` is not a number of events"));
    given.iter().map(|text| Ok(spec(Some(number(text)?)))).collect()
}

/// The service in this process; the person at the terminal is its only limit.
fn here(target: &TargetArgs) -> anyhow::Result<LoadTestApi> {
    let limits = Limits {
        allow: true,
        max_events: 1_000_000_000,
        max_duration: Duration::from_secs(86_400),
        max_rate: 100_000_000,
        max_event_size: 16 << 20,
    };
    let env = Environment { clock: Clock::System, metrics: Arc::default(), kafka: target.settings()? };
    let tests = LoadTests::new(env, target.topics()?, limits, Sources::default());
    Ok(LoadTestApi { tests: Arc::new(tests) })
}

/// Starts a test and shows it until it has ended. A signal cancels it; a second one does not wait for its reports.
async fn one(server: &Server, spec: &Spec) -> Result<pb::LoadTest, Status> {
    let mut test = server.start(load_test_request(spec)).await?;
    let mut watch = server.watch(&test.id).await?;
    let mut bar = show::Bar::new(spec.planned());
    loop {
        tokio::select! {
            next = watch.next() => match next {
                Some(next) => test = next?,
                None => break,
            },
            () = shutdown_signal() => server.cancel(&test.id).await?,
        }
        bar.show(&test);
    }
    bar.finish();
    Ok(test)
}

type Watch = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::LoadTest, Status>> + Send>>;

impl Server {
    async fn start(&self, request: pb::StartLoadTestRequest) -> Result<pb::LoadTest, Status> {
        match self {
            Server::Here(api) => api.start_load_test(Request::new(request)).await,
            Server::Agent(client) => client.clone().start_load_test(request).await,
        }
        .map(tonic::Response::into_inner)
    }

    async fn watch(&self, id: &str) -> Result<Watch, Status> {
        let request = pb::WatchLoadTestRequest { id: id.to_owned() };
        match self {
            Server::Here(api) => Ok(api.watch_load_test(Request::new(request)).await?.into_inner()),
            Server::Agent(client) => Ok(Box::pin(client.clone().watch_load_test(request).await?.into_inner())),
        }
    }

    async fn cancel(&self, id: &str) -> Result<(), Status> {
        let request = pb::CancelLoadTestRequest { id: id.to_owned() };
        match self {
            Server::Here(api) => api.cancel_load_test(Request::new(request)).await,
            Server::Agent(client) => client.clone().cancel_load_test(request).await,
        }
        .map(drop)
    }
}

fn exit(tests: &[pb::LoadTest]) -> ExitCode {
    use pb::load_test::State;
    if tests.iter().any(|test| test.state() == State::Failed) {
        return ExitCode::FAILURE;
    }
    let holds = |test: &pb::LoadTest| {
        test.failed == 0 && test.verification.is_none_or(|v| v.lost == 0 && v.duplicated == 0 && v.reordered == 0)
    };
    if tests.iter().all(holds) { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    parse_size(text)
}
