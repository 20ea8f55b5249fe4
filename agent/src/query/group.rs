//! One answer for the whole group: what is not here is asked of its owners, else read from replicas, and merged.
//!
//! An agent that has every partition pays nothing for it. An agent that does not answer costs its deadline once; its
//! partitions are named as missing, and the rest is answered.

use super::error::QueryError;
use super::gather::{Ask, Gathered, gather};
use super::matcher::Matcher;
use super::matcher::Matchers;
use super::peers::{PeerError, Peers, too_large};
use super::relate::{dropped_before, relate, with_earlier};
use super::select::{Selection, is_totals};
use super::status::{Known, as_gathered};
use super::{Answer, Inputs, Reader, Request, wire};
use crate::aggregate::{AggregatePlan, WindowSpan};
use crate::server::PeerKeys;
use crate::state::{Address, Directory, Group, Task, TaskId};
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use streamgauge_proto::peer::v1 as peer;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};

/// A partition whose state is not in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub id: TaskId,
    /// Why, for people.
    pub reason: String,
}

impl Missing {
    pub(super) fn not_here(id: TaskId) -> Missing {
        Missing { id, reason: "another agent's".to_owned() }
    }
}

/// The group, read from this agent.
#[derive(Debug)]
pub struct GroupReader {
    pub reader: Arc<Reader>,
    pub directory: Arc<Directory>,
    peers: Arc<Peers>,
    /// Copies of each partition that other agents keep.
    standbys: usize,
    /// This agent's replicas are read first, instead of asking owners.
    global_view: bool,
}

/// What one agent answered.
type Part = (Address, Vec<Known>, Gathered);

/// What all agents answered, and what nobody did.
#[derive(Debug, Default)]
struct Round {
    pub parts: Vec<Part>,
    pub missing: Vec<Missing>,
}

/// What to ask of others.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// Only how far they are, with the ends of their panes or without.
    Progress {
        panes: bool,
    },
    Cells(&'a Ask<'a>, &'a [Matcher]),
}

/// How far all partitions that an aggregate counts are, and where each can be read.
#[derive(Debug, Default)]
pub struct Everyone {
    /// Those that are read here.
    pub tasks: Vec<Arc<Task>>,
    /// Of those, in their order, then of those that others have.
    pub known: Vec<Known>,
    places: Vec<(Address, Vec<TaskId>)>,
    pub missing: Vec<TaskId>,
}

impl Everyone {
    /// Whether all partitions are read here.
    pub fn is_here(&self) -> bool {
        self.places.is_empty() && self.missing.is_empty()
    }

    /// All partitions.
    pub fn all(&self) -> impl Iterator<Item = &TaskId> {
        self.known.iter().map(|known| &known.status.id).chain(&self.missing)
    }
}

impl GroupReader {
    pub fn new(
        reader: Arc<Reader>,
        directory: Arc<Directory>,
        metrics: Arc<Metrics>,
        standbys: usize,
        global_view: bool,
        keys: PeerKeys,
    ) -> GroupReader {
        let peers = Arc::new(Peers::new(reader.clock.clone(), metrics, keys));
        GroupReader { reader, directory, peers, standbys, global_view }
    }

    /// An agent that knows of no others.
    pub fn alone(reader: Arc<Reader>) -> GroupReader {
        GroupReader::new(reader, Arc::default(), Arc::default(), 0, false, PeerKeys::default())
    }

    /// # Errors
    /// If the request asks for what there is not, makes no sense, or has too large an answer.
    pub async fn query(&self, request: &Request) -> Result<Answer, QueryError> {
        let question = self.reader.question(request)?;
        let (mut tasks, absent) = self.here(&question.inputs);
        if absent.is_empty() {
            return self.reader.answer(&question, &tasks, Vec::new());
        }
        // Totals can be asked for before it is known how far anybody is.
        let totals = is_totals(request).then_some(Selection::Totals);
        let ask = totals.as_ref().map(|totals| question.ask(totals));
        let wanted = match &ask {
            Some(ask) => Wanted::Cells(ask, &request.matchers),
            None => Wanted::Progress { panes: false },
        };
        let mut round = self.round(&question.plan, absent, wanted).await?;
        tasks.extend(self.replicas_of(&mut round.missing));
        let mut known = self.reader.known(&question.plan, &tasks);
        let selection = match totals {
            Some(totals) => totals,
            None => {
                let everyone = round.parts.iter().flat_map(|(_, known, _)| known);
                let all: Vec<Known> = known.iter().chain(everyone).cloned().collect();
                let selection = question.select(&all)?;
                let ask = question.ask(&selection);
                round = self.again(&question.plan, round, (&ask, &request.matchers)).await?;
                selection
            }
        };
        let mut gathered = gather(&question.ask(&selection), &tasks)?;
        as_gathered(&mut known, &gathered);
        for (_, theirs, cells) in round.parts {
            known.extend(theirs);
            gathered.absorb(cells, self.reader.max_cells)?;
        }
        round.missing.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(question.finish(&selection, gathered, known, round.missing))
    }

