//! Answers as aligned columns, numbers to the right, with units that people read.

use super::{millis, span, time};
use crate::config::format_duration;
use crate::human;
use crate::measure::{Form, Known, MeasureKind};
use std::time::Duration;
use streamgauge_proto::v1 as pb;

/// A heading, whether its cells are numbers, and the cells.
struct Column {
    heading: String,
    right: bool,
    cells: Vec<String>,
}

/// The aggregates with what can be asked of them.
pub fn aggregates(aggregates: &[pb::AggregateInfo]) -> String {
    let windows = |info: &pb::AggregateInfo| {
        let window = |w: &pb::WindowInfo| match (w.size.as_ref(), w.hop.as_ref()) {
            (Some(size), Some(hop)) if size != hop => format!("{}/{}", span(size), span(hop)),
            (Some(size), _) => span(size),
            (None, _) => String::new(),
        };
        info.windows.iter().map(window).collect::<Vec<_>>().join(", ")
    };
    let measures = |info: &pb::AggregateInfo| {
        info.measures.iter().map(|m| format!("{} ({})", m.name, m.kind)).collect::<Vec<_>>().join(", ")
    };
    type Cell<'a> = &'a dyn Fn(&pb::AggregateInfo) -> String;
    let columns: [(&str, Cell<'_>); 5] = [
        ("AGGREGATE", &|info| info.name.clone()),
        ("TOPICS", &|info| info.topics.join(", ")),
        ("LABELS", &|info| info.labels.join(", ")),
        ("WINDOWS", &windows),
        ("MEASURES", &measures),
    ];
    let column = |(heading, cell): (&str, Cell<'_>)| Column {
        heading: heading.to_owned(),
        right: false,
        cells: aggregates.iter().map(cell).collect(),
    };
    aligned(&columns.map(column))
}

/// The rows of an answer.
pub fn rows(answer: &pb::QueryResponse, info: &pb::AggregateInfo) -> String {
    let mut columns = window_columns(&answer.rows);
    let labels = info.labels.iter().filter(|label| answer.rows.iter().any(|row| row.labels.contains_key(*label)));
    for (at, label) in labels.enumerate() {
        let cell = |row: &pb::Row| match row.labels.get(label) {
            Some(value) => value.clone(),
            None if row.overflow && at == 0 => "(all beyond the limit of keys)".to_owned(),
            None => String::new(),
        };
        columns.push(Column {
            heading: label.to_uppercase(),
            right: false,
            cells: answer.rows.iter().map(cell).collect(),
        });
    }
    let values = answer.rows.first().map(|row| row.values.len()).unwrap_or(0);
    for at in 0..values {
        columns.extend(measure_columns(&answer.rows, at, info));
    }
    aligned(&columns)
}

fn window_columns(rows: &[pb::Row]) -> Vec<Column> {
    if rows.iter().all(|row| row.window_start.is_none()) {
        return Vec::new();
    }
    let length = |row: &pb::Row| match (&row.window_start, &row.window_end) {
        (Some(start), Some(end)) => {
            format_duration(Duration::from_millis((millis(end) - millis(start)).unsigned_abs()))
        }
        _ => String::new(),
    };
    let column = |heading: &str, cell: &dyn Fn(&pb::Row) -> String| Column {
        heading: heading.to_owned(),
        right: false,
        cells: rows.iter().map(cell).collect(),
    };
    vec![
        column("FROM", &|row| row.window_start.as_ref().map(time).unwrap_or_default()),
        column("WINDOW", &length),
        column("", &|row| if row.closed { "closed" } else { "open" }.to_owned()),
    ]
}

/// One column for each statistic that any row has of the measure at `at`.
fn measure_columns(rows: &[pb::Row], at: usize, info: &pb::AggregateInfo) -> Vec<Column> {
    let first = &rows[0].values[at];
    let known = info.measures.iter().find(|measure| measure.name == first.measure);
    let (kind, unit) = known.map_or(("", ""), |measure| (measure.kind.as_str(), measure.unit.as_str()));
    let name = first.measure.to_uppercase();
    let column = |heading: String, cell: &dyn Fn(&pb::MeasureValue) -> Option<String>| {
        let cells = rows.iter().map(|row| row.values.get(at).and_then(cell).unwrap_or_else(|| "-".to_owned()));
        Column { heading, right: true, cells: cells.collect() }
    };
    let number = |value: Option<f64>| value.map(|value| human::value(value, unit));
    let own = |known: Known| {
        column(name.clone(), &move |value| match value.count.filter(|_| known == Known::Count) {
            Some(count) => Some(human::count(count)),
            None => number(known.published(value)),
        })
    };
    let rules = MeasureKind::ALL.iter().find(|rules| rules.word == kind);
    let shows = |known: Known| rules.is_some_and(|rules| rules.shows.contains(&known));
    match rules.map(|rules| (rules.form, rules.own)) {
        Some((Form::Counters, _)) => {
            let side = |known: Known| {
                let heading = format!("{name} {}", known.word().to_uppercase());
                column(heading, &move |value| known.published(value).map(|count| human::count(count as u64)))
            };
            if shows(Known::Open) {
                vec![own(Known::Count), side(Known::Open)]
            } else {
                vec![side(Known::Above), side(Known::Below)]
            }
        }
        Some((Form::Ranking, _)) => vec![column(name.clone(), &|value| items(value, unit))],
        Some((Form::Sum | Form::Gauge(_) | Form::Estimate | Form::Summary, known)) => vec![own(known)],
        // Of a kind that a newer agent has, whatever it has of a distribution is shown.
        Some((Form::Exponential | Form::Explicit, _)) | None => {
            let known = |known: Known| move |value: &pb::MeasureValue| number(known.published(value));
            let mut columns = vec![column(format!("{name} AVG"), &known(Known::Avg))];
            let quantiles = rows.iter().map(|row| &row.values[at].quantiles).max_by_key(|quantiles| quantiles.len());
            for quantile in quantiles.into_iter().flatten().map(|q| q.quantile) {
                let of =
                    move |v: &pb::MeasureValue| v.quantiles.iter().find(|q| q.quantile == quantile).map(|q| q.value);
                columns.push(column(format!("P{}", percent(quantile)), &|v| number(of(v))));
            }
            columns.push(column("MAX".to_owned(), &known(Known::Max)));
            columns
        }
    }
}

/// The first items, each with its number: `/cart 12, / 7`.
fn items(value: &pb::MeasureValue, unit: &str) -> Option<String> {
    const SHOWN: usize = 3;
    let shown = value.top.iter().take(SHOWN).map(|top| format!("{} {}", top.item, human::value(top.value, unit)));
    let more = if value.top.len() > SHOWN { ", …" } else { "" };
    (!value.top.is_empty()).then(|| shown.collect::<Vec<_>>().join(", ") + more)
}

/// `0.999` as `99.9`.
fn percent(quantile: f64) -> String {
    ((quantile * 1e8).round() / 1e6).to_string()
}

fn aligned(columns: &[Column]) -> String {
    let width = |column: &Column| {
        std::iter::once(&column.heading).chain(&column.cells).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let line = |cell: &dyn Fn(&Column) -> String| {
        let padded = columns.iter().zip(&widths).map(|(column, &width)| match column.right {
            true => format!("{:>width$}", cell(column)),
            false => format!("{:<width$}", cell(column)),
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut out = line(&|column| column.heading.clone());
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        out += &line(&|column| column.cells[row].clone());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgauge_proto::types::Timestamp;

    fn info() -> pb::AggregateInfo {
        let measure = |name: &str, kind: &str, unit: &str| pb::MeasureInfo {
            name: name.into(),
            kind: kind.into(),
            field: String::new(),
            unit: unit.into(),
        };
        pb::AggregateInfo {
            name: "http".into(),
            labels: vec!["endpoint".into()],
            measures: vec![measure("requests", "count", ""), measure("duration", "histogram", "seconds")],
            ..Default::default()
        }
    }

    fn row(endpoint: &str, requests: u64, p99: Option<f64>) -> pb::Row {
        let quantiles = p99.map(|value| pb::QuantileValue { quantile: 0.99, value });
        let duration = pb::MeasureValue {
            measure: "duration".into(),
            quantiles: quantiles.into_iter().collect(),
            ..Default::default()
        };
        let requests = pb::MeasureValue { measure: "requests".into(), count: Some(requests), ..Default::default() };
        pb::Row {
            labels: [("endpoint".to_owned(), endpoint.to_owned())].into(),
            window_start: Some(Timestamp { seconds: 1_763_657_460, nanos: 0 }),
            window_end: Some(Timestamp { seconds: 1_763_657_520, nanos: 0 }),
            values: vec![requests, duration],
            ..Default::default()
        }
    }

    #[test]
    fn columns_are_aligned_and_numbers_have_units() {
        let rows = vec![row("/api/users", 1_234_567, Some(0.0727)), row("/", 7, None)];
        let text = super::rows(&pb::QueryResponse { rows, ..Default::default() }, &info());
        let expected = "\
FROM                  WINDOW        ENDPOINT     REQUESTS  DURATION AVG      P99  MAX
2025-11-20T16:51:00Z  1m      open  /api/users  1,234,567             -  72.7 ms    -
2025-11-20T16:51:00Z  1m      open  /                   7             -        -    -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn quantiles_are_named_as_people_name_them() {
        assert_eq!([0.5, 0.99, 0.999, 0.9999].map(percent), ["50", "99", "99.9", "99.99"]);
    }
}
