//! The read side: committed state → totals and windows, merged over partitions. It changes nothing, and waits for nobody
//! but the group's other agents, and not long for those.

#![forbid(unsafe_code)]

mod answer;
mod closing;
mod error;
mod gather;
mod group;
mod matcher;
mod parts;
mod peers;
mod question;
mod relate;
mod request;
mod select;
mod serve;
mod status;
mod value;
mod wire;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use crate::sources::{Inputs, Sources, aggregates};
pub use answer::Row;
pub use closing::{Closing, Progress};
pub use error::QueryError;
pub use gather::{AsOf, Ask, Gathered, States, gather};
pub use group::{Everyone, GroupReader, Missing, gather_window};
pub use matcher::{MatchOp, Matcher, Matchers};
pub use parts::Parts;
pub use request::{OrderBy, Request, Time};
pub use serve::{serve, serve_parts};
pub use status::{Condition, Known, Notes, PartitionStatus, Readiness, as_gathered, not_ready};
pub use value::{buckets, quantile, value};
pub use wire::status as status_to_proto;

use crate::aggregate::AggregatePlan;
use crate::clock::Clock;
use crate::state::{Registry, Task};
use question::Question;
use std::sync::Arc;

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
    /// The partitions that the answer was made from, by topic and number.
    pub as_of: Vec<PartitionStatus>,
    pub missing: Vec<Missing>,
}

impl Reader {
    /// Answers from this agent's own tasks.
    ///
    /// # Errors
    /// If the request asks for what there is not, makes no sense, or has too large an answer.
    pub fn query(&self, request: &Request) -> Result<Answer, QueryError> {
        let question = self.question(request)?;
        let tasks = question.inputs.tasks(&self.registry);
        let missing = question.inputs.missing(&self.registry, &tasks);
        let missing = missing.into_iter().map(Missing::not_here).collect();
        self.answer(&question, &tasks, missing)
    }

    /// Answers from these tasks alone.
    fn answer(
        &self,
        question: &Question<'_>,
        tasks: &[Arc<Task>],
        missing: Vec<Missing>,
    ) -> Result<Answer, QueryError> {
        let mut known = self.known(&question.plan, tasks);
        let selection = question.select(&known)?;
        let gathered = gather(&question.ask(&selection), tasks)?;
        status::as_gathered(&mut known, &gathered);
        Ok(question.finish(&selection, gathered, known, missing))
    }

    /// All partitions of what an aggregate counts: this agent's tasks, and replicas of the others. `None` if some are not here.
    pub fn whole(&self, inputs: &Inputs) -> Option<Vec<Arc<Task>>> {
        let mut tasks = inputs.tasks(&self.registry);
        for id in inputs.missing(&self.registry, &tasks) {
            tasks.push(self.registry.replica(&id)?);
        }
        Some(tasks)
    }

    /// How far tasks are, as far as an aggregate goes.
    pub fn known(&self, plan: &AggregatePlan, tasks: &[Arc<Task>]) -> Vec<Known> {
        let now = self.clock.now();
        tasks.iter().map(|task| Known::of(task, plan, now)).collect()
    }

    fn question<'a>(&self, request: &'a Request) -> Result<Question<'a>, QueryError> {
        let name = &request.aggregate;
        let sources = self.sources.now();
        let found = aggregates(&sources).find(|(_, plan)| plan.config.name == *name);
        let (inputs, plan) = found.ok_or_else(|| {
            let known = aggregates(&sources).map(|(_, plan)| plan.config.name.clone()).collect();
            QueryError::UnknownAggregate { name: name.clone(), known }
        })?;
        Question::new(request, inputs.clone(), plan.clone(), self.max_cells)
    }
}
