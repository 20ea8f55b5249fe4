//! Checks of `aggregates`: their source, labels, windows and how long these are kept; and that no two series of the
//! whole config have the same name.

use std::collections::HashMap;
use std::time::Duration;

use super::super::at::{At, Map, Place};
use super::super::error::suggest;
use super::super::names::Family;
use super::super::raw::{RawAggregate, RawBackfill, RawLabel, RawWindow};
use super::super::types::{Aggregate, LabelField, MeasureKind, Source, Window};
use super::super::units::{format_duration, parse_duration};
use super::{Checker, DAY, HOUR, MILLISECOND, MINUTE, SECOND, condition, label, measure, session};
use crate::measure::Form;

/// More panes than this per key deserve a warning: every one of them is an entry of the state.
const MANY_PANES: u128 = 20_000;

pub fn aggregates(
    check: &mut Checker,
    raw: &At<Map<RawAggregate>>,
    sources: &[Source],
    default_limit: usize,
) -> Vec<Aggregate> {
    if raw.value.0.is_empty() {
        let help = "`aggregates: { http: { source: requests, measures: { requests: count } } }`";
        check.error(raw.place, "`aggregates` is empty", help);
    }
    let aggregates: Vec<Aggregate> =
        raw.value.0.iter().map(|(name, raw)| one(check, name, raw, sources, default_limit)).collect();
    names_are_unique(check, &raw.value, &aggregates);
    for ((_, raw), aggregate) in raw.value.0.iter().zip(&aggregates) {
        items_have_labels(check, raw, aggregate);
        related_windows(check, raw, aggregate);
    }
    for source in sources {
        let reading: Vec<&Aggregate> = aggregates.iter().filter(|aggregate| aggregate.reads(&source.name)).collect();
        if reading.is_empty() {
            check.warn(format!("source `{}` is used by no aggregate: its topics are not read", source.name));
            continue;
        }
        let asked: Vec<_> = reading.into_iter().flat_map(Aggregate::paths).collect();
        for (name, _) in source.fields.iter().filter(|(name, _)| !asked.contains(name)) {
            check.warn(format!("source `{}`: no aggregate of it asks for `{name}`, which `fields` has", source.name));
        }
    }
    aggregates
}

fn one(
    check: &mut Checker,
    name: &At<String>,
    raw: &RawAggregate,
    sources: &[Source],
    default_limit: usize,
) -> Aggregate {
    check.identifier(name.place, &name.value, "an aggregate");
    let read = read(check, name.place, raw, sources);
    let windows = windows(check, &raw.windows);
    let pane = pane(check, raw, &windows);
    let grace = check.duration(&raw.grace, 30 * SECOND, Duration::ZERO..=30 * DAY);
    let sessions = session::measure(check, raw, grace);
    let retention = retention(check, raw, &windows, pane, grace);
    let key_ttl = raw.key_ttl.as_ref().map(|_| check.duration(&raw.key_ttl, retention, SECOND..=3650 * DAY));
    if let (Some(ttl), Some(at)) = (key_ttl.filter(|ttl| *ttl < retention), &raw.key_ttl) {
        let (ttl, kept) = (format_duration(ttl), format_duration(retention));
        let help = format!("make it at least the retention, {kept}: windows that are kept still need their keys");
        check.error(at.place, format!("`key_ttl: {ttl}` is shorter than the retention"), help);
    }
    let mut filter = Vec::new();
    condition::conditions(check, &raw.filter, &mut filter);
    Aggregate {
        name: name.value.clone(),
        sources: read,
        filter,
        by: labels(check, &raw.by),
        windows: windows.into_iter().map(|(window, _)| window).collect(),
        pane,
        grace,
        retention,
        measures: measure::measures(check, &raw.measures).into_iter().chain(sessions).collect(),
        key_limit: check.count(&raw.limit, default_limit, 1..=100_000_000),
        on_limit: raw.on_limit.unwrap_or_default(),
        key_ttl,
        backfill: matches!(raw.backfill, Some(RawBackfill::Earliest)),
        publish: raw.publish.unwrap_or_default(),
        idle_timeout: check.duration(&raw.idle_timeout, MINUTE, SECOND..=30 * DAY),
        metric_prefix: metric_prefix(check, name, &raw.prefix),
    }
}

