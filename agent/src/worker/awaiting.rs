//! Tasks whose next record waits for its schema, because the registry has not said yet what that is: their partitions are
//! paused, and read again from that record once it has. Nothing is lost by it, and nothing becomes a dead letter.

use super::error::WorkerError;
use super::fold::Fetching;
use super::run::Worker;
use crate::state::HeldUp;

impl Worker<'_> {
    /// Pauses tasks that wait for a schema, and lets them go on once it is there.
    pub(super) fn look_for_schemas(&mut self) -> Result<(), WorkerError> {
        let now = self.agent.clock.boot_time();
        let mut paused = Vec::new();
        for live in &mut self.tasks {
            let Some(awaited) = &mut live.awaits else { continue };
            let place = live.task.id.clone();
            // A source that a reload has changed may need no schema any more.
            let needs = self.sources[live.source].plan.config.format.kind.needs_registry();
            let is_open = needs && self.agent.schemas.as_ref().is_none_or(|schemas| schemas.is_awaited(awaited.id));
            let waited = now.since(*awaited.since.get_or_insert(now));
            match live.fetching {
                Fetching::Reads => {
                    tracing::info!(task = %live.task.id, "not read until it is known: {}", awaited.why);
                    live.fetching = Fetching::Awaits;
                    paused.push(place);
                }
                Fetching::Awaits if !is_open => {
                    let epoch = live.leader_epoch.unwrap_or(-1);
                    tracing::info!(task = %live.task.id, offset = live.next_offset, "read again, schema {}", awaited.id);
                    live.awaits = None;
                    live.task.ownership.set_awaits_schema(None);
                    live.fetching = match self.consumer.check(&place, live.next_offset, epoch)? {
                        // It was found not to be committable meanwhile.
                        true if live.held.is_some() => {
                            self.consumer.pause(&[place])?;
                            Fetching::Held
                        }
                        true => Fetching::Reads,
                        false => Fetching::Unchecked,
                    };
                    continue;
                }
                Fetching::Awaits | Fetching::Held | Fetching::NotYet | Fetching::Unchecked => {}
            }
            live.task.ownership.set_awaits_schema(Some(HeldUp { waited, why: awaited.why.clone() }));
        }
        if !paused.is_empty() {
            self.forget_pauses(&paused);
            self.consumer.pause(&paused)?;
        }
        Ok(())
    }
}
