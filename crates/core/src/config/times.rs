//! Where the event time is.

use super::path::FieldPath;
use crate::value::time::TimeFormat;

/// Where the event time is.
#[derive(Clone, Debug, PartialEq)]
pub enum Timestamp {
    /// The record's own timestamp.
    Kafka,
    Field {
        path: FieldPath,
        format: TimeFormat,
        /// A regular expression: the time is its first group, or all that it matches.
        part: Option<String>,
    },
    /// Seconds, and what is to be added to them.
    Parts { seconds: FieldPath, nanos: FieldPath },
    /// The first of these that is there. One that cannot be read leaves it to a later one of the same field.
    FirstOf(Vec<Timestamp>),
}

impl Timestamp {
    /// The time in a field, as it stands there.
    pub fn field(path: FieldPath, format: TimeFormat) -> Timestamp {
        Timestamp::Field { path, format, part: None }
    }
}