/// The names of the sources that are read.
fn read(check: &mut Checker, place: Place, raw: &RawAggregate, sources: &[Source]) -> Vec<String> {
    let named: Vec<&At<String>> = match (&raw.source, &raw.sources) {
        (Some(one), None) => vec![one],
        (None, Some(several)) if !several.value.is_empty() => several.value.iter().collect(),
        (None, _) => {
            check.error(place, "the aggregate has no source", "`source: web`, or several: `sources: [web, api]`");
            Vec::new()
        }
        (Some(_), Some(several)) => {
            check.error(several.place, "`source` is said already", "keep `sources` alone, with all of them");
            Vec::new()
        }
    };
    for (at, name) in named.iter().enumerate() {
        if !sources.iter().any(|source| source.name == name.value) {
            let help = suggest(&name.value, "sources", sources.iter().map(|source| source.name.as_str()));
            check.error(name.place, format!("no source is called `{}`", name.value), help);
        }
        if named.iter().take(at).any(|earlier| earlier.value == name.value) {
            check.error(name.place, format!("source `{}` stands here twice", name.value), "keep one of them");
        }
    }
    named.into_iter().map(|name| name.value.clone()).collect()
}

fn labels(check: &mut Checker, raw: &Map<At<RawLabel>>) -> Vec<LabelField> {
    let mut labels = Vec::new();
    for (label, raw) in &raw.0 {
        label::name(check, label);
        labels.push(label::label(check, label, raw));
    }
    labels
}

/// Series of items have the aggregate's labels and one more; and only closed windows have them.
fn items_have_labels(check: &mut Checker, raw: &RawAggregate, aggregate: &Aggregate) {
    let places = raw.measures.value.0.iter().map(|(name, _)| name.place);
    let rankings = aggregate.measures.iter().zip(places).filter(|(m, _)| m.kind.rules().form == Form::Ranking);
    for (measure, place) in rankings {
        let (name, label) = (&measure.name, &measure.label);
        if aggregate.by.iter().any(|by| by.label == *label) {
            let help = format!("choose another label for the items: `label: {name}_{label}`");
            check.error(place, format!("`{name}` has its items in the label `{label}`, which `by` has, too"), help);
        }
        if aggregate.windows.is_empty() {
            let shown = "metrics show the items of closed windows, and the aggregate has no windows";
            check.warn(format!("`{}.{name}` is in queries only: {shown}", aggregate.name));
        }
    }
}

/// What is related to its window needs one; and the window that it is compared with has to be kept.
fn related_windows(check: &mut Checker, raw: &RawAggregate, aggregate: &Aggregate) {
    let places = raw.measures.value.0.iter().map(|(name, _)| name.place);
    let is_related =
        |kind: &MeasureKind| matches!(kind, MeasureKind::Rate(_) | MeasureKind::Share(_) | MeasureKind::Versus(_));
    let related = aggregate.measures.iter().zip(places).filter(|(measure, _)| is_related(&measure.kind));
    for (measure, place) in related {
        let (name, word) = (&measure.name, measure.kind.word());
        let Some(largest) = aggregate.windows.iter().map(|window| window.size).max() else {
            let message = format!("`{name}` is a `{word}`, which windows have, and the aggregate has none");
            check.error(place, message, "give it windows: `windows: [1m]`");
            continue;
        };
        let MeasureKind::Versus(earlier) = measure.kind else { continue };
        let ago = Duration::from_millis(earlier.ago_ms.unsigned_abs());
        let least = ago + largest + aggregate.grace;
        if aggregate.retention < least {
            // Whole hours are easier to read than the seconds that are needed.
            let hours = least.as_secs().div_ceil(HOUR.as_secs());
            let (ago, least) = (format_duration(ago), format!("{hours}h"));
            let message = format!("`{name}` compares with the window {ago} ago, which is not kept so long");
            check.error(place, message, format!("use `retention: {least}` or more, or a smaller `ago`"));
        }
        if !ago.as_millis().is_multiple_of(aggregate.pane.as_millis().max(1)) {
            let pane = format_duration(aggregate.pane);
            let message = format!("`ago: {}` does not fit the panes of {pane}", format_duration(ago));
            check.error(place, message, format!("use a multiple of {pane}"));
        }
    }
}

