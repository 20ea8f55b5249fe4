//! Metrics get the names and the units of the list.

use super::names::Name;
use prometheus_client::registry::{Metric, Registry, Unit};

pub(super) fn registered<M: Metric + Clone>(registry: &mut Registry, name: Name, metric: M) -> M {
    register(registry, name, metric.clone());
    metric
}

pub(super) fn register(registry: &mut Registry, name: Name, metric: impl Metric) {
    let (family, help) = (name.family(), name.help());
    // The library appends the unit to the name by itself.
    let unit = match name.unit() {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => return registry.register(family, help, metric),
    };
    let stem = family.strip_suffix(name.unit()).and_then(|stem| stem.strip_suffix('_')).unwrap_or(family);
    registry.register_with_unit(stem, help, unit, metric);
}
