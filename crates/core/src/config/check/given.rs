//! Checks of what the config gives a statistic besides its field: bounds, an error, how many, what is usual.

use std::time::Duration;

use super::super::at::{At, Place};
use super::super::raw::{Body, Measured, RawRankedBy};
use super::super::types::{Condition, FieldPath, Measure, MeasureKind, RatioOf};
use super::{Checker, DAY, HOUR, SECOND, label};
use crate::measure::{Amount, Beyond, Earlier, Precision, Ranking, Resolution, Target, Usual};

const MOST_BOUNDS: usize = 200;
const MOST_QUANTILES: usize = 16;

/// What the config gives the kind besides fields.
pub fn given(check: &mut Checker, kind: &mut MeasureKind, place: Place, measured: &Measured) {
    let word = kind.word();
    let taken: &[&str] = match kind {
        MeasureKind::Buckets(given) => {
            *given = bounds(check, word, place, measured);
            &["bounds"]
        }
        MeasureKind::Histogram(resolution) => {
            *resolution = resolved(check, measured);
            &["error"]
        }
        MeasureKind::Distinct(precision) => {
            *precision = estimated(check, measured);
            &["error"]
        }
        MeasureKind::Top(ranking) => {
            *ranking = ranked(check, measured);
            &["k", "by", "label"]
        }
        MeasureKind::Anomaly(usual) => {
            *usual = judged(check, measured);
            &["sigma", "above_quantile", "min_count", "half_life"]
        }
        MeasureKind::Apdex(target) => {
            *target = waited(check, measured);
            &["target"]
        }
        MeasureKind::Ratio => &["part"],
        MeasureKind::Rate(amount) | MeasureKind::Share(amount) => {
            *amount = amount_of(measured);
            &[]
        }
        MeasureKind::Versus(earlier) => {
            *earlier = compared(check, measured);
            &["ago"]
        }
        _ => &[],
    };
    for (key, at, whose) in keys(measured) {
        if !taken.contains(&key) {
            check.error(at, format!("`{key}` does not fit a `{word}`"), format!("it is for {whose}: remove it"));
        }
    }
}

/// The keys that are there, where, and whose they are.
fn keys(measured: &Measured) -> Vec<(&'static str, Place, &'static str)> {
    fn place<T>(at: &Option<At<T>>) -> Option<Place> {
        at.as_ref().map(|at| at.place)
    }
    let all = [
        ("bounds", place(&measured.bounds), "`buckets: { field: …, bounds: […] }`"),
        ("error", place(&measured.error), "`histogram` and `distinct`"),
        ("k", place(&measured.k), "`top`"),
        ("by", place(&measured.by), "`top`"),
        ("label", place(&measured.label), "`top`"),
        ("sigma", place(&measured.sigma), "`anomaly`"),
        ("above_quantile", place(&measured.above_quantile), "`anomaly`"),
        ("min_count", place(&measured.min_count), "`anomaly`"),
        ("half_life", place(&measured.half_life), "`anomaly`"),
        ("target", place(&measured.target), "`apdex`"),
        ("part", place(&measured.part), "`ratio`"),
        ("ago", place(&measured.ago), "`versus`"),
    ];
    all.into_iter().filter_map(|(key, at, whose)| Some((key, at?, whose))).collect()
}

fn amount_of(measured: &Measured) -> Amount {
    if measured.field.is_some() || measured.to.is_some() { Amount::Values } else { Amount::Events }
}

fn compared(check: &mut Checker, measured: &Measured) -> Earlier {
    let ago = check.duration(&measured.ago, DAY, SECOND..=400 * DAY);
    Earlier { amount: amount_of(measured), ago_ms: i64::try_from(ago.as_millis()).unwrap_or(i64::MAX) }
}

fn bounds(check: &mut Checker, word: &str, place: Place, measured: &Measured) -> Vec<f64> {
    let Some(at) = &measured.bounds else {
        let help = format!("`{word}: {{ field: FIELD, bounds: [0.1, 0.5, 1] }}`");
        check.error(place, format!("`{word}` need their upper bounds"), help);
        return Vec::new();
    };
    let ascending = at.value.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
    if at.value.is_empty() || at.value.len() > MOST_BOUNDS || !ascending || at.value.iter().any(|b| !b.is_finite()) {
        let help =
            format!("1 to {MOST_BOUNDS} ascending numbers, in the exposed unit (seconds, bytes); `+Inf` is added");
        check.error(at.place, "these bounds do not fit", help);
    }
    at.value.clone()
}

fn resolved(check: &mut Checker, measured: &Measured) -> Resolution {
    let Some(error) = &measured.error else { return Resolution::default() };
    Resolution::with_error(error.value).filter(|_| error.value < 1.0).unwrap_or_else(|| {
        let help = "0.0014 to 0.18, such as 0.01 for one percent: half the error takes twice the memory";
        check.error(error.place, format!("no histogram has an error of {}", error.value), help);
        Resolution::default()
    })
}

fn estimated(check: &mut Checker, measured: &Measured) -> Precision {
    let Some(error) = &measured.error else { return Precision::default() };
    Precision::with_error(error.value).filter(|_| error.value < 1.0).unwrap_or_else(|| {
        let help = "0.0041 to 0.13, such as 0.01 for one percent: half the error takes four times the memory";
        check.error(error.place, format!("no estimate has an error of {}", error.value), help);
        Precision::default()
    })
}

