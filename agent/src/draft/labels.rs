//! Which fields become labels.

use std::collections::{BTreeMap, HashSet};

use super::fields::{Field, Held, Table};
use super::measures;
use super::names::{BESIDE, keys, last_words, name_of};
use super::times::Time;
use super::trial::Tried;
use super::yaml::scalar;
use crate::config::{Each, FieldPath, Step};

/// Candidates that are tried, and labels that are taken.
const MOST_TRIED: usize = 12;
const MOST_TAKEN: usize = 4;
/// More series than this are not drafted.
const MOST_SERIES: usize = 500;
/// So many are drafted of the smallest sample.
const FEW_SERIES: usize = 60;
/// So many values may all be different, in a small sample.
const FEW_VALUES: usize = 8;
/// From this on a name is one that people ask for.
const KNOWN: i32 = 45;

/// From this on one that is taken even if it has one value in the sample.
const MUCH_WANTED: i32 = 90;

/// A field that may be a label.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub name: String,
    pub path: FieldPath,
    /// Whether it is a path of requests, of which a template is made.
    pub template: bool,
    pub score: i32,
    pub taken: bool,
    /// Different values in the sample, and events without one.
    pub values: usize,
    pub empty: u64,
}

impl Label {
    /// As the config has it.
    pub fn made_of(&self) -> String {
        let path = scalar(&self.path.to_string());
        if self.template { format!("{{ field: {path}, template: path }}") } else { path }
    }
}

/// What people ask for, by a word of the name and how much.
const WANTED: [(&[&str], i32); 9] = [
    (&["method", "verb"], 95),
    (&["status", "level", "levelname", "severity", "priority"], 100),
    (&["op", "operation", "action", "type", "kind", "event"], 75),
    (&["service", "app", "application", "component", "logger", "category", "program", "appname"], 70),
    (&["host", "vhost", "node", "authority", "server", "hostname"], 60),
    (&["router", "backend", "frontend", "resource", "namespace"], 65),
    (&["container", "unit", "region", "table", "database", "db", "dbname", "queue", "rcode", "source"], 55),
    (&["stream", "protocol", "proto", "scheme", "cache", "decision", "outcome", "result", "success", "zone"], 48),
    (&["code", "flags", "state", "qtype", "protocol"], 46),
];

/// Words of names that are labels of nothing.
const NEVER: [&str; 46] = [
    "id",
    "ids",
    "uuid",
    "guid",
    "uid",
    "gid",
    "pid",
    "tid",
    "ppid",
    "trace",
    "span",
    "token",
    "hash",
    "cursor",
    "ip",
    "addr",
    "address",
    "port",
    "remote",
    "thread",
    "message",
    "msg",
    "body",
    "text",
    "description",
    "agent",
    "referer",
    "referrer",
    "cookie",
    "email",
    "offset",
    "line",
    "lineno",
    "seq",
    "sequence",
    "number",
    "num",
    "nanos",
    "revision",
    "mac",
    "sha",
    "ref",
    "key",
    "etag",
    "args",
    "query",
];

/// Words of names whose values are paths of requests.
const PATHS: [&str; 6] = ["path", "uri", "url", "route", "endpoint", "target"];

/// The best candidates, the most wanted first.
pub(super) fn candidates(table: &Table, time: &Time) -> Vec<Label> {
    let mut found: Vec<(&Field, i32, bool)> = table
        .fields
        .iter()
        .filter(|field| !time.is_time(&field.path) && 10 * field.there >= table.events && !measures::is_measured(field))
        .filter_map(|field| wanted(field).map(|(score, template)| (field, score - rarity(field, table), template)))
        .collect();
    found.sort_by_key(|(_, score, _)| std::cmp::Reverse(*score));
    let mut taken: Vec<String> = Vec::new();
    let mut labels = Vec::new();
    for (field, score, template) in found.into_iter().take(MOST_TRIED) {
        let name = name_of(&field.path, &taken);
        taken.push(name.clone());
        let path = field.path.clone();
        labels.push(Label { name, path, template, score, taken: false, values: 0, empty: 0 });
    }
    labels
}

/// What a field loses for the events that do not have it.
fn rarity(field: &Field, table: &Table) -> i32 {
    (50 * (table.events - field.there) / table.events.max(1)) as i32
}

