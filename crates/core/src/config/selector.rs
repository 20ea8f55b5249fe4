//! Which topics a source reads, as its `topics` say: names, and patterns that begin with `^`. Parsed here, once.

use regex::Regex;
use std::fmt;
use std::sync::Arc;

/// One entry of a source's `topics`.
#[derive(Clone, Debug, PartialEq)]
pub enum TopicSelector {
    Named(Arc<str>),
    Matching(TopicPattern),
}

/// A regular expression over topic names, in the dialect of the `regex` crate.
#[derive(Clone, Debug)]
pub struct TopicPattern(Regex);

impl TopicSelector {
    /// # Errors
    /// If it begins with `^` and is not a regular expression.
    pub fn parse(text: &str) -> Result<TopicSelector, regex::Error> {
        match text.starts_with('^') {
            true => Ok(TopicSelector::Matching(TopicPattern(Regex::new(text)?))),
            false => Ok(TopicSelector::named(text)),
        }
    }

    pub fn named(topic: &str) -> TopicSelector {
        TopicSelector::Named(topic.into())
    }

    /// As it stands in the config.
    pub fn as_str(&self) -> &str {
        match self {
            TopicSelector::Named(name) => name,
            TopicSelector::Matching(pattern) => pattern.0.as_str(),
        }
    }

    pub fn matches(&self, topic: &str) -> bool {
        match self {
            TopicSelector::Named(name) => **name == *topic,
            TopicSelector::Matching(pattern) => pattern.0.is_match(topic),
        }
    }

    /// The topic, if it is named.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            TopicSelector::Named(name) => Some(name),
            TopicSelector::Matching(_) => None,
        }
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &TopicPattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Display for TopicSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
