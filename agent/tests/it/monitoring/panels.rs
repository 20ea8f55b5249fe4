//! The shipped dashboards' panels, their queries filled in as Grafana does, and whether one ever shows anything but zero.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::names::queries;
use super::servers::Prometheus;
use crate::agent::repository;

/// As Grafana reckons `$__rate_interval`.
pub const FOUR_SCRAPES: &str = "4s";

/// Panels for what only a cluster of brokers suffers; all others are held by the test of one agent's load.
pub const OF_BROKERS: &[&str] = &[
    "streamgauge-kafka: Leaders that are not the preferred ones",
    "streamgauge-kafka: Offline",
    "streamgauge-kafka: Throttled",
    "streamgauge-kafka: Under-replicated",
];

/// Panels for what a front door suffers only when brokers do not answer; the door's own tests see the numbers move.
pub const OF_A_DOOR: &[&str] = &[
    "streamgauge-ingest: Breakers open",
    "streamgauge-ingest: Circuit breaker",
    "streamgauge-ingest: Transitions",
    "streamgauge-ingest: Trouble with the spool",
];

/// The panel for what only a source with a schema registry suffers.
pub const OF_A_REGISTRY: &str = "streamgauge-agent: Waiting for a schema";

pub fn boards() -> Vec<(String, Value)> {
    let folder = repository().join("grafana/dashboards");
    let mut boards: Vec<(String, Value)> = fs::read_dir(folder)
        .expect("the dashboards")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a dashboard");
            (
                path.file_stem().expect("a name").to_string_lossy().into_owned(),
                serde_json::from_str(&text).expect("JSON"),
            )
        })
        .collect();
    boards.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(boards.len(), 6);
    boards
}

/// What Grafana puts in for its variables; `All` of ours, which is their `allValue`.
pub fn filled_in(expr: &str, board: &Value, rate_interval: &str) -> String {
    let ours = board["templating"]["list"].as_array().into_iter().flatten().filter(|v| v["type"] == "query");
    let mut values: BTreeMap<String, String> = ours
        .map(|v| {
            (v["name"].as_str().unwrap_or_default().to_owned(), v["allValue"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    values.insert("__rate_interval".into(), rate_interval.into());
    let filled = values.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value));
    assert!(!filled.contains('$'), "a variable that the dashboard does not have: {filled}");
    filled
}

/// Panels none of whose queries has shown anything but zero: the fault that they are there to show does not change them.
pub fn unmoved(prometheus: &Prometheus) -> BTreeSet<String> {
    let mut unmoved = BTreeSet::new();
    let mut moved = BTreeSet::new();
    for (name, board) in boards() {
        for (what, expr) in queries(&board).into_iter().filter(|(_, expr)| !expr.starts_with("label_values(")) {
            let panel = format!("{name}: {what}");
            let is_zero = |sample: &Value| sample[1].as_str().is_none_or(|v| v == "NaN" || v.parse() == Ok(0.0_f64));
            let values = range(prometheus, &filled_in(&expr, &board, FOUR_SCRAPES)).unwrap_or_default();
            if values.iter().any(|series| series["values"].as_array().into_iter().flatten().any(|s| !is_zero(s))) {
                moved.insert(panel);
            } else {
                unmoved.insert(panel);
            }
        }
    }
    &unmoved - &moved
}

/// What a range query over the last two minutes gives.
pub fn range(prometheus: &Prometheus, expr: &str) -> Result<Vec<Value>, String> {
    let now = crate::scene::unix_millis() / 1000;
    let (start, end) = ((now - 120).to_string(), now.to_string());
    let data = prometheus.get("query_range", &[("query", expr), ("start", &start), ("end", &end), ("step", "1")])?;
    Ok(data["result"].as_array().cloned().unwrap_or_default())
}
