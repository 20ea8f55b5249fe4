//! What a test is to do, and whether it may.

use super::payload::LEAST_BYTES;
use crate::config::{LoadTests as Limits, format_duration, format_size};
use crate::topics::{Kind, TopicError};
use std::time::Duration;

/// What acknowledges an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Acks {
    /// All replicas that are in sync.
    All,
    /// The partition's leader.
    Leader,
    /// Nobody: an event counts when it is sent.
    None,
}

impl Acks {
    pub fn value(self) -> &'static str {
        match self {
            Acks::All => "all",
            Acks::Leader => "1",
            Acks::None => "0",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Compression; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    pub fn value(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// A load test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub topic: String,
    /// Whichever of the two ends first; at least one is there.
    pub events: Option<u64>,
    pub duration: Option<Duration>,
    /// Events per second; `None`: as fast as it can.
    pub rate: Option<u64>,
    pub event_bytes: usize,
    /// Distinct keys; 0: none.
    pub keys: u32,
    pub acks: Acks,
    pub compression: Compression,
    pub linger: Duration,
    pub batch_bytes: u32,
    pub verify: bool,
    /// Also into a topic that the agent reads.
    pub allow_source_topic: bool,
}

pub const DEFAULT_EVENT_BYTES: usize = 200;
pub const DEFAULT_LINGER: Duration = Duration::from_millis(5);
pub const DEFAULT_BATCH_BYTES: u32 = 131_072;
const LONGEST_LINGER: Duration = Duration::from_secs(60);
const LARGEST_BATCH: u32 = 16 << 20;

impl Spec {
    /// Whether the test makes sense and is within the limits.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to do.
    pub fn check(&self, limits: &Limits) -> Result<(), TopicError> {
        let invalid = |message: String| Err(TopicError::new(Kind::Invalid, message));
        let beyond = |what: &str, asked: String, most: String, key: &str| {
            invalid(format!("{what} {asked}: this agent allows {most} (cluster.load_tests.{key}); ask for less"))
        };
        match (self.events, self.duration) {
            (None, None) => return invalid("a test needs an end: give events, a duration, or both".into()),
            (Some(0), _) => return invalid("0 events: ask for at least one".into()),
            (_, Some(Duration::ZERO)) => {
                return invalid("a duration of nothing: ask for at least a millisecond".into());
            }
            _ => {}
        }
        if let Some(events) = self.planned().filter(|events| *events > limits.max_events) {
            return beyond("events:", events.to_string(), limits.max_events.to_string(), "max_events");
        }
        if let Some(time) = self.planned_time().filter(|time| *time > limits.max_duration) {
            return beyond("duration:", format_duration(time), format_duration(limits.max_duration), "max_duration");
        }
        if let Some(rate) = self.rate.filter(|rate| *rate > limits.max_rate) {
            return beyond("rate:", rate.to_string(), limits.max_rate.to_string(), "max_rate");
        }
        if self.event_bytes > limits.max_event_size {
            let (asked, most) = (format_size(self.event_bytes as u64), format_size(limits.max_event_size as u64));
            return beyond("event size:", asked, most, "max_event_size");
        }
        if self.event_bytes < LEAST_BYTES {
            return invalid(format!("event size: {} bytes; the smallest event has {LEAST_BYTES}", self.event_bytes));
        }
        if self.linger > LONGEST_LINGER {
            return invalid(format!("linger: use up to {}", format_duration(LONGEST_LINGER)));
        }
        if !(1..=LARGEST_BATCH).contains(&self.batch_bytes) {
            return invalid(format!("batch size: use 1 to {LARGEST_BATCH} bytes"));
        }
        Ok(())
    }

    /// How many events there will be, if that is known beforehand.
    pub fn planned(&self) -> Option<u64> {
        let by_time = match (self.rate, self.duration) {
            (Some(rate), Some(duration)) => {
                u64::try_from(u128::from(rate) * duration.as_millis() / 1_000).ok().map(|events| events.max(1))
            }
            _ => None,
        };
        match (self.events, by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How long it will take at least, if that is known beforehand.
    fn planned_time(&self) -> Option<Duration> {
        let by_events =
            self.events.zip(self.rate).map(|(events, rate)| Duration::from_millis(events * 1_000 / rate.max(1)));
        match (self.duration, by_events) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            topic: "t".into(),
            events: Some(1_000),
            duration: None,
            rate: None,
            event_bytes: 200,
            keys: 0,
            acks: Acks::All,
            compression: Compression::Snappy,
            linger: DEFAULT_LINGER,
            batch_bytes: DEFAULT_BATCH_BYTES,
            verify: false,
            allow_source_topic: false,
        }
    }

    #[test]
    fn a_rate_and_a_duration_are_a_count() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(
            Spec { rate: Some(40_000), duration: seconds(60), events: None, ..spec() }.planned(),
            Some(2_400_000)
        );
        assert_eq!(Spec { rate: Some(10), duration: seconds(60), ..spec() }.planned(), Some(600));
        assert_eq!(Spec { duration: seconds(60), events: None, ..spec() }.planned(), None);
    }

    #[test]
    fn what_is_too_much_or_makes_no_sense_is_refused_with_what_to_do() {
        let limits = Limits { max_duration: Duration::from_secs(60), ..Limits::default() };
        let long = Duration::from_secs(61);
        for (bad, says) in [
            (Spec { events: None, ..spec() }, "needs an end"),
            (Spec { events: Some(0), ..spec() }, "at least one"),
            (Spec { events: Some(10_000_001), ..spec() }, "allows 10000000 (cluster.load_tests.max_events)"),
            (Spec { duration: Some(long), ..spec() }, "allows 1m (cluster.load_tests.max_duration)"),
            (Spec { events: Some(100), rate: Some(1), ..spec() }, "max_duration"),
            (Spec { rate: Some(1_000_001), ..spec() }, "max_rate"),
            (Spec { event_bytes: 70_000, ..spec() }, "max_event_size"),
            (Spec { event_bytes: 10, ..spec() }, "the smallest event has"),
            (Spec { linger: long, ..spec() }, "linger"),
            (Spec { batch_bytes: 0, ..spec() }, "batch size"),
        ] {
            let error = bad.check(&limits).unwrap_err();
            assert!(error.kind == Kind::Invalid && error.message.contains(says), "{error}");
        }
        assert_eq!(spec().check(&limits), Ok(()));
    }
}
