//! The agent's own spans and log lines as plain values, for whoever sends them on. They go through a queue with a limit:
//! nobody who logs ever waits, and what finds the queue full is counted and gone.

mod context;
mod layer;

#[cfg(test)]
mod tests;

pub use context::{Context, parse_traceparent};
pub use layer::Layer;

use crossbeam_channel::{Receiver, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Spans and lines that wait at most.
const QUEUE: usize = 8_192;

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub name: &'static str,
    pub context: Context,
    /// The span it is part of, here or at the caller's; 0: none.
    pub parent: u64,
    /// Whether it answers somebody else's call.
    pub is_server: bool,
    /// Unix nanoseconds.
    pub start: u64,
    pub end: u64,
    pub fields: Vec<(&'static str, String)>,
}

/// A log line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Unix nanoseconds.
    pub time: u64,
    pub level: tracing::Level,
    pub target: String,
    pub message: String,
    pub fields: Vec<(&'static str, String)>,
    /// The span in which it was written.
    pub context: Option<Context>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    Span(Span),
    Line(Line),
}

/// The taking end of the queue. Its clones share the queue.
#[derive(Clone, Debug)]
pub struct Signals {
    queue: Receiver<Signal>,
    lost: Arc<AtomicU64>,
}

impl Signals {
    /// A layer for the subscriber, and what comes of it.
    pub fn new(clock: crate::clock::Clock, traces: bool, logs: bool) -> (Layer, Signals) {
        let (sender, queue) = bounded(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        (Layer { queue: sender, lost: lost.clone(), clock, traces, logs }, Signals { queue, lost })
    }

    /// Up to `most` of what waits.
    pub fn take(&self, most: usize) -> Vec<Signal> {
        self.queue.try_iter().take(most).collect()
    }

    /// How many were lost since the last call, because the queue was full.
    pub fn lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}
