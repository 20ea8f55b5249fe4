//! What the answers say.

use super::ask::Questions;
use super::kinds::{form, is_of_totals, is_ranking, sessions};
use crate::human;
use crate::measure::Form;
use std::collections::BTreeMap;
use std::time::Duration;
use streamgauge_proto::types::Timestamp;
use streamgauge_proto::v1 as pb;

/// The answers to the questions about an aggregate.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub totals: pb::QueryResponse,
    pub series: pb::QueryResponse,
    pub keys: pb::QueryResponse,
    /// Empty if nothing ranks items.
    pub whole: pb::QueryResponse,
    /// Empty if there are no sessions.
    pub sessions: pb::QueryResponse,
    pub closed: Vec<pb::QueryResponse>,
}

/// One aggregate now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    pub name: String,
    pub source: String,
    pub topics: Vec<String>,
    /// Length of the stretch, and between two points, milliseconds.
    pub stretch: i64,
    pub step: i64,
    /// End of the newest step, Unix milliseconds.
    pub through: Option<i64>,
    pub lines: Vec<Line>,
    pub keys: Keys,
    pub rankings: Vec<Ranking>,
    /// The newest first; `None`: the aggregate makes none.
    pub sessions: Option<Vec<Session>>,
    pub closed: Vec<Window>,
    /// Partitions whose state is not in it, each with the reason.
    pub missing: Vec<String>,
}

/// One measure over the stretch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub measure: String,
    /// What the points are: `per second`, `p99` and so on.
    pub what: &'static str,
    pub unit: String,
    /// One for each step, oldest first; `None`: there was no event. The last step is still being filled.
    pub points: Vec<Option<f64>>,
    /// A second line in the same unit, such as the median below the p99.
    pub below: Option<(&'static str, Vec<Option<f64>>)>,
    /// Since the state began, of what adds up.
    pub total: Option<f64>,
}

/// The items that had most in the stretch.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub measure: String,
    pub unit: String,
    /// The largest first: at least so much each, and at most `error` more.
    pub items: Vec<(String, f64)>,
    pub error: f64,
}

/// A number with its heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub heading: String,
    pub number: Option<f64>,
    /// What has that number, where items are ranked.
    pub item: Option<String>,
    pub unit: String,
    /// What to order by for this column: a measure and a statistic.
    pub order: (String, String),
    /// Of what adds up: the part of the first column that it is, if it counts some of what that counts.
    pub share: Option<f64>,
}

impl Measured {
    /// For people.
    pub fn text(&self) -> String {
        let number = self.number.map(|number| human::value(number, &self.unit));
        match (number, &self.item) {
            (Some(number), Some(item)) => format!("{item} ({number})"),
            (number, _) => number.unwrap_or_else(|| "–".to_owned()),
        }
    }
}

/// The keys of the stretch, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    pub labels: Vec<String>,
    pub rows: Vec<(Vec<String>, Vec<Measured>)>,
}

/// A stretch of activity of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Values of the labels of [`Keys`].
    pub labels: Vec<String>,
    /// Its first event and its last one so far, Unix milliseconds.
    pub start: i64,
    pub end: i64,
    pub events: u64,
    pub is_closed: bool,
}

impl Session {
    /// From its first event to its last, milliseconds.
    pub fn length(&self) -> i64 {
        self.end - self.start
    }
}

/// The newest closed window of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// As the config writes it: `5m/1m`.
    pub kind: String,
    /// Unix milliseconds; `None`: none has closed yet, or it has no events.
    pub end: Option<i64>,
    pub measured: Vec<Measured>,
}

/// One agent of the group, by the partitions that it answers for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// Empty: the one that was asked.
    pub address: String,
    pub partitions: usize,
    /// Messages behind, of those whose lag is known.
    pub lag: u64,
    /// Lowest stream time of its partitions that are not idle, Unix milliseconds.
    pub stream_time: Option<i64>,
    /// Its newest commit, Unix milliseconds.
    pub committed_at: Option<i64>,
    /// Partitions that do not simply run: what they are, and how many.
    pub not_running: BTreeMap<&'static str, usize>,
}

