//! Who sends: the group for its windows and totals, this agent for what it tells of itself.

use super::points::attribute;
use crate::config::Otlp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;

const INSTANCE: &str = "service.instance.id";

/// The two resources of a push.
#[derive(Debug)]
pub struct Resources {
    /// Its instance is the group: a partition that moves to another agent goes on as the same series.
    pub group: Resource,
    /// Its instance is the agent, unless the config names it.
    pub agent: Resource,
}

impl Resources {
    pub fn new(config: &Otlp, group_id: &str, instance: &str) -> Resources {
        let named = config.resource.get(INSTANCE).map_or(instance, String::as_str);
        Resources { group: resource(config, group_id), agent: resource(config, named) }
    }
}

fn resource(config: &Otlp, instance: &str) -> Resource {
    let others = config.resource.iter().filter(|(name, _)| *name != INSTANCE);
    let attributes = others.map(|(name, value)| attribute(name, value)).chain([attribute(INSTANCE, instance)]);
    Resource { attributes: attributes.collect(), ..Default::default() }
}

/// A request with these metrics; those without a point are left out.
pub fn request(resource: &Resource, mut metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    metrics.retain(|metric| points_of(metric) > 0);
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    let resource = Some(resource.clone());
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }],
    }
}

/// How many points a metric has.
pub fn points_of(metric: &Metric) -> usize {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 0,
    }
}
