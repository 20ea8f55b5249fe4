//! An agent with its servers, assembled from a config: what `run` and `demo` have in common.

use super::reload::Reload;
use crate::clock::Clock;
use crate::cluster::{Monitor, Prober, View};
use crate::config::{self, Config};
use crate::export::otlp;
use crate::grpc::{self, GrpcState};
use crate::http::{self, HttpState};
use crate::ingest::Ingest;
use crate::kafka::Settings;
use crate::kafka::cluster::ClusterClient;
use crate::loadtest::{self, LoadTests};
use crate::publish::{Outlet, Publisher};
use crate::query::{self, GroupReader, Reader, Readiness};
use crate::replica::{Files, ReplicaSettings, Replicas, Watch};
use crate::schemas::SchemaKeeper;
use crate::server::{Door, Locks, PeerKeys};
use crate::sources::{Plans, Sources};
use crate::state::{Address, Checkpointer, Directory, Registry, StateDir};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use crate::topics::{Policy, Topics};
use crate::worker::{Agent, WorkerError, WorkerStatus};
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
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
    ingest: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the config names.
    pub async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |key: &str, address| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}; free the port, or set {key}.listen to another"))
        };
        let ingest = match &config.ingest {
            Some(ingest) => Some(bind("ingest", ingest.listen).await?),
            None => None,
        };
        let (http, grpc) = (bind("http", config.http.listen).await?, bind("grpc", config.grpc.listen).await?);
        Ok(Listeners { http, grpc, ingest })
    }

    /// The same, but a port that is taken is replaced by a free one.
    pub async fn bind_or_free(config: &Config) -> io::Result<Listeners> {
        let bind = async |address: SocketAddr| match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind((address.ip(), 0)).await,
            bound => bound,
        };
        let ingest = match &config.ingest {
            Some(ingest) => Some(bind(ingest.listen).await?),
            None => None,
        };
        Ok(Listeners { http: bind(config.http.listen).await?, grpc: bind(config.grpc.listen).await?, ingest })
    }
}

/// A running agent.
pub struct Serving {
    /// Where it listens.
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub reader: Arc<Reader>,
    pub readiness: Readiness,
    pub reload: Arc<Reload>,
    agent: Arc<Agent>,
    monitor: Option<Arc<Monitor>>,
    door: Option<FrontDoor>,
    ends: mpsc::Receiver<Result<(), WorkerError>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    stop: watch::Sender<()>,
    servers: Vec<JoinHandle<()>>,
    result: Result<(), WorkerError>,
}

