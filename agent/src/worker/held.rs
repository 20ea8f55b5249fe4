//! Tasks that cannot be committed: held until their changelog partitions take writes again.

use super::error::WorkerError;
use super::fold::Fetching;
use super::run::Worker;
use super::unwritable::Found;
use crate::state::HeldUp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Worker<'_> {
    /// Whether the next epoch is to wait until it is known who can be in it.
    pub(super) fn waits_for_a_look(&self) -> bool {
        self.unwritable.is_in_doubt() && self.unwritable.is_looking()
    }

    /// Holds tasks whose changelog partitions take no writes, and lets them go on once these do.
    pub(super) fn look_for_unwritable(&mut self) -> Result<(), WorkerError> {
        if let Some(found) = self.unwritable.take_answer() {
            self.hold(&found)?;
        }
        let wanted = self.unwritable.is_in_doubt() || self.tasks.iter().any(|live| live.held.is_some());
        if !wanted || self.agent.topics_given || !self.unwritable.is_due(self.agent.clock.boot_time()) {
            return Ok(());
        }
        let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for live in &self.tasks {
            by_topic.entry(live.task.id.topic.clone()).or_default().push(live.task.id.partition);
        }
        self.unwritable.look(self.agent, by_topic)?;
        Ok(())
    }

    fn hold(&mut self, found: &Found) -> Result<(), WorkerError> {
        let now = self.agent.clock.boot_time();
        // With none that takes writes it is not the partitions: there is nothing to be committed in the meantime.
        let is_partial = found.values().any(Option::is_none);
        let (mut paused, mut resumed) = (Vec::new(), Vec::new());
        for live in &mut self.tasks {
            let place = live.task.id.clone();
            match found.get(&place) {
                Some(Some(why)) if is_partial || live.held.is_some() => {
                    if live.held.is_none() {
                        tracing::warn!(task = %live.task.id, "not committed until its changelog takes writes: {why}");
                        if live.fetching == Fetching::Reads {
                            live.fetching = Fetching::Held;
                            paused.push(place);
                        }
                    }
                    let since = *live.held.get_or_insert(now);
                    live.task.ownership.set_held_up(Some(HeldUp { waited: now.since(since), why: why.clone() }));
                }
                Some(None) if live.held.take().is_some() => {
                    tracing::info!(task = %live.task.id, "its changelog takes writes again");
                    live.task.ownership.set_held_up(None);
                    live.changed = true;
                    if live.fetching == Fetching::Held {
                        live.fetching = Fetching::Reads;
                        resumed.push(place);
                    }
                }
                _ => {}
            }
        }
        if !paused.is_empty() {
            self.forget_pauses(&paused);
            self.consumer.pause(&paused)?;
        }
        if !resumed.is_empty() {
            self.consumer.resume(&resumed)?;
        }
        Ok(())
    }
}
