//! Records of text: one event each, or one on each line.

use std::ops::Range;

use super::super::error::DecodeError;
use super::super::wanted::Sink;
use super::{Format, Records};

/// Text that is no JSON. Bytes that are no UTF-8 become `\u{fffd}`: a log's odd byte is no reason to lose the event.
#[derive(Debug)]
pub(in super::super) struct Texts {
    pub format: Box<dyn Format>,
    /// Every line is an event.
    pub lines: bool,
}

impl Records for Texts {
    type Payload = str;

    fn open<'a>(&mut self, payload: &'a [u8], spare: &'a mut String) -> Result<&'a str, DecodeError> {
        let text = match std::str::from_utf8(payload) {
            Ok(text) => text,
            Err(_) => {
                spare.clear();
                spare.push_str(&String::from_utf8_lossy(payload));
                spare
            }
        };
        // What ends a line or, in some protocols, a message.
        Ok(text.trim_end_matches(['\n', '\r', '\0']).trim_start_matches('\u{feff}'))
    }

    fn read<'a>(
        &mut self,
        _: usize,
        payload: &'a str,
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError> {
        self.format.read(payload.get(range).unwrap_or_default(), sink)
    }

    fn is_in_lines(&self) -> bool {
        self.lines
    }

    fn documents(&mut self, payload: &str) -> Option<Vec<Range<usize>>> {
        if !self.lines {
            return None;
        }
        let lines = payload.split('\n').scan(0, |at, line| {
            let start = std::mem::replace(at, *at + line.len() + 1);
            Some(start..start + line.trim_end_matches('\r').len())
        });
        Some(lines.filter(|line| !line.is_empty()).collect())
    }

    fn elements(
        &mut self,
        _: usize,
        _: &str,
        range: Range<usize>,
    ) -> Result<(Range<usize>, Vec<Range<usize>>), DecodeError> {
        Ok((range.clone(), vec![range]))
    }
}
