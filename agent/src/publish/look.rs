//! What one look at an aggregate finds, and what comes of it.

use super::rule::{Standing, closing};
use crate::aggregate::{AggregatePlan, KeyBytes, WindowGrid, WindowSpan};
use crate::config::Window;
use crate::query::{Everyone, States};
use crate::state::Task;
use std::sync::Arc;

/// All measures of each key, in the keys' order.
pub type KeyRows = Vec<(KeyBytes, States)>;

/// One kind of window with its newest closed one.
#[derive(Clone, Debug)]
pub struct ClosedWindow {
    pub window: Window,
    pub span: WindowSpan,
    pub rows: Arc<KeyRows>,
    /// Every partition's part is in it.
    pub is_whole: bool,
}

/// How an aggregate's partitions stand at one look.
pub struct Look<'a> {
    pub plan: &'a Arc<AggregatePlan>,
    pub publisher: Arc<Task>,
    pub everyone: Everyone,
    pub standings: Vec<Standing>,
}

impl Look<'_> {
    /// End of the newest closed window of a kind; `None` if there is none.
    pub fn newest(&self, grid: WindowGrid) -> Option<i64> {
        closing(&self.standings).newest_closed(grid, self.plan.grace_ms)
    }
}
