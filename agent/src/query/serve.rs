//! What this agent answers to another one of its group: partial states of the partitions asked for.

use super::error::QueryError;
use super::gather::{Ask, Gathered, gather};
use super::matcher::Matchers;
use super::parts::Parts;
use super::status::Known;
use super::{Reader, aggregates, status, wire};
use crate::aggregate::AggregatePlan;
use crate::state::{Phase, Task, TaskId};
use std::borrow::Cow;
use std::sync::Arc;
use streamgauge_proto::peer::v1 as peer;

/// Answers with the partitions that are here, running or as a replica.
///
/// # Errors
/// If the aggregate is not one of this agent's config, the request makes no sense, or the answer is too large.
pub fn serve(reader: &Reader, request: peer::ReadRequest) -> Result<peer::ReadResponse, QueryError> {
    let Here { plan, tasks, mut known } = Here::of(reader, &request)?;
    let plan = &*plan;
    let Some(selection) = request.selection else { return Ok(wire::gathered(&known, Gathered::default())) };
    let invalid = |what: &str| QueryError::Invalid(what.to_owned());
    let matchers: Option<Vec<_>> = selection.matchers.iter().cloned().map(wire::matcher_from).collect();
    let matchers = Matchers::new(&matchers.ok_or_else(|| invalid("unknown operator"))?, plan)?;
    let positions = |at: &[u32], below: usize| {
        let at: Vec<usize> = at.iter().map(|&at| at as usize).collect();
        at.iter().all(|&at| at < below).then_some(at).ok_or_else(|| invalid("no such label or measure"))
    };
    let measures = positions(&selection.measures, plan.measures.len())?;
    let group_by = selection.group_by.as_ref().map(|group| positions(&group.at, plan.config.by.len())).transpose()?;
    let spans = wire::spans(&selection);
    if spans.as_ref().is_some_and(|spans| spans.len() > reader.max_cells) {
        return Err(QueryError::TooManyCells { limit: reader.max_cells });
    }
    let ask = Ask {
        plan,
        spans: spans.as_deref().map(Cow::Borrowed),
        matchers: &matchers,
        group_by: group_by.as_deref(),
        measures: &measures,
        limit: reader.max_cells.min(usize::try_from(selection.limit).unwrap_or(usize::MAX)),
    };
    let gathered = gather(&ask, &tasks)?;
    status::as_gathered(&mut known, &gathered);
    Ok(wire::gathered(&known, gathered))
}

/// The same for what is published: windows with all their keys and measures, in parts.
///
/// # Errors
/// As [`serve`], but for the size of the answer.
pub fn serve_parts(reader: &Reader, request: peer::ReadRequest) -> Result<Parts, QueryError> {
    let Here { plan, tasks, known } = Here::of(reader, &request)?;
    let selection = request.selection.unwrap_or_default();
    let is_all = selection.matchers.is_empty()
        && selection.group_by.is_none()
        && selection.measures.iter().copied().eq(0..plan.measures.len() as u32);
    match wire::spans(&selection) {
        Some(spans) if is_all => Ok(Parts::new(plan, &spans, &tasks, known)),
        _ => Err(QueryError::Invalid("only whole windows are answered in parts".to_owned())),
    }
}

/// What a request is about, as far as it is here.
struct Here {
    plan: Arc<AggregatePlan>,
    tasks: Vec<Arc<Task>>,
    known: Vec<Known>,
}

impl Here {
    fn of(reader: &Reader, request: &peer::ReadRequest) -> Result<Here, QueryError> {
        let sources = reader.sources.now();
        let found = aggregates(&sources).find(|(_, plan)| plan.id.0 == request.aggregate);
        let (inputs, plan) = found.ok_or_else(|| QueryError::UnknownAggregate {
            name: format!("{:016x}", request.aggregate),
            known: aggregates(&sources).map(|(_, plan)| format!("{:016x}", plan.id.0)).collect(),
        })?;
        let here = request.partitions.iter().filter_map(|partition| {
            let id = TaskId { topic: partition.topic.as_str().into(), partition: partition.partition };
            here(reader, &id).filter(|task| inputs.has(task))
        });
        let tasks: Vec<Arc<Task>> = here.collect();
        let mut known = reader.known(plan, &tasks);
        if request.panes {
            let with_panes = |(known, task): (Known, &Arc<Task>)| known.with_panes(task, plan);
            known = known.into_iter().zip(&tasks).map(with_panes).collect();
        }
        Ok(Here { plan: plan.clone(), tasks, known })
    }
}

/// The task, or else a replica of it. One that is being restored has nothing to show before it is through, but for what
/// a replica has left it.
fn here(reader: &Reader, id: &TaskId) -> Option<Arc<Task>> {
    let own = reader.registry.task(id);
    let replica = || reader.registry.replica(id);
    match own {
        Some(task) if task.phase() == Phase::Running => Some(task),
        own => replica().or(own),
    }
}
