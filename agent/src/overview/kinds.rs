//! What measures are, by the words of the API.

use crate::measure::{Form, Known, MeasureKind, Sessions, Statistic};
use streamgauge_proto::v1 as pb;

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

/// The measure that an aggregate's session windows are.
pub fn sessions(info: &pb::AggregateInfo) -> Option<&pb::MeasureInfo> {
    info.measures.iter().find(|measure| measure.kind == Sessions::RULES.word)
}

/// Whether windows have nothing of it.
pub fn is_of_totals(kind: &str) -> bool {
    MeasureKind::ALL.iter().any(|rules| rules.word == kind && rules.window.is_empty())
}
