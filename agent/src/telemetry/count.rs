//! What happens in the house, said in words; which metric counts it is decided here.

use super::Metrics;
use super::labels::*;
use std::time::Duration;

impl Metrics {
    /// A batch was folded: `events` went into the state, `redelivered` had been there before.
    pub fn folded(&self, source: &str, events: u64, redelivered: u64) {
        let label = SourceLabel { source: source.to_owned() };
        self.events.get_or_create(&label).inc_by(events);
        if redelivered > 0 {
            self.dropped_redelivered.get_or_create(&label).inc_by(redelivered);
        }
    }

    /// An event became a dead letter.
    pub fn undecodable(&self, source: &str, reason: &'static str) {
        self.decode_errors.get_or_create(&DecodeErrorLabels { source: source.to_owned(), reason }).inc();
    }

    /// So many records of a source are none of its events.
    pub fn passed_by(&self, source: &str, reason: &'static str, records: u64) {
        self.passed_by.get_or_create(&PassedByLabels { source: source.to_owned(), reason }).inc_by(records);
    }

    /// The schema registry was asked: `found`, `unknown` or `failed`.
    pub fn schema_request(&self, outcome: &'static str) {
        self.schema_requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// What became of a call at a door, or of a connection.
    pub fn door_call(&self, door: &'static str, outcome: &'static str) {
        self.door_calls.get_or_create(&DoorLabels { door, outcome }).inc();
    }

    /// The files of a door's lock were read again: `changed` or `failed`.
    pub fn door_lock_read(&self, door: &'static str, outcome: &'static str) {
        self.door_lock_reads.get_or_create(&DoorLabels { door, outcome }).inc();
    }

    /// So many texts in a field were not in the format that `parse` names.
    pub fn unparsed(&self, source: &str, field: &str, texts: u64) {
        let labels = FieldLabels { source: source.to_owned(), field: field.to_owned() };
        self.unparsed.get_or_create(&labels).inc_by(texts);
    }

    pub fn dead_letters_dropped(&self, source: &str, letters: u64) {
        self.dead_letters_dropped.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(letters);
    }

    pub fn dead_letters_cut(&self, source: &str, letters: u64) {
        self.dead_letters_cut.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(letters);
    }

    /// An aggregate has counted so many events.
    pub fn aggregated(&self, aggregate: &str, events: u64) {
        self.aggregated_events.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(events);
    }

    /// So many events are not in an aggregate.
    pub fn skipped_events(&self, aggregate: &str, reason: &'static str, events: u64) {
        let labels = SkippedLabels { aggregate: aggregate.to_owned(), reason };
        self.skipped_events.get_or_create(&labels).inc_by(events);
    }

    /// A measure had no usable value in so many events.
    pub fn skipped_values(&self, aggregate: &str, measure: &str, reason: &'static str, events: u64) {
        let labels = ValueLabels { aggregate: aggregate.to_owned(), measure: measure.to_owned(), reason };
        self.skipped_values.get_or_create(&labels).inc_by(events);
    }

    /// A label is not what so many events had.
    pub fn adjusted_labels(&self, aggregate: &str, label: &str, reason: &'static str, events: u64) {
        let labels = AdjustedLabels { aggregate: aggregate.to_owned(), label: label.to_owned(), reason };
        self.adjusted_labels.get_or_create(&labels).inc_by(events);
    }

    pub fn late(&self, aggregate: &str, events: u64) {
        self.late_events.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(events);
    }

    /// Events that were dated further ahead of their records than they may move stream time.
    pub fn early(&self, source: &str, events: u64) {
        self.early_events.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(events);
    }

    pub fn overflowed(&self, aggregate: &str, events: u64) {
        self.overflow_events.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(events);
    }

    pub fn replaced(&self, aggregate: &str, keys: u64) {
        self.replaced_keys.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(keys);
    }

    /// Kafka no longer had these records.
    pub fn lost(&self, topic: &str, records: u64) {
        self.records_lost.get_or_create(&TopicLabel { topic: topic.to_owned() }).inc_by(records);
    }

    pub fn committed(&self, took: Duration) {
        self.commits.get_or_create(&CommitLabels { result: "committed" }).inc();
        self.commit_duration.observe(took.as_secs_f64());
    }

    /// Shows what may be aborted as zero, so that a rate sees the first time.
    pub fn may_abort(&self, reasons: impl IntoIterator<Item = &'static str>) {
        drop(self.commits.get_or_create(&CommitLabels { result: "aborted" }));
        reasons.into_iter().for_each(|reason| drop(self.epochs_aborted.get_or_create(&ReasonLabel { reason })));
    }

    pub fn aborted(&self, reason: &'static str) {
        self.commits.get_or_create(&CommitLabels { result: "aborted" }).inc();
        self.epochs_aborted.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub fn producer_rebuilt(&self) {
        self.producer_rebuilds.inc();
    }

    pub fn rebalanced(&self, event: &'static str, took: Duration) {
        self.rebalances.get_or_create(&RebalanceLabels { event }).inc();
        self.rebalance_duration.observe(took.as_secs_f64());
    }

    pub fn restored(&self, took: Duration) {
        self.restore_duration.observe(took.as_secs_f64());
    }

    pub fn restore_records(&self, records: u64) {
        self.restore_records.inc_by(records);
    }

    pub fn replica_record(&self) {
        self.replica_records.inc();
    }

    /// Another agent was asked: `answered`, `refused` or `failed`.
    pub fn peer_asked(&self, result: &'static str) {
        self.peer_requests.get_or_create(&CommitLabels { result }).inc();
    }

    /// A restore has waited this long for the changelog to be stable.
    pub fn restore_unstable(&self, waited: Duration) {
        self.restore_unstable.set(waited.as_secs_f64());
    }

    /// A redb file was thrown away; the changelog rebuilds it.
    pub fn state_rebuilt(&self, reason: &'static str) {
        self.state_rebuilds.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub fn checkpoint_failed(&self) {
        self.checkpoint_failures.inc();
    }

    /// An aggregate that the config has again misses so many records.
    pub fn gap(&self, aggregate: &str, records: u64) {
        self.aggregate_gap.get_or_create(&AggregateLabel { aggregate: aggregate.to_owned() }).inc_by(records);
    }

    /// A config was taken into force at that time, Unix milliseconds.
    pub fn reloaded(&self, now: i64) {
        self.reload_ok.set(1);
        self.reload_time.set(now as f64 / 1e3);
    }

    /// A config was refused; the one before stays in force.
    pub fn reload_refused(&self) {
        self.reload_ok.set(0);
    }

    /// Memory came near the budget, and these were paused; or resumed, if negative.
    pub fn paused(&self, partitions: i64) {
        self.paused.inc_by(partitions);
        if partitions > 0 {
            self.pauses.inc();
        }
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

    /// Kafka acknowledged an event of ours, this long after it was due.
    pub fn produced(&self, took: Duration) {
        self.producer_success.inc();
        self.producer_send_time.observe(took.as_secs_f64());
    }

    pub fn probe_sent(&self, broker: i32) {
        self.probe_sent.get_or_create(&BrokerLabel { broker }).inc();
    }

    /// A message of the probe was refused, or did not come back in time.
    pub fn probe_lost(&self, broker: i32) {
        self.probe_lost.get_or_create(&BrokerLabel { broker }).inc();
    }

    pub fn probe_returned(&self, broker: i32, took: Duration) {
        self.probe_roundtrip.get_or_create(&BrokerLabel { broker }).observe(took.as_secs_f64());
    }

    /// Kafka did not acknowledge an event of ours.
    pub fn not_produced(&self) {
        self.producer_failure.inc();
    }

    /// A query was answered; `refused` is the gRPC status if that was an error.
    pub fn queried(&self, took: Duration, refused: Option<&'static str>) {
        self.query_duration.observe(took.as_secs_f64());
        if let Some(reason) = refused {
            self.queries_refused.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    /// There are too many watches for one more.
    pub fn watch_refused(&self) {
        self.watches_refused.inc();
    }

    /// Somebody was shown single events, for which these were read.
    pub fn recent_records_read(&self, records: u64) {
        self.recent_records_read.inc_by(records);
    }

    /// Answers that a watcher did not take in time.
    pub fn watch_skipped(&self, answers: u64) {
        self.watch_skipped.inc_by(answers);
    }

    /// A request to the OTLP receiver was `taken`, `failed` or `refused`.
    pub fn otlp_push(&self, result: &'static str) {
        self.otlp_pushes.get_or_create(&CommitLabels { result }).inc();
    }

    pub fn otlp_rejected(&self, points: u64) {
        self.otlp_rejected.inc_by(points);
    }

    /// Windows that were not pushed.
    pub fn otlp_dropped(&self, reason: &'static str, windows: u64) {
        if windows > 0 {
            self.otlp_dropped.get_or_create(&ReasonLabel { reason }).inc_by(windows);
        }
    }

    /// Windows that were pushed without some part of them.
    pub fn otlp_incomplete(&self, windows: u64) {
        self.otlp_incomplete.inc_by(windows);
    }

    /// Spans and log lines that were not pushed.
    pub fn otlp_lost_records(&self, reason: &'static str, records: u64) {
        if records > 0 {
            self.otlp_lost_records.get_or_create(&ReasonLabel { reason }).inc_by(records);
        }
    }

    pub fn otlp_backlog(&self, windows: u64, bytes: u64) {
        self.otlp_queued_windows.set(i64::try_from(windows).unwrap_or(i64::MAX));
        self.otlp_queued_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Shows what may go wrong at the front door as zero, so that a rate sees the first time.
    pub fn ingest_may_happen(&self, rejections: &[&'static str], troubles: &[&'static str]) {
        rejections.iter().for_each(|reason| self.ingest_rejected(reason, 0));
        troubles.iter().for_each(|reason| self.ingest_spool_error(reason, 0));
        for to in ["closed", "half_open", "open"] {
            drop(self.ingest_circuit_transitions.get_or_create(&ToLabel { to }));
        }
    }

    /// So many events were not accepted.
    pub fn ingest_rejected(&self, reason: &'static str, events: u64) {
        self.ingest_rejected.get_or_create(&ReasonLabel { reason }).inc_by(events);
    }

    /// Trouble with the spool.
    pub fn ingest_spool_error(&self, reason: &'static str, events: u64) {
        self.ingest_spool_errors.get_or_create(&ReasonLabel { reason }).inc_by(events);
    }
}
