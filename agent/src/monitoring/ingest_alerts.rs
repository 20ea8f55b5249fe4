//! Alerts on the front door: nothing is lost while they fire, but for the last one.

use super::Options;
use super::draft::{Draft, any_in_an_hour, finished};
use super::rule::{Alert, Severity};
use super::uid::INGEST_UID;

const PAGE: &str = "ingest";

pub fn alerts(options: &Options) -> Vec<Alert> {
    let drafts = [
        Draft {
            name: "StreamgaugeIngestCircuitOpen",
            expr: "max by (job, instance) (max_over_time(streamgauge_ingest_circuit_state[2m])) > 1".into(),
            hold: "5m",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }}: events that are handed in do not reach Kafka",
            description: "The circuit breaker of {{ $labels.instance }} has been open for 5 minutes: brokers do not acknowledge \
                          events, which go to the spool on disk as long as it has room.",
            page: PAGE,
        },
        Draft {
            name: "StreamgaugeIngestSpoolFilling",
            expr:
                "max by (job, instance) (streamgauge_ingest_spool_bytes / streamgauge_ingest_spool_limit_bytes) > 0.5"
                    .into(),
            hold: "5m",
            keep: "",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }}: the spool is filled to {{ $value | humanizePercentage }}",
            description: "When the spool of {{ $labels.instance }} and its memory are full, events that are handed in are refused \
                          with 503.",
            page: PAGE,
        },
        Draft {
            name: "StreamgaugeIngestSpoolOld",
            expr: "max by (job, instance) (streamgauge_ingest_spool_age_seconds) > 300".into(),
            hold: "5m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: events have waited in the spool for {{ $value | humanizeDuration }}",
            description: "Whoever reads the topic does not see them yet, and metrics made of them are behind.",
            page: PAGE,
        },
        Draft {
            name: "StreamgaugeIngestRefusing",
            expr: "sum by (job, instance) (rate(streamgauge_ingest_requests_total{code=~\"429|503\"}[5m]))\n/\n\
                   sum by (job, instance) (rate(streamgauge_ingest_requests_total[5m])) > 0.05"
                .into(),
            hold: "5m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: {{ $value | humanizePercentage }} of the requests that hand in events are refused",
            description: "They are answered with 429 (too often from one address) or 503 (no room). Senders that do not try again \
                          lose these events.",
            page: PAGE,
        },
        Draft {
            name: "StreamgaugeIngestSlow",
            expr: "histogram_quantile(0.99, sum by (job, instance, endpoint, le) (\n  \
                   rate(streamgauge_ingest_request_duration_seconds_bucket[5m])\n)) > 1"
                .into(),
            hold: "10m",
            keep: "",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }}: a hundredth of the answers of {{ $labels.endpoint }} take {{ $value | humanizeDuration }}",
            description: "ERROR and FATAL are answered when the brokers have acknowledged them, with `durability: spooled` all \
                          events when the disk has.",
            page: PAGE,
        },
        Draft {
            name: "StreamgaugeIngestLost",
            expr: any_in_an_hour("streamgauge_ingest_failed_events_total", "topic"),
            hold: "",
            keep: "15m",
            severity: Severity::Critical,
            summary: "{{ $labels.topic }}: the brokers refused {{ $value | humanize }} accepted events for good",
            description: "Within an hour {{ $value | humanize }} events for {{ $labels.topic }} were refused, usually because the \
                          topic takes no events of their size. They are not in Kafka.",
            page: PAGE,
        },
    ];
    finished(drafts, options, INGEST_UID)
}
