//! Checks of `sources`: topics, their format, and where the event time is.

use super::super::at::{At, Map};
use super::super::own_topics::{LONGEST_NAME, is_own_topic, is_topic_name, whole_changelog_name};
use super::super::raw::{RawSource, RawSourceDeadLetters};
use super::super::selector::TopicSelector;
use super::super::types::{FieldPath, Source, SourceDeadLetters};
use super::super::units::format_duration;
use super::condition::conditions;
use super::recent::recent_events;
use super::time::Written;
use super::{Checker, DAY, HOUR, SECOND, format};
use std::time::Duration;

pub fn sources(check: &mut Checker, raw: &At<Map<RawSource>>, group: &str) -> Vec<Source> {
    if raw.value.0.is_empty() {
        let help =
            "`sources: { requests: { topics: [log-events], timestamp: { field: timestamp, format: unix_ms } } }`";
        check.error(raw.place, "`sources` is empty", help);
    }
    let sources: Vec<Source> = raw.value.0.iter().map(|(name, source)| one(check, name, source, group)).collect();
    topics_have_one_source(check, &raw.value);
    sources
}

fn one(check: &mut Checker, name: &At<String>, raw: &RawSource, group: &str) -> Source {
    check.identifier(name.place, &name.value, "a source");
    if raw.topics.value.is_empty() {
        check.error(raw.topics.place, "a source needs at least one topic", "`topics: [log-events]`");
    }
    let topics = raw.topics.value.iter().filter_map(|topic| selector(check, topic, group)).collect();
    let format = raw.format.as_ref().map(|raw| format::format(check, raw.place, &raw.value)).unwrap_or_default();
    let max_future = check.duration(&raw.max_future, HOUR, SECOND..=3650 * DAY);
    let parse = format::parse(check, raw);
    let written = Written { format: &format, parse: &parse };
    Source {
        name: name.value.clone(),
        topics,
        timestamp: super::time::timestamp(check, name.place, raw.timestamp.as_ref(), &written),
        each: raw.each.as_ref().and_then(|raw| format::each(check, raw, &format)),
        parse: parse.clone(),
        remap: raw.remap.as_ref().and_then(|program| super::remap::remap(check, program, raw, &format)),
        unpacked_bytes: {
            let size = check.size(&raw.unpacked_size, Source::UNPACKED_BYTES as u64, 1024..=1 << 30);
            usize::try_from(size).unwrap_or(Source::UNPACKED_BYTES)
        },
        format: format.clone(),
        fields: fields(check, raw),
        max_future,
        max_lead: max_lead(check, raw, max_future),
        start: raw.start.unwrap_or_default(),
        strict: raw.strict.unwrap_or(false),
        dead_letters: dead_letters(check, raw),
        filter: {
            let mut filter = Vec::new();
            conditions(check, &raw.filter, &mut filter);
            filter
        },
        recent_events: raw.recent_events.as_ref().map(|raw| recent_events(check, raw)),
    }
}

/// What aggregates call a field, and where it is.
fn fields(check: &mut Checker, raw: &RawSource) -> Vec<(FieldPath, FieldPath)> {
    let mut path = |at: &At<String>| check.field_path(at.place, &at.value);
    raw.fields.0.iter().map(|(name, place)| (path(name), path(place))).collect()
}

/// How far an event may move stream time beyond its record: a third of the usual grace, so that one wrong clock makes
/// nobody else's events late.
const MAX_LEAD: Duration = Duration::from_secs(10);

fn max_lead(check: &mut Checker, raw: &RawSource, max_future: Duration) -> Duration {
    let max_lead = check.duration(&raw.max_lead, MAX_LEAD.min(max_future), Duration::ZERO..=3650 * DAY);
    if let Some(at) = raw.max_lead.as_ref().filter(|_| max_lead > max_future) {
        let future = format_duration(max_future);
        let help =
            format!("an event more than {future} ahead is a dead letter: lower `max_lead`, or raise `max_future`");
        check.error(at.place, format!("`max_lead` is more than `max_future`, which is {future}"), help);
    }
    max_lead
}

