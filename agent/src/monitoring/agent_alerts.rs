//! Alerts on the agents themselves. The first one is the page: whatever is wrong, the numbers fall behind.

use super::draft::{Draft, any_in_an_hour, finished};
use super::rule::{Alert, Group, Rule, Severity};
use super::uid::AGENT_UID;
use super::{Options, ingest_alerts};

pub fn group(options: &Options) -> Group {
    let alerts = freshness(options).into_iter().chain(lifecycle(options)).chain(events(options));
    let alerts = alerts.chain(size(options)).chain(push(options)).chain(group_members(options)).chain(doors(options));
    let alerts = alerts.chain(ingest_alerts::alerts(options));
    Group { name: "streamgauge".into(), rules: alerts.map(Rule::Alert).collect() }
}

fn freshness(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugeEventTimeBehind",
            expr: "max by (job, topic) (streamgauge_lag_seconds) > 30".into(),
            hold: "30s",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.topic }}: the metrics are {{ $value | humanizeDuration }} behind",
            description: "What is committed of {{ $labels.topic }} ends {{ $value | humanizeDuration }} before now in event \
                          time, although there are newer events. Dashboards and alerts made from it tell of the past.",
            page: "event-time-behind",
        },
        lag("StreamgaugeLagAbove1000", 1_000, Severity::Warning),
        lag("StreamgaugeLagAbove10000", 10_000, Severity::Critical),
        Draft {
            name: "StreamgaugeCommitSlow",
            expr: "histogram_quantile(0.99, sum by (job, instance, le) (rate(streamgauge_commit_duration_seconds_bucket[5m]))) \
                   > 0.1"
                .into(),
            hold: "10m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: the slowest commits take {{ $value | humanizeDuration }}",
            description: "1 % of the Kafka transactions take longer than {{ $value | humanizeDuration }} (target 100 ms). \
                          Metrics are as much later; throughput suffers only when commits take seconds.",
            page: "commit-slow",
        },
    ];
    finished(drafts, options, AGENT_UID)
}

/// Of the partition that is furthest behind, as Kafka Streams' `records_lag_max`.
fn lag(name: &'static str, limit: u32, severity: Severity) -> Draft {
    Draft {
        name,
        expr: format!("max by (job, topic) (streamgauge_lag_messages) > {limit}"),
        hold: "5m",
        keep: "1m",
        severity,
        summary: "{{ $labels.topic }}: {{ $value | humanize }} messages behind",
        description: "The partition of {{ $labels.topic }} that is furthest behind has {{ $value | humanize }} messages that \
                      are not committed, and has had too many for 5 minutes.",
        page: "lag",
    }
}

fn lifecycle(options: &Options) -> Vec<Alert> {
    let job = &options.job;
    let drafts = [
        Draft {
            name: "StreamgaugeDown",
            expr: format!("up{{job=\"{job}\"}} == 0\nor\nabsent(up{{job=\"{job}\"}})"),
            hold: "30s",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }}: the agent does not answer",
            description: "Prometheus cannot scrape {{ $labels.instance }} of job {{ $labels.job }}. Its partitions are not \
                          shown until it is back or another agent has taken them over; nothing is lost from the counts.",
            page: "agent-down",
        },
        Draft {
            name: "StreamgaugeRestoreStuck",
            expr: "(\n  sum by (job, instance, topic) (streamgauge_restore_target_records - streamgauge_restore_done_records) > 0\n  \
                   and\n  sum by (job, instance, topic) (changes(streamgauge_restore_done_records[2m])) == 0\n)\nor\n\
                   max by (job, instance) (streamgauge_restore_unstable_seconds) > 60"
                .into(),
            hold: "3m",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }}: a restore does not go on",
            description: "A partition on {{ $labels.instance }} is being restored and has read nothing for 5 minutes, or has \
                          waited as long for an open transaction on the changelog. It is not counted meanwhile.",
            page: "restore-stuck",
        },
        Draft {
            name: "StreamgaugeSchemaWaiting",
            expr: "max by (job, topic) (streamgauge_schema_waiting_seconds) > 60".into(),
            hold: "2m",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.topic }}: a partition has waited for the schema registry for {{ $value | humanizeDuration }}",
            description: "The next record of a partition of {{ $labels.topic }} has a schema that the registry does not give: it is \
                          away, or refuses. The partition is not read meanwhile; nothing is lost as long as Kafka keeps the records.",
            page: "schema-waiting",
        },
        Draft {
            name: "StreamgaugeRebalanceStorm",
            expr: "sum by (job, instance) (increase(streamgauge_rebalances_total[10m])) > 10".into(),
            hold: "",
            keep: "10m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanize }} rebalances in 10 minutes",
            description: "The assignment of {{ $labels.instance }} has changed {{ $value | humanize }} times within 10 minutes; \
                          each change stops counting for a moment. Some agent joins and leaves, or is taken for dead.",
            page: "rebalance-storm",
        },
    ];
    finished(drafts, options, AGENT_UID)
}

