//! What librdkafka says again and again, held back. Each of the agent's clients tells of the same broker, and each tries it
//! again every few seconds: without this, one broker that is down is a dozen lines of log a second.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use streamgauge_runtime::clock::{BootTime, Clock};

/// The same sentence is told once in this time, whichever client hears it.
const APART: Duration = Duration::from_secs(60);
/// That many sentences are remembered. There are a few for each broker.
const REMEMBERED: usize = 256;

/// One for the process, as it has one log.
static REPEATS: Mutex<Repeats> = Mutex::new(Repeats { told: BTreeMap::new() });

/// Sentences told lately.
struct Repeats {
    told: BTreeMap<String, Told>,
}

struct Told {
    at: BootTime,
    held_back: u64,
}

/// How a sentence is to be told now; `None` if it was told less than a minute ago.
pub fn tell(sentence: &str) -> Option<String> {
    let held_back = REPEATS.lock().tell(sentence, Clock::default().boot_time())?;
    Some(match held_back {
        0 => sentence.to_owned(),
        times => format!("{sentence} (said {times} more times since)"),
    })
}

impl Repeats {
    /// How often `sentence` was held back since it was told; `None` if it is held back now, too.
    fn tell(&mut self, sentence: &str, now: BootTime) -> Option<u64> {
        if let Some(told) = self.told.get_mut(sentence) {
            if now.since(told.at) < APART {
                told.held_back += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.held_back));
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| now.since(told.at) < APART);
        }
        if self.told.len() < REMEMBERED {
            self.told.insert(sentence.to_owned(), Told { at: now, held_back: 0 });
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_told_once_a_minute_with_how_often_it_was_held_back() {
        let mut repeats = Repeats { told: BTreeMap::new() };
        let start = BootTime::from_millis(0);
        assert_eq!(repeats.tell("down", start), Some(0));
        assert_eq!(repeats.tell("down", start.after(Duration::from_secs(1))), None);
        assert_eq!(repeats.tell("down", start.after(Duration::from_secs(59))), None);
        assert_eq!(
            repeats.tell("refused", start.after(Duration::from_secs(59))),
            Some(0),
            "another one is not held back"
        );
        assert_eq!(repeats.tell("down", start.after(APART)), Some(2));
        assert_eq!(repeats.tell("down", start.after(APART + Duration::from_secs(1))), None);
    }

    #[test]
    fn what_is_remembered_has_a_limit_and_nothing_is_held_back_for_it() {
        let mut repeats = Repeats { told: BTreeMap::new() };
        let start = BootTime::from_millis(0);
        for number in 0..2 * REMEMBERED {
            assert_eq!(repeats.tell(&number.to_string(), start), Some(0));
        }
        assert_eq!(repeats.told.len(), REMEMBERED);
        assert_eq!(repeats.tell("another", start.after(APART)), Some(0));
        assert_eq!(repeats.told.len(), 1, "old ones make room");
    }
}
