//! `streamgauge run`: the agent, from its config to its last commit.

use super::USAGE;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::failpoint;
use crate::grpc::{self, GrpcState};
use crate::http::{self, HttpState};
use crate::kafka::Settings;
use crate::query::{self, Readiness, Reader};
use crate::state::{Checkpointer, Registry, StateDir};
use crate::telemetry::Metrics;
use crate::worker::{Agent, SourcePlan, WorkerError, WorkerStatus};
use anyhow::Context;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long open connections may take to end.
const SERVERS_END: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct RunArgs {
    /// The config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Where this process is to die, stall or fail; for fault tests.
    #[arg(long, env = "STREAMGAUGE_FAILPOINTS", hide = true)]
    failpoints: Option<String>,
}

/// Runs the agent until a signal or a failure ends it.
pub fn run(args: &RunArgs) -> ExitCode {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(USAGE);
        }
    };
    let failpoints = args.failpoints.as_deref().map_or(Ok(()), failpoint::configure);
    if let Err(error) = crate::telemetry::init_logging(&config.telemetry).map_err(|e| e.to_string()).and(failpoints) {
        eprintln!("streamgauge: {error}");
        return ExitCode::from(USAGE);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => match runtime.block_on(serve(config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            tracing::error!("no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let clock = Clock::default();
    let metrics = Arc::new(Metrics::new());
    let state_dir = Arc::new(StateDir::open(&config.state.dir)?);
    let agent = Arc::new(Agent {
        sources: SourcePlan::all(&config).into_iter().map(Arc::new).collect(),
        settings: Settings::new(config.kafka.clone(), "streamgauge".into()),
        state_dir,
        registry: Arc::new(Registry::default()),
        checkpointer: Checkpointer::start(clock.clone(), metrics.clone()).context("checkpointer")?,
        metrics,
        clock,
        runtime: tokio::runtime::Handle::current(),
        stopping: AtomicBool::new(false),
        config,
    });
    let mut statuses = Vec::new();
    let mut threads = Vec::new();
    let listeners = Listeners::bind(&agent.config).await?;
    let (ended, mut ends) = mpsc::channel(agent.config.workers);
    for number in 0..agent.config.workers {
        let status = Arc::new(WorkerStatus::default());
        statuses.push(status.clone());
        threads.push(spawn_worker(agent.clone(), number, status, ended.clone()).context("worker")?);
    }
    drop(ended);
    let (stop, servers) = listeners.serve(&agent, statuses);
    let first = tokio::select! {
        first = ends.recv() => first,
        () = signalled() => None,
    };
    tracing::info!("stopping: committing what was folded");
    agent.stopping.store(true, Ordering::Release);
    let mut result = first.unwrap_or(Ok(()));
    while let Some(end) = ends.recv().await {
        result = result.and(end);
    }
    for thread in threads {
        // How it ended, a panic included, has come through the channel.
        let _ = thread.join();
    }
    agent.checkpointer.stop();
    drop(stop);
    for server in servers {
        // A connection that is kept open must not keep the process.
        let _ = tokio::time::timeout(SERVERS_END, server).await;
    }
    result.map_err(anyhow::Error::from)
}

/// The sockets, bound before anything else starts: a port that is taken is known at once.
struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |key: &str, address| {
            TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}; free the port, or set {key}.listen to another")
            })
        };
        Ok(Listeners { http: bind("http", config.http.listen).await?, grpc: bind("grpc", config.grpc.listen).await? })
    }

    /// Serves until the sender it returns is dropped.
    fn serve(self, agent: &Arc<Agent>, statuses: Vec<Arc<WorkerStatus>>) -> (watch::Sender<()>, Vec<JoinHandle<()>>) {
        let (stop, stopped) = watch::channel(());
        let reader = Arc::new(Reader {
            registry: agent.registry.clone(),
            sources: agent.sources.iter().map(|s| query::Source::new(&s.source, s.plan.clone())).collect(),
            clock: agent.clock.clone(),
            max_cells: agent.config.limits.query_cells,
        });
        let registry = agent.registry.clone();
        let readiness: Readiness = Arc::new(move || {
            let workers = statuses.iter().filter_map(|status| status.unready()).map(str::to_owned);
            workers.chain(query::not_ready(&registry)).collect()
        });
        tracing::info!(http = ?self.http.local_addr(), grpc = ?self.grpc.local_addr(), "serving");
        let metrics = agent.metrics.clone();
        let http = http::serve(
            self.http,
            HttpState {
                reader: reader.clone(),
                metrics: metrics.clone(),
                readiness: readiness.clone(),
                config: agent.config.redacted_yaml().into(),
            },
            ends(stopped.clone()),
        );
        let grpc = grpc::serve(self.grpc, GrpcState { reader, metrics, readiness }, ends(stopped));
        let servers = vec![
            tokio::spawn(async move { http.await.unwrap_or_else(|e| tracing::error!("HTTP server: {e}")) }),
            tokio::spawn(async move { grpc.await.unwrap_or_else(|e| tracing::error!("gRPC server: {e}")) }),
        ];
        (stop, servers)
    }
}

/// Resolves when the sender is gone.
async fn ends(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn spawn_worker(
    agent: Arc<Agent>,
    number: usize,
    status: Arc<WorkerStatus>,
    ended: mpsc::Sender<Result<(), WorkerError>>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let work = AssertUnwindSafe(|| crate::worker::run(&agent, number, status));
        let result = catch_unwind(work).unwrap_or(Err(WorkerError::Panicked));
        // Nobody to tell: the agent is ending anyway.
        let _ = ended.blocking_send(result);
    })
}

/// Waits for SIGTERM or SIGINT.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