/// Share of all events of the last 5 minutes: a word about one bad event among millions wakes nobody.
fn share(counter: &str, label: &str) -> String {
    format!(
        "sum by (job, {label}) (rate({counter}[5m]))\n/ on (job) group_left ()\n\
         sum by (job) (rate(streamgauge_events_total[5m])) > 0.01"
    )
}

/// By how much the share of what is skipped is above that of an hour ago: what a format has always lacked wakes nobody, and
/// what is new has no share to compare with.
fn jumped(counter: &str, all: &str, labels: &str) -> String {
    let then = |text: &str| text.replace("[5m]", "[5m] offset 1h");
    let share = format!("sum by ({labels}) (rate({counter}[5m])) / {all}");
    format!("(\n  {share}\n)\n- (\n  {}\n) > 0.05", then(&share))
}

fn events(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugeDecodeErrors",
            expr: "sum by (job, source) (rate(streamgauge_decode_errors_total[5m]))\n/\n\
                   (\n  sum by (job, source) (rate(streamgauge_decode_errors_total[5m]))\n  \
                   + (sum by (job, source) (rate(streamgauge_events_total[5m])) or 0 * sum by (job, source) \
                   (rate(streamgauge_decode_errors_total[5m])))\n) > 0.01"
                .into(),
            hold: "1m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.source }}: {{ $value | humanizePercentage }} of the events cannot be used",
            description: "{{ $value | humanizePercentage }} of the events of source {{ $labels.source }} become dead letters and \
                          are missing from every count. Usually a producer has changed its format.",
            page: "decode-errors",
        },
        Draft {
            name: "StreamgaugeSkippedEvents",
            expr: jumped(
                "streamgauge_skipped_events_total{reason!=\"where\"}",
                "(sum by (job, aggregate) (rate(streamgauge_aggregated_events_total[5m])) \
                 + sum by (job, aggregate) (rate(streamgauge_skipped_events_total{reason!=\"where\"}[5m])))",
                "job, aggregate",
            ),
            hold: "5m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.aggregate }}: it leaves out {{ $value | humanizePercentage }} more of the events than an hour ago",
            description: "Aggregate {{ $labels.aggregate }} cannot use {{ $value | humanizePercentage }} more of its events than an \
                          hour ago, because a required label has no value. Usually a producer has changed its format.",
            page: "skipped-events",
        },
        Draft {
            name: "StreamgaugeSkippedValues",
            expr: jumped(
                "streamgauge_skipped_values_total",
                "on (job, aggregate) group_left () sum by (job, aggregate) (rate(streamgauge_aggregated_events_total[5m]))",
                "job, aggregate, measure",
            ),
            hold: "5m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.aggregate }}: {{ $labels.measure }} misses {{ $value | humanizePercentage }} more of the events than \
                      an hour ago",
            description: "Measure {{ $labels.measure }} of aggregate {{ $labels.aggregate }} finds no usable value in \
                          {{ $value | humanizePercentage }} more of the events than an hour ago. Usually a producer has changed its \
                          format.",
            page: "skipped-events",
        },
        Draft {
            name: "StreamgaugeUnparsedFields",
            expr: jumped(
                "streamgauge_unparsed_fields_total",
                "on (job, source) group_left () sum by (job, source) (rate(streamgauge_events_total[5m]))",
                "job, source, field",
            ),
            hold: "5m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.source }}: {{ $value | humanizePercentage }} more of the texts in {{ $labels.field }} are not parsed \
                      than an hour ago",
            description: "The text in {{ $labels.field }} of source {{ $labels.source }} is not written in the format that `parse` \
                          names in {{ $value | humanizePercentage }} more of the events than an hour ago. These events count, but \
                          what is below that field is missing from them. Usually a producer has changed its format.",
            page: "skipped-events",
        },
        Draft {
            name: "StreamgaugeKeyLimit",
            expr: "sum by (job, aggregate) (rate(streamgauge_overflow_events_total[5m])) > 0".into(),
            hold: "1m",
            keep: "15m",
            severity: Severity::Warning,
            summary: "{{ $labels.aggregate }}: more keys than its limit",
            description: "{{ $value | humanize }} events/s of aggregate {{ $labels.aggregate }} have new keys beyond the limit and \
                          are counted in its overflow series. Sums over all keys are right, the new keys are not told apart. \
                          `on_limit: replace_idle` lets the longest unseen key go instead of the new one; `key_ttl` drops keys \
                          that are long unseen.",
            page: "key-limit",
        },
        Draft {
            name: "StreamgaugeLateEvents",
            expr: share("streamgauge_late_events_total", "aggregate"),
            hold: "5m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.aggregate }}: {{ $value | humanizePercentage }} of the events come late",
            description: "{{ $value | humanizePercentage }} of the events come after the grace of aggregate {{ $labels.aggregate }}: \
                          they count in its totals, but are missing from its windows.",
            page: "late-events",
        },
        Draft {
            name: "StreamgaugeRecordsLost",
            expr: any_in_an_hour("streamgauge_records_lost_total", "topic"),
            hold: "",
            keep: "15m",
            severity: Severity::Critical,
            summary: "{{ $labels.topic }}: Kafka deleted {{ $value | humanize }} records before they were read",
            description: "Retention of {{ $labels.topic }} has overtaken the agent. These records are missing from the counts for \
                          good.",
            page: "records-lost",
        },
    ];
    finished(drafts, options, AGENT_UID)
}

