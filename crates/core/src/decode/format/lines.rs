//! Lines of containers and of Kubernetes: `cri`, and `klog`, which its components write.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::names::Names;
use super::year::dated;
use super::{Format, not_in};
use crate::value::Value;

/// `2025-11-20T16:57:52.123456789Z stdout F message`.
#[derive(Debug)]
pub(super) struct Cri(Names<4>);

impl Cri {
    pub fn new(wanted: Wanted) -> Cri {
        Cri(Names::new(wanted, ["timestamp", "stream", "logtag", "message"]))
    }

    fn fields<'a>(&self, line: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let (timestamp, rest) = line.split_once(' ')?;
        let (stream, rest) = rest.split_once(' ')?;
        let (tag, message) = rest.split_once(' ').unwrap_or((rest, ""));
        let known = matches!(stream, "stdout" | "stderr") && matches!(tag.split(':').next(), Some("F" | "P"));
        if !known || !timestamp.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        for (at, text) in [timestamp, stream, tag, message].into_iter().enumerate() {
            self.0.set(at, Value::Str(text), sink);
        }
        Some(())
    }
}

impl Format for Cri {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.fields(event, sink).ok_or_else(|| not_in("cri", event))
    }
}

/// `I0520 16:57:52.123456   28133 file.go:70] message`.
#[derive(Debug)]
pub(super) struct Klog(Names<6>);

impl Klog {
    pub fn new(wanted: Wanted) -> Klog {
        Klog(Names::new(wanted, ["level", "timestamp", "id", "file", "line", "message"]))
    }

    fn fields<'a>(&self, line: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let level = match line.as_bytes().first()? {
            b'I' => "info",
            b'W' => "warning",
            b'E' => "error",
            b'F' => "fatal",
            _ => return None,
        };
        let (date, rest) = line.get(1..)?.split_once(' ')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let (month, day) = (date.get(..2)?, date.get(2..4)?);
        if date.len() != 4 || !digits(date) {
            return None;
        }
        let (time, rest) = rest.trim_start_matches(' ').split_once(' ')?;
        let (id, rest) = rest.trim_start_matches(' ').split_once(' ')?;
        let (place, message) = rest.split_once(']')?;
        let (file, number) = place.rsplit_once(':')?;
        if !digits(id) || !digits(number) {
            return None;
        }
        self.0.set(0, Value::Str(level), sink);
        if self.0.wants(1) {
            let text = dated(None, month.parse().ok()?, day.parse().ok()?, time, sink.record_time)?;
            self.0.write(1, sink, |out| out.push_str(&text));
        }
        let message = message.strip_prefix(' ').unwrap_or(message);
        for (at, text) in [id, file, number, message].into_iter().enumerate() {
            self.0.set(at + 2, Value::Str(text), sink);
        }
        Some(())
    }
}

impl Format for Klog {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.fields(event, sink).ok_or_else(|| not_in("klog", event))
    }
}
