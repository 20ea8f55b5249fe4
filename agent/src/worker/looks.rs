//! When a worker looks at what it is not told of.

use crate::clock::BootTime;
use std::time::Duration;

const WATERMARKS_EVERY: Duration = Duration::from_secs(1);
/// How often a worker without partitions looks whether its topics are there.
const TOPICS_EVERY: Duration = Duration::from_secs(1);
/// A source topic that so many looks have not found does not exist.
const TOPIC_LOOKS: u32 = 3;

pub(super) struct Looks {
    watermarks: BootTime,
    topics: BootTime,
    /// Looks in a row that have missed a source topic.
    missed: u32,
}

impl Looks {
    pub fn new(now: BootTime) -> Looks {
        Looks { watermarks: now, topics: now, missed: 0 }
    }

    pub fn is_due(&self, now: BootTime) -> bool {
        now.since(self.watermarks) >= WATERMARKS_EVERY
    }

    pub fn done(&mut self, now: BootTime) {
        self.watermarks = now;
    }

    /// Whether to look for the topics; the next time is later.
    pub fn takes_topics(&mut self, now: BootTime) -> bool {
        let is_due = now.since(self.topics) >= TOPICS_EVERY;
        if is_due {
            self.topics = now;
        }
        is_due
    }

    /// No topic was found. True if it has been looked often enough to say that there is none.
    pub fn missed_topics(&mut self) -> bool {
        let is_certain = self.missed >= TOPIC_LOOKS;
        self.missed += 1;
        is_certain
    }

    pub fn found_topics(&mut self) {
        self.missed = 0;
    }
}
