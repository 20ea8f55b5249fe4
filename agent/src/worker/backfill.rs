//! An aggregate that is added to a state and asks for `backfill: earliest`: before its task runs, everything that Kafka
//! still has up to the state's offset is folded into it alone. That is exact: the state then is what it would be had the
//! config always been as it is now, as far as the topic reaches back.

use super::context::Agent;
use super::error::WorkerError;
use super::fold::{SourceWork, fold};
use crate::aggregate::{AggregateId, TaskState};
use crate::kafka::{Batch, Isolation, PartitionReader, TopicPartition, is_passing};
use crate::replica::Restored;
use crate::sources::Source;
use crate::state::Phase;
use crate::stop::Stop;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::Duration;

const READ_WAIT: Duration = Duration::from_millis(100);
const READ_BATCH: usize = 1_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Backfill<'a> {
    pub agent: &'a Agent,
    pub source: &'a Arc<Source>,
    /// Of the task's restore.
    pub stop: Stop,
}

impl Backfill<'_> {
    /// Folds what a restored task's new aggregates lack; `None` if they lack nothing.
    pub fn run(&self, restored: &Restored) -> Result<Option<Box<TaskState>>, WorkerError> {
        let record = restored.view.read().record().clone();
        let listed = |id: AggregateId| record.aggregates.iter().any(|progress| progress.id == id.0);
        let plan = &restored.task.plan;
        let wanted: Vec<_> = plan.aggregates.iter().filter(|new| new.config.backfill && !listed(new.id)).collect();
        if restored.is_new || wanted.is_empty() {
            return Ok(None);
        }
        let mut state = TaskState::new(plan.clone());
        state.mute_all_but(&wanted.iter().map(|plan| plan.id).collect::<Vec<_>>());
        let records = self.read(restored, &mut state)?;
        let names: Vec<_> = wanted.iter().map(|plan| plan.config.name.as_str()).collect();
        tracing::info!(task = %restored.task.id, records, "backfilled {}", names.join(", "));
        Ok(Some(Box::new(state)))
    }

    /// Reads from the earliest record up to the state's offset. Returns how many there were.
    fn read(&self, restored: &Restored, state: &mut TaskState) -> Result<u64, WorkerError> {
        let task = &restored.task;
        let partition = task.id.clone();
        let end = restored.next_offset;
        let mut reader = PartitionReader::create(&self.agent.settings, Isolation::ReadCommitted)?;
        let Some(first) = self.first(&reader, &partition)?.filter(|&first| first < end) else { return Ok(0) };
        reader.assign(&[(partition, first)])?;
        let mut source = SourceWork::new(self.source, self.agent);
        let mut records = 0;
        let mut batch = Batch::default();
        let mut at = first;
        while at < end && !self.stop.is_requested() {
            for record in reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
                match record.error() {
                    None if record.offset() < end => {
                        records += 1;
                        // What is refused now is a dead letter already, or was counted under an earlier config.
                        while let Some(awaited) = fold(state, &record, &mut source, |_, _, _| {}) {
                            tracing::debug!(task = %task.id, "waits for {}", awaited.why);
                            if self.stop.sleep(READ_WAIT) {
                                return Ok(records);
                            }
                        }
                        at = record.offset() + 1;
                    }
                    // An end that is before the state's offset is none: a new leader may not know yet how far its log is
                    // agreed on. Behind the last record there may be markers, which never come.
                    None | Some(RDKafkaErrorCode::PartitionEOF) => at = at.max(record.offset()),
                    Some(code) => {
                        let error = KafkaError::MessageConsumption(code);
                        if !is_passing(&error) {
                            return Err(error.into());
                        }
                    }
                }
            }
            task.set_phase(Phase::Restoring { done: (at - first) as u64, of: (end - first) as u64 });
        }
        Ok(records)
    }

    /// The first offset that the partition still has; `None` once nobody wants to know any more.
    fn first(&self, reader: &PartitionReader, partition: &TopicPartition) -> Result<Option<i64>, WorkerError> {
        loop {
            match reader.beginnings(std::slice::from_ref(partition), CALL_TIMEOUT) {
                Ok(found) => return Ok(found.get(partition).copied()),
                Err(error) if !is_passing(&error) => return Err(error.into()),
                Err(_) if self.stop.sleep(READ_WAIT) => return Ok(None),
                Err(_) => {}
            }
        }
    }
}
