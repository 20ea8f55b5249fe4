//! What the group shows once, whichever agent shows it: closed windows and merged totals. One rule says what may be shown,
//! and whoever shows it takes it from here.

#![forbid(unsafe_code)]

mod due;
mod totals;
mod windows;

pub use due::{Due, Held};
pub use totals::{MergedTotal, MergedTotals, merge, start_time, task_totals, whole_group};
pub use windows::{ClosedWindow, ClosedWindows};

use crate::query::{GroupReader, Reader};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Shows for the group what is this agent's to show.
#[derive(Debug)]
pub struct Publisher {
    pub group: Arc<GroupReader>,
    /// Closed windows that other agents had a part in.
    published: Mutex<HashMap<crate::aggregate::AggregateId, windows::Kept>>,
}

impl Publisher {
    pub fn new(group: Arc<GroupReader>) -> Publisher {
        Publisher { group, published: Mutex::default() }
    }

    /// An agent that knows of no others.
    pub fn alone(reader: Arc<Reader>) -> Publisher {
        Publisher::new(Arc::new(GroupReader::alone(reader)))
    }

    pub fn reader(&self) -> &Arc<Reader> {
        &self.group.reader
    }
}
