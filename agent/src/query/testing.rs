//! A registry made by hand: events are folded and committed as a worker would, without Kafka.

use super::{Reader, Sources};
use crate::aggregate::{AggregateId, AggregatePlan, Event, TaskState, Value};
use crate::clock::{BootTime, Clock, Moment};
use crate::config::{self, Config};
use crate::publish::Publisher;
use crate::sources::Plans;
use crate::state::{Committed, EntryHash, Lease, Phase, Registry, Task, TaskId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use streamgauge_proto::storage::v1::{AggregateProgress, OffsetRecord};

/// A minute, milliseconds.
pub const MINUTE: i64 = 60_000;
/// The time that events begin at: the start of a day.
pub const T0: i64 = 1_763_596_800_000;

pub const CONFIG: &str = "
kafka: { bootstrap_servers: localhost:9092, group_id: streamgauge }
sources:
  requests: { topics: [log-events], format: json, timestamp: { field: timestamp, format: unix_ms } }
aggregates:
  http:
    source: requests
    by: { endpoint: endpoint, status: status }
    windows: [1m, 5m/1m]
    grace: 30s
    retention: 2h
    idle_timeout: 1m
    limit: 6
    measures:
      requests: count
      errors: { count: { where: { status: { gte: 400 } } } }
      duration: { histogram: response_time_ms, unit: ms }
      bytes: { sum: bytes, unit: bytes }
      slowest: { max: response_time_ms, unit: ms }
      sizes: { buckets: { field: bytes, bounds: [100, 1000] }, unit: bytes }
";

/// One event of the tests.
#[derive(Clone, Debug)]
pub struct Request {
    pub time: i64,
    pub endpoint: String,
    pub status: i64,
    pub millis: f64,
    pub bytes: i64,
}

/// An event that took 100 ms and 500 bytes.
pub fn event(time: i64, endpoint: &str, status: i64) -> Request {
    Request { time, endpoint: endpoint.into(), status, millis: 100.0, bytes: 500 }
}

/// An agent's read side with the tasks that a test gives it.
pub struct Agent {
    pub reader: Arc<Reader>,
    pub config: Config,
    lease: Arc<Lease>,
    tasks: Vec<(Arc<Task>, TaskState, i64)>,
}

impl Agent {
    /// An agent that has partitions `0..here` of `of`, all running under a lease, with no events.
    pub fn new(here: i32, of: i32) -> Agent {
        Agent::with_config(CONFIG, here, of)
    }

    pub fn with_config(text: &str, here: i32, of: i32) -> Agent {
        Agent::with_partitions(text, 0..here, of)
    }

    /// An agent of the usual config that has these partitions of `of`. Commits go to them by their position among them.
    pub fn having(here: std::ops::Range<i32>, of: i32) -> Agent {
        Agent::with_partitions(CONFIG, here, of)
    }

    pub fn with_partitions(text: &str, here: std::ops::Range<i32>, of: i32) -> Agent {
        let config = config::parse(text, "test.yaml", &|_| None).unwrap();
        let clock = Clock::manual(T0);
        let registry = Arc::new(Registry::default());
        let source = &config.sources[0];
        let plans = Plans::new(0, &config);
        let plan = plans.sources[0].plan.clone();
        registry.set_partitions(source.topics[0].as_str().into(), of);
        let lease = Arc::new(Lease::new(clock.clone(), Duration::from_secs(7)));
        let sources = Sources::new(plans);
        let mut tasks = Vec::new();
        for partition in here {
            let id = TaskId { topic: source.topics[0].as_str().into(), partition };
            let task = Arc::new(Task::new(id, source.name.as_str().into(), plan.clone(), lease.clone()));
            task.set_phase(Phase::Running);
            registry.insert(task.clone());
            tasks.push((task, TaskState::new(plan.clone()), 0));
        }
        let reader = Arc::new(Reader { registry, sources, clock, max_cells: 10_000 });
        let agent = Agent { reader, config, lease, tasks };
        agent.renew();
        agent
    }

    pub fn task(&self, partition: usize) -> &Arc<Task> {
        &self.tasks[partition].0
    }

    /// Moves the clock; leases end meanwhile.
    pub fn set_clock(&self, millis: i64) {
        let Clock::Manual(now) = &self.reader.clock else { unreachable!() };
        now.store(millis, Ordering::Relaxed);
        self.hear();
    }

    /// A publisher that has looked, and what it asked for has been committed.
    pub fn published(&self) -> Publisher {
        let publisher = Publisher::alone(self.reader.clone());
        self.look(&publisher);
        self.commit_wishes();
        self.look(&publisher);
        publisher
    }

    /// As a committer does what a publisher asked for.
    pub fn commit_wishes(&self) {
        for (task, ..) in &self.tasks {
            let mut view = task.view.write();
            let mut record = view.record().clone();
            for progress in &mut record.aggregates {
                progress.windows = task.publication.progress(AggregateId(progress.id), Some(&*progress));
            }
            view.set_record(record);
        }
    }

    /// On a thread of its own: there may be a runtime here, or none.
    fn look(&self, publisher: &Publisher) {
        let look = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(publisher.look(None));
        std::thread::scope(|scope| scope.spawn(look).join().unwrap());
    }

    /// As statistics of the consumer do.
    fn hear(&self) {
        let now = self.reader.clock.boot_time();
        self.tasks.iter().for_each(|(task, ..)| task.life.hear(now));
    }

    pub fn renew(&self) {
        self.lease.renew(self.reader.clock.now());
    }

    pub fn end_lease(&self) {
        self.lease.end();
    }

    pub fn lease_began(&self, at: i64) {
        self.lease.renew(Moment { boot: BootTime::from_millis(at), unix_millis: at });
    }

    /// Folds events into a partition and commits them; `waiting` messages are left in it.
    pub fn commit(&mut self, partition: usize, events: &[Request], waiting: i64) {
        let now = self.reader.clock.unix_millis();
        let (task, state, next_offset) = &mut self.tasks[partition];
        for event in events {
            let plan = state.plan().clone();
            let values: Vec<Value<'_>> = plan.fields.iter().map(|path| field(event, &path.to_string())).collect();
            state.fold(&Event { time: event.time, reach: event.time, values: &values }).unwrap();
            *next_offset += 1;
        }
        let frozen = state.freeze(now);
        let entries = frozen.entries.into_iter().map(|(key, cell)| {
            let mut bytes = Vec::new();
            cell.encode(&mut bytes);
            let hash = EntryHash::of(&key.encode(), &bytes);
            (key, Committed { cell, hash })
        });
        let before = task.view.read().record().clone();
        let progress = |plan: &Arc<AggregatePlan>| AggregateProgress {
            id: plan.id.0,
            start_time_ms: T0,
            panes_expired_before: i64::MIN,
            published_through: i64::MIN,
            windows: task.publication.progress(plan.id, before.aggregates.iter().find(|known| known.id == plan.id.0)),
            ..AggregateProgress::default()
        };
        let record = OffsetRecord {
            aggregates: state.plan().aggregates.iter().map(progress).collect(),
            next_offset: *next_offset,
            stream_time: frozen.stream_time,
            written_at_ms: now,
            last_input_at_ms: match task.view.read().record().last_input_at_ms {
                // As a committer does it: only input counts, and the first commit.
                before if before > 0 && events.is_empty() => before,
                _ => now,
            },
            ..OffsetRecord::default()
        };
        task.view.write().apply(entries, &frozen.expired, record, now);
        task.input.set(*next_offset + waiting, *next_offset + waiting);
        task.life.hear(self.reader.clock.boot_time());
        task.committed();
    }
}

fn field<'a>(event: &'a Request, path: &str) -> Value<'a> {
    match path {
        "endpoint" => Value::Str(&event.endpoint),
        "status" => Value::Int(event.status),
        "response_time_ms" => Value::Float(event.millis),
        "bytes" => Value::Int(event.bytes),
        _ => Value::Missing,
    }
}