/// What the answers say of an aggregate.
pub fn overview(info: &pb::AggregateInfo, questions: &Questions, answers: &Answers) -> Overview {
    let through = answers.series.rows.iter().filter_map(|row| row.window_end.map(millis)).max();
    let (ranked, lined): (Vec<_>, Vec<_>) = info.measures.iter().partition(|measure| is_ranking(form(&measure.kind)));
    let lines = lined.into_iter().map(|measure| line(measure, questions, answers, through)).collect();
    let closed = info.windows.iter().zip(&answers.closed).map(|(window, answer)| Window {
        kind: kind(window),
        end: answer.rows.first().and_then(|row| row.window_end.map(millis)),
        measured: answer.rows.first().map(|row| measured(info, row)).unwrap_or_default(),
    });
    let key = |row: &pb::Row| (labels_of(info, row), measured(info, row));
    Overview {
        name: info.name.clone(),
        source: info.source.clone(),
        topics: info.topics.clone(),
        stretch: questions.stretch,
        step: questions.step,
        through,
        lines,
        keys: Keys { labels: info.labels.clone(), rows: answers.keys.rows.iter().map(key).collect() },
        rankings: ranked.into_iter().filter_map(|measure| ranking(measure, &answers.whole)).collect(),
        sessions: sessions(info).map(|_| newest_sessions(info, questions, &answers.sessions)),
        closed: closed.collect(),
        missing: answers
            .series
            .missing
            .iter()
            .map(|missing| format!("{}/{}: {}", missing.topic, missing.partition, missing.reason))
            .collect(),
    }
}

fn labels_of(info: &pb::AggregateInfo, row: &pb::Row) -> Vec<String> {
    let label = |label: &String| match row.overflow {
        true => "(beyond the limit)".to_owned(),
        false => row.labels.get(label).cloned().unwrap_or_default(),
    };
    info.labels.iter().map(label).collect()
}

/// As many as keys were asked for: the newest of all are among those of the keys that have the newest.
fn newest_sessions(info: &pb::AggregateInfo, questions: &Questions, answer: &pb::QueryResponse) -> Vec<Session> {
    let of_row = |row: &pb::Row| {
        let labels = labels_of(info, row);
        let session = move |session: &pb::Session| Session {
            labels: labels.clone(),
            start: session.start.map_or(0, millis),
            end: session.end.map_or(0, millis),
            events: session.events,
            is_closed: session.closed,
        };
        row.values.iter().flat_map(|value| &value.sessions).map(session).collect::<Vec<_>>()
    };
    let mut all: Vec<Session> = answer.rows.iter().flat_map(of_row).collect();
    all.sort_by(|a, b| (b.end, b.start, &a.labels).cmp(&(a.end, a.start, &b.labels)));
    all.truncate(questions.keys.limit as usize);
    all
}

fn ranking(measure: &pb::MeasureInfo, whole: &pb::QueryResponse) -> Option<Ranking> {
    let value = value_of(whole.rows.first()?, &measure.name)?;
    Some(Ranking {
        measure: measure.name.clone(),
        unit: measure.unit.clone(),
        items: value.top.iter().map(|item| (item.item.clone(), item.value)).collect(),
        error: value.top_error.unwrap_or_default(),
    })
}

fn line(measure: &pb::MeasureInfo, questions: &Questions, answers: &Answers, through: Option<i64>) -> Line {
    let count = usize::try_from(questions.stretch / questions.step).unwrap_or(1);
    let points = |number: &dyn Fn(&pb::MeasureValue) -> Option<f64>| {
        let mut points = vec![None; count];
        for row in &answers.series.rows {
            let (Some(end), Some(through)) = (row.window_end.map(millis), through) else { continue };
            let back = usize::try_from((through - end) / questions.step).unwrap_or(usize::MAX);
            if let Some(point) = count.checked_sub(back + 1).and_then(|at| points.get_mut(at)) {
                *point = value_of(row, &measure.name).and_then(number);
            }
        }
        points
    };
    let line = Line { measure: measure.name.clone(), unit: measure.unit.clone(), ..Line::default() };
    match form(&measure.kind) {
        Some((Form::Sum | Form::Counters, own)) => {
            let seconds = questions.step as f64 / 1e3;
            let total = answers.totals.rows.first().and_then(|row| value_of(row, &measure.name));
            Line {
                what: "per second",
                points: points(&|value| own.published(value).map(|number| number / seconds)),
                total: total.and_then(|value| own.published(value)),
                ..line
            }
        }
        // Rankings have no line.
        Some((Form::Gauge(_) | Form::Estimate | Form::Summary | Form::Ranking, own)) => {
            Line { what: own.word(), points: points(&|value| own.published(value)), ..line }
        }
        Some((Form::Exponential | Form::Explicit, _)) | None => Line {
            what: "p99",
            points: points(&|value| quantile(value, 0.99)),
            below: Some(("p50", points(&|value| quantile(value, 0.5)))),
            ..line
        },
    }
}

