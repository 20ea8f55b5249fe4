//! The dashboard of the front door: what comes in, what becomes of it, and what happens when brokers do not answer.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::uid::INGEST_UID;

const J: &str = "job=~\"$job\"";

pub fn board() -> Board {
    Board::new(INGEST_UID, "Log ingest", "Events that applications hand in, and their way to Kafka.")
        .variable("job", "streamgauge_ingest_circuit_state")
        .row("Coming in", coming())
        .row("On the way to Kafka", going())
        .row("When brokers do not answer", waiting())
}

fn rate(by: &str, metric: &str) -> String {
    format!("sum by ({by}) (rate({metric}{{{J}}}[$__rate_interval]))")
}

fn quantile(q: f64, by: &str, metric: &str) -> String {
    format!("histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{{J}}}[$__rate_interval])))")
}

fn lines(title: &str, unit: &str, description: &str) -> Panel {
    Panel::new(Look::Lines, title, unit, description)
}

fn coming() -> Vec<Panel> {
    let slow = "streamgauge_ingest_request_duration_seconds";
    vec![
        lines("Accepted", "cps", "Events that were accepted, per second.")
            .wide(12)
            .query(rate("topic", "streamgauge_ingest_accepted_events_total"), "{{topic}}"),
        lines(
            "Not accepted",
            "cps",
            "Events that were not accepted, per second: invalid, too large, no room or no topic (`full`), or the brokers refuse them.",
        )
        .wide(12)
        .query(rate("reason", "streamgauge_ingest_rejected_events_total"), "{{reason}}"),
        lines("Requests", "reqps", "By HTTP status: 429 is too often, 503 no room.")
            .wide(12)
            .query(rate("endpoint, code", "streamgauge_ingest_requests_total"), "{{endpoint}} {{code}}"),
        lines("Time to the answer", "s", "99 % of the answers take less; ERROR and FATAL wait for the brokers.")
            .wide(12)
            .query(quantile(0.99, "endpoint", slow), "{{endpoint}} p99"),
    ]
}

fn going() -> Vec<Panel> {
    let took = "streamgauge_ingest_delivery_duration_seconds";
    vec![
        lines("Acknowledged", "cps", "Events that the brokers have acknowledged, per second.")
            .query(rate("topic", "streamgauge_ingest_delivered_events_total"), "{{topic}}"),
        lines("Time to the acknowledgement", "s", "From an event's acceptance on; with the time in the spool.")
            .query(quantile(0.5, "topic", took), "{{topic}} p50")
            .query(quantile(0.99, "topic", took), "{{topic}} p99"),
        lines("Refused or sent again", "cps", "Refused by the brokers for good: lost. Sent again: may be there twice.")
            .query(rate("topic", "streamgauge_ingest_failed_events_total"), "{{topic}} refused")
            .query(rate("topic", "streamgauge_ingest_resent_events_total"), "{{topic}} sent again"),
        lines(
            "Under way",
            "short",
            "Events in memory that were not sent yet, and events that are not acknowledged yet.",
        )
        .query(format!("sum by (instance) (streamgauge_ingest_queued_events{{{J}}})"), "{{instance}} queued")
        .query(format!("sum by (instance) (streamgauge_ingest_processing_events{{{J}}})"), "{{instance}} sent"),
        lines("Buffer", "bytes", "Memory that accepted events take, of `ingest.buffer_size`.")
            .query(format!("max by (instance) (streamgauge_ingest_buffer_bytes{{{J}}})"), "{{instance}}"),
    ]
}

fn waiting() -> Vec<Panel> {
    vec![
        lines("Circuit breaker", "short", "0: closed, 1: half open, 2: open; then events go to the spool.")
            .query(format!("max by (instance) (streamgauge_ingest_circuit_state{{{J}}})"), "{{instance}}"),
        lines("Transitions", "cps", "How often the breaker changes.")
            .query(rate("to", "streamgauge_ingest_circuit_transitions_total"), "{{to}}"),
        lines("In the spool", "short", "Accepted events on disk that the brokers have not acknowledged yet.")
            .query(format!("sum by (instance) (streamgauge_ingest_spool_events{{{J}}})"), "{{instance}}"),
        lines("Oldest in the spool", "s", "How long the oldest of them has waited.")
            .query(format!("max by (instance) (streamgauge_ingest_spool_age_seconds{{{J}}})"), "{{instance}}"),
        lines("Spool, of its limit", "percentunit", "At 100 % events wait in memory, and then are refused with 503.")
            .query(
                format!(
                    "max by (instance) (streamgauge_ingest_spool_bytes{{{J}}} / streamgauge_ingest_spool_limit_bytes{{{J}}})"
                ),
                "{{instance}}",
            )
            .red_from(0.5),
        lines("Trouble with the spool", "cps", "Full, not written, not read, or damaged.")
            .query(rate("reason", "streamgauge_ingest_spool_errors_total"), "{{reason}}"),
    ]
}
