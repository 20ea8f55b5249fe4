//! Which single events were unusual: what measures of the kind `anomaly` found when they counted them. Events are read from
//! Kafka and know nothing of that; the keys' totals, wherever in the group they are, tell the newest unusual values.

use crate::config::LabelField;
use crate::measure::{MeasureState, Unusual};
use crate::query::{Answer, GroupReader, MatchOp, Matcher, Request, aggregates};
use crate::recent::{Event, Heard, Judged, RecentError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use tokio::sync::mpsc;

/// A longer pattern of labels is not worth asking for.
const LONGEST_PATTERN: usize = 16 << 10;
/// How long events that come wait for being counted, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(50);

/// What the totals of the keys that some events are of tell.
#[derive(Default)]
pub struct Told {
    /// By aggregate and measure, then by labels.
    unusual: BTreeMap<(String, String), BTreeMap<Vec<String>, Vec<Unusual>>>,
    /// Next input offset of each partition, by aggregate: what is before it has been judged.
    counted: BTreeMap<(String, Arc<str>, i32), i64>,
}

impl Told {
    /// Asks the group. What it does not answer is not told.
    pub async fn of(group: &GroupReader, events: &[Event]) -> Told {
        let mut told = Told::default();
        let mut asked: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&[String]>)> = BTreeMap::new();
        for judged in events.iter().flat_map(|event| &event.judged) {
            let (measures, keys) = asked.entry(&judged.aggregate).or_default();
            measures.insert(&judged.measure);
            keys.insert(&judged.labels);
        }
        for (aggregate, (measures, keys)) in asked {
            let request = Request {
                aggregate: aggregate.to_owned(),
                measures: measures.into_iter().map(str::to_owned).collect(),
                matchers: matchers(group, aggregate, &keys),
                ..Request::default()
            };
            match group.query(&request).await {
                Ok(answer) => told.take(aggregate, answer),
                Err(error) => tracing::debug!(aggregate, "recent events are not marked: {error}"),
            }
        }
        told
    }

    fn take(&mut self, aggregate: &str, answer: Answer) {
        for status in &answer.as_of {
            let place = (aggregate.to_owned(), status.id.topic.clone(), status.id.partition);
            self.counted.insert(place, status.next_offset);
        }
        for row in answer.rows {
            for (&at, state) in answer.measures.iter().zip(&row.states) {
                let MeasureState::Anomaly(anomaly) = state else { continue };
                let of = (aggregate.to_owned(), answer.plan.config.measures[at].name.clone());
                self.unusual.entry(of).or_default().insert(row.labels.clone(), anomaly.told().to_vec());
            }
        }
    }

    /// For which measures an event was unusual.
    pub fn marks(&self, event: &Event) -> Vec<pb::UnusualFor> {
        let mark = |judged: &Judged| {
            let told = self.unusual.get(&(judged.aggregate.clone(), judged.measure.clone()))?.get(&judged.labels)?;
            let found = told.iter().find(|unusual| unusual.at == event.time && unusual.value == judged.value)?;
            let (aggregate, measure) = (judged.aggregate.clone(), judged.measure.clone());
            Some(pb::UnusualFor { aggregate, measure, above: found.above })
        };
        event.judged.iter().filter_map(mark).collect()
    }

    /// Whether all of these have been counted.
    fn has_counted(&self, events: &[Event]) -> bool {
        events.iter().all(|event| {
            event.judged.iter().all(|judged| {
                let place = (judged.aggregate.clone(), event.topic.clone(), event.partition);
                self.counted.get(&place).is_some_and(|&next| next > event.offset)
            })
        })
    }
}

/// The values of each label that the keys have.
fn matchers(group: &GroupReader, aggregate: &str, keys: &BTreeSet<&[String]>) -> Vec<Matcher> {
    let sources = group.reader.sources.now();
    let plan = aggregates(&sources).map(|(_, plan)| plan).find(|plan| plan.config.name == aggregate);
    let labels = plan.iter().flat_map(|plan| &plan.config.by).enumerate();
    let one = |(at, by): (usize, &LabelField)| {
        let values: BTreeSet<&str> = keys.iter().filter_map(|key| key.get(at).map(String::as_str)).collect();
        let pattern = values.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
        let matcher = Matcher { label: by.label.clone(), op: MatchOp::Matches, value: pattern };
        (matcher.value.len() <= LONGEST_PATTERN).then_some(matcher)
    };
    labels.filter_map(one).collect()
}

/// Hands on what is heard, with its marks. Events that a measure judges wait until they are counted, but not long; where
/// counting is behind, they do not wait.
pub async fn hand_on(
    group: Arc<GroupReader>,
    mut heard: mpsc::Receiver<Result<Heard, RecentError>>,
    sender: mpsc::Sender<Result<(Heard, Told), RecentError>>,
) {
    let mut is_behind = false;
    loop {
        let next = tokio::select! {
            next = heard.recv() => next,
            () = sender.closed() => return,
        };
        let Some(next) = next else { return };
        let next = match next {
            Ok(heard) => {
                let told = wait(&group, &heard.events, &mut is_behind).await;
                Ok((heard, told))
            }
            Err(error) => Err(error),
        };
        if sender.send(next).await.is_err() {
            return;
        }
    }
}

async fn wait(group: &GroupReader, events: &[Event], is_behind: &mut bool) -> Told {
    if events.iter().all(|event| event.judged.is_empty()) {
        return Told::default();
    }
    let began = group.reader.clock.boot_time();
    loop {
        let told = Told::of(group, events).await;
        let counted = told.has_counted(events);
        if counted || *is_behind || group.reader.clock.boot_time().since(began) >= PATIENCE {
            *is_behind = !counted;
            return told;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
