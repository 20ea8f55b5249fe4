//! When an offset was produced: high watermarks remembered with their times, and a time for any offset between two of
//! them. Lag in seconds is the age of the oldest record that a group has not committed.

use crate::clock::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Points kept of a partition. When they are full the older half loses every other one, so that their spacing grows with
/// their age: at a point each 30 s they reach back for days.
const POINTS: usize = 48;

/// A moment and the high watermark then.
pub type Point = (UnixMillis, i64);

/// One partition's high watermarks, oldest first; both times and offsets only grow.
#[derive(Clone, Debug, Default)]
pub struct Points {
    points: Vec<Point>,
    /// What was before the first one has been asked for.
    looked_back: bool,
}

impl Points {
    /// Notes that the high watermark was `high` at `at`.
    pub fn note(&mut self, at: UnixMillis, high: i64) {
        match self.points.last() {
            // Cut off, or made anew: what was known says nothing about the records there are now.
            Some((_, before)) if *before > high => *self = Points::default(),
            Some((time, _)) if *time >= at => return,
            _ => {}
        }
        if let [.., (_, before), last] = self.points.as_mut_slice()
            && *before == high
        {
            // Of a time without records only its two ends matter.
            last.0 = at;
            return;
        }
        if self.points.len() == POINTS {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place > POINTS / 2 || place % 2 == 1
            });
        }
        self.points.push((at, high));
    }

    /// Adds points that were not noted when they happened. Records may be dated out of order: of these points only what
    /// fits between its neighbours is kept.
    pub fn add(&mut self, mut more: Vec<Point>) {
        more.sort_unstable();
        let mut seen = std::mem::take(self);
        let mut more = more.into_iter().peekable();
        for (at, high) in seen.points.drain(..) {
            while let Some(point) = more.next_if(|(earlier, _)| *earlier < at) {
                let least = self.points.last().map_or(i64::MIN, |(_, high)| *high);
                if (least..=high).contains(&point.1) {
                    self.note(point.0, point.1);
                }
            }
            self.note(at, high);
        }
        self.looked_back = seen.looked_back;
    }

    /// A moment between the two points around the record at `offset`, if they are further apart than `apart`.
    pub fn between(&self, offset: i64, apart: Duration) -> Option<UnixMillis> {
        let at = self.points.partition_point(|(_, high)| *high <= offset);
        let (UnixMillis(end), UnixMillis(start)) = (self.points.get(at)?.0, self.points.get(at.checked_sub(1)?)?.0);
        (i128::from(end - start) > apart.as_millis() as i128).then_some(UnixMillis(start + (end - start) / 2))
    }

    /// When the record at `offset` was produced; `None` if that was before the first point, or has not happened.
    pub fn produced_at(&self, offset: i64) -> Option<UnixMillis> {
        // The first point whose watermark is beyond the record.
        let at = self.points.partition_point(|(_, high)| *high <= offset);
        let (UnixMillis(end), high) = *self.points.get(at)?;
        let (UnixMillis(start), low) = *self.points.get(at.checked_sub(1)?)?;
        let share = (offset - low + 1) as f64 / (high - low) as f64;
        Some(UnixMillis(start + ((end - start) as f64 * share) as i64))
    }

    /// True the first time: asking twice what was before gives nothing new.
    pub fn first_look_back(&mut self) -> bool {
        !std::mem::replace(&mut self.looked_back, true)
    }

    /// Whether there is a time for records from `offset` on.
    pub fn reaches(&self, offset: i64) -> bool {
        self.points.first().is_some_and(|(_, high)| *high <= offset)
    }
}

/// The points of all partitions.
#[derive(Debug, Default)]
pub struct History(HashMap<Arc<str>, Vec<Points>>);

impl History {
    pub fn of(&self, topic: &str, partition: i32) -> Option<&Points> {
        self.0.get(topic)?.get(usize::try_from(partition).ok()?)
    }

    pub fn of_mut(&mut self, topic: &Arc<str>, partition: i32) -> &mut Points {
        let points = self.0.entry(topic.clone()).or_default();
        let at = usize::try_from(partition).unwrap_or(0);
        if points.len() <= at {
            points.resize_with(at + 1, Points::default);
        }
        &mut points[at]
    }

    /// Forgets topics that are gone.
    pub fn keep(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|topic, _| exists(topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(noted: &[(i64, i64)]) -> Points {
        let mut points = Points::default();
        noted.iter().for_each(|(at, high)| points.note(UnixMillis(*at), *high));
        points
    }

    #[test]
    fn a_record_was_produced_between_the_watermarks_around_it() {
        let points = points(&[(1_000, 10), (2_000, 20), (3_000, 120)]);
        for (offset, expected) in
            [(9, None), (10, Some(1_100)), (19, Some(2_000)), (69, Some(2_500)), (119, Some(3_000)), (120, None)]
        {
            assert_eq!(points.produced_at(offset), expected.map(UnixMillis), "{offset}");
        }
    }

    #[test]
    fn a_time_without_records_does_not_age_what_comes_after_it() {
        let points = points(&[(0, 5), (1_000, 5), (2_000, 5), (60_000, 5), (61_000, 6)]);
        assert_eq!(points.produced_at(5), Some(UnixMillis(61_000)));
        assert_eq!(points.points.len(), 3);
    }

    #[test]
    fn a_log_that_was_cut_or_made_anew_starts_anew() {
        let points = points(&[(0, 100), (1_000, 200), (2_000, 50), (3_000, 60)]);
        assert_eq!(points.produced_at(55), Some(UnixMillis(2_600)));
        assert_eq!(points.produced_at(20), None);
    }

    #[test]
    fn the_number_of_points_is_bounded_and_the_oldest_stays() {
        let noted: Vec<_> = (0..100_000).map(|n| (n * 30_000, n * 10)).collect();
        let points = points(&noted);
        assert!(points.points.len() <= POINTS && points.reaches(0), "{:?}", points.points);
        for offset in [0, 17, 5_000, 500_000, 999_980] {
            let error = points.produced_at(offset).unwrap().0 - offset * 3_000;
            assert!((0..=3_000).contains(&error), "{offset}: {error}");
        }
    }

    #[test]
    fn points_learnt_later_are_put_where_they_fit() {
        let apart = Duration::from_secs;
        let mut points = points(&[(100_000, 50), (130_000, 60)]);
        points.add(
            [(40_000, 20), (10_000, 10), (10_500, 10), (99_000, 70)].map(|(at, high)| (UnixMillis(at), high)).into(),
        );
        assert_eq!(points.produced_at(10), Some(UnixMillis(10_500 + 2_950)));
        assert_eq!(points.produced_at(49), Some(UnixMillis(100_000)));
        assert_eq!(points.produced_at(9), None);
        assert_eq!(points.between(15, apart(5)), Some(UnixMillis(25_250)));
        points.add(vec![(UnixMillis(25_250), 19)]);
        assert_eq!(points.produced_at(19), Some(UnixMillis(40_000)));
        assert_eq!((points.between(19, apart(15)), points.between(99, apart(0))), (None, None));
    }
}
