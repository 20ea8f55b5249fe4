//! The parts of an agent, made of its config.

use super::group::advertised;
use super::listeners::Listeners;
use crate::clock::Clock;
use crate::config::{Config, ConfigFile};
use crate::env::Environment;
use crate::kafka::Settings;
use crate::publish::Publisher;
use crate::query::{GroupReader, Reader};
use crate::replica::{Files, ReplicaSettings, Replicas};
use crate::schemas::SchemaKeeper;
use crate::server::{Door, Locks, PeerKeys};
use crate::sources::{Plans, Sources};
use crate::state::{Checkpointer, Directory, Registry, StateDir};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use crate::worker;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// redb's page cache of a replica, which only ever writes.
const REPLICA_CACHE_BYTES: usize = 1 << 20;

/// An agent that does not run yet.
pub struct Agent {
    pub(super) env: Environment,
    /// What its workers share.
    pub(super) shared: worker::Agent,
    pub(super) directory: Arc<Directory>,
    pub(super) reader: Arc<Reader>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) keys: PeerKeys,
    pub(super) doors: Vec<Door>,
    pub(super) addresses: Vec<(&'static str, SocketAddr)>,
    pub(super) file: Option<ConfigFile>,
}

impl Agent {
    /// Makes the parts: files are read, the state directory is opened, and nothing is asked of Kafka yet.
    ///
    /// # Errors
    /// If a file of a lock cannot be used, or the state directory belongs to somebody else.
    pub fn build(config: Config, listeners: Listeners, clock: Clock) -> anyhow::Result<Agent> {
        let addresses = listeners.addresses()?;
        let metrics = Arc::new(Metrics::new());
        let locks = Locks::read(&config, &clock, &metrics).map_err(anyhow::Error::msg)?;
        let keys = PeerKeys::read(&config.grpc.peer, &metrics).map_err(anyhow::Error::msg)?;
        locks.warnings.iter().for_each(|line| tracing::warn!("{line}"));
        let grpc = addresses.iter().find(|(name, _)| *name == "grpc").map(|(_, address)| *address);
        let directory = Arc::new(Directory::new(advertised(&config, grpc)));
        let kafka = Settings::new(config.kafka.clone(), "streamgauge".into())
            .advertise(directory.own().map(ToString::to_string))
            .committing_every(config.state.commit_interval);
        let env = Environment { clock, metrics, kafka };
        let shared = shared(config, directory.clone(), &env)?;
        let state = &shared.config.state;
        let reader = Arc::new(Reader {
            registry: shared.registry.clone(),
            sources: Sources::new(shared.plans()),
            clock: env.clock.clone(),
            max_cells: shared.config.limits.query_cells,
        });
        let (standbys, global_view) = (state.standby_replicas, state.global_view);
        let (reading, known, counts) = (reader.clone(), directory.clone(), env.metrics.clone());
        let group = GroupReader::new(reading, known, counts, standbys, global_view, keys.clone());
        let publisher = Arc::new(Publisher::new(Arc::new(group)));
        let doors = locks.doors(listeners.0);
        Ok(Agent { env, shared, directory, reader, publisher, keys, doors, addresses, file: None })
    }

    /// The same agent, whose config can be read again from this file.
    #[must_use]
    pub fn reloading(self, file: ConfigFile) -> Agent {
        Agent { file: Some(file), ..self }
    }

    /// The same agent on a cluster that has its topics, and cannot say which: a mock.
    #[must_use]
    pub fn with_topics_given(mut self) -> Agent {
        self.shared.topics_given = true;
        self
    }
}

/// What the workers share.
fn shared(config: Config, directory: Arc<Directory>, env: &Environment) -> anyhow::Result<worker::Agent> {
    let Environment { clock, metrics, kafka } = env.clone();
    let sources = Arc::new(Sources::new(Plans::new(0, &config)));
    let state_dir = Arc::new(StateDir::open(&config.state.dir)?);
    let registry = Arc::new(Registry::default());
    let checkpointer = Checkpointer::start(clock.clone(), metrics.clone()).context("checkpointer")?;
    let schemas = match &config.schema_registry {
        Some(registry) => Some(Arc::new(SchemaKeeper::start(registry, clock.clone(), metrics.clone())?)),
        None => None,
    };
    let replicas = ReplicaSettings {
        settings: kafka.clone(),
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
    Ok(worker::Agent {
        sources,
        settings: kafka,
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
        topics_given: false,
        config,
    })
}
