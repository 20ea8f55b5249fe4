//! Documents that are made from the code: a table that no longer says what the code does is a failure.
//! `STREAMGAUGE_BLESS=1` writes it anew.

use std::fmt::Write;
use std::fs;

use streamgauge::telemetry::{Kind, Name};

use crate::agent::repository;

const BEGIN: &str = "<!-- made from telemetry/names.rs: begin -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_table_of_metrics_is_the_one_in_the_code() {
    let path = repository().join("docs/metrics.md");
    let text = fs::read_to_string(&path).expect("docs/metrics.md");
    let (before, rest) = text.split_once(BEGIN).expect("the place where the table begins");
    let (found, after) = rest.split_once(END).expect("the place where the table ends");
    let expected = table();
    if std::env::var("STREAMGAUGE_BLESS").is_ok_and(|v| v == "1") {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("docs/metrics.md is written");
    } else {
        let hint = "to write it anew: STREAMGAUGE_BLESS=1 cargo test -p streamgauge --test it docs";
        assert_eq!(found, expected, "docs/metrics.md is not up to date; {hint}");
    }
}

/// One row for each of the agent's own metrics, in the order of the list.
fn table() -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for &name in Name::ALL {
        let (shown, kind) = match name.kind() {
            Kind::Counter => (format!("{}_total", name.family()), "counter"),
            Kind::Gauge => (name.family().to_owned(), "gauge"),
            Kind::Histogram => (name.family().to_owned(), "histogram"),
            Kind::Info => (format!("{}_info", name.family()), "info"),
        };
        let labels: Vec<_> = name.labels().iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{shown}` | {kind} | {} | {} |", labels.join(" "), name.help());
    }
    table
}
