//! Checks of `measures`: one statistic each, the field it needs, and the conditions of its `where`.

use super::super::at::{At, Map, Place};
use super::super::error::Problem;
use super::super::raw::{Body, Measured, RawMeasure};
use super::super::types::{FieldPath, Measure, MeasureKind, Since, TimeFormat, Unit};
use super::condition::conditions;
use super::{Checker, given};
use crate::measure::Takes;

pub fn measures(check: &mut Checker, raw: &At<Map<At<RawMeasure>>>) -> Vec<Measure> {
    if raw.value.0.is_empty() {
        check.error(raw.place, "an aggregate needs at least one measure", "`measures: { requests: count }`");
    }
    let mut measures: Vec<Measure> = raw.value.0.iter().map(|(name, raw)| measure(check, name, raw)).collect();
    for (at, (name, raw)) in raw.value.0.iter().enumerate() {
        if let (MeasureKind::Ratio, Some(ratio)) = (&measures[at].kind, &raw.value.0.ratio) {
            let of = given::ratio(check, name.place, &ratio.value, &measures);
            if let Some((of, whole)) = of {
                (measures[at].filter, measures[at].ratio) = (whole, Some(of));
            }
        }
    }
    measures
}

fn measure(check: &mut Checker, name: &At<String>, raw: &At<RawMeasure>) -> Measure {
    check.identifier(name.place, &name.value, "a measure");
    let body = &raw.value.0;
    let statistic = statistic(body).unwrap_or_else(|(message, help)| {
        check.problems.push(Problem::new(raw.place, message, help));
        None
    });
    let (kind, fields, inner) = match statistic {
        Some((word, measured)) => parts(check, name, word, measured),
        None => (MeasureKind::Count, Vec::new(), None),
    };
    let mut fields = fields.into_iter();
    let mut filter = Vec::new();
    inner.into_iter().for_each(|measured| conditions(check, &measured.filter, &mut filter));
    conditions(check, &body.filter, &mut filter);
    let weight = inner.and_then(|measured| given::weight(check, measured));
    let has_number = match kind.rules().takes {
        Takes::Number => true,
        Takes::Amount => fields.len() > 0,
        Takes::Nothing | Takes::Time | Takes::Item => weight.is_some() || inner.is_none(),
    };
    if let (Some(unit), false) = (&body.unit, has_number) {
        check.error(unit.place, format!("a `{}` has no unit", kind.word()), "remove `unit`");
    }
    if let Some(own) = &body.name {
        own_name(check, own);
    }
    Measure {
        name: name.value.clone(),
        signed: signed(check, &kind, body),
        field: fields.next(),
        or: fields.collect(),
        since: inner.and_then(|measured| since(check, measured)),
        weight,
        label: given::label(check, inner),
        quantiles: given::quantiles(check, &kind, body),
        ratio: None,
        unit: unit_of(check, body, inner),
        filter,
        metric: body.name.as_ref().map(|own| own.value.clone()),
        help: body.help.clone(),
        kind,
    }
}

/// The statistic's word and what it is made of; an error unless there is exactly one.
#[allow(clippy::type_complexity, reason = "used once: what the measure asks for, or a message with its help")]
fn statistic(body: &Body) -> Result<Option<(&'static str, &At<Measured>)>, (String, String)> {
    match body.statistics().as_slice() {
        [one] => Ok(Some(*one)),
        [] => {
            let written = MeasureKind::ALL.iter().filter(|rules| !rules.window.is_empty());
            let words: Vec<_> = written.map(|rules| format!("`{}`", rules.word)).collect();
            let help = format!(
                "give it one of {}: `{{ histogram: FIELD, unit: ms }}`, `{{ count: {{ where: {{ … }} }} }}`",
                words.join(", ")
            );
            Err(("this measure has no statistic".into(), help))
        }
        [(first, _), (second, _), ..] => {
            Err((format!("a measure is one statistic, not `{first}` and `{second}`"), "make two measures of it".into()))
        }
    }
}

/// Kind and fields, and the long form if there is a `where` to read in it.
fn parts<'a>(
    check: &mut Checker,
    name: &At<String>,
    word: &str,
    at: &'a At<Measured>,
) -> (MeasureKind, Vec<FieldPath>, Option<&'a Measured>) {
    let measured = &at.value;
    let place = if at.place.line == 0 { name.place } else { at.place };
    // The words of the config are those of the kinds.
    let mut kind = MeasureKind::of(word).unwrap_or(MeasureKind::Count);
    given::given(check, &mut kind, place, measured);
    let fields = fields(check, &kind, place, measured);
    (kind, fields, Some(measured))
}

