//! How large a dead letter may be for its topic.

use std::collections::HashMap;

/// What a letter is cut to first: a topic takes a megabyte unless it is told otherwise.
const FIRST_LIMIT: usize = 900 << 10;
/// Below this a letter says nothing any more, and the topic is not to be written to.
const LEAST_LIMIT: usize = 1 << 10;

/// How much of a letter's key and value goes to each topic that has refused a larger one.
#[derive(Debug, Default)]
pub(super) struct LetterLimits(HashMap<String, usize>);

impl LetterLimits {
    pub fn of(&self, topic: &str) -> Option<usize> {
        self.0.get(topic).copied()
    }

    /// Cuts letters to a tenth of what they were cut to so far; `false` if that would leave nothing.
    pub fn shorten(&mut self, topic: &str) -> bool {
        let limit = self.0.get(topic).map_or(FIRST_LIMIT, |limit| limit / 10);
        if limit >= LEAST_LIMIT {
            self.0.insert(topic.to_owned(), limit);
        }
        limit >= LEAST_LIMIT
    }
}