impl Serving {
    /// Starts the workers and the servers. `topics_given`: see [`Agent::topics_given`].
    pub async fn start(
        config: Config,
        file: Option<PathBuf>,
        listeners: Listeners,
        topics_given: bool,
    ) -> anyhow::Result<Serving> {
        let (http, grpc) = (listeners.http.local_addr()?, listeners.grpc.local_addr()?);
        let metrics = Arc::new(Metrics::new());
        let locks = Locks::read(&config, &metrics).map_err(anyhow::Error::msg)?;
        let keys = PeerKeys::read(&config.grpc.peer, &metrics).map_err(anyhow::Error::msg)?;
        locks.warnings.iter().for_each(|line| tracing::warn!("{line}"));
        let directory = Arc::new(Directory::new(advertised(&config, grpc)));
        let agent = Arc::new(assemble(config, topics_given, directory.clone(), metrics)?);
        let reader = Arc::new(Reader {
            registry: agent.registry.clone(),
            sources: Sources::new(agent.plans()),
            clock: agent.clock.clone(),
            max_cells: agent.config.limits.query_cells,
        });
        let state = &agent.config.state;
        let (standbys, global_view) = (state.standby_replicas, state.global_view);
        let (reading, known, counts) = (reader.clone(), directory.clone(), agent.metrics.clone());
        let group = GroupReader::new(reading, known, counts, standbys, global_view, keys.clone());
        let publisher = Arc::new(Publisher::new(Arc::new(group)));
        let (stop, stopped) = watch::channel(());
        let mut servers = vec![spawn_until(keys.watch(), stopped.clone())];
        let monitor = monitor(&agent).context("cluster")?;
        let mut outlet = None;
        if let Some(config) = &agent.config.otlp {
            let sender = otlp::Sender { group_id: &agent.config.kafka.group_id, instance: agent.state_dir.instance() };
            let dir = agent.state_dir.otlp_dir();
            let pushing = otlp::start(
                config.clone(),
                sender,
                publisher.clone(),
                agent.metrics.clone(),
                View { monitor: monitor.clone(), clients: agent.settings.clients().clone() },
                &dir,
                stopped.clone(),
            )?;
            servers.extend(pushing.tasks);
            outlet = Some(pushing.outlet);
        }
        let (ended, ends) = mpsc::channel(agent.config.workers);
        let mut statuses = Vec::new();
        let mut threads = Vec::new();
        for number in 0..agent.config.workers {
            let status = Arc::new(WorkerStatus::default());
            statuses.push(status.clone());
            threads.push(spawn_worker(agent.clone(), number, status, ended.clone()).context("worker")?);
        }
        threads.push(spawn_watch(agent.clone(), directory).context("members")?);
        if agent.replicas.are_wanted() {
            threads.push(spawn_replicas(agent.clone()).context("replicas")?);
        }
        let reload = Arc::new(Reload::new(file, agent.clone(), reader.clone(), statuses.clone()));
        let registry = agent.registry.clone();
        let ready = reader.clone();
        let readiness: Readiness = Arc::new(move || {
            let workers = statuses.iter().filter_map(|status| status.unready());
            workers.chain(ready.sources.now().not_ready(&registry)).chain(query::not_ready(&registry)).collect()
        });
        let pages = HttpState {
            publisher: publisher.clone(),
            metrics: agent.metrics.clone(),
            readiness: readiness.clone(),
            control: reload.clone(),
            cluster: View { monitor: monitor.clone(), clients: agent.settings.clients().clone() },
            histograms: agent.config.http.histograms,
            created_series: agent.config.http.created_series,
        };
        let doors = locks.doors(listeners.http, listeners.grpc, listeners.ingest);
        let door = match (&agent.config.ingest, doors.ingest) {
            (Some(config), Some(door)) => Some(FrontDoor::open(config, &agent, door).map_err(anyhow::Error::msg)?),
            _ => None,
        };
        let services = grpc_state(&agent, publisher.group.clone(), readiness.clone(), monitor.clone(), door.as_ref());
        servers.extend(serve((doors.http, doors.grpc), pages, services, outlet, stopped));
        tracing::info!(%http, %grpc, "serving");
        Ok(Serving {
            http,
            grpc,
            reader,
            readiness,
            reload,
            agent,
            monitor,
            door,
            ends,
            threads,
            stop,
            servers,
            result: Ok(()),
        })
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
        self.agent.stop.request();
        // Its threads may wait for a broker: they end by themselves, or with the process.
        self.monitor.iter().for_each(|monitor| monitor.stop());
        // Beside the last commits: it may take as long as requests and brokers do.
        let door = self.door.take().map(|door| tokio::spawn(door.close()));
        while let Some(end) = self.ends.recv().await {
            self.note(end);
        }
        for thread in self.threads {
            // A panic in there has been reported by the panic hook, and its end by the channel.
            let _ = thread.join();
        }
        self.agent.checkpointer.stop();
        if let Some(door) = door {
            // A panic in there has been reported by the panic hook.
            let _ = door.await;
        }
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

/// The listener that takes events, and the thread behind it.
struct FrontDoor {
    ingest: Arc<Ingest>,
    server: JoinHandle<()>,
    open: watch::Sender<()>,
}

impl FrontDoor {
    fn open(config: &config::Ingest, agent: &Agent, door: Door) -> Result<FrontDoor, String> {
        let (dir, clock, metrics) = (agent.state_dir.ingest_dir(), agent.clock.clone(), agent.metrics.clone());
        let ingest = Arc::new(Ingest::start(config, &agent.settings, &dir, clock, metrics)?);
        let (open, closes) = watch::channel(());
        let serving = ingest.clone();
        let server = tokio::spawn(async move {
            serving.serve(door, ends(closes)).await.unwrap_or_else(|e| tracing::error!("ingest server: {e}"));
        });
        tracing::info!(listen = %config.listen, "events are taken");
        Ok(FrontDoor { ingest, server, open })
    }

    /// Takes no more; what was accepted goes to Kafka or to the disk.
    async fn close(self) {
        drop(self.open);
        // A panic in there has been reported by the panic hook.
        let _ = self.server.await;
        let _ = tokio::task::spawn_blocking(move || self.ingest.stop()).await;
    }
}

/// Where the other agents of the group reach this one: what the config says, or else where it listens.
fn advertised(config: &Config, listens: SocketAddr) -> Option<Address> {
    match &config.grpc.advertise {
        Some(address) => Some(address.as_str().into()),
        None if listens.ip().is_unspecified() => {
            tracing::warn!(
                "grpc.listen names no host: set grpc.advertise, so that the group's other agents find this one"
            );
            None
        }
        None => Some(listens.to_string().into()),
    }
}

fn assemble(
    config: Config,
    topics_given: bool,
    directory: Arc<Directory>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Agent> {
    let clock = Clock::default();
    let own = directory.own().map(ToString::to_string);
    let settings = Settings::new(config.kafka.clone(), "streamgauge".into())
        .advertise(own)
        .committing_every(config.state.commit_interval);
    let sources = Arc::new(Sources::new(Plans::new(0, &config)));
    let state_dir = Arc::new(StateDir::open(&config.state.dir)?);
    let registry = Arc::new(Registry::default());
    let checkpointer = Checkpointer::start(clock.clone(), metrics.clone()).context("checkpointer")?;
    let schemas = match &config.schema_registry {
        Some(registry) => Some(Arc::new(SchemaKeeper::start(registry, clock.clone(), metrics.clone())?)),
        None => None,
    };
    let replicas = ReplicaSettings {
        settings: settings.clone(),
        files: Files {
            state_dir: state_dir.clone(),
            cache_bytes: REPLICA_CACHE_BYTES,
            guarantee: config.state.guarantee,
            metrics: metrics.clone(),
        },
        registry: registry.clone(),
        directory,
        checkpointer: checkpointer.clone(),
        clock: clock.clone(),
        standbys: config.state.standby_replicas,
        global_view: config.state.global_view,
        sources: sources.clone(),
    };
    metrics.reloaded(clock.unix_millis());
    metrics.memory_budget.set(config.limits.memory_budget.map_or(0, |bytes| bytes as i64));
    Ok(Agent {
        sources,
        settings,
        state_dir,
        registry,
        checkpointer,
        replicas: Arc::new(Replicas::new(replicas)),
        schemas,
        metrics,
        clock,
        runtime: tokio::runtime::Handle::current(),
        stop: Stop::new(),
        look_soon: AtomicBool::new(false),
        rejoin: AtomicBool::new(false),
        topics_given,
        config,
    })
}

/// redb's page cache of a replica, which only ever writes.
const REPLICA_CACHE_BYTES: usize = 1 << 20;

/// Looks after the cluster, unless the config switches that off.
fn monitor(agent: &Agent) -> anyhow::Result<Option<Arc<Monitor>>> {
    if !agent.config.cluster.watch.enabled {
        return Ok(None);
    }
    let client = ClusterClient::create(&agent.settings, "cluster")?;
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
    (http_door, grpc_door): (Door, Door),
    http: HttpState,
    grpc: GrpcState,
    outlet: Option<Arc<dyn Outlet>>,
    stopped: watch::Receiver<()>,
) -> Vec<JoinHandle<()>> {
    let publisher = http.publisher.clone();
    let publish = async move { publisher.run(outlet).await };
    let http = http::serve(http_door, http, ends(stopped.clone()));
    let grpc = grpc::serve(grpc_door, grpc, ends(stopped.clone()));
    vec![
        spawn_until(publish, stopped.clone()),
        tokio::spawn(async move { http.await.unwrap_or_else(|e| tracing::error!("HTTP server: {e}")) }),
        tokio::spawn(async move { grpc.await.unwrap_or_else(|e| tracing::error!("gRPC server: {e}")) }),
    ]
}

fn grpc_state(
    agent: &Agent,
    group: Arc<GroupReader>,
    readiness: Readiness,
    monitor: Option<Arc<Monitor>>,
    door: Option<&FrontDoor>,
) -> GrpcState {
    let config = &agent.config;
    let topics = Topics::new(agent.settings.clone(), &config.cluster.topics, Policy::of(config));
    let load_tests = LoadTests::new(
        agent.settings.clone(),
        topics.clone(),
        config.cluster.load_tests.clone(),
        loadtest::Sources::of(config),
        agent.clock.clone(),
        Some(agent.metrics.clone()),
    );
    let (metrics, load_tests) = (agent.metrics.clone(), Arc::new(load_tests));
    let ingest = door.map(|door| door.ingest.acceptor().clone());
    GrpcState { group, metrics, readiness, monitor, topics, load_tests, ingest }
}

/// Work that ends when the sender is gone.
fn spawn_until(work: impl Future<Output = ()> + Send + 'static, stopped: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = ends(stopped) => {}
        }
    })
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

/// Keeps the member list up to date until the agent stops.
fn spawn_watch(agent: Arc<Agent>, directory: Arc<Directory>) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("members".into()).spawn(move || {
        let watch = Watch {
            settings: agent.settings.clone(),
            directory,
            registry: agent.registry.clone(),
            clock: agent.clock.clone(),
        };
        watch.run(&agent.stop);
    })
}

/// Keeps this agent's replicas until it stops.
fn spawn_replicas(agent: Arc<Agent>) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("replicas".into()).spawn(move || agent.replicas.run(&agent.stop))
}

/// Waits for SIGHUP, each time.
pub async fn reload_on_sighup(reload: Arc<Reload>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut signals) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while signals.recv().await.is_some() {
        let reload = reload.clone();
        // What came of it stands in the log.
        let _ = tokio::task::spawn_blocking(move || http::Control::reload(&*reload)).await;
    }
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
