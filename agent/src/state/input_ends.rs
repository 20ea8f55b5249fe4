//! How far a partition's input goes, as its worker has heard.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// Ends of an input partition, in offsets; below 0 while unknown.
#[derive(Debug)]
pub struct InputEnds {
    high_watermark: AtomicI64,
    last_stable_offset: AtomicI64,
    /// No record stands from the first of these offsets up to the second.
    nothing_between: Mutex<(i64, i64)>,
}

impl Default for InputEnds {
    fn default() -> Self {
        let unknown = || AtomicI64::new(-1);
        InputEnds { high_watermark: unknown(), last_stable_offset: unknown(), nothing_between: Mutex::new((-1, -1)) }
    }
}

impl InputEnds {
    pub fn set(&self, high_watermark: i64, last_stable_offset: i64) {
        self.high_watermark.store(high_watermark, Ordering::Relaxed);
        self.last_stable_offset.store(last_stable_offset, Ordering::Relaxed);
    }

    /// Learns of a later end without fetching.
    pub fn raise(&self, end: i64) {
        self.high_watermark.fetch_max(end, Ordering::Relaxed);
        self.last_stable_offset.fetch_max(end, Ordering::Relaxed);
    }

    /// Notes that these offsets hold transaction markers and aborted records only: no reader will ever pass them.
    pub fn set_nothing_between(&self, from: i64, to: i64) {
        *self.nothing_between.lock() = (from, to);
    }

    /// Records from `next` to the end; `None` while unknown.
    pub fn behind(&self, next: i64) -> Option<u64> {
        self.records_until(self.high_watermark.load(Ordering::Relaxed), next)
    }

    /// The same to the last stable offset.
    pub fn stably_behind(&self, next: i64) -> Option<u64> {
        self.records_until(self.last_stable_offset.load(Ordering::Relaxed), next)
    }

    fn records_until(&self, end: i64, next: i64) -> Option<u64> {
        let (from, to) = *self.nothing_between.lock();
        let next = if next == from { next.max(to) } else { next };
        (end >= 0).then(|| (end - next).max(0) as u64)
    }
}