/// The prefix that the user chose, and the aggregate's name.
fn metric_prefix(check: &mut Checker, name: &At<String>, raw: &Option<At<String>>) -> String {
    let (place, metric_prefix) = match raw {
        Some(prefix) => {
            check.identifier(prefix.place, &prefix.value, "a metric prefix");
            (prefix.place, format!("{}_{}", prefix.value.trim_end_matches('_'), name.value))
        }
        None => (name.place, name.value.clone()),
    };
    if metric_prefix == "streamgauge" || metric_prefix.starts_with("streamgauge_") {
        let help = "metrics of the agent itself begin so: choose another name or prefix";
        check.error(place, format!("metric names may not begin with `{metric_prefix}`"), help);
    }
    metric_prefix
}

/// The windows and where they stand.
fn windows(check: &mut Checker, raw: &[At<RawWindow>]) -> Vec<(Window, Place)> {
    let mut windows: Vec<(Window, Place)> = Vec::new();
    let texts = raw.iter().filter_map(|at| match &at.value {
        RawWindow::Text(value) => Some(At { value, place: at.place }),
        RawWindow::Session(_) => None,
    });
    for text in texts {
        match window(text.value) {
            Ok(Some(window)) if windows.iter().any(|(other, _)| *other == window) => {
                check.error(text.place, format!("window `{}` stands here twice", text.value), "keep one of them");
            }
            Ok(Some(window)) => windows.push((window, text.place)),
            Ok(None) => {}
            Err((message, help)) => check.error(text.place, message, help),
        }
    }
    windows
}

/// `1m`, `5m/1m`; nothing for `total`.
fn window(text: &str) -> Result<Option<Window>, (String, &'static str)> {
    const FORMS: &str = "write `1m`, `5m/1m` (five minutes, starting every minute) or `total`";
    if text.trim() == "total" {
        return Ok(None);
    }
    if text.contains("session") {
        return Err((
            "a session window is a mapping".into(),
            "write `{ session: 10m }` or `{ session: 10m, max: 12h }`",
        ));
    }
    let (size, hop) = text.split_once('/').unwrap_or((text, text));
    let read = |part: &str| parse_duration(part).map_err(|message| (message, FORMS));
    let window = Window { size: read(size)?, hop: read(hop)? };
    if window.size.is_zero() || window.hop.is_zero() {
        return Err((format!("window `{text}` is empty"), FORMS));
    }
    if window.hop > window.size {
        return Err((
            format!("window `{text}` starts less often than it is long"),
            "events between would be in no window",
        ));
    }
    if !window.size.as_millis().is_multiple_of(window.hop.as_millis()) {
        return Err((format!("window `{text}` is not a multiple of its hop"), "choose a hop that divides its length"));
    }
    Ok(Some(window))
}

/// The pane that was asked for, if every window is a multiple of it; else the largest that fits.
fn pane(check: &mut Checker, raw: &RawAggregate, windows: &[(Window, Place)]) -> Duration {
    let fits = windows.iter().map(|(window, _)| window.hop).reduce(divisor);
    let Some(at) = &raw.pane else {
        // Without windows there are still queries over any stretch of time.
        return fits.unwrap_or(MINUTE);
    };
    let default = fits.unwrap_or(MINUTE);
    let pane = check.duration(&raw.pane, default, MILLISECOND..=30 * DAY);
    for (window, place) in windows {
        if !window.hop.as_millis().is_multiple_of(pane.as_millis().max(1)) {
            let (pane, hop) = (format_duration(pane), format_duration(window.hop));
            let help = format!("use a pane that divides every window and hop, such as `{}`", format_duration(default));
            check.error(*place, format!("{hop} is not a multiple of the pane, {pane} (line {})", at.place.line), help);
        }
    }
    pane
}

