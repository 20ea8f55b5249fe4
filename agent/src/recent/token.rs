//! Where the next page is, at any agent of the group.

use super::condition::Condition;
use super::error::RecentError;
use crate::kafka::TopicPartition;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

/// What was asked for, and where the next page ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Hash of the question.
    pub query: u64,
    /// `None`: at the partitions' ends.
    pub places: Option<Vec<(TopicPartition, i64)>>,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(fixed64, tag = "1")]
    query: u64,
    #[prost(message, repeated, tag = "2")]
    topics: Vec<Topic>,
}

#[derive(Clone, PartialEq, Message)]
struct Topic {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, repeated, tag = "2")]
    partitions: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    ends: Vec<i64>,
}

impl Token {
    /// # Errors
    /// If it is another question's.
    pub fn read(text: &str, source: &str, conditions: &[Condition]) -> Result<Token, RecentError> {
        let query = hash(source, conditions);
        if text.is_empty() {
            return Ok(Token { query, places: None });
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let written = bytes.and_then(|bytes| Written::decode(bytes.as_slice()).ok());
        let Some(written) = written.filter(|written| written.query == query) else {
            return Err(RecentError::Wrong("page_token does not belong to this question; begin without one".into()));
        };
        let places = written.topics.into_iter().flat_map(|Topic { name, partitions, ends }| {
            let name: std::sync::Arc<str> = name.into();
            let place = move |(partition, end)| (TopicPartition { topic: name.clone(), partition }, end);
            partitions.into_iter().zip(ends).map(place)
        });
        Ok(Token { query, places: Some(places.collect()) })
    }

    /// Empty if nothing is left.
    pub fn text(&self) -> String {
        let mut topics: Vec<Topic> = Vec::new();
        for (place, end) in self.places.iter().flatten() {
            let at = topics.iter().position(|topic| *topic.name == *place.topic).unwrap_or_else(|| {
                topics.push(Topic { name: place.topic.to_string(), ..Topic::default() });
                topics.len() - 1
            });
            topics[at].partitions.push(place.partition);
            topics[at].ends.push(*end);
        }
        match topics.is_empty() {
            true => String::new(),
            false => URL_SAFE_NO_PAD.encode(Written { query: self.query, topics }.encode_to_vec()),
        }
    }
}

fn hash(source: &str, conditions: &[Condition]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{source} {conditions:?}").as_bytes())
}
