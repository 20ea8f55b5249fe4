//! Label matchers, as in PromQL: `=`, `!=`, `=~`, `!~`; a regular expression has to match the whole value.

use super::error::QueryError;
use crate::aggregate::{AggregatePlan, encode_labels, is_overflow, labels};
use regex::{Regex, RegexBuilder};

/// What a label's value has to be.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub label: String,
    pub op: MatchOp,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
}

/// Largest compiled regular expression, bytes.
const REGEX_LIMIT: usize = 1 << 20;

#[derive(Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    NotMatches(Regex),
}

/// The matchers of one query, ready to be used on an aggregate's keys.
#[derive(Debug)]
pub struct Matchers {
    /// Position of the label in the key, and what it has to be.
    tests: Vec<(usize, Test)>,
    labels: usize,
}

impl Matchers {
    /// # Errors
    /// If the aggregate has no such label, or a regular expression is none.
    pub fn new(matchers: &[Matcher], plan: &AggregatePlan) -> Result<Matchers, QueryError> {
        let tests = matchers.iter().map(|matcher| Ok((label_index(&matcher.label, plan)?, test(matcher)?)));
        Ok(Matchers { tests: tests.collect::<Result<_, QueryError>>()?, labels: plan.config.by.len() })
    }

    /// Whether a key matches. The overflow key has no labels: it is as if all were empty.
    pub fn matches(&self, key: &[u8]) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let Some(values) = labels(key) else { return false };
        self.tests.iter().all(|(label, test)| {
            let value = values.get(*label).copied().unwrap_or("");
            match test {
                Test::Equal(wanted) => value == wanted && !is_overflow(key),
                Test::NotEqual(unwanted) => value != unwanted,
                Test::Matches(regex) => regex.is_match(value),
                Test::NotMatches(regex) => !regex.is_match(value),
            }
        })
    }

    /// The only key that can match, if every label has to be equal to something.
    pub fn only_key(&self) -> Option<Vec<u8>> {
        let value = |label: usize| {
            self.tests.iter().find_map(|(at, test)| match test {
                Test::Equal(value) if *at == label => Some(value.as_str()),
                _ => None,
            })
        };
        let values: Option<Vec<&str>> = (0..self.labels).map(value).collect();
        let values = values.filter(|values| !values.is_empty())?;
        let mut key = Vec::new();
        encode_labels(values, &mut key);
        self.matches(&key).then_some(key)
    }
}

/// Position of a label in the aggregate's keys.
pub fn label_index(label: &str, plan: &AggregatePlan) -> Result<usize, QueryError> {
    plan.config.by.iter().position(|by| by.label == label).ok_or_else(|| QueryError::UnknownLabel {
        label: label.to_owned(),
        aggregate: plan.config.name.clone(),
        known: plan.config.by.iter().map(|by| by.label.clone()).collect(),
    })
}

fn test(matcher: &Matcher) -> Result<Test, QueryError> {
    let regex = || {
        let anchored = format!("^(?:{})$", matcher.value);
        RegexBuilder::new(&anchored).size_limit(REGEX_LIMIT).build().map_err(|error| QueryError::BadRegex {
            label: matcher.label.clone(),
            // The library's text draws a picture over several lines; its last one is the message.
            problem: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })
    };
    Ok(match matcher.op {
        MatchOp::Equal => Test::Equal(matcher.value.clone()),
        MatchOp::NotEqual => Test::NotEqual(matcher.value.clone()),
        MatchOp::Matches => Test::Matches(regex()?),
        MatchOp::NotMatches => Test::NotMatches(regex()?),
    })
}
