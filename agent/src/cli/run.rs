//! `streamgauge run`: the agent, from its config to its last commit.

use super::USAGE;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::failpoint;
use crate::kafka::Settings;
use crate::state::{Checkpointer, Registry, StateDir};
use crate::telemetry::Metrics;
use crate::worker::{Agent, SourcePlan, WorkerError, WorkerStatus};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, watch};

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
    crate::telemetry::init_logging(&config.telemetry);
    if let Some(spec) = &args.failpoints
        && let Err(error) = failpoint::configure(spec)
    {
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
    let (_stop, _stopped) = watch::channel(false);
    let (ended, mut ends) = mpsc::channel(agent.config.workers);
    let mut threads = Vec::new();
    let mut statuses = Vec::new();
    for number in 0..agent.config.workers {
        let status = Arc::new(WorkerStatus::default());
        statuses.push(status.clone());
        threads.push(spawn_worker(agent.clone(), number, status, ended.clone()).context("worker")?);
    }
    drop(ended);
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
        // A panic in there has been reported by the panic hook, and its end by the channel.
        let _ = thread.join();
    }
    agent.checkpointer.stop();
    result.map_err(anyhow::Error::from)
}

fn spawn_worker(
    agent: Arc<Agent>,
    number: usize,
    status: Arc<WorkerStatus>,
    ended: mpsc::Sender<Result<(), WorkerError>>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let result = crate::worker::run(&agent, number, status);
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
