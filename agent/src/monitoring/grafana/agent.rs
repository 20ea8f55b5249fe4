//! The dashboard of the agents: how far behind, how they commit, restore and rebalance, and what they need.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::uid::AGENT_UID;

/// Matchers of the dashboard's variables; `T` is for series with a topic.
const I: &str = "job=~\"$job\", instance=~\"$instance\"";
const T: &str = "job=~\"$job\", instance=~\"$instance\", topic=~\"$topic\"";

pub fn board() -> Board {
    Board::new(AGENT_UID, "Agent", "The agents that count: lag, commits, restores, state, memory, rebalances.")
        .variable("job", "streamgauge_build_info")
        .variable("instance", "streamgauge_build_info")
        .variable("topic", "streamgauge_lag_messages")
        .row("Is it fine?", now())
        .row("Where: what is behind", lag())
        .row("Where: events that are not counted, or not in full", events())
        .row("Why: commits", commits())
        .row("Why: restores and rebalances", restores())
        .row("Why: state and resources", resources())
        .row("Queries and listeners", queries().into_iter().chain(listeners()).collect())
}

fn now() -> Vec<Panel> {
    let stat =
        |title: &str, unit: &str, text: &str, expr: String| Panel::new(Look::Stat, title, unit, text).query(expr, "");
    let rate = |metric: &str| format!("sum(rate({metric}{{{I}}}[$__rate_interval]))");
    let (events, dead) = (rate("streamgauge_events_total"), rate("streamgauge_decode_errors_total"));
    vec![
        stat(
            "Alerts",
            "short",
            "Alerts of Streamgauge, Kafka and the error budget that fire.",
            "count(ALERTS{alertstate=\"firing\", alertname=~\"Streamgauge.*|Kafka.*|ErrorBudget.*\"}) or vector(0)"
                .into(),
        )
        .red_from(1.0),
        stat(
            "Behind",
            "s",
            "Event time between what is committed and now, of the worst partition.",
            format!("max(streamgauge_lag_seconds{{{T}}})"),
        )
        .red_from(30.0),
        stat(
            "Partitions shown",
            "short",
            "Partitions that run under a lease that holds: their totals are on /metrics.",
            format!("sum(streamgauge_lease_held{{{T}}})"),
        ),
        stat(
            "Lag",
            "short",
            "Messages not committed, of the worst partition.",
            format!("max(streamgauge_lag_messages{{{T}}})"),
        )
        .red_from(1000.0),
        stat("Events", "eps", "Events folded into the state.", events.clone()),
        stat(
            "Dead letters",
            "percentunit",
            "Share of the events that could not be used.",
            format!("({dead} or vector(0)) / ({events} + ({dead} or vector(0)))"),
        )
        .red_from(0.01),
        stat("Agents", "short", "Agents that Prometheus reaches.", format!("count(streamgauge_build_info{{{I}}})")),
    ]
}

fn lines(title: &str, unit: &str, text: &str, expr: String, legend: &str) -> Panel {
    Panel::new(Look::Lines, title, unit, text).query(expr, legend)
}

fn lag() -> Vec<Panel> {
    vec![
        lines(
            "Messages behind",
            "short",
            "Messages between the committed offset and the end, of the worst partition. Above 1,000 for long: look.",
            format!("max by (topic) (streamgauge_lag_messages{{{T}}})"),
            "{{topic}}",
        )
        .red_from(1000.0),
        lines(
            "Seconds behind",
            "s",
            "Event time between what is committed and now; 0 when all is committed.",
            format!("max by (topic) (streamgauge_lag_seconds{{{T}}})"),
            "{{topic}}",
        )
        .red_from(30.0),
        lines(
            "Messages behind, all partitions",
            "short",
            "Sum over the partitions; `stable` leaves out what an open transaction of a producer holds back.",
            format!("sum by (topic) (streamgauge_lag_messages{{{T}}})"),
            "{{topic}}",
        )
        .query(format!("sum by (topic) (streamgauge_stable_lag_messages{{{T}}})"), "{{topic}} stable"),
        lines(
            "Waiting for a schema",
            "s",
            "How long the schema registry has not said how the next record of a partition is written; it is not read meanwhile.",
            format!("max by (topic) (streamgauge_schema_waiting_seconds{{{T}}})"),
            "{{topic}}",
        ).quiet()
        .red_from(60.0),
    ]
}

