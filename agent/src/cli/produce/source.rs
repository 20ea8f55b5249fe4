//! What is sent: events of a seed, or lines of a file.

use super::args::{KeyBy, Kind};
use super::lines::{Lines, Next};
use crate::clock::Clock;
use crate::generate::{Action, EventTime, Failing, Generator};

/// An event to be sent. Its buffers are used again.
#[derive(Default)]
pub(super) struct Record {
    pub key: Vec<u8>,
    pub has_key: bool,
    pub value: Vec<u8>,
}

impl Record {
    pub fn key(&self) -> Option<&[u8]> {
        self.has_key.then_some(&self.key)
    }
}

pub(super) enum Source {
    Generated(Generated),
    Lines {
        lines: Lines,
        /// Name of the source of the log events that they become; `None`: they stay what they are.
        wrapped: Option<String>,
    },
}

/// Events of a seed.
pub(super) struct Generated {
    pub kind: Kind,
    pub key: KeyBy,
    pub seed: u64,
    pub event_time: EventTime,
    /// Date events by the clock when they are sent, not by schedule.
    pub by_clock: bool,
    pub failing: Failing,
}

impl Source {
    /// Writes event `n`, if there is one.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub fn next(&mut self, n: u64, clock: &Clock, record: &mut Record) -> anyhow::Result<Next> {
        match self {
            Source::Generated(generated) => {
                generated.write(n, clock, record);
                Ok(Next::Event)
            }
            Source::Lines { lines, wrapped } => {
                record.has_key = false;
                let next = lines.next(&mut record.value)?;
                if let (Next::Event, Some(source)) = (next, wrapped) {
                    wrap(source, &mut record.value);
                }
                Ok(next)
            }
        }
    }

    /// Lines that were left out because they are too long.
    pub fn left_out(&self) -> u64 {
        if let Source::Lines { lines, .. } = self { lines.too_long } else { 0 }
    }
}

impl Generated {
    fn write(&self, n: u64, clock: &Clock, Record { key, has_key, value }: &mut Record) {
        let time = match self.by_clock {
            true => self.event_time.dated_back(n, clock.unix_millis()),
            false => self.event_time.at(n),
        };
        *has_key = self.key != KeyBy::None;
        match self.kind {
            Kind::UserActions => {
                let action = Action::of(self.seed, n, time);
                action.write_json(value);
                match self.key {
                    KeyBy::User => action.write_user(key),
                    _ => action.write_user_and_type(key),
                }
            }
            kind => {
                let event = Generator::new(self.seed).event(n, time);
                match kind {
                    Kind::Logs => event.write_log(value),
                    _ => event.write_json(value),
                }
                let text = match self.key {
                    KeyBy::Endpoint => event.endpoint,
                    KeyBy::Source => event.service(),
                    _ => "",
                };
                match self.key {
                    KeyBy::User => event.write_user(key),
                    _ => {
                        key.clear();
                        key.extend_from_slice(text.as_bytes());
                    }
                }
            }
        }
        self.failing.spoil(n, value);
    }
}

/// A line as a log event; one that is a JSON object is taken for one.
fn wrap(source: &str, line: &mut Vec<u8>) {
    if line.trim_ascii_start().first() == Some(&b'{') {
        return;
    }
    let message = String::from_utf8_lossy(line);
    let event = serde_json::json!({ "source": source, "level": "INFO", "message": message });
    *line = event.to_string().into_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_log_event_unless_it_is_one() {
        let wrapped = |text: &[u8]| {
            let mut line = text.to_vec();
            wrap("app", &mut line);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(wrapped(b" {\"source\":\"x\"}"), " {\"source\":\"x\"}");
        assert_eq!(
            wrapped(b"it \"broke\" \xff"),
            r#"{"level":"INFO","message":"it \"broke\" \ufffd","source":"app"}"#.replace("\\ufffd", "\u{fffd}")
        );
    }
}
