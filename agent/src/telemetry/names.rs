//! The names of Streamgauge's own metrics: one list, which registration, the docs' table and the tests of dashboards and
//! alerts are made from.

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

macro_rules! names {
    ($($name:ident $kind:ident $family:literal $labels:expr, $help:literal;)*) => {
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
    };
}

names! {
    Build Info "streamgauge_build" ["version"], "The version that runs";
    Events Counter "streamgauge_events" ["source"], "Events folded into the state";
    DecodeErrors Counter "streamgauge_decode_errors" ["source", "reason"],
        "Events that could not be used, by what was wrong with them; each becomes a dead letter";
    DeadLettersDropped Counter "streamgauge_dead_letters_dropped" ["source"],
        "Dead letters that could not be written and were dropped, as the config allows";
    DroppedRedelivered Counter "streamgauge_dropped_redelivered" ["source"],
        "Messages that were delivered again after they had been folded, and skipped";
    LateEvents Counter "streamgauge_late_events" ["aggregate"],
        "Events that came after the grace: they count in the totals, not in the windows already closed";
    OverflowEvents Counter "streamgauge_overflow_events" ["aggregate"],
        "Events of new keys beyond the key limit, folded into the overflow series";
    RecordsLost Counter "streamgauge_records_lost" ["topic"], "Records that Kafka no longer had when they were to be read";
    Lag Gauge "streamgauge_lag_messages" ["topic", "partition"],
        "Messages between the committed input offset and the partition's end";
    StableLag Gauge "streamgauge_stable_lag_messages" ["topic", "partition"],
        "Messages between the committed input offset and the partition's last stable offset";
    LagSeconds Gauge "streamgauge_lag_seconds" ["topic", "partition"],
        "How far stream time is behind the clock; 0 when every message has been committed";
    StreamTime Gauge "streamgauge_stream_time_timestamp_seconds" ["topic", "partition"],
        "Highest event time committed";
    Keys Gauge "streamgauge_keys" ["aggregate", "topic", "partition"], "Keys that have a total";
    Entries Gauge "streamgauge_entries" ["aggregate", "topic", "partition"], "Stored cells: totals and panes of all keys";
    AggregateGap Counter "streamgauge_aggregate_gap_records" ["aggregate"],
        "Records read while the config did not have the aggregate, which then came back: they are missing from it";
    ReloadOk Gauge "streamgauge_config_last_reload_successful" [],
        "1 if the config in force is the one that was last asked for, 0 if a reload was refused since";
    ReloadTime Gauge "streamgauge_config_last_reload_success_timestamp_seconds" [], "When the config in force was loaded";
    MemoryBudget Gauge "streamgauge_memory_budget_bytes" [], "limits.memory_budget; 0 if there is none";
    Paused Gauge "streamgauge_paused_partitions" [], "Partitions that are not read until memory is free again";
    Pauses Counter "streamgauge_pauses" [], "How often partitions were paused because memory came near its budget";
    StateBytes Gauge "streamgauge_state_bytes" ["topic", "partition"], "Size of the task's redb file";
    LeaseHeld Gauge "streamgauge_lease_held" ["topic", "partition"],
        "1 while the task runs and its worker's lease holds, so that its totals and windows are shown";
    RestoreDone Gauge "streamgauge_restore_done_records" ["topic", "partition"],
        "Changelog offsets read so far by a task that is being restored";
    RestoreTarget Gauge "streamgauge_restore_target_records" ["topic", "partition"],
        "Changelog offsets that a task has to read before it runs";
    RestoreRecords Counter "streamgauge_restore_records" [], "Changelog records read by restores";
    RestoreDuration Histogram "streamgauge_restore_duration_seconds" [], "Time from a partition's assignment until it runs";
    StateRebuilds Counter "streamgauge_state_rebuilds" ["reason"], "redb files dropped and rebuilt from the changelog";
    Commits Counter "streamgauge_commits" ["result"], "Commits by their result";
    CommitDuration Histogram "streamgauge_commit_duration_seconds" [], "Time a Kafka transaction took, begin to commit";
    EpochsAborted Counter "streamgauge_epochs_aborted" ["reason"], "Epochs whose transaction was aborted, to be tried again";
    Rebalances Counter "streamgauge_rebalances" ["event"], "Changes of the assignment: assigned, revoked, lost";
    RebalanceDuration Histogram "streamgauge_rebalance_duration_seconds" [],
        "Time a worker stood still for a change of the assignment";
    ProducerRebuilds Counter "streamgauge_producer_rebuilds" [],
        "Transactional producers made anew after a fatal error, usually a transaction that timed out";
    CheckpointFailures Counter "streamgauge_checkpoint_failures" [],
        "Checkpoints that could not be written to a redb file; the changelog still has everything";
    RestoreUnstable Gauge "streamgauge_restore_unstable_seconds" [],
        "How long the current restore has waited for an open transaction on the changelog to end";
    QueriesRefused Counter "streamgauge_queries_refused" ["reason"], "Queries answered with an error, by its gRPC status";
    QueryDuration Histogram "streamgauge_query_duration_seconds" [], "Time a query took, translation included";
    ProducerSuccess Counter "kafka_producer_success" [], "Events that Kafka acknowledged to load tests and probes";
    ProducerFailure Counter "kafka_producer_failure" [], "Events of load tests and probes that Kafka did not acknowledge";
    ProducerSendTime Histogram "kafka_producer_send_time_seconds" [],
        "Time from when such an event was due to its acknowledgement";
    OtlpPushes Counter "streamgauge_otlp_pushes" ["result"],
        "Requests to the OTLP receiver: taken, failed (to be sent again), refused for good";
    OtlpRejected Counter "streamgauge_otlp_rejected_points" [], "Points that the OTLP receiver refused out of requests it took";
    OtlpQueuedWindows Gauge "streamgauge_otlp_queued_windows" [], "Closed windows on disk that the OTLP receiver has not taken yet";
    OtlpQueuedBytes Gauge "streamgauge_otlp_queued_bytes" [], "Size of the push's backlog on disk";
    OtlpDropped Counter "streamgauge_otlp_dropped_windows" ["reason"],
        "Closed windows that were not pushed: the backlog was full (size), they waited too long (age), expired first, were refused, or their file was damaged";
    ProcessMemory Gauge "process_resident_memory_bytes" [], "Resident memory";
    ProcessCpu Counter "process_cpu_seconds" [], "User and system CPU time spent";
    ProcessStart Gauge "process_start_time_seconds" [], "Start of the process since the Unix epoch";
    ProcessFiles Gauge "process_open_fds" [], "Open file descriptors";
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
}