fn commits() -> Vec<Panel> {
    let quantile = |q: f64| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate(streamgauge_commit_duration_seconds_bucket{{{I}}}[$__rate_interval])))"
        )
    };
    vec![
        lines(
            "Commit latency",
            "s",
            "Time of a Kafka transaction from begin to commit. Target: p99 below 100 ms.",
            quantile(0.5),
            "p50",
        )
        .query(quantile(0.95), "p95")
        .query(quantile(0.99), "p99")
        .red_from(0.1),
        lines(
            "Commits",
            "ops",
            "Commits per second by result. Aborted ones are tried again.",
            format!("sum by (instance, result) (rate(streamgauge_commits_total{{{I}}}[$__rate_interval]))"),
            "{{instance}} {{result}}",
        ),
        lines(
            "Aborted epochs",
            "ops",
            "Why transactions were aborted; normal for a moment while partitions move.",
            format!("sum by (reason) (rate(streamgauge_epochs_aborted_total{{{I}}}[$__rate_interval]))"),
            "{{reason}}",
        )
        .quiet(),
    ]
}

fn events() -> Vec<Panel> {
    let rate = |metric: &str, by: &str| format!("sum by ({by}) (rate({metric}{{{I}}}[$__rate_interval]))");
    vec![
        lines(
            "Events",
            "eps",
            "Events folded into the state, by agent.",
            rate("streamgauge_events_total", "instance"),
            "{{instance}}",
        ),
        lines(
            "Decode errors",
            "eps",
            "Events that became dead letters, by what was wrong.",
            rate("streamgauge_decode_errors_total", "source, reason"),
            "{{source}} {{reason}}",
        ).quiet(),
        lines(
            "Skipped by an aggregate",
            "eps",
            "Events that an aggregate leaves out, though others may have them.",
            rate("streamgauge_skipped_events_total", "aggregate, reason"),
            "{{aggregate}} {{reason}}",
        ).quiet()
        .query(rate("streamgauge_passed_by_events_total", "source, reason"), "passed by: {{source}} {{reason}}"),
        lines(
            "Values not measured, labels adjusted",
            "eps",
            "Events that a measure has no usable value of, and labels that were left empty or cut.",
            rate("streamgauge_skipped_values_total", "aggregate, measure, reason"),
            "{{aggregate}} {{measure}} {{reason}}",
        ).quiet()
        .query(
            rate("streamgauge_adjusted_labels_total", "aggregate, label, reason"),
            "label: {{aggregate}} {{label}} {{reason}}",
        ),
        lines(
            "Texts not parsed",
            "eps",
            "Texts that `parse` names a format for and that are not written in it: what is below them is missing from the events.",
            rate("streamgauge_unparsed_fields_total", "source, field"),
            "{{source}} {{field}}",
        ).quiet(),
        lines(
            "Late events",
            "eps",
            "Events after the grace: in the totals, not in windows already closed.",
            rate("streamgauge_late_events_total", "aggregate"),
            "{{aggregate}}",
        ).quiet(),
        lines(
            "Beyond the key limit",
            "eps",
            "Events of new keys that went into the overflow series.",
            rate("streamgauge_overflow_events_total", "aggregate"),
            "{{aggregate}}",
        ).quiet(),
        lines(
            "Records lost by Kafka",
            "short",
            "Records that retention deleted before they were read, since the agent started.",
            format!("sum by (topic) (streamgauge_records_lost_total{{{T}}})"),
            "{{topic}}",
        ).quiet(),
        lines(
            "Dead letters dropped",
            "eps",
            "Dead letters that could not be written and were dropped, as the config allows.",
            rate("streamgauge_dead_letters_dropped_total", "source"),
            "{{source}}",
        ).quiet(),
    ]
}

fn restores() -> Vec<Panel> {
    vec![
        lines(
            "Restores, to be read",
            "short",
            "Changelog records that restores have before them.",
            format!(
                "sum by (instance, topic) (streamgauge_restore_target_records{{{T}}} - streamgauge_restore_done_records{{{T}}})"
            ),
            "{{instance}} {{topic}}",
        ).quiet(),
        lines(
            "Restored records",
            "recps",
            "Changelog records read by restores.",
            format!("sum by (instance) (rate(streamgauge_restore_records_total{{{I}}}[$__rate_interval]))"),
            "{{instance}}",
        ).quiet(),
        lines(
            "Restore time",
            "s",
            "From a partition's assignment until it runs, 95 % of all since the agents started.",
            format!(
                "histogram_quantile(0.95, sum by (instance, le) (streamgauge_restore_duration_seconds_bucket{{{I}}}))"
            ),
            "{{instance}}",
        ),
        lines(
            "Rebalances",
            "short",
            "Changes of the assignment within 10 minutes: assigned, revoked, lost. More than 10 is a storm.",
            format!("sum by (instance, event) (increase(streamgauge_rebalances_total{{{I}}}[10m]))"),
            "{{instance}} {{event}}",
        ).quiet()
        .red_from(10.0),
        lines(
            "Rebalance time",
            "s",
            "How long a worker stood still for a change of the assignment, on average.",
            format!(
                "sum by (instance) (streamgauge_rebalance_duration_seconds_sum{{{I}}}) / sum by (instance) (streamgauge_rebalance_duration_seconds_count{{{I}}})"
            ),
            "{{instance}}",
        ),
        lines(
            "Waiting for an open transaction",
            "s",
            "How long a restore has waited for a transaction on the changelog to end.",
            format!("max by (instance) (streamgauge_restore_unstable_seconds{{{I}}})"),
            "{{instance}}",
        ).quiet()
        .red_from(60.0),
    ]
}

