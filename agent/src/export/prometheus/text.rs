//! Prometheus' two text formats, written by hand because a page may have 100,000 series: nothing is allocated per series.

use super::format::Format;
use super::point::{Number, Point};
use crate::config::{Family, FamilyType};
use std::io::Write;

/// The lines before a family's samples.
pub fn family(out: &mut Vec<u8>, family: &Family, format: Format) {
    let kind = match family.kind {
        FamilyType::Counter => "counter",
        FamilyType::Gauge => "gauge",
        FamilyType::Summary => "summary",
        FamilyType::Histogram => "histogram",
    };
    let openmetrics = format == Format::OpenMetrics;
    let text_name = family.text_name();
    let (name, unit) = if openmetrics { (family.name.as_str(), family.unit) } else { (text_name.as_str(), "") };
    add(out, &["# HELP ", name, " "]);
    // The older format leaves quotes alone.
    escape(out, &family.help, openmetrics);
    add(out, &["\n# TYPE ", name, " ", kind, "\n"]);
    if !unit.is_empty() {
        add(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
}

/// One series' samples; `labels` are written already, without braces.
pub fn point(out: &mut Vec<u8>, family: &Family, labels: &[u8], point: &Point<'_>) {
    let name = family.name.as_str();
    match *point {
        Point::Value(value) => {
            let suffix = if family.kind == FamilyType::Counter { "_total" } else { "" };
            sample(out, name, suffix, labels, "", value);
        }
        Point::Summary { sum, count } => sum_and_count(out, name, labels, sum, count),
        Point::Histogram { bounds, counts, sum, count, .. } => {
            for (bound, &count) in bounds.iter().zip(counts) {
                sample(out, name, "_bucket", labels, &bound.text, Number::Int(count));
            }
            sample(out, name, "_bucket", labels, "+Inf", Number::Int(count));
            sum_and_count(out, name, labels, sum, count);
        }
    }
}

/// When a series began to count, as its last sample. Only OpenMetrics has that, and not of gauges.
pub fn created(out: &mut Vec<u8>, family: &Family, labels: &[u8], since: i64) {
    if family.kind != FamilyType::Gauge {
        sample(out, &family.name, "_created", labels, "", Number::Nanos(i128::from(since) * 1_000_000));
    }
}

fn sum_and_count(out: &mut Vec<u8>, name: &str, labels: &[u8], sum: Number, count: u64) {
    sample(out, name, "_sum", labels, "", sum);
    sample(out, name, "_count", labels, "", Number::Int(count));
}

/// One sample; of a histogram's bucket, if `le` is not empty.
fn sample(out: &mut Vec<u8>, name: &str, suffix: &str, labels: &[u8], le: &str, value: Number) {
    add(out, &[name, suffix]);
    if !labels.is_empty() || !le.is_empty() {
        out.push(b'{');
        out.extend_from_slice(labels);
        if !le.is_empty() {
            add(out, &[if labels.is_empty() { "le=\"" } else { ",le=\"" }, le, "\""]);
        }
        out.push(b'}');
    }
    out.push(b' ');
    match value {
        // Writing to a vector cannot fail.
        Number::Int(value) => drop(write!(out, "{value}")),
        Number::Float(value) => float(out, value),
        Number::Nanos(value) => nanos(out, value),
    }
    out.push(b'\n');
}

/// Appends `name="value"`, after a comma if something stands before.
pub fn label(out: &mut Vec<u8>, first: bool, name: &str, value: &str) {
    add(out, &[if first { "" } else { "," }, name, "=\""]);
    escape(out, value, true);
    out.push(b'"');
}

fn add(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '\\' || c == '\n' || (c == '"' && quotes)) {
        let escaped = match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        };
        add(out, &[&rest[..at], escaped]);
        rest = &rest[at + 1..];
    }
    add(out, &[rest]);
}

/// As Prometheus reads it back to the bit.
fn float(out: &mut Vec<u8>, value: f64) {
    if value == f64::INFINITY {
        add(out, &["+Inf"]);
    } else if value == f64::NEG_INFINITY {
        add(out, &["-Inf"]);
    } else if value.is_nan() {
        add(out, &["NaN"]);
    } else if value != 0.0 && !(1e-5..1e17).contains(&value.abs()) {
        let _ = write!(out, "{value:e}");
    } else {
        let _ = write!(out, "{value}");
    }
}

/// Billionths as a decimal number, exactly.
fn nanos(out: &mut Vec<u8>, value: i128) {
    const NANOS: u128 = 1_000_000_000;
    if value < 0 {
        out.push(b'-');
    }
    let (whole, rest) = (value.unsigned_abs() / NANOS, value.unsigned_abs() % NANOS);
    let _ = write!(out, "{whole}");
    if rest > 0 {
        let _ = write!(out, ".{rest:09}");
        let zeros = out.iter().rev().take_while(|&&digit| digit == b'0').count();
        out.truncate(out.len() - zeros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn label_values_are_escaped() {
        let out = written(|out| label(out, true, "path", "a\"b\\c\nd\u{e9}"));
        assert_eq!(out, "path=\"a\\\"b\\\\c\\nd\u{e9}\"");
    }

    #[test]
    fn sums_are_written_exactly() {
        let written = |value| written(|out| nanos(out, value));
        assert_eq!(written(0), "0");
        assert_eq!(written(1_500_000_000), "1.5");
        assert_eq!(written(-1), "-0.000000001");
        assert_eq!(written(20_000_000_000), "20");
        assert_eq!(written(i128::from(i64::MAX) * 1_000_000_000 + 1), "9223372036854775807.000000001");
    }

    #[test]
    fn every_float_reads_back_as_itself() {
        for value in [0.0, 0.1, 1.0, 1e300, 5e-324, 123456.789, f64::INFINITY, f64::NEG_INFINITY] {
            let out = written(|out| float(out, value));
            assert_eq!(out.parse::<f64>().unwrap(), value, "{out}");
        }
    }
}
