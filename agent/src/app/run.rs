//! An agent that runs: its threads, its tasks and its servers.

use super::agent::Agent;
use super::credentials::Credentials;
use super::front_door::FrontDoor;
use super::losses::Losses;
use super::readiness::readiness;
use super::reload::Reload;
use super::tasks::Tasks;
use crate::api::{Api, Watches};
use crate::cluster::{Monitor, Prober, View};
use crate::env::Environment;
use crate::export::otlp;
use crate::grpc::{self, GrpcState};
use crate::http::{self, HttpState, Live};
use crate::kafka::cluster::ClusterClient;
use crate::loadtest::{self, LoadTests};
use crate::query::{Reader, Readiness};
use crate::recent::{self, Recent};
use crate::replica::Watch;
use crate::server::{Door, Protocol};
use crate::topics::{Policy, Topics};
use crate::worker::{self, WorkerError, WorkerStatus};
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A running agent. [`Running::stop`] ends it.
pub struct Running {
    addresses: Vec<(&'static str, SocketAddr)>,
    pub reader: Arc<Reader>,
    pub readiness: Readiness,
    pub reload: Arc<Reload>,
    pub(super) shared: Arc<worker::Agent>,
    pub(super) monitor: Option<Arc<Monitor>>,
    /// `None`: nobody hands in events.
    pub(super) front_door: Option<FrontDoor>,
    pub(super) ends: mpsc::Receiver<Result<(), WorkerError>>,
    /// The workers', and those that look after members and replicas.
    pub(super) threads: Vec<Thread>,
    pub(super) tasks: Tasks,
    pub(super) result: Result<(), WorkerError>,
}

type Thread = std::thread::JoinHandle<()>;

impl Agent {
    /// Starts the workers, then whatever shows what they count.
    ///
    /// # Errors
    /// If a thread or a client of Kafka cannot be had, or the push's backlog cannot be opened.
    pub fn run(self) -> anyhow::Result<Running> {
        let Agent { env, shared, directory, reader, publisher, keys, mut doors, addresses, file } = self;
        let (shared, mut tasks) = (Arc::new(shared), Tasks::new());
        tasks.spawn(keys.watch());
        let credentials = Credentials::of(env.kafka.kafka(), env.metrics.clone());
        tasks.spawn(credentials.clone().watch());
        let monitor = monitor(&env, &shared).context("cluster")?;
        let cluster = View { monitor: monitor.clone(), clients: env.kafka.clients().clone() };
        let outlet = match &shared.config.otlp {
            Some(config) => {
                let sender =
                    otlp::Sender { group_id: &shared.config.kafka.group_id, instance: shared.state_dir.instance() };
                let (dir, stopped) = (shared.state_dir.otlp_dir(), tasks.stopped());
                let (publisher, metrics) = (publisher.clone(), env.metrics.clone());
                let pushing = otlp::start(config.clone(), sender, publisher, metrics, cluster.clone(), &dir, stopped)?;
                tasks.all.extend(pushing.tasks);
                Some(pushing.outlet)
            }
            None => None,
        };
        let (mut threads, statuses, ends) = spawn_workers(&shared)?;
        let watch = Watch {
            settings: env.kafka.clone(),
            directory: directory.clone(),
            registry: shared.registry.clone(),
            clock: env.clock.clone(),
            metrics: env.metrics.clone(),
        };
        let agent = shared.clone();
        threads.push(thread("members", move || watch.run(&agent.stop))?);
        if shared.replicas.are_wanted() {
            let agent = shared.clone();
            threads.push(thread("replicas", move || agent.replicas.run(&agent.stop))?);
        }
        let reload = Arc::new(Reload::new(file, shared.clone(), reader.clone(), statuses.clone()));
        let readiness = readiness(reader.clone(), directory, statuses);
        let takes = |door: &mut Door| {
            matches!(door.lock().protocol(), Protocol::Ingest | Protocol::OtlpGrpc | Protocol::Syslog)
        };
        let taking: Vec<_> = doors.extract_if(.., takes).collect();
        let losses = Losses::new(env.metrics.clone(), reader.clone());
        let (lost, changed) = (losses.notes(), credentials);
        let front_door = match &shared.config.ingest {
            Some(config) => {
                let opened = FrontDoor::open(config, &env, &shared.state_dir.ingest_dir(), taking);
                Some(opened.map_err(anyhow::Error::msg)?)
            }
            None => None,
        };
        let topics = Topics::new(env.kafka.clone(), &shared.config.cluster.topics, Policy::of(&shared.config));
        let api = Api {
            group: publisher.group.clone(),
            metrics: env.metrics.clone(),
            readiness: readiness.clone(),
            notes: Arc::new(move || lost().into_iter().chain(changed.notes()).collect()),
            recent: Arc::new(recent(&env, &shared)),
            ingest: front_door.as_ref().map(|door| door.acceptor().clone()),
        };
        let watches = Arc::new(Watches::new(api.clone(), shared.config.limits.watchers));
        let pages = HttpState {
            publisher: publisher.clone(),
            metrics: env.metrics.clone(),
            control: reload.clone(),
            cluster,
            api: api.clone(),
            watches: watches.clone(),
            live: Arc::new(Live::new(api.clone(), watches.clone())),
            cors_origins: shared.config.http.cors_origins.clone(),
            histograms: shared.config.http.histograms,
            created_series: shared.config.http.created_series,
        };
        let services = GrpcState {
            api,
            watches,
            cors_origins: shared.config.http.cors_origins.clone(),
            monitor: monitor.clone(),
            load_tests: Arc::new(load_tests(&env, &shared, &topics)),
            topics,
        };
        tasks.spawn(losses.run());
        tasks.spawn(async move { publisher.run(outlet).await });
        for door in doors {
            match door.lock().protocol() {
                Protocol::Http => tasks.serve("HTTP", |stopped| http::serve(door, pages.clone(), stopped)),
                Protocol::Grpc => tasks.serve("gRPC", |stopped| grpc::serve(door, services.clone(), stopped)),
                // They are open already.
                Protocol::Ingest | Protocol::OtlpGrpc | Protocol::Syslog => {}
            }
        }
        let at = |(name, address): &(&str, SocketAddr)| format!("{name} on {address}");
        tracing::info!("serving {}", addresses.iter().map(at).collect::<Vec<_>>().join(", "));
        let result = Ok(());
        Ok(Running { addresses, reader, readiness, reload, shared, monitor, front_door, ends, threads, tasks, result })
    }
}

impl Running {
    /// Where the listener of this name listens, if there is one.
    pub fn address(&self, listener: Protocol) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| *name == listener.name()).map(|(_, address)| *address)
    }

    /// Resolves when a worker has ended by itself; why, [`Running::stop`] tells.
    pub async fn ended(&mut self) {
        if let Some(end) = self.ends.recv().await {
            self.note(end);
        }
    }

    /// Keeps the first reason.
    pub(super) fn note(&mut self, end: Result<(), WorkerError>) {
        if self.result.is_ok() {
            self.result = end;
        }
    }
}

