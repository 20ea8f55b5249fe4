//! One answer of a feed, shared by all who watch it.

use crate::api::json::json;
use prost::Message;
use std::sync::OnceLock;
use streamgauge_proto::types::Timestamp;
use streamgauge_proto::v1 as pb;

/// An answer.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the feed's answers from 1.
    pub number: u64,
    pub answer: pb::QueryResponse,
    /// Hash of the rows, the same in every agent.
    pub digest: u64,
    /// Ends of the first and of the newest closed window in it.
    pub closed: Option<(i64, i64)>,
    /// Of an answer whose windows wait: where whoever begins with it begins, Unix milliseconds.
    pub begins: Option<i64>,
    /// Written when the first one wants it.
    json: OnceLock<Result<String, String>>,
}

impl Snapshot {
    pub fn new(number: u64, answer: pb::QueryResponse) -> Snapshot {
        let ends = || answer.rows.iter().filter(|row| row.closed).filter_map(|row| row.window_end.map(millis));
        let closed = ends().min().zip(ends().max());
        Snapshot { number, digest: digest(&answer), closed, begins: None, answer, json: OnceLock::new() }
    }

    /// An answer whose closed windows wait for a partition that is away; the newest of them is the first to come.
    pub fn waiting(number: u64, mut answer: pb::QueryResponse) -> Snapshot {
        let newest = answer.rows.iter().filter(|row| row.closed).filter_map(|row| row.window_end.map(millis)).max();
        answer.rows.clear();
        Snapshot { begins: newest.map(|newest| newest - 1), ..Snapshot::new(number, answer) }
    }

    /// The answer as JSON.
    ///
    /// # Errors
    /// If the binary has no descriptors.
    pub fn json(&self) -> Result<&str, String> {
        self.json.get_or_init(|| json("QueryResponse", &self.answer)).as_deref().map_err(Clone::clone)
    }
}

pub fn millis(time: Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// Of what an answer says, not of when it was made: offsets and times of commits are left out.
fn digest(answer: &pb::QueryResponse) -> u64 {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    for row in &answer.rows {
        // A map has no order of its own.
        let mut labels: Vec<_> = row.labels.iter().collect();
        labels.sort();
        labels.iter().for_each(|(label, value)| {
            put(label.as_bytes());
            put(value.as_bytes());
        });
        let rest = pb::Row { labels: Default::default(), values: row.values.clone(), ..*row };
        put(&rest.encode_to_vec());
    }
    for missing in &answer.missing {
        put(missing.topic.as_bytes());
        put(&missing.partition.to_le_bytes());
    }
    xxhash_rust::xxh3::xxh3_64(&bytes)
}
