//! Why an event could not be decoded: a reason for metrics and headers, and a sentence for people.

use std::sync::Arc;

use crate::value::time::BadTime;

/// Why an event is no event. It goes to the dead-letter topic with [`DecodeError::reason`] and this text.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the record has an empty value")]
    Empty,
    #[error("the event has {bytes} bytes, more than the {limit} that `limits.event_size` allows")]
    TooLarge { bytes: usize, limit: usize },
    #[error(
        "the event is compressed with {packing}, and comes to more than the {limit} bytes that the source's `unpacked_size` allows"
    )]
    UnpackedTooLarge { packing: &'static str, limit: usize },
    #[error("the event begins as one that is compressed with {packing}, but cannot be unpacked: {why}")]
    BadCompression { packing: &'static str, why: Box<str> },
    #[error("the event is not JSON: it is not UTF-8 from byte {valid_up_to} on")]
    NotUtf8 { valid_up_to: usize },
    #[error("the event is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the event is {found}, not a JSON object")]
    NotAnObject { found: &'static str },
    #[error("the text is not written as `{format}`: `{text}`")]
    NotInFormat { format: &'static str, text: Box<str> },
    #[error("the line is a comment")]
    Comment,
    #[error(
        "the event has {bytes} bytes and begins with {first}, not with 0 and the four bytes of a schema's id: was it written with a schema registry's serializer?"
    )]
    NoSchemaId { first: u8, bytes: usize },
    #[error("the schema registry knows no schema {id}: {why}")]
    UnknownSchema { id: u32, why: Arc<str> },
    #[error("schema {id} cannot be used: {why}")]
    BadSchema { id: u32, why: Box<str> },
    #[error("schema {id} is not known yet: {why}")]
    SchemaNotYet { id: u32, why: Arc<str> },
    #[error("the event is not written as schema {id} has it: `{format}` ends to make sense at byte {at} of {bytes}")]
    NotOfSchema { format: &'static str, id: u32, at: usize, bytes: usize },
    #[error("the source's `remap` could not make an event of it: {why}")]
    RemapFailed { why: Box<str> },
    #[error("the source's `remap` aborted")]
    Aborted,
    #[error("the event has no time: {place} is missing")]
    MissingTimestamp { place: Place },
    #[error("the event has no usable time: {place} {why}")]
    BadTimestamp { place: Place, why: BadTime },
}

impl DecodeError {
    /// The error's stable name: the value of the metric's `reason` label and of the dead letter's header.
    pub fn reason(&self) -> &'static str {
        match self {
            DecodeError::Empty => "empty",
            DecodeError::TooLarge { .. } => "too_large",
            DecodeError::UnpackedTooLarge { .. } => "unpacked_too_large",
            DecodeError::BadCompression { .. } => "bad_compression",
            DecodeError::NotUtf8 { .. } | DecodeError::NotJson(_) => "not_json",
            DecodeError::NotAnObject { .. } => "not_an_object",
            DecodeError::NotInFormat { .. } => "not_in_format",
            DecodeError::Comment => "comment",
            DecodeError::NoSchemaId { .. } => "no_schema_id",
            DecodeError::UnknownSchema { .. } => "unknown_schema",
            DecodeError::BadSchema { .. } => "bad_schema",
            DecodeError::SchemaNotYet { .. } => "schema_not_yet",
            DecodeError::NotOfSchema { .. } => "not_of_schema",
            DecodeError::RemapFailed { .. } => "remap_failed",
            DecodeError::Aborted => "abort",
            DecodeError::MissingTimestamp { .. } => "missing_timestamp",
            DecodeError::BadTimestamp { .. } => "bad_timestamp",
        }
    }

    /// Whether this is no event that anybody wants counted: it passes by, and is no dead letter.
    pub fn passes_by(&self) -> bool {
        matches!(self, DecodeError::Comment | DecodeError::Aborted)
    }

    /// Every value that [`DecodeError::reason`] can have of an event that is none: not of what passes by, and not of one
    /// which waits for its schema.
    pub const REASONS: [&str; 14] = [
        "empty",
        "too_large",
        "unpacked_too_large",
        "bad_compression",
        "not_json",
        "not_an_object",
        "not_in_format",
        "no_schema_id",
        "unknown_schema",
        "bad_schema",
        "not_of_schema",
        "remap_failed",
        "missing_timestamp",
        "bad_timestamp",
    ];
}

/// Where the event time was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Field(Box<str>),
    /// One of several fields would have done.
    AnyOf(Box<[Box<str>]>),
    Record,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Field(path) => write!(f, "field `{path}`"),
            Place::AnyOf(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
                write!(f, "each of the fields {}", paths.join(", "))
            }
            Place::Record => f.write_str("the record's Kafka timestamp"),
        }
    }
}