fn selector(check: &mut Checker, topic: &At<String>, group: &str) -> Option<TopicSelector> {
    check.no_quoted_reference(topic.place, &topic.value);
    match TopicSelector::parse(&topic.value) {
        Ok(selector) => {
            match selector.name() {
                Some(_) => check_name(check, topic, group),
                None => check_pattern(check, &topic.value),
            }
            Some(selector)
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            check.error(topic.place, format!("`{}` is not a regular expression: {reason}", topic.value), "");
            None
        }
    }
}

fn check_name(check: &mut Checker, topic: &At<String>, group: &str) {
    let name = &topic.value;
    if !is_topic_name(name) {
        let help = "topics have up to 249 letters, digits, `.`, `_` and `-`; a regular expression begins with `^`";
        check.error(topic.place, format!("`{name}` is not a valid topic name"), help);
    } else if whole_changelog_name(group, name).len() > LONGEST_NAME {
        let help = "the changelog's name has the group and the topic in it, and Kafka allows 249 characters: shorten the group";
        check.error(topic.place, format!("with group `{group}` the changelog of `{name}` gets too long a name"), help);
    }
}

fn check_pattern(check: &mut Checker, pattern: &str) {
    if !pattern.ends_with('$') || pattern.ends_with("*$") || pattern.ends_with("+$") {
        check.warn(format!(
            "sources: `{pattern}` may match dead-letter topics (`…-dlq`) too: give it an end, such as `[0-9]$`"
        ));
    }
}

fn dead_letters(check: &mut Checker, raw: &RawSource) -> SourceDeadLetters {
    let RawSourceDeadLetters { enabled, topic, payload } = &raw.dead_letters;
    if let Some(topic) = topic {
        let fits = matches!(TopicSelector::parse(&topic.value), Ok(selector) if selector.name().is_some());
        if !fits {
            check.error(topic.place, format!("`{}` is not a valid topic name", topic.value), "such as `dead-letters`");
        } else if raw.topics.value.iter().any(|source| source.value == topic.value) {
            let help = "give the dead letters a topic of their own";
            check.error(topic.place, "the source would read its own dead letters", help);
        }
    }
    SourceDeadLetters {
        enabled: enabled.unwrap_or(true),
        topic: topic.as_ref().map(|topic| topic.value.clone()),
        payload: payload.unwrap_or_default(),
    }
}

/// A topic that two sources read would be counted under two clocks.
fn topics_have_one_source(check: &mut Checker, raw: &Map<RawSource>) {
    let all: Vec<(&str, &At<String>)> = raw
        .0
        .iter()
        .flat_map(|(source, body)| body.topics.value.iter().map(|topic| (source.value.as_str(), topic)))
        .collect();
    for (index, (source, topic)) in all.iter().enumerate() {
        let earlier = all.iter().take(index).find(|(_, other)| overlap(&topic.value, &other.value));
        let Some((owner, other)) = earlier else { continue };
        let message = match other.value == topic.value {
            true => format!("topic `{}` stands in source `{owner}` already", topic.value),
            false => format!("`{}` and `{}` of source `{owner}` overlap", topic.value, other.value),
        };
        let help = match owner == source {
            true => "keep one of them",
            false => "a topic belongs to one source; any number of aggregates may use it",
        };
        check.error(topic.place, message, help);
    }
}

/// Whether two topics, names or patterns, are known to be the same for some topic.
fn overlap(a: &str, b: &str) -> bool {
    // What is no regular expression has been complained about.
    let parsed = (TopicSelector::parse(a), TopicSelector::parse(b));
    let (Ok(a), Ok(b)) = parsed else { return false };
    // No pattern means the agents' own topics.
    let means =
        |a: &TopicSelector, b: &TopicSelector| b.name().is_some_and(|name| !is_own_topic(name) && a.matches(name));
    a == b || means(&a, &b) || means(&b, &a)
}