    /// What is read on this agent, and the partitions that are not.
    fn here(&self, inputs: &Inputs) -> (Vec<Arc<Task>>, Vec<TaskId>) {
        let registry = &self.reader.registry;
        let mut tasks = inputs.tasks(registry);
        let mut absent = inputs.missing(registry, &tasks);
        if self.global_view {
            absent.retain(|id| match registry.replica(id) {
                Some(replica) => {
                    tasks.push(replica);
                    false
                }
                None => true,
            });
        }
        (tasks, absent)
    }

    /// Takes those out of `missing` that this agent has a replica of.
    fn replicas_of(&self, missing: &mut Vec<Missing>) -> Vec<Arc<Task>> {
        let mut found = Vec::new();
        missing.retain(|missing| match self.reader.registry.replica(&missing.id) {
            Some(replica) => {
                found.push(replica);
                false
            }
            None => true,
        });
        found
    }

    /// Asks the owners of `absent`, then whoever has replicas of what they did not answer.
    async fn round(&self, plan: &AggregatePlan, absent: Vec<TaskId>, wanted: Wanted<'_>) -> Result<Round, QueryError> {
        let group = self.directory.group();
        self.peers.keep(&group);
        let (places, missing) = by_owner(&group, self.directory.own(), absent);
        let mut round = self.scatter(plan, places, wanted).await?;
        round.missing.extend(missing);
        if !round.missing.is_empty() {
            self.directory.want();
        }
        let places = by_standby(&group, self.directory.own(), &round.missing, self.standbys);
        if !places.is_empty() {
            let replicas = self.scatter(plan, places, wanted).await?;
            let found = |id: &TaskId| replicas.parts.iter().any(|part| part.1.iter().any(|k| k.status.id == *id));
            round.missing.retain(|missing| !found(&missing.id));
            round.parts.extend(replicas.parts);
        }
        Ok(round)
    }

    /// Asks those who answered a first time for cells.
    async fn again(
        &self,
        plan: &AggregatePlan,
        before: Round,
        wanted: (&Ask<'_>, &[Matcher]),
    ) -> Result<Round, QueryError> {
        let ids = |known: Vec<Known>| known.into_iter().map(|known| known.status.id).collect();
        let places = before.parts.into_iter().map(|(address, known, _)| (address, ids(known)));
        let mut round = self.scatter(plan, places.collect(), Wanted::Cells(wanted.0, wanted.1)).await?;
        round.missing.extend(before.missing);
        Ok(round)
    }

    /// Asks all these agents at once; each has its deadline.
    async fn scatter(
        &self,
        plan: &AggregatePlan,
        places: Vec<(Address, Vec<TaskId>)>,
        wanted: Wanted<'_>,
    ) -> Result<Round, QueryError> {
        let (selection, shape, panes) = match wanted {
            Wanted::Progress { panes } => (None, None, panes),
            Wanted::Cells(ask, matchers) => {
                let shape = (ask.measures, ask.spans.as_deref().map_or(1, <[_]>::len));
                (Some(wire::selection(ask, matchers)), Some(shape), false)
            }
        };
        let mut calls = JoinSet::new();
        for (address, ids) in places {
            let request = peer::ReadRequest {
                aggregate: plan.id.0,
                partitions: ids.iter().map(wire::partition).collect(),
                selection: selection.clone(),
                panes,
            };
            let peers = self.peers.clone();
            calls.spawn(async move {
                let answer = peers.read(&address, request).await;
                (address, ids, answer)
            });
        }
        let mut round = Round::default();
        while let Some(joined) = calls.join_next().await {
            // A panic in there is a bug, and has been reported by the panic hook.
            let Ok((address, ids, answer)) = joined else { continue };
            let checked = match answer {
                Ok(answer) => wire::answered(answer, plan, &ids, shape)
                    .map_err(|what| format!("the answer of the agent at {address} makes no sense: {what}")),
                Err(PeerError::TooLarge) => return Err(too_large(self.reader.max_cells)),
                Err(PeerError::Failed(reason)) => Err(reason),
            };
            match checked {
                Ok((mut known, gathered)) => {
                    known.iter_mut().for_each(|known| known.status.agent = Some(address.clone()));
                    let absent = ids.into_iter().filter(|id| known.iter().all(|known| known.status.id != *id));
                    let reason = format!("the agent at {address} does not have it (yet, or any more)");
                    round.missing.extend(absent.map(|id| Missing { id, reason: reason.clone() }));
                    round.parts.push((address, known, gathered));
                }
                Err(reason) => round.missing.extend(ids.into_iter().map(|id| Missing { id, reason: reason.clone() })),
            }
        }
        Ok(round)
    }
}

impl GroupReader {
    /// How far every partition that an aggregate counts is, and where it can be read: here, or with its owner, or with whoever has a
    /// replica. `panes`: with the ends of the panes held.
    ///
    /// # Errors
    /// If another agent's answer is too large.
    pub async fn everyone(&self, inputs: &Inputs, plan: &AggregatePlan, panes: bool) -> Result<Everyone, QueryError> {
        let (mut tasks, absent) = match self.reader.whole(inputs) {
            Some(tasks) => (tasks, Vec::new()),
            None => self.here(inputs),
        };
        let mut round = Round::default();
        if !absent.is_empty() {
            round = self.round(plan, absent, Wanted::Progress { panes }).await?;
            tasks.extend(self.replicas_of(&mut round.missing));
        }
        let mut known = self.reader.known(plan, &tasks);
        if panes {
            known = known.into_iter().zip(&tasks).map(|(known, task)| known.with_panes(task, plan)).collect();
        }
        let mut places = Vec::new();
        for (address, theirs, _) in round.parts {
            places.push((address, theirs.iter().map(|known| known.status.id.clone()).collect()));
            known.extend(theirs);
        }
        let missing = round.missing.into_iter().map(|missing| missing.id).collect();
        Ok(Everyone { tasks, known, places, missing })
    }

