//! The dashboards' ids: Grafana's addresses for them, to which alerts link.

pub const AGENT_UID: &str = "streamgauge-agent";
pub const CLUSTER_UID: &str = "streamgauge-kafka";
pub const INGEST_UID: &str = "streamgauge-ingest";
pub const LOAD_UID: &str = "streamgauge-load";
pub const SLO_UID: &str = "streamgauge-slo";

/// Of the dashboard of a source's aggregates.
pub fn of_source(source: &str) -> String {
    format!("streamgauge-source-{source}")
}
