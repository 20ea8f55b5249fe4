//! The subscriber's layer that turns tracing's spans and events into [`Signal`]s.

use super::{Context, Line, Signal, Span, parse_traceparent};
use crate::clock::{BootTime, Clock};
use crossbeam_channel::Sender;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

/// See [`super::Signals::new`].
#[derive(Debug)]
pub struct Layer {
    pub(super) queue: Sender<Signal>,
    pub(super) lost: Arc<AtomicU64>,
    pub(super) clock: Clock,
    pub(super) traces: bool,
    pub(super) logs: bool,
}

/// A span that goes on.
struct Open {
    span: Span,
    began: BootTime,
}

impl Layer {
    fn send(&self, signal: Signal) {
        if self.queue.try_send(signal).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.unix_millis()).unwrap_or(0).saturating_mul(1_000_000)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> layer::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let caller = fields.take("traceparent").and_then(|text| parse_traceparent(&text));
        let above = span.parent().and_then(|parent| Some(parent.extensions().get::<Open>()?.span.context));
        let parent = caller.or(above);
        let start = self.now();
        let open = Span {
            name: attributes.metadata().name(),
            context: Context::below(parent),
            parent: parent.map_or(0, |parent| parent.span),
            is_server: attributes.metadata().fields().field("traceparent").is_some(),
            start,
            end: start,
            fields: fields.others,
        };
        span.extensions_mut().insert(Open { span: open, began: self.clock.boot_time() });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            let mut fields = Fields::default();
            values.record(&mut fields);
            open.span.fields.extend(fields.others);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        if !self.logs {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        // Lines that come by way of the `log` crate carry their origin as fields.
        let target = fields.take("log.target").unwrap_or_else(|| metadata.target().to_owned());
        let message = fields.take("message").unwrap_or_default();
        let within = context.event_span(event).and_then(|span| Some(span.extensions().get::<Open>()?.span.context));
        fields.others.retain(|(name, _)| !name.starts_with("log."));
        let (time, level) = (self.now(), *metadata.level());
        self.send(Signal::Line(Line { time, level, target, message, fields: fields.others, context: within }));
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { mut span, began }) = span.extensions_mut().remove::<Open>() else { return };
        if self.traces && span.context.is_sampled {
            let took = self.clock.boot_time().since(began).as_nanos();
            span.end = span.start.saturating_add(u64::try_from(took).unwrap_or(u64::MAX));
            self.send(Signal::Span(span));
        }
    }
}

/// Fields as text.
#[derive(Default)]
struct Fields {
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.others.iter().position(|(known, _)| *known == name)?;
        Some(self.others.remove(at).1)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.others.push((field.name(), format!("{value:?}")));
    }
}
