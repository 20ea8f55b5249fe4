//! The agent's own metrics, read back from the text that their library writes: it knows no other format.

use super::point::{Bound, Number, Point};
use crate::config::{Family, FamilyType};

/// A family with its points, each with its labels.
#[derive(Debug)]
pub struct OwnFamily {
    pub family: Family,
    pub points: Vec<(Vec<(String, String)>, OwnValue)>,
}

/// A point of a family.
#[derive(Debug)]
pub enum OwnValue {
    Number(f64),
    /// Upper bounds without the infinite one, cumulative counts, sum and count.
    Histogram {
        bounds: Vec<Bound>,
        counts: Vec<u64>,
        sum: f64,
        count: u64,
    },
}

impl OwnValue {
    pub fn point(&self) -> Point<'_> {
        match self {
            OwnValue::Number(value) => Point::Value(Number::Float(*value)),
            OwnValue::Histogram { bounds, counts, sum, count } => {
                Point::Histogram { bounds, counts, sum: Number::Float(*sum), count: *count, native: None }
            }
        }
    }
}

/// Reads OpenMetrics text: counters, gauges, infos and histograms, as prometheus-client writes them.
pub fn families(text: &str) -> Vec<OwnFamily> {
    let mut families: Vec<OwnFamily> = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.push(OwnFamily { family: family(name, kind, help), points: Vec::new() });
        } else if !line.starts_with('#')
            && let Some(family) = families.last_mut()
        {
            family.add(line);
        }
    }
    families
}

fn family(name: &str, kind: &str, help: &str) -> Family {
    let (name, kind) = match kind {
        "counter" => (name.to_owned(), FamilyType::Counter),
        "histogram" => (name.to_owned(), FamilyType::Histogram),
        "info" => (format!("{name}_info"), FamilyType::Gauge),
        _ => (name.to_owned(), FamilyType::Gauge),
    };
    let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("");
    Family { name, kind, unit, help: help.to_owned() }
}

impl OwnFamily {
    fn add(&mut self, line: &str) {
        let Some((series, value)) = line.rsplit_once(' ') else { return };
        let Ok(value) = value.parse::<f64>() else { return };
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.trim_end_matches('}'))),
            None => (series, Vec::new()),
        };
        if self.family.kind != FamilyType::Histogram {
            return self.points.push((labels, OwnValue::Number(value)));
        }
        let suffix = name.strip_prefix(self.family.name.as_str()).unwrap_or_default();
        let (le, labels): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(name, _)| name == "le");
        if self.points.last().is_none_or(|(known, _)| *known != labels) {
            let empty = OwnValue::Histogram { bounds: Vec::new(), counts: Vec::new(), sum: 0.0, count: 0 };
            self.points.push((labels, empty));
        }
        let Some((_, OwnValue::Histogram { bounds, counts, sum, count })) = self.points.last_mut() else { return };
        match (suffix, le.first().and_then(|(_, le)| le.parse::<f64>().ok())) {
            ("_sum", _) => *sum = value,
            ("_count", _) => *count = value as u64,
            (_, Some(bound)) if bound.is_finite() => {
                bounds.push(Bound::new(bound));
                counts.push(value as u64);
            }
            _ => {}
        }
    }
}

/// `a="b",c="d"`, with `\\`, `\"` and `\n` for what may not stand there.
fn parse_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c => value.push(c),
            }
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
        rest = &after[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use std::time::Duration;

    #[test]
    fn what_the_library_writes_is_read_back() {
        let metrics = Metrics::new();
        metrics.folded("a \"b\"\\\n,c=\"d", 7, 0);
        metrics.committed(Duration::from_millis(20));
        let families = families(&metrics.encode(None));
        let find = |name: &str| families.iter().find(|family| family.family.name == name).unwrap();
        let events = find("streamgauge_events");
        assert_eq!(events.family.kind, FamilyType::Counter);
        let [(labels, OwnValue::Number(value))] = events.points.as_slice() else { panic!("{events:?}") };
        assert_eq!(labels, &[("source".to_owned(), "a \"b\"\\\n,c=\"d".to_owned())]);
        assert_eq!(*value, 7.0);
        let [(_, OwnValue::Histogram { bounds, counts, sum, count })] =
            find("streamgauge_commit_duration_seconds").points.as_slice()
        else {
            panic!("a histogram")
        };
        assert_eq!((bounds.len(), *count, *sum), (17, 1, 0.02));
        assert_eq!(counts.iter().filter(|&&count| count == 1).count(), 12);
        assert_eq!(find("streamgauge_build_info").family.kind, FamilyType::Gauge);
    }
}
