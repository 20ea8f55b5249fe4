//! Streamgauge's own metrics: one list, which their names, the struct that is counted in, registration, the docs' table and the
//! tests of dashboards and alerts are made from.

use super::labels::*;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::sync::atomic::AtomicU64;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives; its sample is called `…_total`.
    Counter,
    Gauge,
    Histogram,
    /// A gauge of 1 whose labels are the information.
    Info,
}

/// A metric is a row: its name, its kind, its family, its labels, what it says; and the field of [`Metrics`] that counts it,
/// with how it is made if not by default. One without a field is written from committed state, or from the process.
macro_rules! metrics {
    ($(
        $name:ident $kind:ident $family:literal $labels:expr, $help:literal
        $(=> $field:ident: $type:ty $(= $made:expr)?)?;
    )*) => {
        /// One of Streamgauge's own metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $($name,)* }

        impl Name {
            /// All of them, in the order of the page.
            pub const ALL: &[Name] = &[$(Name::$name,)*];

            /// Name of the family: a counter's lacks `_total`, an info's `_info`.
            pub const fn family(self) -> &'static str {
                match self { $(Name::$name => $family,)* }
            }

            pub const fn kind(self) -> Kind {
                match self { $(Name::$name => Kind::$kind,)* }
            }

            /// The labels that its series have.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Name::$name => &$labels,)* }
            }

            /// One sentence, without its full stop.
            pub const fn help(self) -> &'static str {
                match self { $(Name::$name => $help,)* }
            }
        }

        /// Everything that Streamgauge counts of itself. Counters live as long as the process.
        #[derive(Debug)]
        pub struct Metrics {
            pub(super) registry: Registry,
            $($(pub $field: $type,)?)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::default();
                Name::Build.register(&mut registry, Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
                Metrics {
                    $($($field: Name::$name.registered(&mut registry, metrics!(@made $($made)?)),)?)*
                    registry,
                }
            }
        }
    };
    (@made) => { Default::default() };
    (@made $made:expr) => { $made };
}