fn size(options: &Options) -> Vec<Alert> {
    let drafts = [Draft {
        name: "StreamgaugeStateGrowth",
        expr: "sum by (job, aggregate) (streamgauge_entries)\n/\n\
               (sum by (job, aggregate) (streamgauge_entries offset 1h) > 1000) > 2"
            .into(),
        hold: "15m",
        keep: "",
        severity: Severity::Warning,
        summary: "{{ $labels.aggregate }}: its state is {{ $value | humanize }} times as large as an hour ago",
        description: "Memory, disk and restores grow with it. Usually a label has begun to hold something with many values, such \
                      as an id.",
        page: "state-growth",
    }];
    finished(drafts, options, AGENT_UID)
}

fn push(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugePushBehind",
            expr: "max by (job, instance) (streamgauge_otlp_queued_windows) > 0".into(),
            hold: "10m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanize }} closed windows wait for the OTLP receiver",
            description: "{{ $labels.instance }} has had closed windows in its backlog for 10 minutes. None is lost as long as the \
                          backlog has room; the receiver does not have them yet.",
            page: "push-behind",
        },
        Draft {
            name: "StreamgaugePushLost",
            expr: any_in_an_hour("streamgauge_otlp_dropped_windows_total", "reason"),
            hold: "",
            keep: "15m",
            severity: Severity::Critical,
            summary: "{{ $value | humanize }} closed windows will never reach the OTLP receiver ({{ $labels.reason }})",
            description: "Within an hour {{ $value | humanize }} closed windows were given up (reason: {{ $labels.reason }}). The \
                          receiver has a gap there; totals and what is scraped are whole.",
            page: "push-behind",
        },
    ];
    finished(drafts, options, AGENT_UID)
}

