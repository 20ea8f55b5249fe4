//! What agents ask each other, to and from the wire. What comes from there is checked: another agent may run another
//! version, or another config.

use super::gather::{Ask, Gathered, States};
use super::matcher::{MatchOp, Matcher};
use super::status::{Condition, Known, PartitionStatus};
use crate::aggregate::{AggregatePlan, WindowSpan, labels};
use crate::measure::MeasureState;
use crate::state::TaskId;
use streamgauge_proto::peer::v1 as peer;
use streamgauge_proto::types::Timestamp;
use streamgauge_proto::v1 as pb;

/// A partition's status as clients and other agents get it.
pub fn status(status: &PartitionStatus) -> pb::PartitionStatus {
    use pb::partition_status::State;
    let (state, restored) = match status.condition {
        Condition::Running => (State::Running, None),
        Condition::Restoring { done } => (State::Restoring, done),
        Condition::Stale => (State::Stale, None),
        Condition::Replica => (State::Replica, None),
    };
    pb::PartitionStatus {
        topic: status.id.topic.to_string(),
        partition: status.id.partition,
        state: state.into(),
        next_offset: status.next_offset,
        stream_time: status.stream_time.map(timestamp),
        committed_at: status.committed_at.map(timestamp),
        lag: status.lag,
        idle: status.idle,
        restored,
        behind: status.behind,
        agent: status.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp { seconds: millis.div_euclid(1_000), nanos: (millis.rem_euclid(1_000) * 1_000_000) as i32 }
}

fn millis(timestamp: &Timestamp) -> i64 {
    timestamp.seconds.saturating_mul(1_000).saturating_add(i64::from(timestamp.nanos) / 1_000_000)
}

fn status_from(message: pb::PartitionStatus) -> Option<PartitionStatus> {
    use pb::partition_status::State;
    let condition = match message.state() {
        State::Running => Condition::Running,
        State::Restoring => Condition::Restoring { done: message.restored },
        State::Stale => Condition::Stale,
        State::Replica => Condition::Replica,
        State::Unspecified => return None,
    };
    Some(PartitionStatus {
        condition,
        next_offset: message.next_offset,
        stream_time: message.stream_time.as_ref().map(millis),
        committed_at: message.committed_at.as_ref().map(millis),
        lag: message.lag,
        idle: message.idle,
        behind: message.behind,
        agent: None,
        id: TaskId { topic: message.topic.into(), partition: message.partition },
    })
}

pub fn known(known: &Known) -> peer::Progress {
    peer::Progress {
        status: Some(status(&known.status)),
        oldest_pane_end: known.oldest_end,
        silent: known.is_silent,
        panes_expired_before: known.expired_before,
        pane_ends: known.pane_ends.clone(),
    }
}

pub fn partition(id: &TaskId) -> peer::Partition {
    peer::Partition { topic: id.topic.to_string(), partition: id.partition }
}

/// A selection as it is asked of another agent; `matchers` as the request has them.
pub fn selection(ask: &Ask<'_>, matchers: &[Matcher]) -> peer::Selection {
    let positions = |at: &[usize]| at.iter().map(|&at| at as u32).collect();
    let span = |span: &WindowSpan| peer::Span { start: span.start, end: span.end };
    peer::Selection {
        totals: ask.spans.is_none(),
        spans: ask.spans.as_deref().unwrap_or_default().iter().map(span).collect(),
        matchers: matchers.iter().map(matcher).collect(),
        group_by: ask.group_by.map(|at| peer::Positions { at: positions(at) }),
        measures: positions(ask.measures),
        limit: ask.limit as u64,
    }
}

fn matcher(matcher: &Matcher) -> pb::LabelMatcher {
    use pb::label_matcher::Operator;
    let op = match matcher.op {
        // The only number for it that agents of earlier builds know.
        MatchOp::Equal => Operator::Unspecified,
        MatchOp::NotEqual => Operator::NotEqual,
        MatchOp::Matches => Operator::Matches,
        MatchOp::NotMatches => Operator::NotMatches,
    };
    pb::LabelMatcher { label: matcher.label.clone(), op: op.into(), value: matcher.value.clone() }
}

/// A label matcher of a request; `None` if its operator is unknown.
pub fn matcher_from(matcher: pb::LabelMatcher) -> Option<Matcher> {
    use pb::label_matcher::Operator;
    let op = match Operator::try_from(matcher.op).ok()? {
        Operator::Unspecified | Operator::Equal => MatchOp::Equal,
        Operator::NotEqual => MatchOp::NotEqual,
        Operator::Matches => MatchOp::Matches,
        Operator::NotMatches => MatchOp::NotMatches,
    };
    Some(Matcher { label: matcher.label, op, value: matcher.value })
}

/// The windows that are asked for; `None`: totals.
pub fn spans(selection: &peer::Selection) -> Option<Vec<WindowSpan>> {
    let span = |span: &peer::Span| WindowSpan { start: span.start, end: span.end };
    (!selection.totals).then(|| selection.spans.iter().map(span).collect())
}

pub fn cell(group: u32, span: u32, states: &States) -> peer::MergedCell {
    peer::MergedCell { group, span, measures: states.iter().map(MeasureState::encode).collect() }
}

pub fn gathered(known: &[Known], gathered: Gathered) -> peer::ReadResponse {
    let cell = |((group, span), states): ((u32, u32), States)| cell(group, span, &states);
    peer::ReadResponse {
        partitions: known.iter().map(self::known).collect(),
        groups: gathered.groups.iter().map(|labels| labels.to_vec()).collect(),
        cells: gathered.cells.into_iter().map(cell).collect(),
    }
}

/// What another agent answered to `asked`; `measures`: positions of the measures asked for, `spans`: how many windows.
///
/// # Errors
/// What is wrong with it.
pub fn answered(
    response: peer::ReadResponse,
    plan: &AggregatePlan,
    asked: &[TaskId],
    selection: Option<(&[usize], usize)>,
) -> Result<(Vec<Known>, Gathered), &'static str> {
    let mut all = Vec::with_capacity(response.partitions.len());
    for progress in response.partitions {
        let status = progress.status.and_then(status_from).ok_or("a partition's state is unknown")?;
        if !asked.contains(&status.id) || all.iter().any(|known: &Known| known.status.id == status.id) {
            return Err("it has partitions in it that were not asked for");
        }
        all.push(Known {
            status,
            oldest_end: progress.oldest_pane_end,
            is_silent: progress.silent,
            expired_before: progress.panes_expired_before,
            pane_ends: progress.pane_ends,
        });
    }
    let mut gathered = Gathered::default();
    for group in response.groups {
        labels(&group).ok_or("a group's labels cannot be read")?;
        gathered.groups.push(group.into());
    }
    let (measures, spans) = selection.unwrap_or_default();
    for cell in response.cells {
        if cell.group as usize >= gathered.groups.len() || cell.span as usize >= spans {
            return Err("a cell is of no group or window");
        }
        if cell.measures.len() != measures.len() {
            return Err("a cell has another number of measures");
        }
        let states = cell
            .measures
            .into_iter()
            .zip(measures)
            .map(|(state, &at)| MeasureState::decode(state).filter(|state| state.fits(&plan.measures[at].kind)));
        let states: Option<States> = states.collect();
        gathered.cells.insert((cell.group, cell.span), states.ok_or("a measure's state cannot be read")?);
    }
    Ok((all, gathered))
}