/// The fields that are measured: the first that has a value. One for all but counts.
fn fields(check: &mut Checker, kind: &MeasureKind, place: Place, measured: &Measured) -> Vec<FieldPath> {
    if let (Some(field), true) = (&measured.field, measured.from.is_some() || measured.to.is_some()) {
        check.error(
            field.place,
            "measured is either a field or the time between two",
            "remove `field`, or `from` and `to`",
        );
    }
    let fields = measured.field.as_ref().map(|fields| fields.value.0.as_slice());
    let fields = fields.unwrap_or(measured.to.as_slice());
    let takes = kind.rules().takes;
    if *kind == MeasureKind::Ratio {
        // Its words are measures.
        return Vec::new();
    }
    if let (Some(from), false) = (&measured.from, matches!(takes, Takes::Number | Takes::Amount)) {
        let word = kind.word();
        check.error(from.place, format!("a `{word}` is not measured between two times"), "remove `from` and `to`");
        return Vec::new();
    }
    match (fields, takes.a_field()) {
        ([], false) => Vec::new(),
        ([], true) if takes == Takes::Amount => Vec::new(),
        ([field, ..], false) => {
            let word = kind.word();
            let help = format!(
                "for the events that have it, write `{word}: {{ where: {{ {}: {{ exists: true }} }} }}`",
                field.value
            );
            check.error(place, format!("a {word} has no field"), help);
            Vec::new()
        }
        ([], true) => {
            let word = kind.word();
            check.error(place, format!("a `{word}` needs a field"), format!("`{word}: {{ field: FIELD, … }}`"));
            Vec::new()
        }
        (fields, true) => {
            let list = measured.field.as_ref().map(|list| list.place);
            let mut path = |field: &At<String>| {
                let known = [Some(field.place), list, Some(place)].into_iter().flatten().find(|place| place.line > 0);
                check.field_path(known.unwrap_or_default(), &field.value)
            };
            fields.iter().map(&mut path).collect()
        }
    }
}

/// Where a stretch of time begins, if that is what is measured.
fn since(check: &mut Checker, measured: &Measured) -> Option<Since> {
    let format = measured.format.as_ref();
    match (&measured.from, &measured.to) {
        (Some(from), Some(_)) => {
            let path = check.field_path(from.place, &from.value);
            let format = format.map(|format| super::time::format(check, format, measured.zone.as_ref()));
            let format = format.unwrap_or(TimeFormat::Rfc3339);
            return Some(Since { path, format });
        }
        (Some(one), None) | (None, Some(one)) => {
            check.error(one.place, "the time between two fields needs both", "`{ from: FIELD, to: FIELD }`");
        }
        (None, None) => {
            if let Some(format) = format {
                check.error(
                    format.place,
                    "`format` is for the time between two fields",
                    "`{ from: FIELD, to: FIELD }`",
                );
            }
        }
    }
    None
}

/// The time between two fields is one, whether or not it is said.
fn unit_of(check: &mut Checker, body: &Body, inner: Option<&Measured>) -> Unit {
    let unit = body.unit.as_ref().map(|unit| unit.value).unwrap_or_default();
    if inner.is_none_or(|measured| measured.from.is_none()) {
        return unit;
    }
    match &body.unit {
        Some(at) if unit.base_name() != "seconds" => {
            check.error(at.place, "the time between two fields is in seconds", "`unit: s`, or none");
            Unit::Seconds
        }
        _ => Unit::Seconds,
    }
}

fn signed(check: &mut Checker, kind: &MeasureKind, body: &Body) -> bool {
    let Some(at) = body.signed.as_ref().filter(|at| at.value) else { return false };
    if !kind.rules().takes_sign {
        check.error(
            at.place,
            "`signed` is for sums, means and distributions",
            "remove it: the other statistics take negative values anyway",
        );
    }
    true
}

fn own_name(check: &mut Checker, own: &At<String>) {
    check.identifier(own.place, &own.value, "a metric");
    if own.value.starts_with("streamgauge_") || own.value.starts_with("__") {
        let help = "metrics of the agent itself begin so: choose another name";
        check.error(own.place, format!("`{}` is a reserved metric name", own.value), help);
    }
}