fn resources() -> Vec<Panel> {
    vec![
        lines(
            "Keys",
            "short",
            "Keys that have a total.",
            format!("sum by (aggregate) (streamgauge_keys{{{T}}})"),
            "{{aggregate}}",
        ),
        lines(
            "Stored cells",
            "short",
            "Totals and panes of all keys: what memory, disk and restores grow with.",
            format!("sum by (aggregate) (streamgauge_entries{{{T}}})"),
            "{{aggregate}}",
        ),
        lines(
            "State files",
            "bytes",
            "Size of the partitions' files on disk, by agent. They shrink only when they are compacted.",
            format!("sum by (instance) (streamgauge_state_bytes{{{T}}})"),
            "{{instance}}",
        ),
        lines(
            "Windows waiting to be pushed",
            "short",
            "Closed windows that the OTLP receiver has not taken yet, and those given up since the agents started.",
            format!("sum by (instance) (streamgauge_otlp_queued_windows{{{I}}})"),
            "{{instance}}",
        )
        .quiet()
        .query(format!("sum(streamgauge_otlp_dropped_windows_total{{{I}}}) or vector(0)"), "given up"),
        lines(
            "Checkpoint failures, rebuilds",
            "short",
            "Checkpoints not written and state files rebuilt, since the agents started. The changelog has everything.",
            format!("sum(streamgauge_checkpoint_failures_total{{{I}}})"),
            "failures",
        )
        .quiet()
        .query(format!("sum by (reason) (streamgauge_state_rebuilds_total{{{I}}})"), "rebuilt: {{reason}}"),
        lines(
            "Memory",
            "bytes",
            "Resident memory of each agent.",
            format!("process_resident_memory_bytes{{{I}}} and on (instance) streamgauge_build_info"),
            "{{instance}}",
        ),
        lines(
            "CPU",
            "percentunit",
            "CPU time per second; 100 % is one core.",
            format!(
                "rate(process_cpu_seconds_total{{{I}}}[$__rate_interval]) and on (instance) streamgauge_build_info"
            ),
            "{{instance}}",
        ),
        lines(
            "Open files",
            "short",
            "Open file descriptors of each agent.",
            format!("process_open_fds{{{I}}} and on (instance) streamgauge_build_info"),
            "{{instance}}",
        ),
    ]
}

fn queries() -> Vec<Panel> {
    let quantile = |q: f64| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate(streamgauge_query_duration_seconds_bucket{{{I}}}[$__rate_interval])))"
        )
    };
    vec![
        lines(
            "Queries",
            "reqps",
            "gRPC queries answered per second.",
            format!("sum by (instance) (rate(streamgauge_query_duration_seconds_count{{{I}}}[$__rate_interval]))"),
            "{{instance}}",
        ),
        lines("Query time", "s", "Time a query took, translation included.", quantile(0.5), "p50")
            .query(quantile(0.99), "p99"),
        lines(
            "Queries refused",
            "short",
            "Queries answered with an error since the agents started, by gRPC status.",
            format!("sum by (reason) (streamgauge_queries_refused_total{{{I}}})"),
            "{{reason}}",
        )
        .quiet(),
        lines(
            "Watchers",
            "short",
            "Watches that are open. Those refused because `limits.watchers` were open, and answers that watchers were too slow to \
             take, per second.",
            format!("sum by (instance) (streamgauge_watchers{{{I}}})"),
            "{{instance}}",
        )
        .query(
            format!("sum by (instance) (rate(streamgauge_watches_refused_total{{{I}}}[$__rate_interval]))"),
            "{{instance}} refused",
        )
        .query(
            format!("sum by (instance) (rate(streamgauge_watch_skipped_answers_total{{{I}}}[$__rate_interval]))"),
            "{{instance}} left out",
        ),
    ]
}

fn listeners() -> Vec<Panel> {
    let rate = |metric: &str| format!("sum by (instance, door, outcome) (rate({metric}{{{I}}}[$__rate_interval]))");
    let failed = |metric: &str| format!("sum(rate({metric}{{{I}, outcome=\"failed\"}}[$__rate_interval]))");
    vec![
        lines(
            "Calls, and files of locks",
            "reqps",
            "Calls of the HTTP and gRPC listeners by outcome: lines of the log that begin with `audit:` say who was refused. \
             Certificates, keys and tokens that cannot be used: what was read before stays in force.",
            rate("streamgauge_door_calls_total"),
            "{{instance}} {{door}} {{outcome}}",
        )
        .query(format!("{} or vector(0)", failed("streamgauge_door_lock_reads_total")), "files that cannot be used"),
    ]
}
