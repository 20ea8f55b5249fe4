//! How far a replica has followed the changelog of another agent's task. The thread that keeps replicas writes it.

use std::sync::atomic::{AtomicI64, Ordering};

#[derive(Debug, Default)]
pub struct Following {
    position: AtomicI64,
}

impl Following {
    /// Everything before this changelog offset is in the view.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// It never goes back.
    pub fn reach(&self, position: i64) {
        self.position.fetch_max(position, Ordering::Release);
    }
}
