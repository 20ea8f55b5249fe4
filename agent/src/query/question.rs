//! A request, checked against the config and laid out: what to gather, and how to make an answer of it. Pure.

use super::answer::{Order, PageToken, first_of_each_window, page};
use super::error::QueryError;
use super::gather::{Ask, Gathered};
use super::matcher::{self, Matchers};
use super::relate::{dropped_before, relate, with_earlier};
use super::select::{self, Extent, Selection, select};
use super::status::Known;
use super::value::parse_stat;
use super::{Answer, Closing, Inputs, Missing, PartitionStatus, Request};
use crate::aggregate::{AggregatePlan, WindowGrid};
use std::sync::Arc;

/// A request that makes sense.
#[derive(Debug)]
pub struct Question<'a> {
    pub request: &'a Request,
    pub inputs: Arc<Inputs>,
    pub plan: Arc<AggregatePlan>,
    pub matchers: Matchers,
    /// Positions of the labels that make a group.
    pub group_by: Option<Vec<usize>>,
    /// Positions of the measures asked for.
    asked: Vec<usize>,
    /// The same, and the one that is ordered by if it is not among them.
    pub measures: Vec<usize>,
    order: Order,
    token: Option<PageToken>,
    max_cells: usize,
}

impl<'a> Question<'a> {
    /// # Errors
    /// If the request asks for what there is not, or makes no sense.
    pub fn new(
        request: &'a Request,
        inputs: Arc<Inputs>,
        plan: Arc<AggregatePlan>,
        max_cells: usize,
    ) -> Result<Question<'a>, QueryError> {
        let asked = measures(request, &plan)?;
        let group_by = group_by(request, &plan)?;
        let matchers = Matchers::new(&request.matchers, &plan)?;
        let (order, measures) = order(request, &plan, &asked)?;
        let token = PageToken::of(request)?;
        Ok(Question { request, inputs, plan, matchers, group_by, asked, measures, order, token, max_cells })
    }

    /// The windows asked for, or totals, by how far the partitions are.
    pub fn select(&self, known: &[Known]) -> Result<Selection, QueryError> {
        let extent = Extent {
            newest: known.iter().filter_map(|known| known.status.stream_time).max(),
            oldest_end: known.iter().filter_map(|known| known.oldest_end).min(),
            closing: closing(known),
        };
        let selection = select(self.request, &self.plan, extent, self.max_cells)?;
        match (selection, &self.token) {
            // The windows of the first page, whatever is the newest by now.
            (Selection::Windows { grid, .. }, Some(token)) if token.size_ms > 0 => {
                let grid = WindowGrid { size_ms: token.size_ms, ..grid };
                if grid.hop_ms == self.plan.pane_ms && self.request.window.is_none() {
                    let spans = vec![grid.span(token.last_end)];
                    return Ok(Selection::Windows { grid, spans });
                }
                select::spans(grid, token.first_end.saturating_sub(1), token.last_end, None, self.max_cells)
            }
            (selection, _) => Ok(selection),
        }
    }

    /// What to gather for a selection.
    pub fn ask<'s>(&'s self, selection: &'s Selection) -> Ask<'s> {
        Ask {
            plan: &self.plan,
            spans: selection.spans().map(|spans| with_earlier(&self.plan, &self.measures, spans).into()),
            matchers: &self.matchers,
            group_by: self.group_by.as_deref(),
            measures: &self.measures,
            limit: self.max_cells,
        }
    }

    /// Orders, cuts and pages what was gathered.
    pub fn finish(
        &self,
        selection: &Selection,
        mut gathered: Gathered,
        known: Vec<Known>,
        missing: Vec<Missing>,
    ) -> Answer {
        relate(&mut gathered, &self.plan, &self.measures, selection.spans(), dropped_before(&known));
        let closed_through = selection.grid().and_then(|grid| closing(&known).newest_closed(grid, self.plan.grace_ms));
        let spans = selection.spans();
        let mut rows = self.order.rows(gathered, spans, closed_through, self.asked.len());
        if self.request.limit > 0 {
            first_of_each_window(&mut rows, self.request.limit);
        }
        let next_page_token = page(&mut rows, &self.order, self.request, self.token.as_ref(), spans);
        let label = |at: usize| self.plan.config.by[at].label.clone();
        let labels = match &self.group_by {
            Some(positions) => positions.iter().copied().map(label).collect(),
            None => (0..self.plan.config.by.len()).map(label).collect(),
        };
        let mut as_of: Vec<PartitionStatus> = known.into_iter().map(|known| known.status).collect();
        as_of.sort_by(|a, b| a.id.cmp(&b.id));
        Answer { plan: self.plan.clone(), measures: self.asked.clone(), labels, rows, next_page_token, as_of, missing }
    }
}

/// What these partitions say about closing.
pub fn closing(known: &[Known]) -> Closing {
    Closing::of(known.iter().map(|known| known.status.progress()))
}

/// Positions of the measures asked for.
fn measures(request: &Request, plan: &AggregatePlan) -> Result<Vec<usize>, QueryError> {
    if request.measures.is_empty() {
        return Ok((0..plan.config.measures.len()).collect());
    }
    request.measures.iter().map(|name| measure_index(name, plan)).collect()
}

fn measure_index(name: &str, plan: &AggregatePlan) -> Result<usize, QueryError> {
    let measures = &plan.config.measures;
    measures.iter().position(|measure| measure.name == name).ok_or_else(|| QueryError::UnknownMeasure {
        measure: name.to_owned(),
        aggregate: plan.config.name.clone(),
        known: measures.iter().map(|measure| measure.name.clone()).collect(),
    })
}

fn group_by(request: &Request, plan: &AggregatePlan) -> Result<Option<Vec<usize>>, QueryError> {
    let Some(labels) = &request.group_by else { return Ok(None) };
    labels.iter().map(|label| matcher::label_index(label, plan)).collect::<Result<_, _>>().map(Some)
}

/// The order, and the measures to gather: those asked for, and the one that is ordered by if it is not among them.
fn order(request: &Request, plan: &AggregatePlan, asked: &[usize]) -> Result<(Order, Vec<usize>), QueryError> {
    let mut gathered = asked.to_vec();
    let Some(by) = &request.order_by else { return Ok((Order { by: None }, gathered)) };
    let measure = measure_index(&by.measure, plan)?;
    let stat = parse_stat(&by.stat)?;
    let at = gathered.iter().position(|&index| index == measure).unwrap_or_else(|| {
        gathered.push(measure);
        gathered.len() - 1
    });
    let kind = plan.measures[measure].kind.clone();
    Ok((Order { by: Some((at, kind, stat, by.ascending)) }, gathered))
}
