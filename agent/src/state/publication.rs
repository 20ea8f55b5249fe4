//! What the owner of a publishing partition shows for its group: wished for by `publish/`, and committed with the task's
//! next offset record before anybody sees it.

use super::TaskId;
use crate::aggregate::{AggregateId, WindowGrid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use streamgauge_proto::storage::v1::{AggregateProgress, OffsetRecord, WindowProgress};

/// One kind of window of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowKind {
    pub aggregate: AggregateId,
    pub size_ms: i64,
    pub hop_ms: i64,
}

impl WindowKind {
    pub fn new(aggregate: AggregateId, grid: WindowGrid) -> WindowKind {
        WindowKind { aggregate, size_ms: grid.size_ms, hop_ms: grid.hop_ms }
    }

    fn grid(&self) -> WindowGrid {
        WindowGrid { size_ms: self.size_ms, hop_ms: self.hop_ms }
    }
}

/// Ends of windows of one kind, Unix milliseconds; `None`: none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// The newest that has been shown, or may be.
    pub published: Option<i64>,
    /// All up to this one were pushed over OTLP and settled there.
    pub pushed: Option<i64>,
}

impl Through {
    fn max(self, other: Through) -> Through {
        Through { published: self.published.max(other.published), pushed: self.pushed.max(other.pushed) }
    }

    /// What an offset record says of a kind of window. Older ones say it of all kinds at once.
    pub fn recorded(record: &OffsetRecord, kind: WindowKind) -> Through {
        let progress = record.aggregates.iter().find(|progress| progress.id == kind.aggregate.0);
        progress.map_or_else(Through::default, |progress| Through::said(progress, kind))
    }

    fn said(progress: &AggregateProgress, kind: WindowKind) -> Through {
        let mut windows = progress.windows.iter();
        match windows.find(|window| (window.size_ms, window.hop_ms) == (kind.size_ms, kind.hop_ms)) {
            Some(window) => Through { published: window.published_through, pushed: window.pushed_through },
            None => {
                let published = Some(progress.published_through).filter(|&through| through > i64::MIN);
                Through {
                    published: published.map(|through| kind.grid().last_end(through)),
                    pushed: progress.pushed_through,
                }
            }
        }
    }
}

/// Of a task that publishes.
#[derive(Debug, Default)]
pub struct Publication {
    /// What the next offset record is to say.
    wanted: Mutex<BTreeMap<WindowKind, Through>>,
    /// How far each replica's changelog was when this agent was first to show it in merged totals.
    marks: Mutex<HashMap<TaskId, i64>>,
    /// The input offsets that merged totals have been shown up to.
    shown: Mutex<HashMap<TaskId, i64>>,
}

impl Publication {
    /// Asks for this to be committed; what was asked for before stays.
    pub fn want(&self, kind: WindowKind, through: Through) {
        let mut wanted = self.wanted.lock();
        let known = wanted.entry(kind).or_default();
        *known = known.max(through);
    }

    /// What was asked for.
    pub fn wanted(&self, kind: WindowKind) -> Through {
        self.wanted.lock().get(&kind).copied().unwrap_or_default()
    }

    /// Whether a window waits for `record` to say that it is published. How far windows were pushed waits for no commit of
    /// its own.
    pub fn waits(&self, record: &OffsetRecord) -> bool {
        let wanted = self.wanted.lock();
        wanted.iter().any(|(kind, through)| through.published > Through::recorded(record, *kind).published)
    }

    /// What the next offset record says of an aggregate's windows: all that was asked for, and what was said before.
    pub fn progress(&self, aggregate: AggregateId, before: Option<&AggregateProgress>) -> Vec<WindowProgress> {
        let of = |size_ms, hop_ms| WindowKind { aggregate, size_ms, hop_ms };
        let mut all: BTreeMap<WindowKind, Through> = BTreeMap::new();
        for window in before.into_iter().flat_map(|progress| &progress.windows) {
            let through = Through { published: window.published_through, pushed: window.pushed_through };
            all.insert(of(window.size_ms, window.hop_ms), through);
        }
        for (kind, through) in self.wanted.lock().iter().filter(|(kind, _)| kind.aggregate == aggregate) {
            let said = || before.map_or_else(Through::default, |progress| Through::said(progress, *kind));
            let known = all.entry(*kind).or_insert_with(said);
            *known = known.max(*through);
        }
        let window = |(kind, through): (WindowKind, Through)| WindowProgress {
            size_ms: kind.size_ms,
            hop_ms: kind.hop_ms,
            published_through: through.published,
            pushed_through: through.pushed,
        };
        all.into_iter().map(window).collect()
    }

    /// How far a replica has to be before its totals may be shown; `None` while nobody knows.
    pub fn mark(&self, id: &TaskId) -> Option<i64> {
        self.marks.lock().get(id).copied()
    }

    /// Notes how far a replica has to be; the first word counts.
    pub fn set_mark(&self, id: TaskId, mark: i64) {
        self.marks.lock().entry(id).or_insert(mark);
    }

    /// Notes the input offsets that merged totals are about to show. False, and nothing is noted, if one of them is
    /// before what was shown already: the totals would go back.
    pub fn advance_shown(&self, offsets: &[(TaskId, i64)]) -> bool {
        let mut shown = self.shown.lock();
        let goes_back = offsets.iter().any(|(id, offset)| shown.get(id).is_some_and(|before| offset < before));
        if !goes_back {
            shown.extend(offsets.iter().cloned());
        }
        !goes_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: WindowKind = WindowKind { aggregate: AggregateId(7), size_ms: 60, hop_ms: 60 };
    const HOUR: WindowKind = WindowKind { aggregate: AggregateId(7), size_ms: 3_600, hop_ms: 3_600 };

    fn published(end: i64) -> Through {
        Through { published: Some(end), pushed: None }
    }

    fn record(progress: AggregateProgress) -> OffsetRecord {
        OffsetRecord { aggregates: vec![AggregateProgress { id: 7, ..progress }], ..OffsetRecord::default() }
    }

    #[test]
    fn what_was_asked_for_waits_until_a_record_says_it_and_never_goes_back() {
        let publication = Publication::default();
        let none = record(AggregateProgress { published_through: i64::MIN, ..AggregateProgress::default() });
        assert!(!publication.waits(&none));
        publication.want(MINUTE, published(120));
        publication.want(MINUTE, published(60));
        assert!(publication.waits(&none));
        let windows = publication.progress(MINUTE.aggregate, None);
        let said = record(AggregateProgress { windows, ..AggregateProgress::default() });
        assert!(!publication.waits(&said));
        assert_eq!(Through::recorded(&said, MINUTE), published(120));
        // A successor asks for less: the record stays.
        let successor = Publication::default();
        successor.want(MINUTE, Through { published: Some(60), pushed: Some(60) });
        let windows = successor.progress(MINUTE.aggregate, said.aggregates.first());
        let both = Through { published: Some(120), pushed: Some(60) };
        assert_eq!(
            Through::recorded(&record(AggregateProgress { windows, ..AggregateProgress::default() }), MINUTE),
            both
        );
    }

    #[test]
    fn a_record_of_before_there_were_kinds_says_the_same_of_each() {
        let old = record(AggregateProgress { published_through: 3_660, ..AggregateProgress::default() });
        assert_eq!(Through::recorded(&old, MINUTE), published(3_660));
        assert_eq!(Through::recorded(&old, HOUR), published(3_600));
    }
}
