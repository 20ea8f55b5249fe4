//! Where the event time is.

use super::error::NoDraft;
use super::fields::{Field, Held, Table};
use super::layout::Layout;
use super::names::{keys, words};
use super::records;
use super::ways::{Way, score};
use super::yaml::{flow, scalar};
use crate::config::FieldPath;
use crate::decode::DecodeError;
use crate::sample::Record;

/// Fields with less than this are nobody's event time.
const LEAST: i32 = 40;
/// Fields that the event time may be in.
const MOST_ENTRIES: usize = 6;

/// Where the event time is, as the config says it.
#[derive(Debug, Default)]
pub(super) struct Time {
    /// In their order; none if the format has a time of its own, or only the records have one.
    pub entries: Vec<Entry>,
    /// Events that have none of these: the record's own time is theirs.
    pub without: usize,
    /// Whether the format says where the time is.
    pub of_format: bool,
    /// Other fields with times.
    pub others: Vec<FieldPath>,
    /// Whether times are read as those of UTC because they do not say their zone.
    pub zoneless: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub path: FieldPath,
    /// The keys of the config beside the field: `format: rfc3339`.
    pub how: String,
}

/// A field that may have the event time.
struct Candidate<'t> {
    field: &'t Field,
    ways: Vec<Way>,
    score: i32,
}

/// Finds the fields that have the event time.
pub(super) fn find(layout: &Layout, table: &Table, sample: &[Record]) -> Result<Time, NoDraft> {
    if layout.has_time {
        return Ok(Time { without: without_own(layout, sample)?, of_format: true, ..Time::default() });
    }
    let mut candidates: Vec<Candidate<'_>> = table.fields.iter().filter_map(candidate).collect();
    let all = candidates.iter().map(|candidate| candidate.field.path.clone()).collect::<Vec<_>>();
    let mut time = Time::default();
    let mut left: Vec<bool> = vec![true; table.events];
    while time.entries.len() < MOST_ENTRIES && left.contains(&true) {
        let events = left.iter().filter(|left| **left).count();
        let new = |candidate: &Candidate<'_>| {
            candidate.field.values.iter().zip(&left).filter(|(value, left)| **left && has_value(value)).count()
        };
        let score = |candidate: &Candidate<'_>| candidate.score + (50 * new(candidate) / events) as i32;
        // Of equals the first.
        let best = candidates.iter().enumerate().rev().max_by_key(|(_, candidate)| score(candidate));
        let Some((at, _)) = best.filter(|(_, best)| score(best) >= LEAST && 5 * new(best) >= events) else { break };
        let chosen = candidates.remove(at);
        time.entries.extend(entries(&chosen, table));
        time.zoneless |= chosen.ways.iter().any(|way| !matches!(way, Way::Rfc3339 | Way::Serial) && !way.is_number())
            && chosen.field.there().any(|value| matches!(value, Held::Text(text) if !says_zone(text)));
        for (left, value) in left.iter_mut().zip(&chosen.field.values) {
            *left &= !has_value(value);
        }
    }
    time.others = candidates.into_iter().map(|candidate| candidate.field.path.clone()).collect();
    // What stands below a field that is something else in other events is looked at first.
    time.entries.sort_by_key(|entry| std::cmp::Reverse(fields_above(&entry.path, &all)));
    time.without = left.iter().filter(|left| **left).count();
    Ok(time)
}

/// Whether the text of a time says its zone: behind the time of day stands an offset, a `Z` or letters.
fn says_zone(text: &str) -> bool {
    let after = text.rfind(':').map_or(text, |colon| &text[colon..]);
    after.contains(['+', '-', 'Z', 'z']) || after.ends_with(|c: char| c.is_alphabetic())
}

/// How many of these fields lead to this one.
fn fields_above(path: &FieldPath, all: &[FieldPath]) -> usize {
    let own = keys(path);
    all.iter().map(keys).filter(|other| other.len() < own.len() && own.starts_with(other)).count()
}

/// Whether a time may be read there: what an object has is read below it.
fn has_value(value: &Held) -> bool {
    value.is_there() && *value != Held::Composite
}

