//! The brokers, as a survey asks them.

use super::context::{CALL_TIMEOUT, Readers, RestoreContext};
use super::survey::Ask;
use crate::kafka::{Answers, TopicPartition};
use rdkafka::error::KafkaResult;
use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

/// Brokers that do not answer soon are given longer, up to this.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// Asks the brokers.
pub(super) struct Brokers<'a> {
    context: &'a RestoreContext,
    readers: &'a Readers,
    timeout: Cell<Duration>,
}

impl<'a> Brokers<'a> {
    pub fn new(context: &'a RestoreContext, readers: &'a Readers) -> Self {
        Brokers { context, readers, timeout: Cell::new(CALL_TIMEOUT) }
    }

    /// The cluster's id; empty if it is not known.
    pub fn cluster_id(&self) -> String {
        self.readers.all.cluster_id(CALL_TIMEOUT).unwrap_or_default()
    }

    /// Who has not answered at all in time is given longer the next time.
    fn note(&self, answered: bool) {
        let next = if answered { CALL_TIMEOUT } else { (self.timeout.get() * 2).min(LONGEST_CALL) };
        self.timeout.set(next);
    }

    fn each(&self, answers: Answers) -> Answers {
        self.note(answers.is_empty() || answers.values().any(Result::is_ok));
        answers
    }
}

impl Ask for Brokers<'_> {
    fn group_offsets(&self, of: &[TopicPartition]) -> KafkaResult<HashMap<TopicPartition, Option<i64>>> {
        let answers = self.context.consumer.committed(of, self.timeout.get());
        self.note(answers.is_ok());
        answers
    }

    fn high_watermarks(&self, of: &[TopicPartition]) -> Answers {
        self.each(self.readers.all.ends_each(of, self.timeout.get()))
    }

    fn last_stable_offsets(&self, of: &[TopicPartition]) -> Answers {
        self.each(self.readers.stable.ends_each(of, self.timeout.get()))
    }

    fn beginnings(&self, of: &[TopicPartition]) -> Answers {
        self.each(self.readers.all.beginnings_each(of, self.timeout.get()))
    }

    fn ends(&self, of: &[TopicPartition]) -> Answers {
        self.each(self.readers.all.ends_each(of, self.timeout.get()))
    }
}
