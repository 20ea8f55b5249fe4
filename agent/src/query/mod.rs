//! The read side: committed state → totals and windows, merged over partitions. It changes nothing and waits for nobody.

mod answer;
mod closing;
mod error;
mod gather;
mod matcher;
mod request;
mod select;
mod source;
mod status;
mod value;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use answer::Row;
pub use closing::{Closing, Progress};
pub use error::QueryError;
pub use gather::{Ask, Gathered, States, gather};
pub use matcher::{MatchOp, Matcher, Matchers};
pub use request::{OrderBy, Request, Time};
pub use source::{Source, Sources, aggregates};
pub use status::{Condition, PartitionStatus, Readiness, not_ready};
pub use value::{buckets, quantile, sum, value};

use crate::aggregate::{AggregatePlan, WindowGrid};
use crate::clock::Clock;
use crate::state::{Registry, Task, TaskId};
use answer::{Order, PageToken, first_of_each_window, page};
use select::{Extent, Selection, select};
use std::sync::Arc;
use value::OrderStat;

/// Answers queries from the registry's committed views.
#[derive(Debug)]
pub struct Reader {
    pub registry: Arc<Registry>,
    pub sources: Sources,
    pub clock: Clock,
    /// More merged cells than this are refused.
    pub max_cells: usize,
}

/// A query's answer.
#[derive(Debug)]
pub struct Answer {
    pub plan: Arc<AggregatePlan>,
    /// Positions of the measures that rows have states of.
    pub measures: Vec<usize>,
    /// Names of the labels that rows have values of.
    pub labels: Vec<String>,
    pub rows: Vec<Row>,
    /// Empty on the last page.
    pub next_page_token: String,
    pub as_of: Vec<PartitionStatus>,
    pub missing: Vec<TaskId>,
}

impl Reader {
    /// # Errors
    /// If the request asks for what there is not, makes no sense, or has too large an answer.
    pub fn query(&self, request: &Request) -> Result<Answer, QueryError> {
        let (source, plan) = self.find(&request.aggregate)?;
        let plan = &plan;
        let measures = measures(request, plan)?;
        let group_by = group_by(request, plan)?;
        let matchers = Matchers::new(&request.matchers, plan)?;
        let (order, gathered_measures) = order(request, plan, &measures)?;
        let token = PageToken::of(request)?;

        let tasks = source.tasks(&self.registry);
        let mut as_of = status::of_tasks(&tasks, plan.config.idle_timeout, &self.clock);
        let closing = Closing::of(as_of.iter().map(PartitionStatus::progress));
        let selection = self.select(request, plan, &tasks, closing, token.as_ref())?;
        let (spans, grid) = match &selection {
            Selection::Totals => (None, None),
            Selection::Windows { spans, grid } => (Some(spans.as_slice()), Some(*grid)),
        };
        let ask = Ask {
            plan,
            spans,
            matchers: &matchers,
            group_by: group_by.as_deref(),
            measures: &gathered_measures,
            limit: self.max_cells,
        };
        let gathered = gather(&ask, &tasks)?;
        // A commit may have come in between: the answer names the offsets of the very cells that are in it.
        for (status, &(next_offset, stream_time)) in as_of.iter_mut().zip(&gathered.as_of) {
            (status.next_offset, status.stream_time) = (next_offset, stream_time);
        }
        let closed_through = grid.and_then(|grid| closing.newest_closed(grid, plan.grace_ms));
        let mut rows = order.rows(gathered, spans, closed_through, measures.len());
        if request.limit > 0 {
            first_of_each_window(&mut rows, request.limit);
        }
        let next_page_token = page(&mut rows, &order, request, token.as_ref(), spans);
        let label = |at: usize| plan.config.by[at].label.clone();
        let labels = match group_by {
            Some(positions) => positions.into_iter().map(label).collect(),
            None => (0..plan.config.by.len()).map(label).collect(),
        };
        let missing = source.missing(&self.registry, &tasks);
        Ok(Answer { plan: plan.clone(), measures, labels, rows, next_page_token, as_of, missing })
    }

    fn find(&self, name: &str) -> Result<(Source, Arc<AggregatePlan>), QueryError> {
        let sources = self.sources.now();
        let found = aggregates(&sources).find(|(_, plan)| plan.config.name == name);
        found.map(|(source, plan)| (source.clone(), plan.clone())).ok_or_else(|| {
            let known = aggregates(&sources).map(|(_, plan)| plan.config.name.clone()).collect();
            QueryError::UnknownAggregate { name: name.to_owned(), known }
        })
    }

    fn select(
        &self,
        request: &Request,
        plan: &AggregatePlan,
        tasks: &[Arc<Task>],
        closing: Closing,
        token: Option<&PageToken>,
    ) -> Result<Selection, QueryError> {
        let extent = extent(plan, tasks, closing);
        let selection = select(request, plan, extent, self.max_cells)?;
        match (selection, token) {
            // The windows of the first page, whatever is the newest by now.
            (Selection::Windows { grid, .. }, Some(token)) if token.size_ms > 0 => {
                let grid = WindowGrid { size_ms: token.size_ms, ..grid };
                if grid.hop_ms == plan.pane_ms && request.window.is_none() {
                    let spans = vec![grid.span(token.last_end)];
                    return Ok(Selection::Windows { grid, spans });
                }
                select::spans(grid, token.first_end.saturating_sub(1), token.last_end, None, self.max_cells)
            }
            (selection, _) => Ok(selection),
        }
    }
}

fn extent(plan: &AggregatePlan, tasks: &[Arc<Task>], closing: Closing) -> Extent {
    let mut extent = Extent { newest: None, oldest_end: oldest_pane_end(plan, tasks), closing };
    for task in tasks {
        let view = task.view.read();
        extent.newest = extent.newest.max(view.record().stream_time);
    }
    extent
}

/// End of the oldest pane that any of the tasks holds, Unix milliseconds.
pub fn oldest_pane_end(plan: &AggregatePlan, tasks: &[Arc<Task>]) -> Option<i64> {
    let oldest = |task: &Arc<Task>| Some(task.view.read().aggregate(plan.id)?.panes().next()?.0.end);
    tasks.iter().filter_map(oldest).min()
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
    let stat = OrderStat::parse(&by.stat)?;
    let at = gathered.iter().position(|&index| index == measure).unwrap_or_else(|| {
        gathered.push(measure);
        gathered.len() - 1
    });
    let kind = plan.measures[measure].kind.clone();
    Ok((Order { by: Some((at, kind, stat, by.ascending)) }, gathered))
}
