//! Window arithmetic for readers: where windows begin and end, when they are closed, and what of the panes is in them.

use super::cell::Cell;
use super::key::Pane;
use super::units::millis;
use crate::config::Window;

/// A stretch of event time, `[start, end)`, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowSpan {
    pub start: i64,
    pub end: i64,
}

/// Windows of one kind in milliseconds: `[k * hop, k * hop + size)` for every whole k, as in Kafka Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowGrid {
    pub size_ms: i64,
    pub hop_ms: i64,
}

impl From<Window> for WindowGrid {
    fn from(window: Window) -> Self {
        WindowGrid { size_ms: millis(window.size).max(1), hop_ms: millis(window.hop).max(1) }
    }
}

impl WindowGrid {
    /// The window that ends at `end`.
    pub fn span(&self, end: i64) -> WindowSpan {
        WindowSpan { start: end.saturating_sub(self.size_ms), end }
    }

    /// The largest end that is not after `time`.
    pub fn last_end(&self, time: i64) -> i64 {
        let start = time.saturating_sub(self.size_ms).div_euclid(self.hop_ms).saturating_mul(self.hop_ms);
        start.saturating_add(self.size_ms)
    }

    /// The end of the last window that is closed: `stream_time` has reached its end plus grace.
    pub fn last_closed_end(&self, stream_time: i64, grace_ms: i64) -> i64 {
        self.last_end(stream_time.saturating_sub(grace_ms))
    }

    /// Ends in `(after, through]`, ascending.
    pub fn ends(&self, after: i64, through: i64) -> impl Iterator<Item = i64> + use<> {
        let hop = self.hop_ms;
        let first = self.last_end(after).saturating_add(hop);
        std::iter::successors(Some(first), move |end| end.checked_add(hop)).take_while(move |&end| end <= through)
    }
}

impl WindowSpan {
    /// Whether a pane's events are in this window: the pane ends within it, and its events were in time for it.
    pub fn contains(&self, pane: Pane, pane_ms: i64) -> bool {
        let ends_within = self.start < pane.end && pane.end <= self.end && pane != Pane::TOTAL;
        ends_within && i64::from(pane.late) <= (self.end - pane.end) / pane_ms
    }
}

/// What of one key's cells is in a window, merged; `None` if nothing is.
pub fn merge_window<'a>(
    cells: impl IntoIterator<Item = (Pane, &'a Cell)>,
    span: WindowSpan,
    pane_ms: i64,
) -> Option<Cell> {
    let mut within = cells.into_iter().filter(|&(pane, _)| span.contains(pane, pane_ms)).map(|(_, cell)| cell);
    let mut merged = within.next()?.clone();
    within.for_each(|cell| merged.merge(cell));
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPPING: WindowGrid = WindowGrid { size_ms: 300, hop_ms: 60 };

    #[test]
    fn windows_start_at_multiples_of_the_hop() {
        assert_eq!(HOPPING.last_end(300), 300);
        assert_eq!(HOPPING.last_end(359), 300);
        assert_eq!(HOPPING.last_end(-1), -60);
        assert_eq!(WindowGrid { size_ms: 70, hop_ms: 60 }.last_end(129), 70);
        assert_eq!(HOPPING.ends(300, 480).collect::<Vec<_>>(), [360, 420, 480]);
        assert_eq!(HOPPING.ends(480, 300).count(), 0);
    }

    #[test]
    fn a_window_closes_when_stream_time_reaches_its_end_plus_grace() {
        assert_eq!(HOPPING.last_closed_end(329, 30), 240);
        assert_eq!(HOPPING.last_closed_end(330, 30), 300);
    }

    #[test]
    fn extreme_times_do_not_panic() {
        for time in [i64::MIN, i64::MAX] {
            HOPPING.last_closed_end(time, i64::MAX);
            HOPPING.span(HOPPING.last_end(time));
            HOPPING.ends(time, time).count();
        }
    }
}