/// Events that have no time by the format's own rules.
fn without_own(layout: &Layout, sample: &[Record]) -> Result<usize, NoDraft> {
    let config = records::source(&layout.source_keys(""))?;
    let mut without = 0;
    records::events(&mut records::decoder(&config.sources[0]), sample, |outcome| {
        without += usize::from(matches!(outcome, Err(DecodeError::MissingTimestamp { .. })));
    });
    Ok(without)
}

/// The field as one that may have the event time: nearly all of its values are times.
fn candidate(field: &Field) -> Option<Candidate<'_>> {
    let found: Vec<Way> = field.there().filter_map(|value| Way::of(value.value())).collect();
    let scalars = field.there().filter(|value| **value != Held::Composite).count();
    if found.is_empty() || 10 * found.len() < 9 * scalars {
        return None;
    }
    let mut ways = found.clone();
    ways.sort();
    ways.dedup();
    let mut score = score(&field.path, ways.iter().any(|way| way.is_number()))?;
    // What is the same in all events is when something began that they are about.
    if field.there >= 10 && field.counts.len() == 1 {
        score -= 30;
    }
    Some(Candidate { field, ways, score })
}

/// The entries of a field: one for each way that is needed.
fn entries(candidate: &Candidate<'_>, table: &Table) -> Vec<Entry> {
    let path = &candidate.field.path;
    if let Some(nanos) = nanos_beside(path, candidate, table) {
        let how = format!("nanos: {}", scalar(&nanos.to_string()));
        return vec![Entry { path: path.clone(), how }];
    }
    let mut ways = candidate.ways.clone();
    if ways.contains(&Way::Iso8601) {
        ways.retain(|way| *way != Way::Rfc3339);
    }
    let numbers = ways.iter().filter(|way| way.is_number()).count();
    let mut hows: Vec<String> =
        ways.iter().filter(|way| numbers < 2 || !way.is_number()).map(|way| way.how()).collect();
    if numbers > 1 {
        hows.insert(0, "format: unix".into());
    }
    hows.into_iter().map(|how| Entry { path: path.clone(), how }).collect()
}

/// The field beside this one that has the nanoseconds of its seconds.
fn nanos_beside(path: &FieldPath, candidate: &Candidate<'_>, table: &Table) -> Option<FieldPath> {
    let own = keys(path);
    let is_seconds = candidate.ways == [Way::Seconds] && words(own.last()?).iter().any(|word| word.starts_with("sec"));
    let beside = |field: &&Field| {
        let other = keys(&field.path);
        other.len() == own.len()
            && other[..other.len() - 1] == own[..own.len() - 1]
            && other.last().is_some_and(|name| words(name).iter().any(|word| word.starts_with("nan") || word == "nsec"))
            && field.there().all(|value| value.number().is_some_and(|nanos| (0.0..1e9).contains(&nanos)))
    };
    table.fields.iter().filter(|_| is_seconds).find(beside).map(|field| field.path.clone())
}

impl Time {
    /// `timestamp` of a source.
    pub fn keys(&self) -> String {
        let entry = |entry: &Entry| {
            let path = scalar(&entry.path.to_string());
            match entry.how.starts_with("nanos") {
                true => format!("{{ seconds: {path}, {} }}", entry.how),
                false => format!("{{ field: {path}, {} }}", entry.how),
            }
        };
        let mut entries: Vec<String> = self.entries.iter().map(entry).collect();
        if self.of_format {
            if self.without == 0 {
                return String::new();
            }
            entries.push("{ field: timestamp }".to_owned());
        }
        if self.without > 0 {
            entries.push("{ from: kafka }".to_owned());
        }
        match entries.as_slice() {
            [one] => format!("    timestamp: {one}\n"),
            all => format!("    timestamp: [{}]\n", all.join(", ")),
        }
    }

    /// Whether the field is one of those with times.
    pub fn is_time(&self, path: &FieldPath) -> bool {
        self.entries.iter().any(|entry| entry.path == *path) || self.others.contains(path)
    }
}

/// What the config says in words: for a comment.
pub(super) fn list(paths: &[FieldPath]) -> String {
    flow(paths.iter().map(ToString::to_string)).trim_matches(['{', '}', ' ']).to_owned()
}
