//! Dead letters on their way out: their headers, and how they are cut when their topic takes none so large.

use super::deadline::Deadline;
use super::work::{Failure, Work};
use super::{DeadLetter, Epoch};
use crate::state::TaskId;
use rdkafka::message::{Header, OwnedHeaders};

/// A letter's key and value as they are sent, and how many bytes they had if that was more.
#[derive(Debug, PartialEq, Eq)]
struct Cut<'a> {
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    from: Option<usize>,
}

fn cut(letter: &DeadLetter, limit: Option<usize>) -> Cut<'_> {
    let (key, payload) = (letter.key.as_deref(), letter.payload.as_deref());
    let whole = key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
    let Some(limit) = limit.filter(|limit| whole > *limit) else { return Cut { key, payload, from: None } };
    // A key is short, or it is what is wrong.
    let key = key.map(|key| &key[..key.len().min(limit / 2)]);
    let room = limit - key.map_or(0, <[u8]>::len);
    Cut { key, payload: payload.map(|payload| &payload[..payload.len().min(room)]), from: Some(whole) }
}

impl Work {
    pub(super) fn send_dead_letter(
        &self,
        id: &TaskId,
        letter: &DeadLetter,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let topic = letter.goes_to(&id.topic);
        let limit = self.letters.of(&topic);
        let Cut { key, payload, from } = cut(letter, limit);
        let text = |key, value: &str| (key, value.to_owned());
        let mut headers = vec![
            text("streamgauge.reason", letter.reason),
            text("streamgauge.detail", &letter.detail),
            text("streamgauge.topic", &id.topic),
            text("streamgauge.partition", &id.partition.to_string()),
            text("streamgauge.offset", &letter.offset.to_string()),
            text("streamgauge.timestamp", &letter.timestamp.map_or_else(String::new, |time| time.to_string())),
        ];
        headers.extend(letter.event.map(|event| text("streamgauge.event", &event.to_string())));
        if letter.payload.as_ref().map_or(0, Vec::len) < letter.bytes {
            headers.push(text("streamgauge.payload_bytes", &letter.bytes.to_string()));
        }
        headers.extend(from.map(|bytes| text("streamgauge.cut_from", &bytes.to_string())));
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        self.send(&topic, None, key, payload, Some(headers), deadline)?;
        // Records that are sent together are refused together, so where one was too large each goes alone.
        if limit.is_some() { self.drain(deadline) } else { Ok(()) }
    }

    /// Counts the letters of a committed epoch that were cut.
    pub(super) fn count_cut_letters(&self, epoch: &Epoch) {
        for task in &epoch.tasks {
            let limit = |letter: &DeadLetter| self.letters.of(&letter.goes_to(&task.task.id.topic));
            let cut = task.dead_letters.iter().filter(|letter| cut(letter, limit(letter)).from.is_some()).count();
            if cut > 0 {
                self.settings.metrics.dead_letters_cut(&task.task.source, cut as u64);
            }
        }
    }

    pub(super) fn drop_dead_letters(&self, epoch: &mut Epoch, detail: &str) {
        for task in &mut epoch.tasks {
            let letters = std::mem::take(&mut task.dead_letters);
            if !letters.is_empty() {
                tracing::warn!(task = %task.task.id, letters = letters.len(), "dead letters dropped: {detail}");
                self.settings.metrics.dead_letters_dropped(&task.task.source, letters.len() as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::letter_limits::LetterLimits;

    fn letter(key: Option<usize>, payload: Option<usize>) -> DeadLetter {
        let bytes = |size: Option<usize>| size.map(|size| vec![b'x'; size]);
        let (key, payload) = (bytes(key), bytes(payload));
        let bytes = payload.as_ref().map_or(0, Vec::len);
        let (topic, detail) = (None, String::new());
        DeadLetter { topic, key, payload, bytes, offset: 0, event: None, timestamp: None, reason: "not_json", detail }
    }

    #[test]
    fn a_letter_is_cut_to_its_limit_and_says_what_it_had() {
        let sizes = |key, payload, limit| {
            let letter = letter(key, payload);
            let cut = cut(&letter, limit);
            (cut.key.map(<[u8]>::len), cut.payload.map(<[u8]>::len), cut.from)
        };
        assert_eq!(sizes(Some(10), Some(5_000), None), (Some(10), Some(5_000), None));
        assert_eq!(sizes(Some(10), Some(90), Some(100)), (Some(10), Some(90), None));
        assert_eq!(sizes(Some(10), Some(5_000), Some(100)), (Some(10), Some(90), Some(5_010)));
        assert_eq!(sizes(Some(5_000), Some(5_000), Some(100)), (Some(50), Some(50), Some(10_000)));
        assert_eq!(sizes(None, Some(5_000), Some(100)), (None, Some(100), Some(5_000)));
        assert_eq!(sizes(Some(5_000), None, Some(100)), (Some(50), None, Some(5_000)));
    }

    #[test]
    fn a_topics_limit_falls_until_nothing_would_be_left() {
        let mut limits = LetterLimits::default();
        assert_eq!(limits.of("a-dlq"), None);
        let mut seen = Vec::new();
        while limits.shorten("a-dlq") {
            seen.extend(limits.of("a-dlq"));
        }
        assert_eq!(seen, [921_600, 92_160, 9_216]);
        assert_eq!(limits.of("b-dlq"), None);
    }
}
