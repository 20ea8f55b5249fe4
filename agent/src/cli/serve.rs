//! An agent with its servers, assembled from a config: what `run` and `demo` have in common.

use crate::clock::Clock;
use crate::cluster::{Monitor, Prober, View};
use crate::config::Config;
use crate::export::otlp;
use crate::grpc::{self, GrpcState};
use crate::http::{self, HttpState};
use crate::kafka::Settings;
use crate::kafka::cluster::ClusterClient;
use crate::loadtest::{LoadTests, Sources};
use crate::query::{self, Reader, Readiness};
use crate::state::{Checkpointer, Registry, StateDir};
use crate::telemetry::Metrics;
use crate::topics::{Policy, Topics};
use crate::worker::{Agent, SourcePlan, WorkerError, WorkerStatus};
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long open connections may take to end.
const SERVERS_END: Duration = Duration::from_secs(1);

/// The sockets, bound before anything else starts: a port that is taken is known at once.
pub struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
}

impl Listeners {
    /// Binds what the config names.
    pub async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |key: &str, address| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}; free the port, or set {key}.listen to another"))
        };
        Ok(Listeners { http: bind("http", config.http.listen).await?, grpc: bind("grpc", config.grpc.listen).await? })
    }

    /// The same, but a port that is taken is replaced by a free one.
    pub async fn bind_or_free(config: &Config) -> io::Result<Listeners> {
        let bind = async |address: SocketAddr| match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind((address.ip(), 0)).await,
            bound => bound,
        };
        Ok(Listeners { http: bind(config.http.listen).await?, grpc: bind(config.grpc.listen).await? })
    }
}

/// A running agent.
pub struct Serving {
    /// Where it listens.
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub reader: Arc<Reader>,
    pub readiness: Readiness,
    agent: Arc<Agent>,
    cluster: Option<Arc<Monitor>>,
    ends: mpsc::Receiver<Result<(), WorkerError>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    stop: watch::Sender<()>,
    servers: Vec<JoinHandle<()>>,
    result: Result<(), WorkerError>,
}

impl Serving {
    /// Starts the workers and the servers. `topics_given`: see [`Agent::topics_given`].
    pub async fn start(config: Config, listeners: Listeners, topics_given: bool) -> anyhow::Result<Serving> {
        let agent = Arc::new(assemble(config, topics_given)?);
        let (http, grpc) = (listeners.http.local_addr()?, listeners.grpc.local_addr()?);
        let reader = Arc::new(Reader {
            registry: agent.registry.clone(),
            sources: query::Sources::new(agent.sources.iter().map(|s| query::Source::new(&s.source, s.plan.clone()))),
            clock: agent.clock.clone(),
            max_cells: agent.config.limits.query_cells,
        });
        let (stop, stopped) = watch::channel(());
        let mut servers = Vec::new();
        if let Some(config) = &agent.config.otlp {
            let sender = otlp::Sender { group_id: &agent.config.kafka.group_id, instance: agent.state_dir.instance() };
            let dir = agent.state_dir.otlp_dir();
            servers.extend(otlp::start(
                config.clone(),
                sender,
                reader.clone(),
                agent.metrics.clone(),
                &dir,
                stopped.clone(),
            )?);
        }
        let (ended, ends) = mpsc::channel(agent.config.workers);
        let mut statuses = Vec::new();
        let mut threads = Vec::new();
        for number in 0..agent.config.workers {
            let status = Arc::new(WorkerStatus::default());
            statuses.push(status.clone());
            threads.push(spawn_worker(agent.clone(), number, status, ended.clone()).context("worker")?);
        }
        let registry = agent.registry.clone();
        let readiness: Readiness = Arc::new(move || {
            let workers = statuses.iter().filter_map(|status| status.unready());
            workers.chain(query::not_ready(&registry)).collect()
        });
        let cluster = monitor(&agent).context("cluster")?;
        servers.extend(serve(listeners, &agent, reader.clone(), readiness.clone(), cluster.clone(), stopped));
        tracing::info!(%http, %grpc, "serving");
        Ok(Serving { http, grpc, reader, readiness, agent, cluster, ends, threads, stop, servers, result: Ok(()) })
    }

    /// Resolves when a worker has ended by itself; why, [`Serving::stop`] tells.
    pub async fn worker_ended(&mut self) {
        if let Some(end) = self.ends.recv().await {
            self.note(end);
        }
    }

