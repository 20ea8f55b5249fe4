//! The agent's own spans and log lines as requests, and their way to the receiver: at best effort. What a receiver does
//! not take within the queue's room is gone, and counted; windows have their backlog, a log line has stderr as well.

use super::client::{Answer, Client, Kind};
use super::points::attribute;
use super::{Outage, Push};
use crate::telemetry::{Line, Signal, Signals, Span};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, span::SpanKind};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// How often what has come together is sent.
const ROUND: Duration = Duration::from_secs(1);
/// Spans and lines of one round.
const BATCH: usize = 2_048;

/// Sends what comes, for ever.
pub async fn push_signals(push: Arc<Push>, signals: Signals) {
    let mut outage = Outage::default();
    loop {
        tokio::time::sleep(ROUND).await;
        push.metrics.otlp_lost_records("full", signals.lost());
        let batch = signals.take(BATCH);
        for (kind, records, request) in requests(&push.resources.agent, batch) {
            let lost = deliver(&push.client, kind, &request, &mut outage).await;
            if lost {
                push.metrics.otlp_lost_records("refused", records);
            }
        }
    }
}

/// Sends until the receiver has it, or will never take it; whether it is lost.
async fn deliver(client: &Client, kind: Kind, request: &[u8], outage: &mut Outage) -> bool {
    loop {
        let answer = client.send_as(kind, request).await;
        let wait = outage.after(&answer);
        match answer {
            Answer::Taken { .. } => return false,
            // Not to the log: that line would be refused as well.
            Answer::Never { .. } => return true,
            Answer::Later { .. } => tokio::time::sleep(wait).await,
        }
    }
}

/// At most one request of each kind, with how many records it has.
fn requests(resource: &Resource, batch: Vec<Signal>) -> Vec<(Kind, u64, Vec<u8>)> {
    let (mut spans, mut lines) = (Vec::new(), Vec::new());
    for signal in batch {
        match signal {
            Signal::Span(span) => spans.push(span_message(span)),
            Signal::Line(line) => lines.push(line_message(line)),
        }
    }
    let mut requests = Vec::new();
    let (resource, scope) = (Some(resource.clone()), Some(scope()));
    if !spans.is_empty() {
        let count = spans.len() as u64;
        let scope_spans = vec![ScopeSpans { scope: scope.clone(), spans, ..Default::default() }];
        let resource_spans = vec![ResourceSpans { resource: resource.clone(), scope_spans, ..Default::default() }];
        requests.push((Kind::Traces, count, ExportTraceServiceRequest { resource_spans }.encode_to_vec()));
    }
    if !lines.is_empty() {
        let count = lines.len() as u64;
        let scope_logs = vec![ScopeLogs { scope, log_records: lines, ..Default::default() }];
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..Default::default() }];
        requests.push((Kind::Logs, count, ExportLogsServiceRequest { resource_logs }.encode_to_vec()));
    }
    requests
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    }
}

fn attributes(fields: &[(&'static str, String)]) -> Vec<KeyValue> {
    fields.iter().map(|(name, value)| attribute(name, value)).collect()
}

fn span_message(span: Span) -> otlp::Span {
    let parent = if span.parent == 0 { Vec::new() } else { span.parent.to_be_bytes().to_vec() };
    otlp::Span {
        trace_id: span.context.trace.to_be_bytes().to_vec(),
        span_id: span.context.span.to_be_bytes().to_vec(),
        parent_span_id: parent,
        name: span.name.to_owned(),
        kind: if span.is_server { SpanKind::Server } else { SpanKind::Internal } as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(&span.fields),
        flags: u32::from(span.context.is_sampled),
        ..Default::default()
    }
}

fn line_message(line: Line) -> LogRecord {
    let context = line.context;
    LogRecord {
        time_unix_nano: line.time,
        observed_time_unix_nano: line.time,
        severity_number: severity(line.level),
        severity_text: line.level.as_str().to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(line.message)) }),
        attributes: attributes(&line.fields).into_iter().chain([attribute("target", &line.target)]).collect(),
        trace_id: context.map_or_else(Vec::new, |context| context.trace.to_be_bytes().to_vec()),
        span_id: context.map_or_else(Vec::new, |context| context.span.to_be_bytes().to_vec()),
        flags: context.map_or(0, |context| u32::from(context.is_sampled)),
        ..Default::default()
    }
}

/// The lowest number of each of OTLP's ranges.
fn severity(level: tracing::Level) -> i32 {
    match level {
        tracing::Level::TRACE => 1,
        tracing::Level::DEBUG => 5,
        tracing::Level::INFO => 9,
        tracing::Level::WARN => 13,
        tracing::Level::ERROR => 17,
    }
}