    /// All cells of these windows, merged, and how far everyone was when they were read. However many keys there are, no
    /// more than a part of each agent's answer is held beside the result.
    ///
    /// # Errors
    /// Why one of the agents that had been asked how far it is did not answer this time.
    pub async fn windows(
        &self,
        plan: &Arc<AggregatePlan>,
        spans: &[WindowSpan],
        everyone: &Everyone,
    ) -> Result<(Gathered, Vec<Known>), String> {
        let measures: Vec<usize> = (0..plan.measures.len()).collect();
        let (tasks, own) = (everyone.tasks.clone(), plan.clone());
        let all = with_earlier(plan, &measures, spans);
        let (own_spans, own_measures) = (all.clone(), measures.clone());
        let here = move || gather(&whole_windows(&own, &own_spans, &Matchers::default(), &own_measures), &tasks);
        let here = spawn_blocking(here).await.map_err(|error| error.to_string())?;
        let mut gathered = here.map_err(|error| error.to_string())?;
        let mut known = everyone.known[..everyone.tasks.len()].to_vec();
        as_gathered(&mut known, &gathered);
        if everyone.places.is_empty() {
            relate(&mut gathered, plan, &measures, Some(spans), dropped_before(&known));
            return Ok((gathered, known));
        }
        let matchers = Matchers::default();
        let selection = wire::selection(&whole_windows(plan, &all, &matchers, &measures), &[]);
        let (sender, mut parts) = mpsc::channel(1);
        let mut calls = JoinSet::new();
        for (address, ids) in everyone.places.clone() {
            let request = peer::ReadRequest {
                aggregate: plan.id.0,
                partitions: ids.iter().map(wire::partition).collect(),
                selection: Some(selection.clone()),
                panes: false,
            };
            let (peers, sender, ids) = (self.peers.clone(), sender.clone(), Arc::<[TaskId]>::from(ids));
            calls.spawn(async move {
                let pass_on = async {
                    let mut parts = peers.gather(&address, request).await?;
                    while let Some(part) = peers.part(&address, &mut parts).await? {
                        if sender.send(Ok((ids.clone(), part))).await.is_err() {
                            break;
                        }
                    }
                    Ok(())
                };
                let failure = match pass_on.await {
                    Ok(()) => return,
                    Err(PeerError::TooLarge) => format!("the agent at {address} has too much to answer"),
                    Err(PeerError::Failed(reason)) => reason,
                };
                drop(sender.send(Err(failure)).await);
            });
        }
        drop(sender);
        while let Some(part) = parts.recv().await {
            let (ids, part) = part?;
            let (theirs, cells) = wire::answered(part, plan, &ids, Some((&measures, all.len())))?;
            known.extend(theirs);
            // Without a limit nothing is refused.
            let _ = gathered.absorb(cells, usize::MAX);
        }
        relate(&mut gathered, plan, &measures, Some(spans), dropped_before(&known));
        match everyone.known.iter().find(|asked| known.iter().all(|known| known.status.id != asked.status.id)) {
            Some(gone) => Err(format!("{}: its agent does not have it any more", gone.status.id)),
            None => Ok((gathered, known)),
        }
    }
}

/// All cells of one window, read from these tasks; `known` is how far they are, in their order.
///
/// # Errors
/// Never for their number: without a limit nothing is refused.
pub fn gather_window(
    plan: &AggregatePlan,
    span: WindowSpan,
    tasks: &[Arc<Task>],
    known: &mut [Known],
) -> Result<Gathered, QueryError> {
    let measures: Vec<usize> = (0..plan.measures.len()).collect();
    let (spans, matchers) = (with_earlier(plan, &measures, &[span]), Matchers::default());
    let mut gathered = gather(&whole_windows(plan, &spans, &matchers, &measures), tasks)?;
    as_gathered(known, &gathered);
    relate(&mut gathered, plan, &measures, Some(&[span]), dropped_before(known));
    Ok(gathered)
}

/// `spans`: with the earlier ones that they are related to.
fn whole_windows<'a>(
    plan: &'a AggregatePlan,
    spans: &'a [WindowSpan],
    matchers: &'a Matchers,
    measures: &'a [usize],
) -> Ask<'a> {
    // There is room for all keys there are; those are limited.
    Ask { plan, spans: Some(spans.into()), matchers, group_by: None, measures, limit: usize::MAX }
}

