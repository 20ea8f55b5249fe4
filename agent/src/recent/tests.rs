//! What is shown, what is let through, and what a page is.

use super::condition::{Comparison, Condition, Conditions};
use super::cut::{Cut, Found, Stretch, cut};
use super::disclosure::Disclosure;
use super::showing::Event;
use super::token::Token;
use crate::config::{self, RecentEvents};
use crate::kafka::TopicPartition;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn shown(fields: &str) -> RecentEvents {
    let text = format!(
        "kafka: {{ bootstrap_servers: localhost:9092 }}\n\
         sources:\n  s: {{ topics: [t], timestamp: {{ from: kafka }}, recent_events: {fields} }}\n\
         aggregates:\n  a: {{ source: s, measures: {{ events: count }} }}\n"
    );
    let config = config::parse(&text, "c.yaml", &|_| None).unwrap();
    config.sources[0].recent_events.clone().unwrap()
}

#[test]
fn a_value_is_shown_as_the_config_says_and_the_same_value_has_the_same_hash() {
    let config = shown(
        "{ fields: { a: a, b: { field: b, show: hashed }, c: { field: c, show: masked } }, hash_key: 0123456789abcdef }",
    );
    let disclosure = Disclosure::new(&config, b"spare");
    assert_eq!(disclosure.shown(0, "anna@example.com"), "anna@example.com");
    let hash = disclosure.shown(1, "anna@example.com");
    // printf anna@example.com | openssl dgst -sha256 -hmac 0123456789abcdef
    assert_eq!(hash, "18ad5ee274fd3541");
    assert_ne!(hash, disclosure.shown(1, "otto@example.com"));
    assert_eq!(disclosure.shown(2, "anna@example.com"), "an***");
    assert_eq!(disclosure.shown(2, "Ümläute!"), "Üm***");
    assert_eq!(disclosure.shown(2, "1234567"), "***");
    let long = "ä".repeat(2_000);
    assert_eq!(disclosure.shown(0, &long).chars().count(), 1_025);
    let other = Disclosure::new(&shown("{ fields: { b: { field: b, show: hashed } } }"), b"spare");
    assert_ne!(other.shown(0, "anna@example.com"), hash, "the spare key");
}

#[test]
fn conditions_see_what_people_see() {
    let config = shown("{ fields: { status: status, user: { field: user, show: hashed } } }");
    let check = |field: &str, comparison, value: &str, holding: &[Option<&str>], failing: &[Option<&str>]| {
        let condition = Condition { field: field.into(), comparison, value: value.into() };
        let conditions = Conditions::new(&[condition], &config).unwrap();
        let hold = |value: &Option<&str>| conditions.hold(&[value.map(str::to_owned), None]);
        holding.iter().for_each(|value| assert!(hold(value), "{comparison:?} {value:?}"));
        failing.iter().for_each(|value| assert!(!hold(value), "{comparison:?} {value:?}"));
    };
    check("status", Comparison::Equal, "500", &[Some("500")], &[Some("5000"), None]);
    check("status", Comparison::NotEqual, "500", &[Some("200"), None], &[Some("500")]);
    check("status", Comparison::Matches, "5..", &[Some("503")], &[Some("5030"), Some("200"), None]);
    check("status", Comparison::NotMatches, "5..", &[Some("200"), None], &[Some("503")]);
    check("status", Comparison::GreaterOrEqual, "500", &[Some("500"), Some("599.5")], &[Some("499"), Some("x"), None]);
    check("status", Comparison::Less, "1e3", &[Some("999")], &[Some("1000"), None]);
    let refused = |field: &str, comparison, value: &str| {
        let condition = Condition { field: field.into(), comparison, value: value.into() };
        Conditions::new(&[condition], &config).unwrap_err().to_string()
    };
    assert_eq!(refused("ip", Comparison::Equal, "x"), "there is no field `ip`; those that are shown are: status, user");
    assert_eq!(refused("user", Comparison::Less, "3"), "`user` is not shown as it is: it has no size to compare");
    assert_eq!(refused("status", Comparison::Less, "x"), "`status`: `x` is not a number such as 500");
    assert_eq!(refused("status", Comparison::Matches, "("), "`(` is not a regular expression");
}

