//! The metrics that the workers, committers and servers count in, as their library encodes them. What follows from committed
//! state (lag, keys, stream time) is not counted here but read from the registry when the page is written.

use super::names::{Metrics, Name};
use super::process::ProcessStats;
use prometheus_client::encoding::prometheus_protobuf::encode_to_vec;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them as Prometheus' `MetricFamily` messages, each with its length before it.
    pub fn encode(&self, process: Option<&ProcessStats>) -> Vec<u8> {
        let process = process.map(process_registry);
        let registries = std::iter::once(&self.registry).chain(&process);
        // No metric of ours fails to encode, and a vector takes everything.
        registries.flat_map(|registry| encode_to_vec(registry).unwrap_or_default()).collect()
    }

    /// All of them in OpenMetrics text, for tests to look for a line.
    #[cfg(test)]
    pub fn text(&self) -> String {
        let mut page = String::new();
        prometheus_client::encoding::text::encode_registry(&mut page, &self.registry).unwrap();
        page
    }
}

fn process_registry(process: &ProcessStats) -> Registry {
    let mut registry = Registry::default();
    Name::ProcessMemory.register(&mut registry, ConstGauge::new(process.resident_bytes as i64));
    Name::ProcessCpu.register(&mut registry, ConstCounter::new(process.cpu_seconds));
    Name::ProcessStart.register(&mut registry, ConstGauge::new(process.start_seconds));
    Name::ProcessFiles.register(&mut registry, ConstGauge::new(process.open_files as i64));
    registry
}