    /// Commits what was folded, lets the partitions go, and ends the servers.
    ///
    /// # Errors
    /// The first reason why a worker ended early or could not stop in order.
    pub async fn stop(mut self) -> Result<(), WorkerError> {
        self.agent.stopping.store(true, Ordering::Release);
        // Its threads may wait for a broker: they end by themselves, or with the process.
        self.cluster.iter().for_each(|cluster| cluster.stop());
        while let Some(end) = self.ends.recv().await {
            self.note(end);
        }
        for thread in self.threads {
            // A panic in there has been reported by the panic hook, and its end by the channel.
            let _ = thread.join();
        }
        self.agent.checkpointer.stop();
        drop(self.stop);
        for server in self.servers {
            // A connection that is kept open must not keep the process.
            let _ = tokio::time::timeout(SERVERS_END, server).await;
        }
        self.result
    }

    fn note(&mut self, end: Result<(), WorkerError>) {
        if self.result.is_ok() {
            self.result = end;
        }
    }
}

fn assemble(config: Config, topics_given: bool) -> anyhow::Result<Agent> {
    let clock = Clock::default();
    let metrics = Arc::new(Metrics::new());
    Ok(Agent {
        sources: SourcePlan::all(&config).into_iter().map(Arc::new).collect(),
        settings: Settings::new(config.kafka.clone(), "streamgauge".into()),
        state_dir: Arc::new(StateDir::open(&config.state.dir)?),
        registry: Arc::new(Registry::default()),
        checkpointer: Checkpointer::start(clock.clone(), metrics.clone()).context("checkpointer")?,
        metrics,
        clock,
        runtime: tokio::runtime::Handle::current(),
        stopping: AtomicBool::new(false),
        topics_given,
        config,
    })
}

/// Looks after the cluster, unless the config switches that off.
fn monitor(agent: &Agent) -> anyhow::Result<Option<Arc<Monitor>>> {
    if !agent.config.cluster.watch.enabled {
        return Ok(None);
    }
    let client = ClusterClient::create(&agent.settings, agent.clock.clone(), "cluster")?;
    let monitor = Arc::new(Monitor::new(client, agent.clock.clone(), agent.config.cluster.watch.clone()));
    monitor.start()?;
    let probe = &agent.config.cluster.watch.probe;
    if probe.enabled {
        let (clock, metrics) = (agent.clock.clone(), agent.metrics.clone());
        monitor.probe_with(Prober::new(&agent.settings, probe.clone(), clock, metrics, agent.runtime.clone())?)?;
    }
    Ok(Some(monitor))
}

/// Serves until the sender of `stopped` is dropped.
fn serve(
    listeners: Listeners,
    agent: &Agent,
    reader: Arc<Reader>,
    readiness: Readiness,
    cluster: Option<Arc<Monitor>>,
    stopped: watch::Receiver<()>,
) -> Vec<JoinHandle<()>> {
    let metrics = agent.metrics.clone();
    let http = http::serve(
        listeners.http,
        HttpState {
            reader: reader.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            cluster: View { monitor: cluster.clone(), clients: agent.settings.clients().clone() },
            histograms: agent.config.http.histograms,
            config: agent.config.redacted_yaml().into(),
        },
        ends(stopped.clone()),
    );
    let grpc = grpc::serve(listeners.grpc, grpc_state(agent, reader, readiness, cluster), ends(stopped));
    vec![
        tokio::spawn(async move { http.await.unwrap_or_else(|e| tracing::error!("HTTP server: {e}")) }),
        tokio::spawn(async move { grpc.await.unwrap_or_else(|e| tracing::error!("gRPC server: {e}")) }),
    ]
}

fn grpc_state(agent: &Agent, reader: Arc<Reader>, readiness: Readiness, cluster: Option<Arc<Monitor>>) -> GrpcState {
    let config = &agent.config;
    let topics = Topics::new(agent.settings.clone(), &config.cluster.topics, Policy::of(config));
    let load_tests = LoadTests::new(
        agent.settings.clone(),
        topics.clone(),
        config.cluster.load_tests.clone(),
        Sources::of(config),
        agent.clock.clone(),
        Some(agent.metrics.clone()),
    );
    let (metrics, load_tests) = (agent.metrics.clone(), Arc::new(load_tests));
    GrpcState { reader, metrics, readiness, cluster, topics, load_tests }
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
) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let work = AssertUnwindSafe(|| crate::worker::run(&agent, number, status));
        let result = catch_unwind(work).unwrap_or(Err(WorkerError::Panicked));
        // Nobody to tell: the agent is ending anyway.
        let _ = ended.blocking_send(result);
    })
}

/// Waits for SIGTERM or SIGINT.
pub async fn signalled() {
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
