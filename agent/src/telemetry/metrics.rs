//! The metrics that the workers, committers and servers count in. What follows from committed state (lag, keys, stream
//! time) is not counted here but read from the registry when the page is written.

use super::ingest::IngestMetrics;
use super::labels::*;
use super::names::Name;
use super::process::ProcessStats;
use super::register::{register, registered};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Everything that Streamgauge counts of itself. Counters live as long as the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub ingest: IngestMetrics,
    pub events: Counters<SourceLabel>,
    pub decode_errors: Counters<DecodeErrorLabels>,
    pub aggregated_events: Counters<AggregateLabel>,
    pub skipped_events: Counters<SkippedLabels>,
    pub skipped_values: Counters<ValueLabels>,
    pub adjusted_labels: Counters<AdjustedLabels>,
    pub passed_by: Counters<PassedByLabels>,
    pub schema_requests: Counters<OutcomeLabel>,
    pub unparsed: Counters<FieldLabels>,
    pub dead_letters_dropped: Counters<SourceLabel>,
    pub dead_letters_cut: Counters<SourceLabel>,
    pub dropped_redelivered: Counters<SourceLabel>,
    pub late_events: Counters<AggregateLabel>,
    pub early_events: Counters<SourceLabel>,
    pub overflow_events: Counters<AggregateLabel>,
    pub replaced_keys: Counters<AggregateLabel>,
    pub records_lost: Counters<TopicLabel>,
    /// Set by the worker, and removed by it when the task goes.
    pub state_bytes: Gauges<TaskLabels>,
    pub restore_records: Counter,
    pub replica_records: Counter,
    pub peer_requests: Counters<CommitLabels>,
    pub restore_duration: Durations,
    pub state_rebuilds: Counters<ReasonLabel>,
    pub commits: Counters<CommitLabels>,
    pub commit_duration: Durations,
    pub epochs_aborted: Counters<ReasonLabel>,
    pub rebalances: Counters<RebalanceLabels>,
    pub rebalance_duration: Durations,
    pub producer_rebuilds: Counter,
    pub checkpoint_failures: Counter,
    pub restore_unstable: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub aggregate_gap: Counters<AggregateLabel>,
    pub door_calls: Counters<DoorLabels>,
    pub door_lock_reads: Counters<DoorLabels>,
    pub unreachable_address: Gauge,
    pub credentials_changed: Gauge,
    pub reload_ok: Gauge,
    pub reload_time: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub memory_budget: Gauge,
    pub paused: Gauge,
    pub pauses: Counter,
    pub queries_refused: Counters<ReasonLabel>,
    pub query_duration: Durations,
    pub watchers: Gauge,
    pub watches_refused: Counter,
    pub watch_skipped: Counter,
    pub tails: Gauge,
    pub recent_records_read: Counter,
    pub producer_success: Counter,
    pub producer_send_time: Durations,
    pub probe_sent: Counters<BrokerLabel>,
    pub probe_lost: Counters<BrokerLabel>,
    pub probe_roundtrip: Family<BrokerLabel, Durations, fn() -> Durations>,
    pub producer_failure: Counter,
    pub otlp_pushes: Counters<CommitLabels>,
    pub otlp_rejected: Counter,
    pub otlp_queued_windows: Gauge,
    pub otlp_queued_bytes: Gauge,
    pub otlp_dropped: Counters<ReasonLabel>,
    pub otlp_incomplete: Counter,
    pub otlp_lost_records: Counters<ReasonLabel>,
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
        Metrics {
            events: registered(r, Name::Events, Family::default()),
            decode_errors: registered(r, Name::DecodeErrors, Family::default()),
            aggregated_events: registered(r, Name::AggregatedEvents, Family::default()),
            skipped_events: registered(r, Name::SkippedEvents, Family::default()),
            skipped_values: registered(r, Name::SkippedValues, Family::default()),
            adjusted_labels: registered(r, Name::AdjustedLabels, Family::default()),
            passed_by: registered(r, Name::PassedBy, Family::default()),
            schema_requests: registered(r, Name::SchemaRequests, Family::default()),
            unparsed: registered(r, Name::Unparsed, Family::default()),
            dead_letters_dropped: registered(r, Name::DeadLettersDropped, Family::default()),
            dead_letters_cut: registered(r, Name::DeadLettersCut, Family::default()),
            dropped_redelivered: registered(r, Name::DroppedRedelivered, Family::default()),
            late_events: registered(r, Name::LateEvents, Family::default()),
            early_events: registered(r, Name::EarlyEvents, Family::default()),
            overflow_events: registered(r, Name::OverflowEvents, Family::default()),
            replaced_keys: registered(r, Name::ReplacedKeys, Family::default()),
            records_lost: registered(r, Name::RecordsLost, Family::default()),
            state_bytes: registered(r, Name::StateBytes, Family::default()),
            restore_records: registered(r, Name::RestoreRecords, Counter::default()),
            replica_records: registered(r, Name::ReplicaRecords, Counter::default()),
            peer_requests: registered(r, Name::PeerRequests, Family::default()),
            restore_duration: registered(r, Name::RestoreDuration, durations()),
            state_rebuilds: registered(r, Name::StateRebuilds, Family::default()),
            commits: registered(r, Name::Commits, Family::default()),
            commit_duration: registered(r, Name::CommitDuration, durations()),
            epochs_aborted: registered(r, Name::EpochsAborted, Family::default()),
            rebalances: registered(r, Name::Rebalances, Family::default()),
            rebalance_duration: registered(r, Name::RebalanceDuration, durations()),
            producer_rebuilds: registered(r, Name::ProducerRebuilds, Counter::default()),
            checkpoint_failures: registered(r, Name::CheckpointFailures, Counter::default()),
            restore_unstable: registered(r, Name::RestoreUnstable, Gauge::default()),
            aggregate_gap: registered(r, Name::AggregateGap, Family::default()),
            door_calls: registered(r, Name::DoorCalls, Family::default()),
            door_lock_reads: registered(r, Name::DoorLockReads, Family::default()),
            unreachable_address: registered(r, Name::UnreachableAddress, Gauge::default()),
            credentials_changed: registered(r, Name::CredentialsChanged, Gauge::default()),
            reload_ok: registered(r, Name::ReloadOk, Gauge::default()),
            reload_time: registered(r, Name::ReloadTime, Gauge::default()),
            ingest: IngestMetrics::register(r),
            memory_budget: registered(r, Name::MemoryBudget, Gauge::default()),
            paused: registered(r, Name::Paused, Gauge::default()),
            pauses: registered(r, Name::Pauses, Counter::default()),
            queries_refused: registered(r, Name::QueriesRefused, Family::default()),
            query_duration: registered(
                r,
                Name::QueryDuration,
                Histogram::new(exponential_buckets(2f64.powi(-15), 2.0, 14)),
            ),
            watchers: registered(r, Name::Watchers, Gauge::default()),
            watches_refused: registered(r, Name::WatchesRefused, Counter::default()),
            watch_skipped: registered(r, Name::WatchSkipped, Counter::default()),
            tails: registered(r, Name::Tails, Gauge::default()),
            recent_records_read: registered(r, Name::RecentRecordsRead, Counter::default()),
            producer_success: registered(r, Name::ProducerSuccess, Counter::default()),
            producer_send_time: registered(r, Name::ProducerSendTime, durations()),
            probe_sent: registered(r, Name::ProbeSent, Family::default()),
            probe_lost: registered(r, Name::ProbeLost, Family::default()),
            probe_roundtrip: registered(r, Name::ProbeRoundtrip, Family::new_with_constructor(durations)),
            producer_failure: registered(r, Name::ProducerFailure, Counter::default()),
            otlp_pushes: registered(r, Name::OtlpPushes, Family::default()),
            otlp_rejected: registered(r, Name::OtlpRejected, Counter::default()),
            otlp_queued_windows: registered(r, Name::OtlpQueuedWindows, Gauge::default()),
            otlp_queued_bytes: registered(r, Name::OtlpQueuedBytes, Gauge::default()),
            otlp_dropped: registered(r, Name::OtlpDropped, Family::default()),
            otlp_incomplete: registered(r, Name::OtlpIncomplete, Counter::default()),
            otlp_lost_records: registered(r, Name::OtlpLostRecords, Family::default()),
            registry,
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
fn durations() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-10), 2.0, 17))
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
        metrics.events.get_or_create(&SourceLabel { source: "requests".into() }).inc_by(7);
        metrics.commit_duration.observe(0.020);
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