fn ranked(check: &mut Checker, measured: &Measured) -> Ranking {
    let k = measured.k.as_ref().map_or(Ranking::default().k, |k| k.value);
    if let Some(at) = measured.k.as_ref().filter(|_| !(1..=Ranking::MOST).contains(&k)) {
        check.error(at.place, format!("`k: {k}` does not fit"), format!("show 1 to {} items", Ranking::MOST));
        return Ranking::default();
    }
    let sums = matches!(measured.by, Some(At { value: RawRankedBy::Sum(_), .. }));
    Ranking { k, sums }
}

fn judged(check: &mut Checker, measured: &Measured) -> Usual {
    let usual = Usual::default();
    let mut beyond = usual.beyond;
    if let Some(at) = &measured.sigma {
        beyond = Beyond::Deviations(at.value);
        if !(0.5..=100.0).contains(&at.value) {
            let what = format!("`sigma: {}` does not fit", at.value);
            check.error(at.place, what, "0.5 to 100 standard deviations; 3 is usual");
        }
    }
    let mut least = SECOND;
    if let Some(at) = &measured.above_quantile {
        (beyond, least) = (Beyond::Quantile(at.value), HOUR);
        if !(0.5..1.0).contains(&at.value) {
            let what = format!("`above_quantile: {}` does not fit", at.value);
            check.error(at.place, what, "0.5 to below 1; 0.999 is usual");
        }
        if measured.sigma.is_some() {
            let help = "give it one of them; a second measure can have the other";
            check.error(at.place, "`sigma` and `above_quantile` are two ways to say what is unusual", help);
        }
    }
    let min_count = measured.min_count.as_ref().map_or(usual.min_count, |count| count.value);
    if let Some(at) = measured.min_count.as_ref().filter(|_| !(2..=1_000_000_000).contains(&min_count)) {
        check.error(at.place, format!("`min_count: {min_count}` does not fit"), "2 to 1000000000 values");
    }
    let half_life = match &measured.half_life {
        Some(_) => check.duration(&measured.half_life, DAY, least..=3650 * DAY),
        None => Duration::ZERO,
    };
    Usual { beyond, min_count, half_life_ms: i64::try_from(half_life.as_millis()).unwrap_or(i64::MAX) }
}

fn waited(check: &mut Checker, measured: &Measured) -> Target {
    let Some(target) = &measured.target else { return Target::default() };
    if !(target.value > 0.0 && target.value.is_finite()) {
        let help = "a time above zero, in seconds if `unit` is one of time: `target: 0.3`";
        check.error(target.place, format!("`target: {}` does not fit", target.value), help);
    }
    Target(target.value)
}

/// What items are ranked by the sum of.
pub fn weight(check: &mut Checker, measured: &Measured) -> Option<FieldPath> {
    let Some(At { value: RawRankedBy::Sum(field), .. }) = &measured.by else { return None };
    Some(check.field_path(field.place, &field.value))
}

/// The label that series of items have the item in.
pub fn label(check: &mut Checker, measured: Option<&Measured>) -> String {
    let Some(label) = measured.and_then(|measured| measured.label.as_ref()) else { return "item".to_owned() };
    label::name(check, label);
    label.value.clone()
}

/// The quantiles of a distribution that the config chose.
pub fn quantiles(check: &mut Checker, kind: &MeasureKind, body: &Body) -> Vec<f64> {
    let Some(at) = &body.quantiles else { return Vec::new() };
    if !kind.rules().form.is_distribution() {
        let help = "they are for `histogram` and `buckets`: remove them";
        check.error(at.place, format!("`quantiles` do not fit a `{}`", kind.word()), help);
    }
    let ascending = at.value.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
    let within = at.value.iter().all(|q| (0.001..=0.9999).contains(q));
    if at.value.is_empty() || at.value.len() > MOST_QUANTILES || !ascending || !within {
        let help =
            format!("1 to {MOST_QUANTILES} ascending fractions within 0.001 and 0.9999, such as `[0.5, 0.9, 0.999]`");
        check.error(at.place, "these quantiles do not fit", help);
    }
    at.value.clone()
}

/// The counts that a ratio is of, and the conditions of the whole.
pub fn ratio(
    check: &mut Checker,
    place: Place,
    measured: &Measured,
    measures: &[Measure],
) -> Option<(RatioOf, Vec<Condition>)> {
    let of = measured.field.as_ref().and_then(|fields| fields.value.0.first());
    let (Some(part), Some(of)) = (&measured.part, of) else {
        let help = "`ratio: { part: errors, of: requests }`, both measures of this aggregate";
        check.error(place, "a ratio is of two counts", help);
        return None;
    };
    let mut count = |name: &At<String>| {
        let place = if name.place.line > 0 { name.place } else { place };
        match measures.iter().find(|measure| measure.name == name.value) {
            Some(measure) if measure.kind == MeasureKind::Count => Some(measure.filter.clone()),
            Some(measure) => {
                let message = format!("`{}` is a `{}`: a ratio is of two counts", name.value, measure.kind.word());
                check.error(place, message, "name two measures that count");
                None
            }
            None => {
                let message = format!("this aggregate has no measure `{}`", name.value);
                check.error(place, message, "name two of its measures that count");
                None
            }
        }
    };
    let (filter, whole) = (count(part)?, count(of)?);
    Some((RatioOf { part: part.value.clone(), whole: of.value.clone(), filter }, whole))
}
