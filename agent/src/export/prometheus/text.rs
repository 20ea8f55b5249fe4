//! Prometheus' two text formats. Written by hand because a page may have 100,000 series: nothing is allocated per series.

use crate::config::{Family, FamilyType};
use std::fmt::Write;

/// Which text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Format {
    /// Chooses by an `Accept` header: OpenMetrics only for those who ask for it.
    pub fn negotiate(accept: &str) -> Format {
        let best = |wanted: &str| {
            let entries = accept.split(',').filter(|entry| entry.split(';').next().unwrap_or("").trim() == wanted);
            entries.map(quality).fold(0.0, f64::max)
        };
        let openmetrics = best("application/openmetrics-text");
        if openmetrics > 0.0 && openmetrics >= best("text/plain") { Format::OpenMetrics } else { Format::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The `q` of one entry of an `Accept` header.
fn quality(entry: &str) -> f64 {
    let q = entry.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    q.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(u64),
    Float(f64),
    /// Billionths, written exactly.
    Nanos(i128),
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    out: String,
    format: Format,
}

impl Page {
    pub fn new(format: Format) -> Page {
        Page { out: String::with_capacity(64 * 1024), format }
    }

    /// The lines before a family's samples.
    pub fn family(&mut self, family: &Family) {
        let kind = match family.kind {
            FamilyType::Counter => "counter",
            FamilyType::Gauge => "gauge",
            FamilyType::Summary => "summary",
            FamilyType::Histogram => "histogram",
        };
        match self.format {
            Format::OpenMetrics => self.head(&family.name, kind, family.unit, &family.help),
            Format::Text => self.head(&family.text_name(), kind, "", &family.help),
        }
    }

    fn head(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        self.out.extend(["# HELP ", name, " "]);
        // The older format leaves quotes alone.
        escape(&mut self.out, help, self.format == Format::OpenMetrics);
        self.out.extend(["\n# TYPE ", name, " ", kind, "\n"]);
        if !unit.is_empty() {
            self.out.extend(["# UNIT ", name, " ", unit, "\n"]);
        }
    }

    /// One sample; `labels` are written already, without braces.
    pub fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: Number) {
        self.bucket(name, suffix, labels, "", value);
    }

    /// One sample of a histogram's bucket, if `le` is not empty.
    pub fn bucket(&mut self, name: &str, suffix: &str, labels: &str, le: &str, value: Number) {
        self.out.extend([name, suffix]);
        let comma = if labels.is_empty() { "" } else { "," };
        match (labels, le) {
            ("", "") => {}
            (_, "") => self.out.extend(["{", labels, "}"]),
            _ => self.out.extend(["{", labels, comma, "le=\"", le, "\"}"]),
        }
        self.out.push(' ');
        self.number(value);
        self.out.push('\n');
    }

    fn number(&mut self, value: Number) {
        match value {
            Number::Int(value) => {
                let _ = write!(self.out, "{value}");
            }
            Number::Float(value) => float(&mut self.out, value),
            Number::Nanos(value) => nanos(&mut self.out, value),
        }
    }

    /// Adds families that are in OpenMetrics text already.
    pub fn openmetrics(&mut self, text: &str) {
        if self.format == Format::OpenMetrics {
            return self.out.push_str(text);
        }
        // In the older format a counter's or an info's family has the name of its samples, and there are no units.
        let mut help = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map_or("", |(_, help)| help);
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                self.out.extend(["# HELP ", name, suffix, " ", help]);
                self.out.extend(["\n# TYPE ", name, suffix, " ", kind, "\n"]);
            } else if !line.starts_with('#') {
                self.out.extend([line, "\n"]);
            }
        }
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// Appends `name="value"`.
pub fn label(out: &mut String, name: &str, value: &str) {
    out.extend([name, "=\""]);
    escape(out, value, true);
    out.push('"');
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '\\' || c == '\n' || (c == '"' && quotes)) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// As Prometheus reads it back to the bit.
pub fn float(out: &mut String, value: f64) {
    if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else if value.is_nan() {
        out.push_str("NaN");
    } else if value != 0.0 && !(1e-5..1e17).contains(&value.abs()) {
        let _ = write!(out, "{value:e}");
    } else {
        let _ = write!(out, "{value}");
    }
}

/// Billionths as a decimal number, exactly.
fn nanos(out: &mut String, value: i128) {
    const NANOS: u128 = 1_000_000_000;
    if value < 0 {
        out.push('-');
    }
    let (whole, rest) = (value.unsigned_abs() / NANOS, value.unsigned_abs() % NANOS);
    let _ = write!(out, "{whole}");
    if rest > 0 {
        let _ = write!(out, ".{rest:09}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/html", "text/plain;q=1,application/openmetrics-text;q=0.1", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::negotiate(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut out = String::new();
        label(&mut out, "path", "a\"b\\c\nd\u{e9}");
        assert_eq!(out, "path=\"a\\\"b\\\\c\\nd\u{e9}\"");
    }

    #[test]
    fn sums_are_written_exactly() {
        let written = |value| {
            let mut out = String::new();
            nanos(&mut out, value);
            out
        };
        assert_eq!(written(0), "0");
        assert_eq!(written(1_500_000_000), "1.5");
        assert_eq!(written(-1), "-0.000000001");
        assert_eq!(written(20_000_000_000), "20");
        assert_eq!(written(i128::from(i64::MAX) * 1_000_000_000 + 1), "9223372036854775807.000000001");
    }

    #[test]
    fn every_float_reads_back_as_itself() {
        for value in [0.0, 0.1, 1.0, 1e300, 5e-324, 123456.789, f64::INFINITY, f64::NEG_INFINITY] {
            let mut out = String::new();
            float(&mut out, value);
            assert_eq!(out.parse::<f64>().unwrap(), value, "{out}");
        }
    }
}