fn group_members(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugeWindowsIncomplete",
            expr: "count by (job, window, hop) ({__name__=~\".+_window_complete\"} == 0)".into(),
            hold: "10m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $value | humanize }} aggregates show windows of {{ $labels.window }} that lack partitions",
            description: "For 10 minutes each new window of {{ $labels.window }} has been shown without some of its partitions, so \
                          its numbers are too small. Totals are not affected. `/-/ready` of the agents and the field `missing` of \
                          a query say which partitions and why.",
            page: "windows-incomplete",
        },
        Draft {
            name: "StreamgaugeUnreachableAddress",
            expr: "max by (job, instance) (streamgauge_unreachable_address) > 0".into(),
            hold: "2m",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }}: the other agents of its group cannot reach it",
            description: "{{ $labels.instance }} advertises a loopback address, and its group has agents on other hosts. Windows and \
                          answers lack the partitions of the agents that cannot be asked. Set `grpc.listen` or `grpc.advertise` to \
                          an address that the others reach.",
            page: "windows-incomplete",
        },
    ];
    finished(drafts, options, AGENT_UID)
}

fn doors(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugeCallsRefused",
            expr: "sum by (job, instance, door) (\n  \
                   rate(streamgauge_door_calls_total{outcome=~\"unauthenticated|forbidden|locked_out\"}[5m])\n) > 0.1"
                .into(),
            hold: "10m",
            keep: "10m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanize }} calls/s of its {{ $labels.door }} listener are refused",
            description: "For 10 minutes {{ $labels.instance }} has refused {{ $value | humanize }} calls/s. Somebody guesses, or a \
                          scraper, an agent or a program has a token, a password or a certificate that is no longer valid, or \
                          lacks a right. Lines of the log that begin with `audit:` say who and from where.",
            page: "calls-refused",
        },
        Draft {
            name: "StreamgaugeWatchesRefused",
            expr: any_in_an_hour("streamgauge_watches_refused_total", "instance"),
            hold: "",
            keep: "15m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanize }} watches were refused within an hour",
            description: "As many watches as `limits.watchers` allows were open on {{ $labels.instance }} when somebody wanted another \
                          one: a page, a program that watches, or a tail. They were told so and may try again.",
            page: "watchers",
        },
        Draft {
            name: "StreamgaugeWatchersSlow",
            expr: "sum by (job, instance) (rate(streamgauge_watch_skipped_answers_total[5m]))\n/\n\
                   sum by (job, instance) (streamgauge_watchers > 0) > 1"
                .into(),
            hold: "10m",
            keep: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: a watcher misses {{ $value | humanize }} answers a second",
            description: "For 10 minutes the watchers of {{ $labels.instance }} have not taken their answers in time: of each, \
                          {{ $value | humanize }} answers a second were left out for a newer one. Each message says how many it \
                          stands for; ingestion does not wait for them.",
            page: "watchers",
        },
        Draft {
            name: "StreamgaugeLockFilesFailed",
            expr: "sum by (job, instance, door) (rate(streamgauge_door_lock_reads_total{outcome=\"failed\"}[2m])) > 0"
                .into(),
            hold: "5m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: new files of {{ $labels.door }} cannot be used",
            description: "For 5 minutes a certificate, key or token file of {{ $labels.instance }} could not be read or used. What \
                          was read before stays in force until its certificate expires; an agent that is restarted does not \
                          start.",
            page: "lock-files",
        },
        Draft {
            name: "StreamgaugeKafkaCredentialsChanged",
            expr: "max by (job, instance) (streamgauge_kafka_credentials_changed) > 0".into(),
            hold: "15m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanize }} files with credentials for Kafka have changed",
            description: "A certificate, a key or a password of {{ $labels.instance }} for Kafka has changed on disk, and the agent \
                          still uses the one that it read at its start. Restart it before the old one is no longer valid: then \
                          brokers refuse it.",
            page: "kafka-credentials",
        },
    ];
    finished(drafts, options, AGENT_UID)
}