/// How much a field is wanted as a label, and whether a template is made of it; `None` if it is none.
fn wanted(field: &Field) -> Option<(i32, bool)> {
    let words = last_words(&field.path);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    if field.there().any(|value| *value == Held::Composite) {
        return None;
    }
    let above = field.path.steps().iter().filter(|step| matches!(step, Step::Key(key) if key == Each::ENCLOSING));
    let depth = (keys(&field.path).len() + above.count()) as i32 - 1;
    let share = |holds: &dyn Fn(&Held) -> bool| field.there().filter(|value| holds(value)).count() * 2 >= field.there;
    if has(&PATHS) && share(&|value| matches!(value, Held::Text(text) if text.starts_with('/') || text.contains("://")))
    {
        return Some((58 - 3 * depth, true));
    }
    let different = field.counts.len();
    let by_name = WANTED.iter().filter(|(words, _)| has(words)).map(|(_, score)| *score).max();
    let is_user_id = words.iter().any(|word| word.len() > 3 && (word.ends_with("uid") || word.ends_with("gid")));
    let is_never = (is_user_id || has(&NEVER)) && !has(&["status", "level", "severity"]);
    let texts_are_short = field.counts.keys().all(|text| text.len() <= 80)
        && share(&|value| match value {
            Held::Text(text) => text.len() <= 40 && text.matches(' ').count() <= 3,
            Held::Float(_) | Held::Digits(_) => false,
            _ => true,
        });
    if is_never || !texts_are_short {
        return None;
    }
    match by_name {
        Some(score) if different <= 50 && (3 * different <= 2 * field.there || different <= FEW_VALUES) => {
            Some((score - 4 * depth - if has(&BESIDE) { 40 } else { 0 }, false))
        }
        Some(_) => None,
        None if (2..=15).contains(&different) && 3 * different <= field.there => Some((15 - 3 * depth, false)),
        None => None,
    }
}

/// Takes labels, the most wanted first, while the sample has few enough series.
pub(super) fn choose(mut labels: Vec<Label>, tried: &Tried) -> Vec<Label> {
    let measured = tried.summary.aggregates.first().map(|aggregate| aggregate.labels.as_slice()).unwrap_or_default();
    for (label, summary) in labels.iter_mut().zip(measured) {
        (label.values, label.empty) = (summary.values - usize::from(summary.empty > 0), summary.empty);
    }
    let events = tried.labels.len();
    let most = (events / 2).clamp(FEW_SERIES, MOST_SERIES);
    let mut names: Vec<String> = Vec::new();
    let mut unknown = 0;
    // What is always the same says nothing, and takes no other's place.
    let (same, several): (Vec<_>, Vec<_>) =
        labels.iter_mut().partition(|label| label.values < 2 && label.score < MUCH_WANTED);
    for label in several.into_iter().chain(same) {
        let known = label.score >= KNOWN - 12;
        // A template's values say whether it is one of few; one value says nothing, unless people ask for it.
        let few = label.values <= 30 && (label.values > 1 || known) && label.values > 0;
        if names.len() >= MOST_TAKEN || !few || (!known && (unknown > 0 || names.len() > 1)) {
            continue;
        }
        let says_the_same = label.values > 1 && names.iter().any(|name| is_the_same(&label.name, name, tried));
        if !says_the_same && series(names.iter().chain([&label.name]), tried) <= most {
            label.taken = true;
            unknown += usize::from(!known);
            names.push(label.name.clone());
        }
    }
    labels
}

/// Whether each value of one label goes with one of the other.
fn is_the_same(one: &String, other: &String, tried: &Tried) -> bool {
    let both = series([one, other].into_iter(), tried);
    both == series([one].into_iter(), tried) && both == series([other].into_iter(), tried)
}

/// How many different combinations of these labels there are.
fn series<'n>(names: impl Iterator<Item = &'n String> + Clone, tried: &Tried) -> usize {
    let of = |labels: &BTreeMap<String, String>| -> Vec<String> {
        names.clone().map(|name| labels.get(name).cloned().unwrap_or_default()).collect()
    };
    tried.labels.iter().map(of).collect::<HashSet<_>>().len()
}
