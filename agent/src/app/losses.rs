//! What share of the events is not counted, said where people look before they trust the numbers: in the log, in
//! `/-/ready`, and in answers that are empty.

use crate::aggregate::Reason;
use crate::clock::BootTime;
use crate::decode::DecodeError;
use crate::human;
use crate::query::{Notes, Reader};
use crate::telemetry::Metrics;
use parking_lot::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// What the shares are of: the events of this time.
const OVER: Duration = Duration::from_secs(600);
/// How far apart two lines in the log are that are about the same.
const APART: Duration = Duration::from_secs(60);
/// A note names a share above this.
const SHARE: f64 = 0.01;

/// Whose events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Source { name: String, has_letters: bool },
    Aggregate(String),
    Measure { aggregate: String, measure: String },
}

/// How many events a subject was shown, and how many of them it could not use, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    shown: u64,
    lost: Vec<(&'static str, u64)>,
}

type Counts = BTreeMap<Subject, Count>;

/// Looks at the agent's own counters.
pub struct Losses {
    metrics: Arc<Metrics>,
    reader: Arc<Reader>,
    notes: Arc<RwLock<Vec<String>>>,
}

impl Losses {
    pub fn new(metrics: Arc<Metrics>, reader: Arc<Reader>) -> Losses {
        Losses { metrics, reader, notes: Arc::default() }
    }

    /// What is to be said now.
    pub fn notes(&self) -> Notes {
        let notes = self.notes.clone();
        Arc::new(move || notes.read().clone())
    }

    /// Looks again and again.
    pub async fn run(self) {
        let mut past = VecDeque::from([(self.reader.clock.boot_time(), Counts::new())]);
        let mut logged: BTreeMap<Subject, (BootTime, u64)> = BTreeMap::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let now = self.reader.clock.boot_time();
            let counts = self.counts();
            while past.get(1).is_some_and(|(at, _)| now.since(*at) >= OVER) {
                past.pop_front();
            }
            let before = past.front().map(|(_, counts)| counts);
            let notes = before.map_or_else(Vec::new, |before| notes(&counts, before));
            for (subject, text) in &notes {
                let lost = counts.get(subject).map_or(0, Count::all_lost);
                let is_news = logged.get(subject).is_none_or(|(at, then)| now.since(*at) >= APART && lost > *then);
                if is_news {
                    tracing::warn!("{text}");
                    logged.insert(subject.clone(), (now, lost));
                }
            }
            *self.notes.write() = notes.into_iter().map(|(_, text)| text).collect();
            if past.back().is_none_or(|(at, _)| now.since(*at) >= APART) {
                past.push_back((now, counts));
            }
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for source in &self.reader.sources.now().sources {
            let lost = self.metrics.undecodable_by_reason(&source.name, &DecodeError::REASONS);
            let shown = self.metrics.events_of(&source.name) + lost.iter().map(|(_, events)| events).sum::<u64>();
            let has_letters = source.config.dead_letters.enabled;
            counts.insert(Subject::Source { name: source.name.to_string(), has_letters }, Count { shown, lost });
            for plan in &source.plan.aggregates {
                let (aggregate, taken) = (&plan.config.name, self.metrics.aggregated_by(&plan.config.name));
                let lost = self.metrics.skipped_by(aggregate, &[Reason::RequiredLabel.as_str()]);
                let shown = taken + lost.iter().map(|(_, events)| events).sum::<u64>();
                counts.insert(Subject::Aggregate(aggregate.clone()), Count { shown, lost });
                for measure in &plan.config.measures {
                    // What has no value is often meant so; what has one that cannot be read is not.
                    let faults = [Reason::ValueType, Reason::ValueOutOfRange, Reason::NegativeValue];
                    let lost = self.metrics.unmeasured_by(aggregate, &measure.name, &faults.map(Reason::as_str));
                    let subject = Subject::Measure { aggregate: aggregate.clone(), measure: measure.name.clone() };
                    counts.insert(subject, Count { shown: taken, lost });
                }
            }
        }
        counts
    }
}

