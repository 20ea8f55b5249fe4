//! How the front door is, for `GetStatus`.

use crate::ingest::{Acceptor, TopicStatus};
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;

pub fn status_of(door: &Acceptor) -> pb::IngestStatus {
    let status = door.status();
    let duration = |time: Duration| types::Duration::try_from(time).ok();
    let topic = |topic: TopicStatus| pb::IngestTopicStatus {
        topic: topic.topic,
        accepted: topic.accepted,
        completed: topic.completed,
        failed: topic.failed,
        average: topic.times.and_then(|(average, _)| duration(average)),
        p99: topic.times.and_then(|(_, p99)| duration(p99)),
    };
    pb::IngestStatus {
        circuit: status.circuit.to_owned(),
        queued: status.queued,
        processing: status.processing,
        buffer_bytes: status.buffer_bytes,
        spooled: status.spooled,
        spool_bytes: status.spool_bytes,
        spool_age: duration(status.spool_age),
        topics: status.topics.into_iter().map(topic).collect(),
    }
}