/// The numbers of a row: one for each measure, and quantiles of distributions.
fn measured(info: &pb::AggregateInfo, row: &pb::Row) -> Vec<Measured> {
    let mut all: Vec<Measured> = Vec::new();
    let mut whole = None;
    for measure in info.measures.iter().filter(|measure| !is_of_totals(&measure.kind)) {
        let value = value_of(row, &measure.name);
        let one = |heading: String, stat: &str, number: Option<f64>| Measured {
            heading,
            number,
            item: None,
            unit: measure.unit.clone(),
            order: (measure.name.clone(), stat.to_owned()),
            share: None,
        };
        match form(&measure.kind) {
            Some((Form::Ranking, _)) => {
                let first = value.and_then(|value| value.top.first());
                let mut one = one(measure.name.clone(), "", first.map(|item| item.value));
                one.item = first.map(|item| item.item.clone());
                all.push(one);
            }
            Some((Form::Sum | Form::Counters | Form::Gauge(_) | Form::Estimate | Form::Summary, own)) => {
                let number = value.and_then(|value| own.published(value));
                let mut one = one(measure.name.clone(), "", number);
                if measure.kind == "count" {
                    match whole {
                        None => whole = number,
                        Some(whole) => one.share = number.filter(|_| whole > 0.0).map(|number| number / whole),
                    }
                }
                all.push(one);
            }
            Some((Form::Exponential | Form::Explicit, _)) | None => {
                for (stat, q) in [("p50", 0.5), ("p99", 0.99)] {
                    let number = value.and_then(|value| quantile(value, q));
                    all.push(one(format!("{} {stat}", measure.name), stat, number));
                }
            }
        }
    }
    all
}

/// How much per second came to the totals between two looks, so far apart: by measure, of what adds up. `None` without a
/// look before, or if the totals went back.
pub fn per_second(now: &Overview, before: Option<&Overview>, apart: Duration) -> Vec<Option<f64>> {
    let rate = |line: &Line| {
        let then = before?.lines.iter().find(|then| then.measure == line.measure)?.total?;
        let grown = line.total? - then;
        (grown >= 0.0 && !apart.is_zero()).then(|| grown / apart.as_secs_f64())
    };
    now.lines.iter().map(rate).collect()
}

/// The agents that the partitions of these answers were read from.
pub fn agents<'a>(answers: impl IntoIterator<Item = &'a pb::QueryResponse>) -> Vec<Agent> {
    use pb::partition_status::State;
    // A partition is in the answers of all aggregates of its source.
    let mut partitions: BTreeMap<(&str, i32), &pb::PartitionStatus> = BTreeMap::new();
    for answer in answers {
        partitions.extend(answer.as_of.iter().map(|at| ((at.topic.as_str(), at.partition), at)));
    }
    let mut agents: BTreeMap<&str, Agent> = BTreeMap::new();
    for at in partitions.into_values() {
        let agent = agents.entry(&at.agent).or_insert_with(|| Agent { address: at.agent.clone(), ..Agent::default() });
        agent.partitions += 1;
        agent.lag += at.lag.unwrap_or(0);
        let stream_time = at.stream_time.map(millis).filter(|_| !at.idle);
        agent.stream_time = agent.stream_time.into_iter().chain(stream_time).min();
        agent.committed_at = agent.committed_at.max(at.committed_at.map(millis));
        let state = match at.state() {
            State::Running => continue,
            State::Restoring => "restoring",
            State::Stale => "stale",
            State::Replica => "replica",
            State::Unspecified => "unknown",
        };
        *agent.not_running.entry(state).or_default() += 1;
    }
    agents.into_values().collect()
}

fn value_of<'a>(row: &'a pb::Row, measure: &str) -> Option<&'a pb::MeasureValue> {
    row.values.iter().find(|value| value.measure == measure)
}

fn quantile(value: &pb::MeasureValue, q: f64) -> Option<f64> {
    value.quantiles.iter().find(|known| (known.quantile - q).abs() < 1e-9).map(|known| known.value)
}

fn kind(window: &pb::WindowInfo) -> String {
    let text = |duration: &streamgauge_proto::types::Duration| {
        crate::config::format_duration(Duration::try_from(*duration).unwrap_or_default())
    };
    match (&window.size, &window.hop) {
        (Some(size), Some(hop)) if size != hop => format!("{}/{}", text(size), text(hop)),
        (Some(size), _) => text(size),
        (None, _) => String::new(),
    }
}

fn millis(time: Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000)
}