impl Count {
    fn all_lost(&self) -> u64 {
        self.lost.iter().map(|(_, events)| events).sum()
    }

    fn since(&self, before: Option<&Count>) -> Count {
        let Some(before) = before else { return self.clone() };
        let then = |reason| before.lost.iter().find(|(name, _)| *name == reason).map_or(0, |(_, events)| *events);
        Count {
            shown: self.shown.saturating_sub(before.shown),
            lost: self.lost.iter().map(|&(reason, events)| (reason, events.saturating_sub(then(reason)))).collect(),
        }
    }
}

/// What is to be said of the events since `before`.
fn notes(now: &Counts, before: &Counts) -> Vec<(Subject, String)> {
    let note = |(subject, count): (&Subject, &Count)| {
        let count = count.since(before.get(subject));
        let is_much = count.all_lost() as f64 > SHARE * count.shown as f64;
        is_much.then(|| (subject.clone(), text(subject, &count)))
    };
    now.iter().filter_map(note).collect()
}

fn text(subject: &Subject, count: &Count) -> String {
    let reasons = count.lost.iter().filter(|(_, events)| *events > 0);
    let reasons: Vec<String> = reasons.map(|(reason, events)| format!("{reason} {}", human::count(*events))).collect();
    let of = format!("{} of the last {} events", human::count(count.all_lost()), human::count(count.shown));
    let reasons = reasons.join(", ");
    let rehearse = "`streamgauge validate -c FILE --topic TOPIC --last 100` shows why";
    match subject {
        Subject::Source { name, has_letters: true } => format!(
            "source {name}: {of} became dead letters and are not counted ({reasons}); `streamgauge dead-letters list -c FILE` shows them"
        ),
        Subject::Source { name, has_letters: false } => {
            format!("source {name}: {of} could not be used and are not counted ({reasons}); {rehearse}")
        }
        Subject::Aggregate(name) => format!("aggregate {name}: {of} are left out ({reasons}); {rehearse}"),
        Subject::Measure { aggregate, measure } => {
            format!("aggregate {aggregate}: measure {measure} could not use {of} ({reasons}); {rehearse}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(shown: u64, lost: u64) -> Counts {
        let subject = Subject::Source { name: "web".into(), has_letters: true };
        Counts::from([(subject, Count { shown, lost: vec![("not_json", 0), ("bad_timestamp", lost)] })])
    }

    fn said(now: &Counts, before: &Counts) -> Vec<String> {
        notes(now, before).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn more_than_one_in_a_hundred_is_said_with_its_reason_and_what_to_do() {
        assert_eq!(
            said(&source(20_000, 19_600), &Counts::new()),
            [
                "source web: 19,600 of the last 20,000 events became dead letters and are not counted (bad_timestamp 19,600); `streamgauge dead-letters list -c FILE` shows them"
            ]
        );
        assert!(said(&source(100, 1), &Counts::new()).is_empty());
        assert_eq!(said(&source(100, 2), &Counts::new()).len(), 1);
        assert!(said(&source(0, 0), &Counts::new()).is_empty());
    }

    #[test]
    fn only_what_came_since_counts() {
        assert!(said(&source(40_000, 19_600), &source(20_000, 19_600)).is_empty());
        let text = said(&source(20_010, 19_605), &source(20_000, 19_600)).join("");
        assert!(text.contains("5 of the last 10 events"), "{text}");
    }

    #[test]
    fn a_measure_that_cannot_read_its_values_is_named() {
        let subject = Subject::Measure { aggregate: "http".into(), measure: "duration".into() };
        let counts = Counts::from([(subject, Count { shown: 50, lost: vec![("value_type", 50)] })]);
        let text = said(&counts, &Counts::new()).join("");
        assert!(text.starts_with("aggregate http: measure duration could not use 50 of the last 50 events"), "{text}");
    }
}
