//! Reads a `/metrics` page (Prometheus text or OpenMetrics) and compares its totals with the recount.

use std::collections::BTreeMap;

use super::{AGGREGATES, Durations, Recount};

/// Label names and values.
pub type Labels = BTreeMap<String, String>;

/// One sample of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// All samples of a page, in its order. Comments, timestamps and exemplars are skipped.
pub fn parse_page(page: &str) -> Result<Vec<Sample>, String> {
    let lines = page.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse_line(line).ok_or_else(|| format!("not a sample: {line}"))).collect()
}

fn parse_line(line: &str) -> Option<Sample> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = parse_labels(inner, &mut labels)?;
    }
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads up to the closing brace, and gives back what follows it.
fn parse_labels<'a>(mut rest: &'a str, labels: &mut Labels) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &quoted[end + 1..];
    }
}

/// Where the totals on the pages differ from the recount: missing, extra, exposed twice, or another value. Empty if they
/// are equal. The samples may come from the pages of several agents, together.
///
/// Expects totals per partition (`publish: per_partition`): an `http_requests_total{endpoint,topic,partition}` and so on
/// for each key of each partition, also where it is 0.
pub fn differences(samples: &[Sample], recount: &Recount) -> Vec<String> {
    let mut differences = Vec::new();
    let mut expected = expected(recount);
    let mut histograms: BTreeMap<Series, BTreeMap<String, f64>> = BTreeMap::new();
    let mut seen: BTreeMap<Series, f64> = BTreeMap::new();
    for sample in samples.iter().filter(|s| of_totals(&s.name)) {
        let mut series = Series { name: sample.name.clone(), labels: sample.labels.clone() };
        // Empty labels are no labels, in Prometheus.
        series.labels.retain(|_, value| !value.is_empty());
        let before = match series.name.strip_suffix("_bucket").and_then(|_| series.labels.remove("le")) {
            Some(le) => histograms.entry(series.clone()).or_default().insert(le, sample.value),
            None => seen.insert(series.clone(), sample.value),
        };
        if before.is_some() {
            differences.push(format!("twice: {series:?}"));
        }
    }
    for (series, value) in seen {
        match expected.numbers.remove(&series) {
            None => differences.push(format!("extra: {series:?} = {value}")),
            Some(wanted) if !wanted.equals(value) => {
                differences.push(format!("different: {series:?} is {value}, should be {}", wanted.text()));
            }
            Some(_) => {}
        }
    }
    differences
        .extend(expected.numbers.iter().map(|(s, wanted)| format!("missing: {s:?}, should be {}", wanted.text())));
    for (series, buckets) in histograms {
        match expected.histograms.remove(&series) {
            None => differences.push(format!("extra: {series:?}")),
            Some(durations) => compare_buckets(&series, &buckets, &durations, &mut differences),
        }
    }
    differences.extend(expected.histograms.keys().map(|s| format!("missing: {s:?}")));
    differences
}

/// A metric name with labels.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: String,
    labels: Labels,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.name, labels.join(","))
    }
}

/// A number that a page should show.
enum Wanted {
    Count(u64),
    Nanos(i128),
}

impl Wanted {
    /// Counts are exact. A sum is the double next to the exact one, give or take the rounding of one division.
    fn equals(&self, shown: f64) -> bool {
        match self {
            Wanted::Count(count) => shown == *count as f64,
            Wanted::Nanos(nanos) => {
                let exact = *nanos as f64 / 1e9;
                (shown - exact).abs() <= exact.abs() * f64::EPSILON
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Wanted::Count(count) => count.to_string(),
            Wanted::Nanos(nanos) => (*nanos as f64 / 1e9).to_string(),
        }
    }
}

#[derive(Default)]
struct Expected {
    numbers: BTreeMap<Series, Wanted>,
    /// By `…_bucket` series without its `le`.
    histograms: BTreeMap<Series, Durations>,
}

fn expected(recount: &Recount) -> Expected {
    let mut expected = Expected::default();
    for aggregate in &AGGREGATES {
        let partitions = recount.totals.iter().filter(|((name, _), _)| *name == aggregate.name);
        for ((_, partition), cells) in partitions {
            for (key, cell) in cells {
                let names = aggregate.by.iter().map(|name| (*name).to_owned());
                let mut labels: Labels = names.zip(key.iter().cloned()).collect();
                labels.retain(|_, value| !value.is_empty());
                labels.insert("topic".to_owned(), recount.topic.clone());
                labels.insert("partition".to_owned(), partition.to_string());
                let series = |name: &str| Series { name: format!("{}_{name}", aggregate.name), labels: labels.clone() };
                expected.numbers.insert(series("requests_total"), Wanted::Count(cell.requests));
                if aggregate.errors {
                    expected.numbers.insert(series("errors_total"), Wanted::Count(cell.errors));
                }
                if aggregate.duration {
                    let (count, sum) = (cell.duration.count, cell.duration.sum_nanos);
                    expected.numbers.insert(series("duration_seconds_count"), Wanted::Count(count));
                    expected.numbers.insert(series("duration_seconds_sum"), Wanted::Nanos(sum));
                    expected.histograms.insert(series("duration_seconds_bucket"), cell.duration.clone());
                }
            }
        }
    }
    expected
}

fn of_totals(name: &str) -> bool {
    AGGREGATES.iter().any(|aggregate| {
        let measure = name.strip_prefix(aggregate.name).and_then(|rest| rest.strip_prefix('_'));
        matches!(
            measure,
            Some("requests_total" | "errors_total" | "duration_seconds_bucket" | "duration_seconds_count")
                | Some("duration_seconds_sum")
        )
    })
}

/// Bounds must be powers of two, where the agent's histogram is exact; which of them is the agent's choice, but there
/// has to be one below the slowest event, or nothing is compared.
fn compare_buckets(series: &Series, shown: &BTreeMap<String, f64>, wanted: &Durations, differences: &mut Vec<String>) {
    let mut finite = 0;
    for (le, value) in shown {
        let bound: f64 = le.parse().unwrap_or(f64::NAN);
        let count = if bound == f64::INFINITY {
            wanted.count
        } else if bound > 0.0 && bound.log2().fract() == 0.0 {
            finite += 1;
            wanted.at_most(bound.log2() as i32)
        } else {
            differences.push(format!("not a power of two: {series:?} le={le:?}"));
            continue;
        };
        if *value != count as f64 {
            differences.push(format!("different: {series:?} le={le:?} is {value}, should be {count}"));
        }
    }
    if !shown.keys().any(|le| le == "+Inf") {
        differences.push(format!("missing: {series:?} le=\"+Inf\""));
    }
    if finite == 0 {
        differences.push(format!("missing: {series:?} has no finite bucket"));
    }
}
