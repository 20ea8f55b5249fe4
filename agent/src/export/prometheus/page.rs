//! A page that is being written, in whatever format: families, and their points. It goes out piece by piece, so that a
//! page of 100,000 series is never in memory as a whole.

use super::format::Format;
use super::own_families::OwnFamily;
use super::point::{Point, Style};
use super::{protobuf, text};
use crate::config::Family;
use std::io::{self, Write};

/// Text goes out in pieces of about this size. Bytes.
const PIECE: usize = 32 << 10;

/// Labels of one series after the other, each written once in the page's format and used by every family.
#[derive(Debug)]
pub struct Labels {
    pub bytes: Vec<u8>,
    format: Format,
    /// Where the current series' labels begin.
    start: usize,
}

impl Labels {
    pub fn new(format: Format) -> Labels {
        Labels { bytes: Vec::new(), format, start: 0 }
    }

    /// The labels of one series.
    pub fn of(format: Format, labels: &[(&str, &str)]) -> Labels {
        let mut all = Labels::new(format);
        labels.iter().for_each(|(name, value)| all.push(name, value));
        all
    }

    /// A series' labels, written already, and one more.
    pub fn with(format: Format, written: &[u8], (name, value): (&str, &str)) -> Labels {
        let mut labels = Labels { bytes: written.to_vec(), format, start: 0 };
        labels.push(name, value);
        labels
    }

    pub fn push(&mut self, name: &str, value: &str) {
        let first = self.bytes.len() == self.start;
        match self.format {
            Format::Protobuf => protobuf::label(&mut self.bytes, name, value),
            _ => text::label(&mut self.bytes, first, name, value),
        }
    }

    /// Adds labels that are written already.
    pub fn append(&mut self, written: &Labels) {
        if self.format != Format::Protobuf && self.bytes.len() > self.start && !written.bytes.is_empty() {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(&written.bytes);
    }

    /// Ends a series; where its labels end.
    pub fn end(&mut self) -> usize {
        self.start = self.bytes.len();
        self.start
    }
}

/// The page.
pub struct Page<'a> {
    pub style: Style,
    sink: &'a mut dyn Write,
    out: Vec<u8>,
    family: Option<Family>,
    /// Why the sink took no more.
    error: Option<io::Error>,
}

impl<'a> Page<'a> {
    pub fn new(style: Style, sink: &'a mut dyn Write) -> Page<'a> {
        Page { style, sink, out: Vec::with_capacity(2 * PIECE), family: None, error: None }
    }

    /// Begins a family; its points follow.
    pub fn family(&mut self, family: Family) {
        match self.style.format {
            Format::Protobuf => self.end_family(),
            format => text::family(&mut self.out, &family, format),
        }
        self.family = Some(family);
    }

    /// Adds a series to the family. `since`: when a total began, Unix milliseconds.
    pub fn point(&mut self, labels: &[u8], since: Option<i64>, point: &Point<'_>) {
        let Some(family) = &self.family else { return };
        match self.style.format {
            // A family's length stands before it: it is gathered as a whole.
            Format::Protobuf => {
                protobuf::metric(&mut self.out, family.kind, labels, since, point, self.style.histograms)
            }
            _ => {
                text::point(&mut self.out, family, labels, point);
                if let (Format::OpenMetrics, true, Some(since)) = (self.style.format, self.style.created, since) {
                    text::created(&mut self.out, family, labels, since);
                }
                if self.out.len() >= PIECE {
                    self.flush();
                }
            }
        }
    }

    /// Adds families whose counts began at `since`, Unix milliseconds; text does not say that of each.
    pub fn own(&mut self, families: Vec<OwnFamily>, since: Option<i64>) {
        let since = since.filter(|_| self.style.format == Format::Protobuf);
        for own in families {
            self.family(own.family);
            for (labels, value) in &own.points {
                let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.point(&Labels::of(self.style.format, &labels).bytes, since, &value.point());
            }
        }
    }

    /// # Errors
    /// If the page could not be written to its end.
    pub fn finish(mut self) -> io::Result<()> {
        match self.style.format {
            Format::OpenMetrics => self.out.extend_from_slice(b"# EOF\n"),
            Format::Protobuf => self.end_family(),
            Format::Text => {}
        }
        self.flush();
        self.error.map_or(Ok(()), Err)
    }

    fn end_family(&mut self) {
        let Some(family) = self.family.take() else { return };
        let head = protobuf::head(&family, self.out.len());
        self.write(&head);
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.write(&out);
        out.clear();
        self.out = out;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Once nobody reads, the rest is not written; what is asked for next finds the series unharmed.
        if self.error.is_none() {
            self.error = self.sink.write_all(bytes).err();
        }
    }
}
