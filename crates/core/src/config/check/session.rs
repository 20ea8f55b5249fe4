//! Checks of session windows, which become a measure of their own.

use std::time::Duration;

use super::super::raw::{RawAggregate, RawWindow};
use super::super::types::{Measure, MeasureKind, Unit};
use super::{Checker, DAY, HOUR, MINUTE, SECOND};
use crate::measure::SessionRule;

/// What the measure is called.
const NAME: &str = "sessions";

/// The measure of an aggregate's session window, if it has one.
pub fn measure(check: &mut Checker, raw: &RawAggregate, grace: Duration) -> Option<Measure> {
    let mut sessions = raw.windows.iter().filter_map(|at| match &at.value {
        RawWindow::Session(session) => Some((at.place, session)),
        RawWindow::Text(_) => None,
    });
    let (_, session) = sessions.next()?;
    if let Some((place, _)) = sessions.next() {
        check.error(place, "an aggregate has one kind of session window", "make a second aggregate for the other");
    }
    if let Some((name, _)) = raw.measures.value.0.iter().find(|(name, _)| name.value == NAME) {
        check.error(name.place, format!("`{NAME}` is what the session window gives"), "rename this measure");
    }
    let gap = Some(session.session.clone());
    let gap = check.duration(&gap, 10 * MINUTE, SECOND..=DAY);
    let max = check.duration(&session.max, 12 * HOUR, SECOND..=30 * DAY);
    if let Some(at) = session.max.as_ref().filter(|_| max <= gap) {
        check.error(at.place, "`max` is no longer than the gap", "every event would be a session: make it longer");
    }
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let rule = SessionRule { gap_ms: millis(gap), max_ms: millis(max), grace_ms: millis(grace) };
    Some(Measure {
        name: NAME.to_owned(),
        kind: MeasureKind::Sessions(rule),
        field: None,
        or: Vec::new(),
        since: None,
        weight: None,
        label: "item".to_owned(),
        quantiles: Vec::new(),
        ratio: None,
        unit: Unit::None,
        signed: false,
        filter: Vec::new(),
        metric: None,
        help: None,
    })
}