/// Looks after the cluster, unless the config switches that off.
fn monitor(env: &Environment, shared: &worker::Agent) -> anyhow::Result<Option<Arc<Monitor>>> {
    let watch = &shared.config.cluster.watch;
    if !watch.enabled {
        return Ok(None);
    }
    let client = ClusterClient::create(&env.kafka, "cluster")?;
    let monitor = Arc::new(Monitor::new(client, env.clock.clone(), watch.clone()));
    monitor.start()?;
    if watch.probe.enabled {
        monitor.probe_with(Prober::new(env, watch.probe.clone(), shared.runtime.clone())?)?;
    }
    Ok(Some(monitor))
}

fn recent(env: &Environment, shared: &worker::Agent) -> Recent {
    let parts = recent::Parts {
        sources: shared.sources.clone(),
        registry: shared.registry.clone(),
        schemas: shared.schemas.clone(),
        event_bytes: shared.config.limits.event_bytes,
        stop: shared.stop.child(),
    };
    Recent::new(env.clone(), parts)
}

fn load_tests(env: &Environment, shared: &worker::Agent, topics: &Topics) -> LoadTests {
    let limits = shared.config.cluster.load_tests.clone();
    let sources = loadtest::Sources::of(&shared.config);
    LoadTests::new(env.clone(), topics.clone(), limits, sources)
}

type Ends = mpsc::Receiver<Result<(), WorkerError>>;

/// One thread each; how each ends comes out of the receiver.
fn spawn_workers(shared: &Arc<worker::Agent>) -> anyhow::Result<(Vec<Thread>, Vec<Arc<WorkerStatus>>, Ends)> {
    let (ended, ends) = mpsc::channel(shared.config.workers);
    let (mut threads, mut statuses) = (Vec::new(), Vec::new());
    for number in 0..shared.config.workers {
        let status = Arc::new(WorkerStatus::default());
        let (agent, own, ended) = (shared.clone(), status.clone(), ended.clone());
        statuses.push(status);
        threads.push(thread(&format!("worker-{number}"), move || {
            let work = AssertUnwindSafe(|| worker::run(&agent, number, own));
            let result = catch_unwind(work).unwrap_or(Err(WorkerError::Panicked));
            // Nobody to tell: the agent is ending anyway.
            let _ = ended.blocking_send(result);
        })?);
    }
    Ok((threads, statuses, ends))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<Thread> {
    let started: io::Result<Thread> = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.with_context(|| format!("no thread for {name}"))
}
