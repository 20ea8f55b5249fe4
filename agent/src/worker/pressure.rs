//! Backpressure: near the memory budget partitions are paused, and resumed when memory is free again.
//!
//! What is measured is the resident memory of the process, because that is what a container is killed for, and because
//! no sum of estimates would know of librdkafka's queues, redb's pages or the allocator's holes. Pausing lets go of what
//! a burst has piled up: fetched records, dirty cells and their copies, entries that wait for redb. What was freed is
//! given back to the system by hand, or the process would look full for ever.

use super::WorkerError;
use super::fold::Fetching;
use super::run::Worker;
use crate::clock::BootTime;
use crate::kafka::TopicPartition;
use crate::telemetry::{resident_bytes, trim_heap};
use std::time::Duration;

const ENDS_TIMEOUT: Duration = Duration::from_secs(1);
/// What a changed cell takes until it is committed, and written to redb, beside itself: its copy, its record on the way
/// to Kafka, its pending change. Roughly, and rather too much.
const COMMIT_BYTES: u64 = 1024;

/// Pure: whether to be paused, by the memory that is needed: what is resident, and what committing will take. Between
/// the two marks things stay as they are, unless nothing is left to wait for.
fn wanted(needed: u64, budget: u64, paused: bool, settled: bool) -> bool {
    let mark = if paused && !settled { budget / 100 * 70 } else { budget / 100 * 85 };
    needed >= mark
}

impl Worker<'_> {
    /// Pauses or resumes what this worker reads.
    pub(super) fn apply_backpressure(&mut self) -> Result<(), WorkerError> {
        let Some(budget) = self.agent.config.limits.memory_budget else { return Ok(()) };
        let now = self.agent.clock.boot_time();
        if !self.pauses.is_to_look(now) {
            return Ok(());
        }
        let Some(resident) = resident_bytes() else { return Ok(()) };
        let is_paused = self.pauses.is_paused();
        let cells = self.tasks.iter().map(|live| live.state.dirty()).sum::<usize>() + self.commits.cells_under_way();
        let settled =
            !self.commits.is_under_way() && !self.tasks.iter().any(|live| live.changed && live.held.is_none());
        if wanted(resident + cells as u64 * COMMIT_BYTES, budget, is_paused, settled) {
            self.pause()?;
            self.while_paused(now, resident, budget, settled);
        } else if is_paused {
            self.resume()?;
        }
        Ok(())
    }

    /// Pauses whatever is read and not paused yet, such as partitions that have just come.
    fn pause(&mut self) -> Result<(), WorkerError> {
        let read = self.tasks.iter().filter(|live| live.fetching == Fetching::Reads);
        let read = read.map(|live| live.task.id.clone());
        let fresh = self.pauses.fresh(read);
        if fresh.is_empty() {
            return Ok(());
        }
        self.consumer.pause(&fresh)?;
        tracing::info!(worker = self.identity.worker, partitions = fresh.len(), "paused: memory is near its budget");
        self.agent.metrics.paused(fresh.len() as i64);
        self.pauses.add(fresh, self.agent.clock.boot_time());
        Ok(())
    }

    fn resume(&mut self) -> Result<(), WorkerError> {
        let partitions = self.pauses.end();
        self.consumer.resume(&partitions)?;
        tracing::info!(worker = self.identity.worker, partitions = partitions.len(), "resumed: memory is free again");
        self.agent.metrics.paused(-(partitions.len() as i64));
        self.status.set_trouble(None);
        Ok(())
    }

    fn while_paused(&mut self, now: BootTime, resident: u64, budget: u64, settled: bool) {
        if self.pauses.is_to_trim(now) {
            trim_heap();
        }
        if self.pauses.is_to_ask(now) {
            self.ask_for_ends();
        }
        if settled && self.pauses.is_stuck(now) {
            let trouble = format!(
                "paused: the state alone needs {} MiB of limits.memory_budget ({} MiB); raise it, or keep fewer keys (limit, key_ttl, retention)",
                resident >> 20,
                budget >> 20
            );
            tracing::error!("{trouble}");
            self.status.set_trouble(Some(trouble));
        }
    }

    fn ask_for_ends(&self) {
        let partitions = self.pauses.partitions();
        match self.consumer.ends(&partitions, ENDS_TIMEOUT) {
            Ok(ends) => {
                for live in &self.tasks {
                    let id = &live.task.id;
                    if let Some(&end) = ends.get(&id.clone()) {
                        live.task.input.raise(end);
                    }
                }
            }
            Err(error) => tracing::debug!("the ends of paused partitions: {error}"),
        }
    }

    /// Tasks are gone, and their pauses with them: whoever assigns them again resumes them.
    pub(super) fn forget_pauses(&mut self, partitions: &[TopicPartition]) {
        let gone = self.pauses.forget(partitions);
        if gone > 0 {
            self.agent.metrics.paused(-(gone as i64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_near_the_budget_and_goes_on_well_below_it() {
        for (needed, paused, settled, expected) in [
            (84, false, false, false),
            (85, false, false, true),
            (80, true, false, true),
            (69, true, false, false),
            (80, true, true, false),
            (85, true, true, true),
        ] {
            let got = wanted(needed << 20, 100 << 20, paused, settled);
            assert_eq!(got, expected, "{needed} of 100, paused: {paused}, settled: {settled}");
        }
    }
}