fn divisor(a: Duration, b: Duration) -> Duration {
    let (mut a, mut b) = (a.as_millis() as u64, b.as_millis() as u64);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Duration::from_millis(a)
}

fn retention(
    check: &mut Checker,
    raw: &RawAggregate,
    windows: &[(Window, Place)],
    pane: Duration,
    grace: Duration,
) -> Duration {
    let largest = windows.iter().map(|(window, _)| window.size).max().unwrap_or(pane).max(pane);
    let least = largest + grace;
    let retention = check.duration(&raw.retention, (2 * least).max(2 * HOUR), SECOND..=3650 * DAY);
    if let Some(at) = raw.retention.as_ref().filter(|_| retention < least) {
        let (largest, grace, least) = (format_duration(largest), format_duration(grace), format_duration(least));
        let message = "the retention is too short for the windows";
        check.error(
            at.place,
            message,
            format!("the largest is {largest}, and {grace} of grace follow: use {least} or more"),
        );
    }
    let panes = retention.as_millis() / pane.as_millis().max(1);
    if panes > MANY_PANES {
        let (pane, kept) = (format_duration(pane), format_duration(retention));
        check.warn(format!(
            "{panes} panes of {pane} per key are kept for {kept}: a larger `pane` or less retention needs less state"
        ));
    }
    retention
}

/// No two measures, of one aggregate or of two, may give series of the same name.
fn names_are_unique(check: &mut Checker, raw: &Map<RawAggregate>, aggregates: &[Aggregate]) {
    let mut owners: HashMap<String, String> = HashMap::new();
    for ((name, raw), aggregate) in raw.0.iter().zip(aggregates) {
        let places = raw.measures.value.0.iter().map(|(name, _)| name.place);
        for (measure, place) in aggregate.measures.iter().zip(places) {
            let mut families: Vec<_> =
                aggregate.total_families(measure).into_iter().map(|(_, family)| family).collect();
            if !aggregate.windows.is_empty() {
                families.extend(aggregate.window_families(measure).into_iter().map(|(_, family)| family));
            }
            claim(check, &mut owners, place, format!("{}.{}", aggregate.name, measure.name), &families);
        }
        for measure in aggregate.measures.iter().filter(|measure| matches!(measure.kind, MeasureKind::Sessions(_))) {
            let families: Vec<_> = aggregate.total_families(measure).into_iter().map(|(_, family)| family).collect();
            claim(check, &mut owners, name.place, format!("{}.{}", aggregate.name, measure.name), &families);
        }
        if !aggregate.windows.is_empty() {
            let families = [aggregate.window_end_family(), aggregate.window_complete_family()];
            claim(check, &mut owners, name.place, aggregate.name.clone(), &families);
        }
    }
}

/// Notes the families' names as the owner's; an error if one of them has another owner.
fn claim(check: &mut Checker, owners: &mut HashMap<String, String>, place: Place, owner: String, families: &[Family]) {
    let names = families.iter().flat_map(|family| family.sample_names().into_iter().chain([family.name.clone()]));
    let mut taken = None;
    for name in names {
        let first = owners.entry(name.clone()).or_insert_with(|| owner.clone());
        if *first != owner && taken.is_none() {
            taken = Some((name, first.clone()));
        }
    }
    if let Some((name, first)) = taken {
        let help = "rename one of them, or give a measure a `name` or an aggregate a `prefix`";
        check.error(place, format!("`{owner}` and `{first}` both give the metric `{name}`"), help);
    }
}