metrics! {
    Build Info "streamgauge_build" ["version"], "The version that runs";
    Events Counter "streamgauge_events" ["source"], "Events folded into the state"
        => events: Counters<SourceLabel>;
    DecodeErrors Counter "streamgauge_decode_errors" ["source", "reason"],
        "Events that could not be used, by what was wrong with them; each becomes a dead letter"
        => decode_errors: Counters<DecodeErrorLabels>;
    AggregatedEvents Counter "streamgauge_aggregated_events" ["aggregate"], "Events that the aggregate has counted"
        => aggregated_events: Counters<AggregateLabel>;
    SkippedEvents Counter "streamgauge_skipped_events" ["aggregate", "reason"],
        "Events that are not in the aggregate, though others may have them, by why not"
        => skipped_events: Counters<SkippedLabels>;
    SkippedValues Counter "streamgauge_skipped_values" ["aggregate", "measure", "reason"],
        "Events of the aggregate that the measure has no usable value of, by what was wrong with it"
        => skipped_values: Counters<ValueLabels>;
    AdjustedLabels Counter "streamgauge_adjusted_labels" ["aggregate", "label", "reason"],
        "Labels that are not what the event had: empty, because there was no usable value, or cut because it was too long"
        => adjusted_labels: Counters<AdjustedLabels>;
    PassedBy Counter "streamgauge_passed_by_events" ["source", "reason"],
        "Records that are none of the source's events: tombstones, comments, those that hold no event, and events that its `where` does not ask for"
        => passed_by: Counters<PassedByLabels>;
    SchemaRequests Counter "streamgauge_schema_requests" ["outcome"],
        "Questions to the schema registry, by what came of them: found, unknown (it has no such schema), failed (it is asked again)"
        => schema_requests: Counters<OutcomeLabel>;
    Unparsed Counter "streamgauge_unparsed_fields" ["source", "field"],
        "Texts that `parse` names a format for and that are not written in it: they stay text"
        => unparsed: Counters<FieldLabels>;
    DeadLettersDropped Counter "streamgauge_dead_letters_dropped" ["source"],
        "Dead letters that could not be written and were dropped, as the config allows"
        => dead_letters_dropped: Counters<SourceLabel>;
    DeadLettersCut Counter "streamgauge_dead_letters_cut" ["source"],
        "Dead letters that were larger than their topic takes and were written cut; the header streamgauge.cut_from has their size"
        => dead_letters_cut: Counters<SourceLabel>;
    DroppedRedelivered Counter "streamgauge_dropped_redelivered" ["source"],
        "Messages that were delivered again after they had been folded, and skipped"
        => dropped_redelivered: Counters<SourceLabel>;
    LateEvents Counter "streamgauge_late_events" ["aggregate"],
        "Events that came after the grace: they count in the totals, not in the windows already closed"
        => late_events: Counters<AggregateLabel>;
    EarlyEvents Counter "streamgauge_early_events" ["source"],
        "Events dated further ahead of their record than max_lead: they count, and moved stream time no further than that"
        => early_events: Counters<SourceLabel>;
    OverflowEvents Counter "streamgauge_overflow_events" ["aggregate"],
        "Events of new keys beyond the key limit, folded into the overflow series"
        => overflow_events: Counters<AggregateLabel>;
    ReplacedKeys Counter "streamgauge_replaced_keys" ["aggregate"],
        "Keys that made room for new ones at the key limit (on_limit: replace_idle); what they had counted moved to the overflow series"
        => replaced_keys: Counters<AggregateLabel>;
    RecordsLost Counter "streamgauge_records_lost" ["topic"], "Records that Kafka no longer had when they were to be read"
        => records_lost: Counters<TopicLabel>;
    Lag Gauge "streamgauge_lag_messages" ["topic", "partition"],
        "Messages between the committed input offset and the partition's end";
    StableLag Gauge "streamgauge_stable_lag_messages" ["topic", "partition"],
        "Messages between the committed input offset and the partition's last stable offset";
    LagSeconds Gauge "streamgauge_lag_seconds" ["topic", "partition"],
        "How far stream time is behind the clock; 0 when every message has been committed";
    StreamTime Gauge "streamgauge_stream_time_timestamp_seconds" ["topic", "partition"],
        "Highest event time committed, leaving out by how much an event was dated ahead of its record beyond max_lead";
    UnreachableAddress Gauge "streamgauge_unreachable_address" [],
        "1 if the group has agents on other hosts and this one advertises a loopback address, at which they cannot ask it"
        => unreachable_address: Gauge;
    Keys Gauge "streamgauge_keys" ["aggregate", "topic", "partition"], "Keys that have a total";
    Entries Gauge "streamgauge_entries" ["aggregate", "topic", "partition"], "Stored cells: totals and panes of all keys";
    AggregateGap Counter "streamgauge_aggregate_gap_records" ["aggregate"],
        "Records read while the config did not have the aggregate, which then came back: they are missing from it"
        => aggregate_gap: Counters<AggregateLabel>;
    ReloadOk Gauge "streamgauge_config_last_reload_successful" [],
        "1 if the config in force is the one that was last asked for, 0 if a reload was refused since"
        => reload_ok: Gauge;
    ReloadTime Gauge "streamgauge_config_last_reload_success_timestamp_seconds" [], "When the config in force was loaded"
        => reload_time: Gauge<f64, AtomicU64>;
    CredentialsChanged Gauge "streamgauge_kafka_credentials_changed" [],
        "Files of kafka.properties (certificates, keys, passwords) that are not what the agent read at its start: it has to be restarted to use them"
        => credentials_changed: Gauge;
    DoorCalls Counter "streamgauge_door_calls" ["door", "outcome"],
        "Calls of the HTTP and gRPC listeners: allowed, unauthenticated, forbidden (without the right), locked_out (failed too often), handshake_failed (no TLS came about, or no header of the PROXY protocol)"
        => door_calls: Counters<DoorLabels>;
    DoorLockReads Counter "streamgauge_door_lock_reads" ["door", "outcome"],
        "Files of locks and of grpc.peer read again: changed (in force for new connections), failed (counted at each look for as long as it cannot be used; what was read before stays in force)"
        => door_lock_reads: Counters<DoorLabels>;
    IngestRequests Counter "streamgauge_ingest_requests" ["endpoint", "code"],
        "Requests that handed in events, by HTTP status"
        => ingest_requests: Counters<RequestLabels>;
    IngestRequestDuration Histogram "streamgauge_ingest_request_duration_seconds" ["endpoint"],
        "Time from a request's head to its answer; with an acknowledgement of the brokers, if it waits for one"
        => ingest_request_duration: DurationsBy<EndpointLabel> = Family::new_with_constructor(short);
    IngestAccepted Counter "streamgauge_ingest_accepted_events" ["topic"], "Events that were handed in and accepted"
        => ingest_accepted: Counters<TopicLabel>;
    IngestRejected Counter "streamgauge_ingest_rejected_events" ["reason"],
        "Events that were handed in and not accepted: invalid, too_large, full (buffer and spool, or the brokers have not acknowledged it in time), no_topic (the event's topic is not there, or may not be written to), failed (the brokers refuse it)"
        => ingest_rejected: Counters<ReasonLabel>;
    IngestDelivered Counter "streamgauge_ingest_delivered_events" ["topic"], "Accepted events that the brokers have acknowledged"
        => ingest_delivered: Counters<TopicLabel>;
    IngestFailed Counter "streamgauge_ingest_failed_events" ["topic"],
        "Accepted events that the brokers refuse for good, such as ones larger than the topic takes: they are lost, and logged"
        => ingest_failed: Counters<TopicLabel>;
    IngestResent Counter "streamgauge_ingest_resent_events" ["topic"],
        "Accepted events that were sent once more, or went to the spool, after an attempt that failed: each may be in Kafka twice"
        => ingest_resent: Counters<TopicLabel>;
    IngestDeliveryDuration Histogram "streamgauge_ingest_delivery_duration_seconds" ["topic"],
        "Time from an event's acceptance until the brokers acknowledged it"
        => ingest_delivery_duration: DurationsBy<TopicLabel> = Family::new_with_constructor(long);
    IngestQueuedEvents Gauge "streamgauge_ingest_queued_events" [], "Accepted events in memory that were not sent yet"
        => ingest_queued_events: Gauge;
    IngestProcessingEvents Gauge "streamgauge_ingest_processing_events" [],
        "Events that were sent and that the brokers have not acknowledged yet"
        => ingest_processing_events: Gauge;
    IngestBufferBytes Gauge "streamgauge_ingest_buffer_bytes" [], "Memory that accepted events take, of ingest.buffer_size"
        => ingest_buffer_bytes: Gauge;
    IngestSpoolEvents Gauge "streamgauge_ingest_spool_events" [], "Accepted events on disk that the brokers have not acknowledged yet"
        => ingest_spool_events: Gauge;
    IngestSpoolBytes Gauge "streamgauge_ingest_spool_bytes" [], "Size of the spool's files, of ingest.spool_size"
        => ingest_spool_bytes: Gauge;
    IngestSpoolLimit Gauge "streamgauge_ingest_spool_limit_bytes" [], "ingest.spool_size; 0 if nobody hands in events"
        => ingest_spool_limit: Gauge;
    IngestSpoolAge Gauge "streamgauge_ingest_spool_age_seconds" [], "How long the oldest event in the spool has waited; 0 if there is none"
        => ingest_spool_age: Gauge<f64, AtomicU64>;
    IngestSpoolErrors Counter "streamgauge_ingest_spool_errors" ["reason"],
        "Trouble with the spool: full, write, read, damaged (events whose bytes on disk are not what was written)"
        => ingest_spool_errors: Counters<ReasonLabel>;
    IngestCircuitState Gauge "streamgauge_ingest_circuit_state" [],
        "The circuit breaker before Kafka: 0 closed, 1 half open (a few events are tried), 2 open (events go to the spool)"
        => ingest_circuit_state: Gauge;
    IngestCircuitTransitions Counter "streamgauge_ingest_circuit_transitions" ["to"],
        "How often the circuit breaker became closed, half_open or open"
        => ingest_circuit_transitions: Counters<ToLabel>;
    MemoryBudget Gauge "streamgauge_memory_budget_bytes" [], "limits.memory_budget; 0 if there is none"
        => memory_budget: Gauge;
    Paused Gauge "streamgauge_paused_partitions" [], "Partitions that are not read until memory is free again"
        => paused: Gauge;
    Pauses Counter "streamgauge_pauses" [], "How often partitions were paused because memory came near its budget"
        => pauses: Counter;
    StateBytes Gauge "streamgauge_state_bytes" ["topic", "partition"], "Size of the task's redb file"
        => state_bytes: Gauges<TaskLabels>;
    LeaseHeld Gauge "streamgauge_lease_held" ["topic", "partition"],
        "1 while the task runs and its worker's lease holds, so that its totals and windows are shown";
    RestoreDone Gauge "streamgauge_restore_done_records" ["topic", "partition"],
        "Changelog offsets read so far by a task that is being restored";
    RestoreTarget Gauge "streamgauge_restore_target_records" ["topic", "partition"],
        "Changelog offsets that a task has to read before it runs";
    RestoreWaiting Gauge "streamgauge_restore_waiting_seconds" ["topic", "partition"],
        "How long a task has waited to be restored: for a leader of its input or changelog partition, or for an open transaction to end";
    SchemaWaiting Gauge "streamgauge_schema_waiting_seconds" ["topic", "partition"],
        "How long a partition has not been read because the schema registry does not say how its next record is written";
    CommitWaiting Gauge "streamgauge_commit_waiting_seconds" ["topic", "partition"],
        "How long a task has not been committed because its changelog partition takes no writes: it has no leader, or too few replicas in sync";
    RestoreRecords Counter "streamgauge_restore_records" [], "Changelog records read by restores"
        => restore_records: Counter;
    ReplicaRecords Counter "streamgauge_replica_records" [], "Changelog records read by replicas that this agent keeps"
        => replica_records: Counter;
    ReplicaLag Gauge "streamgauge_replica_lag_records" ["topic", "partition"],
        "Changelog offsets between a replica that this agent keeps and the changelog's end";
    TopicMissing Gauge "streamgauge_topic_missing" ["source", "topic"],
        "1 for each topic that the config names and the cluster does not have; a pattern if its source has no topic at all";
    MergedStalled Gauge "streamgauge_merged_publication_stalled" ["aggregate"],
        "1 while this agent is to publish the group's merged totals and cannot: a partition is missing or behind";
    PeerRequests Counter "streamgauge_peer_requests" ["result"],
        "Requests to other agents of the group for their part of an answer"
        => peer_requests: Counters<CommitLabels>;
    RestoreDuration Histogram "streamgauge_restore_duration_seconds" [], "Time from a partition's assignment until it runs"
        => restore_duration: Durations = durations();
    StateRebuilds Counter "streamgauge_state_rebuilds" ["reason"], "redb files dropped and rebuilt from the changelog"
        => state_rebuilds: Counters<ReasonLabel>;
    Commits Counter "streamgauge_commits" ["result"], "Commits by their result"
        => commits: Counters<CommitLabels>;
    CommitDuration Histogram "streamgauge_commit_duration_seconds" [], "Time a Kafka transaction took, begin to commit"
        => commit_duration: Durations = durations();
    EpochsAborted Counter "streamgauge_epochs_aborted" ["reason"], "Epochs whose transaction was aborted, to be tried again"
        => epochs_aborted: Counters<ReasonLabel>;
    Rebalances Counter "streamgauge_rebalances" ["event"], "Changes of the assignment: assigned, revoked, lost"
        => rebalances: Counters<RebalanceLabels>;
    RebalanceDuration Histogram "streamgauge_rebalance_duration_seconds" [],
        "Time a worker stood still for a change of the assignment"
        => rebalance_duration: Durations = durations();
    ProducerRebuilds Counter "streamgauge_producer_rebuilds" [],
        "Transactional producers recreated after a fatal error, usually a transaction that timed out"
        => producer_rebuilds: Counter;
    CheckpointFailures Counter "streamgauge_checkpoint_failures" [],
        "Checkpoints that could not be written to a redb file; the changelog still has everything"
        => checkpoint_failures: Counter;
    RestoreUnstable Gauge "streamgauge_restore_unstable_seconds" [],
        "How long the current restore has waited for an open transaction on the changelog to end"
        => restore_unstable: Gauge<f64, AtomicU64>;
    QueriesRefused Counter "streamgauge_queries_refused" ["reason"], "Queries answered with an error, by its gRPC status"
        => queries_refused: Counters<ReasonLabel>;
    QueryDuration Histogram "streamgauge_query_duration_seconds" [], "Time a query took, translation included"
        => query_duration: Durations = Histogram::new(exponential_buckets(2f64.powi(-15), 2.0, 14));
    Watchers Gauge "streamgauge_watchers" [], "Watches that are open, over gRPC and HTTP, of limits.watchers"
        => watchers: Gauge;
    WatchesRefused Counter "streamgauge_watches_refused" [], "Watches refused because limits.watchers are open"
        => watches_refused: Counter;
    WatchSkipped Counter "streamgauge_watch_skipped_answers" [],
        "Answers of watches that were left out for a newer one, because they were not taken in time"
        => watch_skipped: Counter;
    Tails Gauge "streamgauge_tails" [], "Readers of single events as they come that are open; 8 at most"
        => tails: Gauge;
    RecentRecordsRead Counter "streamgauge_recent_records_read" [],
        "Records that were read to show people single events, beside those that are counted"
        => recent_records_read: Counter;
    ProbeSent Counter "streamgauge_probe_sent" ["broker"], "Messages that the probe sent to a partition the broker leads"
        => probe_sent: Counters<BrokerLabel>;
    ProbeLost Counter "streamgauge_probe_lost" ["broker"],
        "Messages of the probe that were refused, or had not come back in time"
        => probe_lost: Counters<BrokerLabel>;
    ProbeRoundtrip Histogram "streamgauge_probe_roundtrip_seconds" ["broker"],
        "Time from producing a message of the probe to consuming it"
        => probe_roundtrip: DurationsBy<BrokerLabel> = Family::new_with_constructor(durations);
    ClusterBrokersHealthy Gauge "kafka_cluster_brokers_healthy" [],
        "Brokers that the cluster lists and that answer; 0 when none answers";
    ClusterTopicsHealthy Gauge "kafka_cluster_topics_healthy" [],
        "Topics without a partition that is offline, under-replicated, under min.insync.replicas or led by a silent broker";
    KafkaBrokers Gauge "kafka_brokers" [], "Brokers that the cluster lists";
    KafkaBrokerInfo Gauge "kafka_broker_info" ["id", "address"], "1 for each broker that the cluster lists";
    TopicPartitions Gauge "kafka_topic_partitions" ["topic"], "Partitions of the topic";
    PartitionCurrentOffset Gauge "kafka_topic_partition_current_offset" ["topic", "partition"],
        "Offset of the partition's next message";
    PartitionOldestOffset Gauge "kafka_topic_partition_oldest_offset" ["topic", "partition"],
        "Offset of the oldest message that is still there";
    PartitionInSync Gauge "kafka_topic_partition_in_sync_replica" ["topic", "partition"], "Replicas that are in sync";
    PartitionLeader Gauge "kafka_topic_partition_leader" ["topic", "partition"],
        "Id of the partition's leader; absent if it has none";
    PartitionPreferred Gauge "kafka_topic_partition_leader_is_preferred" ["topic", "partition"],
        "1 if the first of the replicas leads the partition";
    PartitionReplicas Gauge "kafka_topic_partition_replicas" ["topic", "partition"], "Replicas of the partition";
    PartitionUnderReplicated Gauge "kafka_topic_partition_under_replicated_partition" ["topic", "partition"],
        "1 if a replica is not in sync";
    GroupOffset Gauge "kafka_consumergroup_current_offset" ["consumergroup", "topic", "partition"],
        "Offset that the group has committed";
    GroupOffsetSum Gauge "kafka_consumergroup_current_offset_sum" ["consumergroup", "topic"],
        "Sum of the offsets that the group has committed";
    GroupLag Gauge "kafka_consumergroup_lag" ["consumergroup", "topic", "partition"],
        "Messages that the group has left to read; 0 where only markers of transactions are left, absent beyond the log's end";
    GroupLost Gauge "kafka_consumergroup_lost_records" ["consumergroup", "topic", "partition"],
        "Messages that were deleted before the group committed them: its offset is before the log's start";
    GroupBeyondEnd Gauge "kafka_consumergroup_beyond_end" ["consumergroup", "topic", "partition"],
        "1 if the group's offset is beyond the log's end: the topic was made again, or has lost its end";
    GroupInfo Gauge "kafka_consumergroup_info" ["consumergroup", "type", "state"],
        "1 for each group; of a type other than classic and consumer the lag is known only if it has committed offsets";
    GroupLagSum Gauge "kafka_consumergroup_lag_sum" ["consumergroup", "topic"],
        "Messages of all partitions that the group has left to read; absent when one of them is unknown";
    GroupLagSeconds Gauge "kafka_consumergroup_lag_seconds" ["consumergroup", "topic", "partition"],
        "Age of the oldest message that the group has not committed; without `partition` at topic granularity";
    GroupMembers Gauge "kafka_consumergroup_members" ["consumergroup"], "Members of the group";
    ConsumerLag Gauge "kafka_consumer_lag" ["group"],
        "Messages of all topics that the group has left to read; absent when a partition is unknown";
    ClusterReachable Gauge "streamgauge_cluster_reachable" [], "1 if a broker answered the last health check";
    ClusterHealthy Gauge "streamgauge_cluster_healthy" [], "1 if the last health check found nothing wrong";
    ClusterChecked Gauge "streamgauge_cluster_checked_timestamp_seconds" [], "When the last health check ended";
    ClusterCheckTime Gauge "streamgauge_cluster_check_time_seconds" [], "What the last health check took";
    ClusterUnderReplicated Gauge "streamgauge_cluster_under_replicated_partitions" [], "Partitions with a replica not in sync";
    ClusterUnderMinIsr Gauge "streamgauge_cluster_under_min_isr_partitions" [],
        "Partitions with fewer replicas in sync than min.insync.replicas; absent if topic settings cannot be read";
    ClusterOffline Gauge "streamgauge_cluster_offline_partitions" [], "Partitions without a leader";
    ClusterSilent Gauge "streamgauge_cluster_silent_partitions" [], "Partitions led by a broker that does not answer";
    BrokerUp Gauge "streamgauge_cluster_broker_up" ["broker"],
        "1 if the broker is listed and answers, 0 if it is silent or down";
    BrokerLatency Gauge "streamgauge_cluster_broker_latency_seconds" ["broker"],
        "What the broker took to answer the last health check";
    LagCollected Gauge "streamgauge_cluster_lag_collected_timestamp_seconds" [], "When lag was collected last";
    LagCollectTime Gauge "streamgauge_cluster_lag_collect_time_seconds" [], "What the last collection of lag took";
    LagLeftOut Gauge "streamgauge_cluster_lag_partitions_left_out" [],
        "Partitions of groups that are shown in sums only, because there are more than cluster.lag.max_partitions";
    RequestLatencyMean Gauge "streamgauge_kafka_request_latency_mean_seconds" ["client", "broker"],
        "Mean time that the broker took to answer the agent's clients, over their last statistics interval";
    RequestLatencyHigh Gauge "streamgauge_kafka_request_latency_p99_seconds" ["client", "broker"],
        "99th percentile of the same";
    RequestsInFlight Gauge "streamgauge_kafka_requests_in_flight" ["client", "broker"],
        "Requests that the agent's clients have sent and that are not answered";
    RequestsQueued Gauge "streamgauge_kafka_requests_queued" ["client", "broker"],
        "Requests that the agent's clients have not sent yet";
    Throttle Gauge "streamgauge_kafka_throttle_seconds" ["client", "broker"],
        "Longest time the broker told the agent's clients to hold back, over their last statistics interval";
    ProducerSuccess Counter "kafka_producer_success" [], "Events that Kafka acknowledged to load tests and probes"
        => producer_success: Counter;
    ProducerFailure Counter "kafka_producer_failure" [], "Events of load tests and probes that Kafka did not acknowledge"
        => producer_failure: Counter;
    ProducerSendTime Histogram "kafka_producer_send_time_seconds" [],
        "Time from when such an event was due to its acknowledgement"
        => producer_send_time: Durations = durations();
    OtlpPushes Counter "streamgauge_otlp_pushes" ["result"],
        "Requests to the OTLP receiver: taken, failed (to be sent again), refused for good"
        => otlp_pushes: Counters<CommitLabels>;
    OtlpRejected Counter "streamgauge_otlp_rejected_points" [], "Points that the OTLP receiver refused out of requests it took"
        => otlp_rejected: Counter;
    OtlpQueuedWindows Gauge "streamgauge_otlp_queued_windows" [], "Closed windows on disk that the OTLP receiver has not taken yet"
        => otlp_queued_windows: Gauge;
    OtlpQueuedBytes Gauge "streamgauge_otlp_queued_bytes" [], "Size of the push's backlog on disk"
        => otlp_queued_bytes: Gauge;
    OtlpDropped Counter "streamgauge_otlp_dropped_windows" ["reason"],
        "Closed windows that were not pushed: the backlog was full (size), they waited too long (age), expired first, were refused, or their file was damaged"
        => otlp_dropped: Counters<ReasonLabel>;
    OtlpIncomplete Counter "streamgauge_otlp_incomplete_windows" [],
        "Closed windows that were pushed without the part of a partition that was missing or had expired"
        => otlp_incomplete: Counter;
    OtlpLostRecords Counter "streamgauge_otlp_lost_records" ["reason"],
        "Spans and log lines that were not pushed: their queue was full, or the receiver refused them for good"
        => otlp_lost_records: Counters<ReasonLabel>;
    ProcessMemory Gauge "process_resident_memory_bytes" [], "Resident memory";
    ProcessCpu Counter "process_cpu_seconds" [], "User and system CPU time spent";
    ProcessStart Gauge "process_start_time_seconds" [], "Start of the process since the Unix epoch";
    ProcessFiles Gauge "process_open_fds" [], "Open file descriptors";
}

