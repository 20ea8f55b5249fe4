//! What a worker remembers of its backpressure.

use crate::clock::BootTime;
use crate::kafka::TopicPartition;
use std::collections::BTreeSet;

/// The partitions that are not read until memory is free again, and what was seen of it when.
#[derive(Default)]
pub(super) struct Pressure {
    pub paused: BTreeSet<TopicPartition>,
    /// Cells of the epoch under way.
    pub cells_under_way: usize,
    pub looked: Option<BootTime>,
    pub trimmed: Option<BootTime>,
    pub asked: Option<BootTime>,
    pub since: Option<BootTime>,
    pub warned: bool,
}
