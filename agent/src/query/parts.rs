//! Windows with all their keys, cut into parts: whoever answers holds references to the cells, and one part.

use super::gather::{AsOf, States};
use super::status::Known;
use super::wire;
use crate::aggregate::{AggregatePlan, Cell, KeyBytes, WindowSpan};
use crate::state::Task;
use prost::Message;
use std::iter::Peekable;
use std::sync::Arc;
use streamgauge_proto::peer::v1 as peer;

/// A part ends with the cell that brings it to one of these.
const CELLS: usize = 2_000;
const BYTES: usize = 1 << 20;

/// A cell of a window: its position among the spans, its key, and what is in it.
type Reference = (u32, KeyBytes, Arc<Cell>);

/// An answer in parts, by windows and ascending keys.
#[derive(Debug)]
pub struct Parts {
    /// Told with the first part.
    known: Option<Vec<Known>>,
    cells: Peekable<std::vec::IntoIter<Reference>>,
}

impl Parts {
    /// `known`: how far `tasks` are, in their order.
    pub fn new(plan: Arc<AggregatePlan>, spans: &[WindowSpan], tasks: &[Arc<Task>], mut known: Vec<Known>) -> Parts {
        let mut cells: Vec<Reference> = Vec::new();
        for (task, known) in tasks.iter().zip(&mut known) {
            // Only references are taken under the lock: the next commit does not wait for the network.
            let view = task.view.read();
            known.set_as_of(&AsOf::of(&plan, &view));
            let Some(aggregate) = view.aggregate(plan.id) else { continue };
            for (number, span) in (0..).zip(spans) {
                let panes = aggregate.panes_between(span.start, span.end);
                let within = panes.filter(|&(pane, _)| span.contains(pane, plan.pane_ms)).flat_map(|(_, cells)| cells);
                cells.extend(within.map(|(key, committed)| (number, key.clone(), committed.cell.clone())));
            }
        }
        cells.sort_unstable_by(|(a, left, _), (b, right, _)| (a, left).cmp(&(b, right)));
        Parts { known: Some(known), cells: cells.into_iter().peekable() }
    }
}

impl Iterator for Parts {
    type Item = peer::ReadResponse;

    fn next(&mut self) -> Option<peer::ReadResponse> {
        let known = self.known.take();
        if known.is_none() && self.cells.peek().is_none() {
            return None;
        }
        let partitions = known.unwrap_or_default().iter().map(wire::known).collect();
        let mut part = peer::ReadResponse { partitions, groups: Vec::new(), cells: Vec::new() };
        let mut bytes = 0;
        while part.cells.len() < CELLS && bytes < BYTES {
            let Some((span, key, cell)) = self.cells.next() else { break };
            let mut states: States = cell.measures.iter().cloned().collect();
            while let Some((_, _, more)) = self.cells.next_if(|(at, other, _)| (*at, other) == (span, &key)) {
                states.iter_mut().zip(more.measures.iter()).for_each(|(state, more)| state.merge(more));
            }
            if part.groups.last().map(Vec::as_slice) != Some(&key) {
                part.groups.push(key.to_vec());
            }
            let merged = wire::cell(part.groups.len() as u32 - 1, span, &states);
            bytes += key.len() + merged.encoded_len();
            part.cells.push(merged);
        }
        Some(part)
    }
}
