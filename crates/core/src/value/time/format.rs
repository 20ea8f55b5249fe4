//! The ways in which times are written.

/// How a time is written. A zone is that of times which do not say their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    UnixSeconds,
    UnixMillis,
    UnixMicros,
    UnixNanos,
    /// The unit that the number's magnitude says.
    Unix,
    Rfc3339,
    Iso8601 {
        zone: String,
    },
    /// `17/May/2015:08:05:32 +0000`, with decimals or not, and with the offset or not.
    Clf {
        zone: String,
    },
    /// A pattern of strftime.
    Pattern {
        pattern: String,
        zone: String,
    },
}

impl TimeFormat {
    /// The zone of times that do not say theirs, unless they name another.
    pub const UTC: &str = "UTC";

    /// As the config spells it; it is part of what an aggregate's id is made of.
    pub fn name(&self) -> &str {
        match self {
            TimeFormat::UnixSeconds => "unix_s",
            TimeFormat::UnixMillis => "unix_ms",
            TimeFormat::UnixMicros => "unix_us",
            TimeFormat::UnixNanos => "unix_ns",
            TimeFormat::Unix => "unix",
            TimeFormat::Rfc3339 => "rfc3339",
            TimeFormat::Iso8601 { .. } => "iso8601",
            TimeFormat::Clf { .. } => "clf",
            TimeFormat::Pattern { pattern, .. } => pattern,
        }
    }

    /// The zone, if it is not the usual one.
    pub fn zone(&self) -> Option<&str> {
        match self {
            TimeFormat::Iso8601 { zone } | TimeFormat::Clf { zone } | TimeFormat::Pattern { zone, .. } => {
                Some(zone.as_str()).filter(|zone| *zone != TimeFormat::UTC)
            }
            _ => None,
        }
    }
}
