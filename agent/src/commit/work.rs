//! What the committer's thread works with, and why an attempt of it may come to nothing.

use super::letter_limits::LetterLimits;
use super::{AbortReason, AssignmentNumber};
use crate::clock::Clock;
use crate::config::{DeadLetters, Guarantee};
use crate::kafka::{GroupConsumer, Identity, Settings, TransactionalProducer};
use crate::state::{Checkpointer, Lease};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use rdkafka::error::RDKafkaErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// How one call to the transaction coordinator is bounded; it is repeated until the outcome is known.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a committer is made of.
pub struct CommitterSettings {
    pub settings: Settings,
    pub identity: Identity,
    pub guarantee: Guarantee,
    pub entry_limit: usize,
    pub dead_letters: DeadLetters,
    pub consumer: Arc<GroupConsumer>,
    pub assignment: Arc<AssignmentNumber>,
    pub lease: Arc<Lease>,
    pub checkpointer: Arc<Checkpointer>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Requested when nobody waits for an outcome any more: the process is to end.
    pub abandoned: Stop,
}

/// Why an attempt ended without a commit.
pub(super) enum Failure {
    Abort(AbortReason, String),
    /// Not all of it could be written before the transaction's timeout.
    TimedOut,
    /// Kafka does not take records for one of the topics: this one, if it says so.
    Refused {
        code: RDKafkaErrorCode,
        topic: Option<String>,
        detail: String,
    },
    /// Kafka refuses dead letters for one of these topics.
    DeadLetters {
        code: RDKafkaErrorCode,
        topics: Vec<String>,
        detail: String,
    },
    /// The producer is of no use any more; `undecided`: the commit had been asked for.
    Producer {
        undecided: bool,
        detail: String,
    },
    Stop(String),
}

impl Failure {
    pub fn kafka(detail: impl std::fmt::Display) -> Failure {
        Failure::Abort(AbortReason::Kafka, detail.to_string())
    }
}

pub(super) struct Work {
    pub settings: CommitterSettings,
    pub producer: TransactionalProducer,
    pub letters: LetterLimits,
}

/// A record was larger than its topic takes.
pub(super) fn is_size(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
}
