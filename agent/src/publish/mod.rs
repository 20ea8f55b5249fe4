//! What the group shows once, whichever agent shows it: closed windows and merged totals. One rule says when a window is
//! closed, what may be shown and what is whole; `/metrics` and the push take it from here.

#![forbid(unsafe_code)]

mod due;
mod look;
mod push;
mod rule;
mod totals;
mod windows;

pub use look::ClosedWindow;
pub use push::Outlet;
pub use totals::{MergedTotal, MergedTotals, start_time, task_totals, unmarked};

use crate::aggregate::AggregateId;
use crate::query::{GroupReader, Reader};
use crate::sources::aggregates;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long to let commits gather before a look: those of several workers, and of a replay that closes window after window.
const GATHER: Duration = Duration::from_millis(200);
/// Without a commit, time alone closes windows: looked at this often.
const IDLE: Duration = Duration::from_secs(1);

/// Shows for the group what is this agent's to show.
#[derive(Debug)]
pub struct Publisher {
    pub group: Arc<GroupReader>,
    /// What is known of each aggregate that is this agent's to publish.
    kept: Mutex<HashMap<AggregateId, windows::Kept>>,
    /// Held while merged totals are read.
    merging: Mutex<()>,
}

impl Publisher {
    pub fn new(group: Arc<GroupReader>) -> Publisher {
        Publisher { group, kept: Mutex::default(), merging: Mutex::default() }
    }

    /// An agent that knows of no others.
    pub fn alone(reader: Arc<Reader>) -> Publisher {
        Publisher::new(Arc::new(GroupReader::alone(reader)))
    }

    pub fn reader(&self) -> &Arc<Reader> {
        &self.group.reader
    }

    /// Runs until dropped: publishes the closed windows of every aggregate that is this agent's to publish, and hands them
    /// to `outlet`.
    pub async fn run(&self, outlet: Option<Arc<dyn Outlet>>) {
        loop {
            // Cut short by a commit; what neither brings may wait.
            let _ = tokio::time::timeout(IDLE, self.reader().registry.commit()).await;
            tokio::time::sleep(GATHER).await;
            while self.look(outlet.as_ref()).await {}
        }
    }

    /// One look at every aggregate. True if the outlet has more to take at once.
    pub async fn look(&self, outlet: Option<&Arc<dyn Outlet>>) -> bool {
        let mut more = false;
        for (inputs, plan) in aggregates(&self.reader().sources.now()) {
            if plan.config.windows.is_empty() {
                continue;
            }
            match self.publish(inputs, plan, outlet).await {
                Ok(is_more) => more |= is_more,
                Err(error) => tracing::debug!(aggregate = plan.config.name, "closed windows wait: {error}"),
            }
        }
        more
    }
}
