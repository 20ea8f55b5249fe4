//! Where a watcher is, so that it can go on at any agent of the group: nothing in it is of the agent that gave it.

use prost::Message;
use streamgauge_proto::v1 as pb;
use tonic::Status;

/// Where a watcher is.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Token {
    /// Hash of the query.
    #[prost(fixed64, tag = "1")]
    query: u64,
    /// End of the newest closed window that was sent.
    #[prost(sint64, optional, tag = "2")]
    pub through: Option<i64>,
    /// Hash of the last answer's rows.
    #[prost(fixed64, optional, tag = "3")]
    pub digest: Option<u64>,
}

impl Token {
    /// Of a watcher that has been sent nothing.
    pub fn new(query: &pb::QueryRequest) -> Token {
        Token { query: hash(query), through: None, digest: None }
    }

    /// # Errors
    /// If it is another watch's.
    pub fn read(text: &str, query: &pb::QueryRequest) -> Result<Token, Status> {
        if text.is_empty() {
            return Ok(Token::new(query));
        }
        let bytes: Option<Vec<u8>> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
        let token = bytes.and_then(|bytes| Token::decode(bytes.as_slice()).ok());
        token
            .filter(|token| token.query == hash(query))
            .ok_or_else(|| Status::invalid_argument("resume_token does not belong to this watch; begin without one"))
    }

    pub fn text(&self) -> String {
        self.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The message has no maps: the same query is the same bytes, in every agent.
fn hash(query: &pb::QueryRequest) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&query.encode_to_vec())
}
