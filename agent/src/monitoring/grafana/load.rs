//! The dashboard of load tests and of what the agent produces.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::uid::LOAD_UID;

const J: &str = "job=~\"$job\"";

pub fn board() -> Board {
    Board::new(LOAD_UID, "Load test and producer", "What load tests produce, and how fast Kafka acknowledges it.")
        .variable("job", "streamgauge_build_info")
        .row("Producing", producing())
        .row("Where it arrives", arriving())
}

fn producing() -> Vec<Panel> {
    let quantile = |q: f64| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate(kafka_producer_send_time_seconds_bucket{{{J}}}[$__rate_interval])))"
        )
    };
    vec![
        Panel::new(
            Look::Lines,
            "Acknowledged",
            "eps",
            "Events that Kafka has acknowledged, or did not take, per second.",
        )
        .query(
            format!("sum by (instance) (rate(kafka_producer_success_total{{{J}}}[$__rate_interval]))"),
            "{{instance}}",
        )
        .query(
            format!("sum by (instance) (rate(kafka_producer_failure_total{{{J}}}[$__rate_interval]))"),
            "{{instance}} not acknowledged",
        ),
        Panel::new(
            Look::Lines,
            "Time to the acknowledgement",
            "s",
            "From when an event was due until Kafka acknowledged it: half, 95 % and 99 % are below.",
        )
        .query(quantile(0.5), "p50")
        .query(quantile(0.95), "p95")
        .query(quantile(0.99), "p99"),
    ]
}

fn arriving() -> Vec<Panel> {
    vec![
        Panel::new(Look::Lines, "Counted", "eps", "Events that the agents count, per second.")
            .query(format!("sum by (source) (rate(streamgauge_events_total{{{J}}}[$__rate_interval]))"), "{{source}}"),
        Panel::new(Look::Lines, "Behind", "s", "Event time between what is committed and now.")
            .query(format!("max by (topic) (streamgauge_lag_seconds{{{J}}})"), "{{topic}}"),
    ]
}
