//! Pure: the offset record that makes a task's changelog mean "no state yet, read on from here".
//!
//! It lists no aggregate, and entries of aggregates that are not listed are dropped by whoever loads them. So it empties
//! every older state file that meets it too, and, being the newest value of its key, is never compacted away.

use crate::clock::UnixMillis;
use crate::commit::CHANGELOG_FORMAT_VERSION;
use streamgauge_proto::storage::v1::{OffsetRecord, Origin};

/// A record after which a task's state is empty and its input goes on at `next_offset`.
pub fn reset_record(
    before: Option<&OffsetRecord>,
    next_offset: i64,
    topic_id: &str,
    origin: Origin,
    now: UnixMillis,
) -> OffsetRecord {
    OffsetRecord {
        format_version: CHANGELOG_FORMAT_VERSION,
        next_offset,
        leader_epoch: None,
        stream_time: None,
        owner_epoch: before.map_or(0, |record| record.owner_epoch) + 1,
        written_at_ms: now.0,
        aggregates: Vec::new(),
        last_input_at_ms: 0,
        topic_id: topic_id.to_owned(),
        transactional_id: String::new(),
        origin: Some(origin),
    }
}
