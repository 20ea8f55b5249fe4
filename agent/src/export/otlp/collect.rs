//! Takes closed windows up into the backlog, each with the cursor it moves.

use super::points::{self, WindowRow};
use super::resource::{Resources, request};
use super::spool::{Kind, Spool};
use crate::aggregate::{AggregatePlan, WindowGrid};
use crate::clock::Clock;
use crate::publish::{ClosedWindow, Outlet};
use crate::state::WindowKind;
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use prost::Message;
use std::fmt;
use std::io;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{PushBatch, PushCursor};

/// Rows of one request: with the measures of most configs that stays below what receivers accept (4 MiB).
const ROWS: usize = 500;

/// The way into the backlog.
pub struct Collector {
    pub clock: Clock,
    pub resources: Arc<Resources>,
    pub spool: Arc<Mutex<Spool>>,
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Outlet for Collector {
    fn taken(&self, kind: WindowKind) -> Option<i64> {
        self.spool.lock().cursor(of(kind))
    }

    fn settled(&self, kind: WindowKind) -> Option<i64> {
        self.spool.lock().settled(of(kind))
    }

    /// In as many batches as it takes; the last one moves the cursor.
    fn take(&self, plan: &AggregatePlan, closed: &ClosedWindow, before: Option<i64>) -> io::Result<()> {
        let ClosedWindow { window, span, rows, is_whole } = closed;
        let grid = WindowGrid::from(*window);
        let rows: Vec<WindowRow<'_>> =
            rows.iter().map(|(key, states)| WindowRow { span: *span, key, states }).collect();
        let mut chunks = rows.chunks(ROWS).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let mut metrics = points::windows(plan, window, chunk);
            if last {
                metrics.extend(points::window_ends(plan, window, std::iter::once(*span), *is_whole));
            }
            let cursor = PushCursor {
                aggregate: plan.id.0,
                size_ms: grid.size_ms,
                hop_ms: grid.hop_ms,
                through: span.end,
                before,
            };
            let batch = PushBatch {
                created_at_ms: self.clock.unix_millis(),
                windows: u32::from(last),
                cursors: if last { vec![cursor] } else { Vec::new() },
                request: request(&self.resources.group, metrics).encode_to_vec(),
            };
            let mut spool = self.spool.lock();
            let dropped = spool.store(&batch)?;
            self.metrics.otlp_dropped("size", dropped.size);
            self.metrics.otlp_dropped("age", dropped.age);
            let (windows, bytes) = spool.backlog();
            self.metrics.otlp_backlog(windows, bytes);
            drop(spool);
            if last {
                self.metrics.otlp_incomplete(u64::from(!is_whole));
                return Ok(());
            }
        }
    }

    fn lost(&self, windows: u64) {
        self.metrics.otlp_dropped("expired", windows);
    }
}

fn of(kind: WindowKind) -> Kind {
    (kind.aggregate.0, kind.size_ms, kind.hop_ms)
}