/// By the member list it is this agent's, and it is not here.
const OWN: &str =
    "this agent is about to take it over; if that stays, another one advertises the same address (grpc.advertise)";

/// Pure: whom to ask for which partitions, and what there is nobody to ask for.
fn by_owner(group: &Group, own: Option<&Address>, absent: Vec<TaskId>) -> (Vec<(Address, Vec<TaskId>)>, Vec<Missing>) {
    let mut places: BTreeMap<Address, Vec<TaskId>> = BTreeMap::new();
    let mut missing = Vec::new();
    for id in absent {
        let reason = match group.owner(&id) {
            Some(owner) if Some(owner) != own => {
                places.entry(owner.clone()).or_default().push(id);
                continue;
            }
            Some(_) => OWN,
            None => "no agent of the group has it now",
        };
        missing.push(Missing { id, reason: reason.to_owned() });
    }
    (places.into_iter().collect(), missing)
}

/// Pure: who may have replicas of what is missing.
fn by_standby(group: &Group, own: Option<&Address>, missing: &[Missing], copies: usize) -> Vec<(Address, Vec<TaskId>)> {
    let mut places: BTreeMap<Address, Vec<TaskId>> = BTreeMap::new();
    for Missing { id, .. } in missing {
        let holder = group.standbys(id, copies).into_iter().find(|holder| Some(holder) != own);
        if let Some(holder) = holder {
            places.entry(holder).or_default().push(id.clone());
        }
    }
    places.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(partition: i32) -> TaskId {
        TaskId { topic: "t".into(), partition }
    }

    #[test]
    fn each_owner_is_asked_once_and_what_nobody_has_is_named() {
        let group =
            Group::new([("a".into(), vec![id(0)]), ("b".into(), vec![id(1), id(2)]), ("b".into(), vec![id(3)])]);
        let (places, missing) = by_owner(&group, Some(&"a".into()), vec![id(0), id(1), id(3), id(4)]);
        assert_eq!(places, [("b".into(), vec![id(1), id(3)])]);
        let missing: Vec<_> = missing.iter().map(|m| (m.id.partition, m.reason.as_str())).collect();
        assert_eq!(missing, [(0, OWN), (4, "no agent of the group has it now")]);
    }

    #[test]
    fn replicas_are_asked_of_others_only_and_of_nobody_without_standbys() {
        let group = Group::new([("a".into(), vec![]), ("b".into(), vec![]), ("c".into(), vec![id(0)])]);
        let missing = [Missing { id: id(0), reason: String::new() }];
        assert!(by_standby(&group, Some(&"a".into()), &missing, 0).is_empty());
        let places = by_standby(&group, Some(&"a".into()), &missing, 2);
        assert_eq!(places, [("b".into(), vec![id(0)])]);
    }
}
