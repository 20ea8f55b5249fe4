//! The dashboard of the front door: what comes in, what becomes of it, and what happens when brokers do not answer.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::uid::INGEST_UID;

const J: &str = "job=~\"$job\"";

pub fn board() -> Board {
    Board::new(INGEST_UID, "Log ingest", "Events that applications hand in, and their way to Kafka.")
        .variable("job", "streamgauge_ingest_circuit_state")
        .row("Is it fine?", now())
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

fn now() -> Vec<Panel> {
    let stat =
        |title: &str, unit: &str, text: &str, expr: String| Panel::new(Look::Stat, title, unit, text).query(expr, "");
    let rate = |metric: &str| format!("sum(rate({metric}{{{J}}}[$__rate_interval]))");
    let rejected = format!("({} or vector(0))", rate("streamgauge_ingest_rejected_events_total"));
    let accepted = rate("streamgauge_ingest_accepted_events_total");
    vec![
        stat("Accepted", "eps", "Events that were accepted, per second.", accepted.clone()),
        stat(
            "Not accepted",
            "percentunit",
            "Share of the events handed in that were not accepted.",
            format!("{rejected} / ({accepted} + {rejected})"),
        )
        .red_from(0.01),
        stat(
            "Breakers open",
            "short",
            "Agents whose circuit breaker is not closed: their events go to the spool.",
            format!("sum(streamgauge_ingest_circuit_state{{{J}}} > bool 0)"),
        )
        .red_from(1.0),
        stat(
            "Oldest in a spool",
            "s",
            "How long the oldest accepted event on disk has waited for the brokers.",
            format!("max(streamgauge_ingest_spool_age_seconds{{{J}}})"),
        )
        .red_from(300.0),
        stat(
            "Acknowledged within",
            "s",
            "99 % of the accepted events were in Kafka within this time.",
            format!(
                "histogram_quantile(0.99, sum by (le) (rate(streamgauge_ingest_delivery_duration_seconds_bucket{{{J}}}[$__rate_interval])))"
            ),
        ),
    ]
}

fn coming() -> Vec<Panel> {
    let slow = "streamgauge_ingest_request_duration_seconds";
    vec![
        lines("Accepted", "eps", "Events that were accepted, per second.")
            .query(rate("topic", "streamgauge_ingest_accepted_events_total"), "{{topic}}"),
        lines(
            "Not accepted",
            "eps",
            "Events that were not accepted, per second: invalid, too large, no room or no topic (`full`), or the brokers refuse them.",
        )
        .query(rate("reason", "streamgauge_ingest_rejected_events_total"), "{{reason}}"),
        lines("Requests", "reqps", "By HTTP status: 429 is too often, 503 no room.")
            .query(rate("endpoint, code", "streamgauge_ingest_requests_total"), "{{endpoint}} {{code}}"),
        lines("Time to the answer", "s", "99 % of the answers take less; ERROR and FATAL wait for the brokers.")
            .query(quantile(0.99, "endpoint", slow), "{{endpoint}} p99"),
    ]
}

fn going() -> Vec<Panel> {
    let took = "streamgauge_ingest_delivery_duration_seconds";
    vec![
        lines("Acknowledged", "eps", "Events that the brokers have acknowledged, per second.")
            .query(rate("topic", "streamgauge_ingest_delivered_events_total"), "{{topic}}"),
        lines("Time to the acknowledgement", "s", "From an event's acceptance on; with the time in the spool.")
            .query(quantile(0.5, "topic", took), "{{topic}} p50")
            .query(quantile(0.99, "topic", took), "{{topic}} p99"),
        lines("Refused or sent again", "eps", "Refused by the brokers for good: lost. Sent again: may be there twice.")
            .quiet()
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
        lines("Circuit breaker", "short", "0: closed, 1: half open, 2: open; then events go to the spool.").quiet()
            .query(format!("max by (instance) (streamgauge_ingest_circuit_state{{{J}}})"), "{{instance}}"),
        lines("Transitions", "cps", "How often the breaker changes.").quiet()
            .query(rate("to", "streamgauge_ingest_circuit_transitions_total"), "{{to}}"),
        lines("In the spool", "short", "Accepted events on disk that the brokers have not acknowledged yet.").quiet()
            .query(format!("sum by (instance) (streamgauge_ingest_spool_events{{{J}}})"), "{{instance}}"),
        lines("Oldest in the spool", "s", "How long the oldest of them has waited.").quiet()
            .query(format!("max by (instance) (streamgauge_ingest_spool_age_seconds{{{J}}})"), "{{instance}}"),
        lines("Spool, of its limit", "percentunit", "At 100 % events wait in memory, and then are refused with 503.").quiet()
            .query(
                format!(
                    "max by (instance) (streamgauge_ingest_spool_bytes{{{J}}} / streamgauge_ingest_spool_limit_bytes{{{J}}})"
                ),
                "{{instance}}",
            )
            .red_from(0.5),
        lines("Trouble with the spool", "cps", "Full, not written, not read, or damaged.").quiet()
            .query(rate("reason", "streamgauge_ingest_spool_errors_total"), "{{reason}}"),
    ]
}
