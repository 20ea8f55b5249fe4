//! The metrics that the workers, committers and servers count in. What follows from committed state (lag, keys, stream
//! time) is not counted here but read from the registry when the page is written.

use super::names::Name;
use super::process::ProcessStats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AggregateLabel {
    aggregate: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecodeErrorLabels {
    source: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    topic: String,
    partition: i32,
}

type Counters<L> = Family<L, Counter>;

/// Everything that Streamgauge counts of itself. Counters live as long as the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Counters<SourceLabel>,
    decode_errors: Counters<DecodeErrorLabels>,
    dead_letters_dropped: Counter,
    dropped_redelivered: Counters<SourceLabel>,
    late_events: Counters<AggregateLabel>,
    overflow_events: Counters<AggregateLabel>,
    records_lost: Counters<TopicLabel>,
    state_bytes: Family<TaskLabels, Gauge>,
    restore_records: Counter,
    restore_duration: Histogram,
    restore_unstable: Gauge<f64, AtomicU64>,
    state_rebuilds: Counters<ReasonLabel>,
    checkpoint_failures: Counter,
    commits: Counters<ResultLabel>,
    commit_duration: Histogram,
    epochs_aborted: Counters<ReasonLabel>,
    producer_rebuilds: Counter,
    rebalances: Counters<EventLabel>,
    rebalance_duration: Histogram,
    queries_refused: Counters<ReasonLabel>,
    query_duration: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let info = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        register(&mut registry, Name::Build, info);
        let r = &mut registry;
        let query_buckets = exponential_buckets(2f64.powi(-15), 2.0, 14);
        Metrics {
            events: registered(r, Name::Events, Family::default()),
            decode_errors: registered(r, Name::DecodeErrors, Family::default()),
            dead_letters_dropped: registered(r, Name::DeadLettersDropped, Counter::default()),
            dropped_redelivered: registered(r, Name::DroppedRedelivered, Family::default()),
            late_events: registered(r, Name::LateEvents, Family::default()),
            overflow_events: registered(r, Name::OverflowEvents, Family::default()),
            records_lost: registered(r, Name::RecordsLost, Family::default()),
            state_bytes: registered(r, Name::StateBytes, Family::default()),
            restore_records: registered(r, Name::RestoreRecords, Counter::default()),
            restore_duration: registered(r, Name::RestoreDuration, durations()),
            restore_unstable: registered(r, Name::RestoreUnstable, Gauge::default()),
            state_rebuilds: registered(r, Name::StateRebuilds, Family::default()),
            checkpoint_failures: registered(r, Name::CheckpointFailures, Counter::default()),
            commits: registered(r, Name::Commits, Family::default()),
            commit_duration: registered(r, Name::CommitDuration, durations()),
            epochs_aborted: registered(r, Name::EpochsAborted, Family::default()),
            producer_rebuilds: registered(r, Name::ProducerRebuilds, Counter::default()),
            rebalances: registered(r, Name::Rebalances, Family::default()),
            rebalance_duration: registered(r, Name::RebalanceDuration, durations()),
            queries_refused: registered(r, Name::QueriesRefused, Family::default()),
            query_duration: registered(r, Name::QueryDuration, Histogram::new(query_buckets)),
            registry,
        }
    }

    /// A batch of a source was folded; `redelivered` messages of it had been folded before and were skipped.
    pub fn folded(&self, source: &str, events: u64, redelivered: u64) {
        let label = SourceLabel { source: source.to_owned() };
        self.events.get_or_create(&label).inc_by(events);
        self.dropped_redelivered.get_or_create(&label).inc_by(redelivered);
    }

    /// An event could not be used and becomes a dead letter.
    pub fn undecodable(&self, source: &str, reason: &'static str) {
        self.decode_errors.get_or_create(&DecodeErrorLabels { source: source.to_owned(), reason }).inc();
    }

    /// A dead letter could not be written, and the config says to go on without it.
    pub fn dead_letter_dropped(&self) {
        self.dead_letters_dropped.inc();
    }

    /// Events came too late for a window they belong to.
    pub fn late(&self, aggregate: &str, events: u64) {
        self.late_events.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(events);
    }

    /// Events went to the overflow key.
    pub fn overflowed(&self, aggregate: &str, events: u64) {
        self.overflow_events.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(events);
    }

    /// Kafka no longer had these records when they were to be read.
    pub fn records_lost(&self, topic: &str, records: u64) {
        self.records_lost.get_or_create(&TopicLabel { topic: topic.to_owned() }).inc_by(records);
    }

    /// Size of a task's redb file.
    pub fn state_bytes(&self, topic: &str, partition: i32, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.state_bytes.get_or_create(&TaskLabels { topic: topic.to_owned(), partition }).set(bytes);
    }

    /// A task left this agent: its series vanish.
    pub fn task_gone(&self, topic: &str, partition: i32) {
        self.state_bytes.remove(&TaskLabels { topic: topic.to_owned(), partition });
    }

    /// A restore read one changelog record.
    pub fn restore_record(&self) {
        self.restore_records.inc();
    }

    /// A restore has been waiting this long for an undecided transaction.
    pub fn restore_unstable(&self, waited: Duration) {
        self.restore_unstable.set(waited.as_secs_f64());
    }

    /// A task was restored, that long after its assignment.
    pub fn restored(&self, took: Duration) {
        self.restore_unstable.set(0.0);
        self.restore_duration.observe(took.as_secs_f64());
    }

    /// A redb file was thrown away, to be rebuilt from the changelog.
    pub fn state_rebuilt(&self, reason: &'static str) {
        self.state_rebuilds.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A redb file could not be written.
    pub fn checkpoint_failed(&self) {
        self.checkpoint_failures.inc();
    }

    /// A transaction was committed.
    pub fn committed(&self, took: Duration) {
        self.commits.get_or_create(&ResultLabel { result: "committed" }).inc();
        self.commit_duration.observe(took.as_secs_f64());
    }

    /// A transaction was aborted, its epoch will be tried again.
    pub fn aborted(&self, reason: &'static str) {
        self.commits.get_or_create(&ResultLabel { result: "aborted" }).inc();
        self.epochs_aborted.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A producer was made anew after a fatal error.
    pub fn producer_rebuilt(&self) {
        self.producer_rebuilds.inc();
    }

    /// The assignment changed: `event` is `assigned`, `revoked` or `lost`.
    pub fn rebalanced(&self, event: &'static str, took: Duration) {
        self.rebalances.get_or_create(&EventLabel { event }).inc();
        self.rebalance_duration.observe(took.as_secs_f64());
    }

    /// A query was answered; `refused` is the gRPC status if that was an error.
    pub fn queried(&self, took: Duration, refused: Option<&'static str>) {
        self.query_duration.observe(took.as_secs_f64());
        if let Some(reason) = refused {
            self.queries_refused.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    /// All of them in OpenMetrics text, without the closing `# EOF`.
    pub fn encode(&self, process: Option<&ProcessStats>) -> String {
        let mut page = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut page, &self.registry);
        if let Some(process) = process {
            let _ = prometheus_client::encoding::text::encode_registry(&mut page, &process_registry(process));
        }
        page
    }
}

/// Buckets from 1 ms to 65 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(2f64.powi(-10), 2.0, 17))
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: Name, metric: M) -> M {
    register(registry, name, metric.clone());
    metric
}

fn register(registry: &mut Registry, name: Name, metric: impl Metric) {
    let (family, help) = (name.family(), name.help());
    // The library appends the unit to the name by itself.
    let unit = match name.unit() {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => return registry.register(family, help, metric),
    };
    let stem = family.strip_suffix(name.unit()).and_then(|stem| stem.strip_suffix('_')).unwrap_or(family);
    registry.register_with_unit(stem, help, unit, metric);
}

fn process_registry(process: &ProcessStats) -> Registry {
    let mut registry = Registry::default();
    register(&mut registry, Name::ProcessMemory, ConstGauge::new(process.resident_bytes as i64));
    register(&mut registry, Name::ProcessCpu, ConstCounter::new(process.cpu_seconds));
    register(&mut registry, Name::ProcessStart, ConstGauge::new(process.start_seconds));
    register(&mut registry, Name::ProcessFiles, ConstGauge::new(process.open_files as i64));
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_appears_under_its_listed_name() {
        let metrics = Metrics::new();
        metrics.folded("requests", 7, 0);
        metrics.committed(Duration::from_millis(20));
        let process = ProcessStats { resident_bytes: 1, cpu_seconds: 0.5, start_seconds: 2.0, open_files: 3 };
        let page = metrics.encode(Some(&process));
        for expected in [
            "streamgauge_events_total{source=\"requests\"} 7",
            "# UNIT streamgauge_commit_duration_seconds seconds",
            "streamgauge_commit_duration_seconds_bucket{le=\"0.03125\"} 1",
            "process_cpu_seconds_total 0.5",
            "process_resident_memory_bytes 1",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected}\n{page}");
        }
    }

    #[test]
    fn every_family_that_is_written_is_in_the_list() {
        let process = ProcessStats { resident_bytes: 1, cpu_seconds: 0.5, start_seconds: 2.0, open_files: 3 };
        for line in Metrics::new().encode(Some(&process)).lines() {
            let Some(family) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) else { continue };
            assert!(Name::ALL.iter().any(|name| name.family() == family), "{family}");
        }
    }
}
