//! What measures are, by the words of the API.

use crate::measure::{Form, Known, MeasureKind};

/// What a kind's total is; unknown kinds are a newer agent's.
pub fn form(kind: &str) -> Option<(Form, Known)> {
    MeasureKind::ALL.iter().find(|rules| rules.word == kind).map(|rules| (rules.form, rules.own))
}

pub fn is_additive(form: Option<(Form, Known)>) -> bool {
    matches!(form, Some((Form::Sum | Form::Counters, _)))
}

pub fn is_ranking(form: Option<(Form, Known)>) -> bool {
    matches!(form, Some((Form::Ranking, _)))
}
