//! An event as it stands in the spool.

use super::inbox::Content;
use prost::Message;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{IngestHeader, IngestRecord};

/// Names of the headers that an event may have.
pub const CORRELATION_ID: &str = "x-correlation-id";
pub const TRACEPARENT: &str = "traceparent";

pub fn encode(content: &Content) -> Vec<u8> {
    let header = |(key, value): &(&str, String)| IngestHeader { key: (*key).to_owned(), value: value.clone() };
    let record = IngestRecord {
        topic: content.topic.to_string(),
        partition: content.partition,
        key: content.key.clone(),
        value: content.value.clone(),
        headers: content.headers.iter().map(header).collect(),
    };
    record.encode_to_vec()
}

/// What an event takes in the spool, and a little more.
pub fn bound(content: &Content) -> usize {
    let headers: usize = content.headers.iter().map(|(key, value)| key.len() + value.len() + 32).sum();
    content.topic.len() + content.key.len() + content.value.len() + headers + 64
}

/// `None` if these bytes are no event.
pub fn decode(bytes: &[u8]) -> Option<Content> {
    let IngestRecord { topic, partition, key, value, headers } = IngestRecord::decode(bytes).ok()?;
    let known = |header: IngestHeader| {
        let name = [CORRELATION_ID, TRACEPARENT].into_iter().find(|name| *name == header.key)?;
        Some((name, header.value))
    };
    Some(Content {
        topic: Arc::from(topic),
        partition,
        key,
        value,
        headers: headers.into_iter().filter_map(known).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for partition in [None, Some(0), Some(7)] {
            let headers = [(CORRELATION_ID, "a-1".to_owned()), (TRACEPARENT, String::new())];
            let content = Content {
                topic: "logs".into(),
                partition,
                key: b"source".to_vec(),
                value: b"{}".to_vec(),
                headers: headers.into(),
            };
            assert_eq!(decode(&encode(&content)), Some(content));
        }
        assert_eq!(decode(b"\xff\xff\xff"), None);
    }
}
