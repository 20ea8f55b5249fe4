//! What goes out: every closed window once, oldest first, by the rule that `/metrics` shows windows by.

use super::Publisher;
use super::due::{Held, broken_before};
use super::look::{ClosedWindow, Look};
use super::rule::{Seen, may_be_pushed, standings, verdict};
use crate::aggregate::{AggregatePlan, WindowGrid};
use crate::sources::Inputs;
use crate::state::{TaskId, Through, WindowKind};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Windows of one kind that go out at one look; then other aggregates have their turn.
const TURN: usize = 50;

/// Takes closed windows, to have them sent somewhere.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// End of the newest window of this kind that was taken here, Unix milliseconds.
    fn taken(&self, kind: WindowKind) -> Option<i64>;

    /// The same of windows that need no more care: the receiver has them, or they were given up.
    fn settled(&self, kind: WindowKind) -> Option<i64>;

    /// Takes a window; `before`: the end of the one before it. May wait for a disk.
    ///
    /// # Errors
    /// If it cannot be kept: it is offered again.
    fn take(&self, plan: &AggregatePlan, window: &ClosedWindow, before: Option<i64>) -> io::Result<()>;

    /// Windows that were gone before they could be taken.
    fn lost(&self, windows: u64);
}

/// What is known of the push of one aggregate.
#[derive(Debug, Default)]
pub struct Began {
    /// When this agent began to publish it, windows that begin before this were not whole any more.
    from: Option<i64>,
    /// Up to here everything was taken, by kind.
    through: HashMap<WindowKind, i64>,
}

impl Publisher {
    /// Hands `outlet` what is due. True if there is more.
    pub(super) async fn push(
        &self,
        inputs: &Inputs,
        look: &Look<'_>,
        began: &mut Began,
        outlet: &Arc<dyn Outlet>,
    ) -> Result<bool, String> {
        let (plan, publication) = (look.plan, &look.publisher.publication);
        let from = *began.from.get_or_insert_with(|| broken_before(&look.everyone.known));
        let mut held = None;
        let mut more = false;
        for window in &plan.config.windows {
            let grid = WindowGrid::from(*window);
            let kind = WindowKind::new(plan.id, grid);
            // What another owner has pushed stands in the publishing partition's offset record.
            let recorded = Through::recorded(look.publisher.view.read().record(), kind).pushed;
            let before = outlet.taken(kind).max(recorded);
            let newest = look.newest(grid).filter(|&newest| before < Some(newest));
            // Windows without events are not taken, so they move no cursor: they are remembered.
            let newest = newest.filter(|newest| began.through.get(&kind) != Some(newest));
            if let Some(newest) = newest {
                let held = match &held {
                    Some(held) => held,
                    None => held.insert(self.held(inputs, look).await?),
                };
                let due = held.due(grid, before.max(began.through.get(&kind).copied()), from, newest);
                if due.lost > 0 {
                    outlet.lost(due.lost);
                    // They come before all that is due, and are counted once.
                    began.through.insert(kind, due.ends.first().map_or(newest, |first| first - grid.hop_ms));
                }
                let mut through = before;
                let is_all = due.ends.len() <= TURN;
                let mut is_stopped = false;
                for end in due.ends.into_iter().take(TURN) {
                    let span = grid.span(end);
                    if !may_be_pushed(verdict(&look.standings, span, plan), &look.standings, span, plan) {
                        is_stopped = true;
                        break;
                    }
                    let (rows, known) = self.gather_window(look, span).await?;
                    // As of when it was read; what is missing stays as it was found.
                    let mut seen: HashMap<TaskId, Seen> = HashMap::new();
                    let read = standings(&mut seen, known.iter().map(|known| &known.status.id), &known, 0, plan);
                    let is_whole =
                        verdict(&look.standings, span, plan).is_whole() && verdict(&read, span, plan).is_whole();
                    let closed = ClosedWindow { window: *window, span, rows: Arc::new(rows), is_whole };
                    let (outlet, plan) = (outlet.clone(), plan.clone());
                    let taken = spawn_blocking(move || outlet.take(&plan, &closed, through)).await;
                    taken.map_err(|error| error.to_string())?.map_err(|error| {
                        tracing::error!("closed windows wait: the push's backlog cannot be written: {error}");
                        error.to_string()
                    })?;
                    through = Some(end);
                    began.through.insert(kind, end);
                }
                if is_all && !is_stopped {
                    began.through.insert(kind, newest);
                }
                more |= !is_all && !is_stopped;
            }
            if let Some(settled) = outlet.settled(kind) {
                publication.want(kind, Through { published: None, pushed: Some(settled) });
            }
        }
        Ok(more)
    }

    /// What there is to push, as everyone has it.
    async fn held(&self, inputs: &Inputs, look: &Look<'_>) -> Result<Held, String> {
        let everyone = self.group.everyone(inputs, look.plan, true).await.map_err(|error| error.to_string())?;
        Ok(Held::of(&everyone.known))
    }
}
