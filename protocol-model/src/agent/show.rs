//! What an agent's page shows: totals, the number of windows (`state/lease.rs`, `query/windows.rs`).

use super::Lease;
use crate::action::Action;
use crate::rules::Rule;
use crate::search::Model;
use crate::world::World;

impl World {
    pub(crate) fn show_offers(&self, _: &Model, offers: &mut Vec<Action>) {
        let publishes = |&number: &usize| {
            let agent = &self.agents[number];
            agent.is_reachable() && agent.lease == Lease::Held && agent.task(0).is_some_and(|task| task.reading)
        };
        if self.events.close > 0 {
            offers.extend(self.agents().filter(publishes).map(Action::WindowCloses));
        }
    }

    /// The publisher sees that a window has closed, by the clock: another might see it later.
    pub(crate) fn window_closes(&mut self, number: usize) {
        self.events.close -= 1;
        if let Some(task) = self.agents[number].task_mut(0) {
            task.published += 1;
            task.changed = true;
        }
    }

    /// The total of a partition on an agent's page.
    pub fn shown(&self, number: usize, p: usize, model: &Model) -> Option<u8> {
        let agent = &self.agents[number];
        let task = agent.task(p).filter(|_| agent.is_up() && agent.lease == Lease::Held)?;
        let committed = task.view.next()?;
        let shown = if model.has(Rule::CommittedBeforeShown) { committed } else { task.next };
        (shown >= task.show_from).then_some(shown)
    }

    /// The newest window on an agent's page.
    pub fn shown_window(&self, number: usize, model: &Model) -> Option<u8> {
        let agent = &self.agents[number];
        let task = agent.task(0).filter(|_| agent.is_up() && agent.lease == Lease::Held)?;
        let committed = task.view.record?.published;
        Some(if model.has(Rule::PublishedBeforeShown) { committed } else { task.published })
    }
}