#[test]
fn a_token_belongs_to_its_question_and_keeps_its_places() {
    let places = vec![
        (TopicPartition { topic: "a".into(), partition: 0 }, 17),
        (TopicPartition { topic: "b".into(), partition: 3 }, 1),
        (TopicPartition { topic: "a".into(), partition: 2 }, 9),
    ];
    let condition = Condition { field: "f".into(), comparison: Comparison::Equal, value: "v".into() };
    let begin = Token::read("", "s", std::slice::from_ref(&condition)).unwrap();
    assert_eq!((begin.places.as_deref(), begin.text()), (None, String::new()));
    let token = Token { places: Some(places.clone()), ..begin };
    let text = token.text();
    let mut read = Token::read(&text, "s", &[condition]).unwrap().places.unwrap();
    read.sort_by_key(|(place, end)| (place.topic.clone(), place.partition, *end));
    let mut places = places;
    places.sort_by_key(|(place, end)| (place.topic.clone(), place.partition, *end));
    assert_eq!(read, places);
    for (text, source) in [(text.as_str(), "other"), (text.as_str(), "s"), ("nonsense", "s"), ("AAAA", "s")] {
        let error = Token::read(text, source, &[]).unwrap_err().to_string();
        assert!(error.starts_with("page_token does not belong to this question"), "{error}");
    }
}

/// A log: by partition, when each record was written, and whether the conditions hold for it.
type Log = Vec<Vec<(i64, bool)>>;

/// Reads as `reading.rs` does, `back` records of each partition.
fn page(log: &Log, ends: &BTreeMap<i32, i64>, back: i64, most: usize) -> Cut {
    let stretch = |(&partition, &end): (&i32, &i64)| {
        let start = (end - back).max(0);
        let place = TopicPartition { topic: "t".into(), partition };
        let mut stretch =
            Stretch { place, first: 0, start, end, found: Default::default(), has_dropped: false, oldest: None };
        for offset in start..end {
            let (written_at, holds) = log[partition as usize][offset as usize];
            stretch.oldest = Some(stretch.oldest.map_or(written_at, |oldest: i64| oldest.min(written_at)));
            if holds {
                let event = Event {
                    topic: "t".into(),
                    partition,
                    offset,
                    time: written_at,
                    written_at: Some(written_at),
                    fields: Vec::new(),
                    judged: Vec::new(),
                };
                stretch.found.push_back(Found { offset, written_at, events: vec![event] });
            }
            if stretch.found.len() > most {
                stretch.found.pop_front();
                stretch.has_dropped = true;
            }
        }
        stretch
    };
    cut(ends.iter().map(stretch).collect(), most)
}

proptest! {
    /// Whatever a page may look at and have: all pages together have every event that holds once, none after an older one
    /// of any partition, and they come to an end.
    #[test]
    fn pages_have_every_event_once_and_the_newest_first(
        steps in proptest::collection::vec(proptest::collection::vec((0_i64..50, any::<bool>()), 0..40), 1..5),
        back in 1_i64..12,
        most in 1_usize..8,
    ) {
        let log: Log = steps
            .iter()
            .map(|partition| {
                let mut now = 0;
                partition.iter().map(|&(step, holds)| { now += step; (now, holds) }).collect()
            })
            .collect();
        let mut ends: BTreeMap<i32, i64> = log.iter().enumerate().map(|(p, l)| (p as i32, l.len() as i64)).collect();
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let page = page(&log, &ends, back, most);
            prop_assert!(page.events.len() <= most);
            seen.extend(page.events.iter().map(|event| (event.time, event.partition, event.offset)));
            if page.left.is_empty() {
                break;
            }
            ends = page.left.iter().map(|(place, end)| (place.partition, *end)).collect();
            pages += 1;
            prop_assert!(pages < 1_000, "no end: {ends:?}");
        }
        prop_assert!(seen.windows(2).all(|pair| pair[0].0 >= pair[1].0), "{seen:?}");
        let mut expected: Vec<_> = log.iter().enumerate().flat_map(|(p, l)| {
            l.iter().enumerate().filter(|(_, (_, holds))| *holds).map(move |(o, (at, _))| (*at, p as i32, o as i64))
        }).collect();
        expected.sort_unstable();
        seen.sort_unstable();
        prop_assert_eq!(seen, expected);
    }
}