/// Buckets from a quarter of a millisecond to 16 s.
fn short() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-12), 2.0, 17))
}

/// Buckets from 1 ms to 65 s.
fn durations() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-10), 2.0, 17))
}

/// Buckets from 1 ms to a day: an event may wait in the spool for long.
fn long() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-10), 2.0, 28))
}

impl Name {
    /// The unit that the family's name ends with; empty if it ends with none.
    pub fn unit(self) -> &'static str {
        ["seconds", "bytes"].into_iter().find(|unit| self.family().ends_with(unit)).unwrap_or("")
    }

    /// The names of its samples on `/metrics`.
    pub fn samples(self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind() {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Info => &["_info"],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.family())).collect()
    }

    /// Gives a metric this name and its unit.
    pub(super) fn register(self, registry: &mut Registry, metric: impl Metric) {
        let (family, help) = (self.family(), self.help());
        // The library appends the unit to the name by itself.
        let unit = match self.unit() {
            "seconds" => Unit::Seconds,
            "bytes" => Unit::Bytes,
            _ => return registry.register(family, help, metric),
        };
        let stem = family.strip_suffix(self.unit()).and_then(|stem| stem.strip_suffix('_')).unwrap_or(family);
        registry.register_with_unit(stem, help, unit, metric);
    }

    fn registered<M: Metric + Clone>(self, registry: &mut Registry, metric: M) -> M {
        self.register(registry, metric.clone());
        metric
    }
}
