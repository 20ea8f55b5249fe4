//! `streamgauge dead-letters list`: the newest letters, a line each, or as JSON.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::Which;
use super::letter::Letter;
use crate::cli::columns::{Column, table};
use crate::cli::newest;
use crate::config::Config;

/// Characters of a payload that a line shows.
const SHOWN: usize = 60;

#[derive(clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// How many, the newest ones.
    #[arg(long, default_value_t = 20, value_name = "LETTERS")]
    last: usize,
    /// How they are shown; JSON has the whole payload, a letter a line.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Serialize)]
struct Row {
    origin: String,
    reason: String,
    detail: String,
    /// Of the record that it comes from, RFC 3339.
    time: Option<String>,
    /// The letter is shorter than what it is of.
    cut: bool,
    payload: String,
}

pub(super) fn run(args: &ListArgs, config: &Config, topic: &str) -> anyhow::Result<ExitCode> {
    let records = newest::records(&config.kafka, topic, args.last)?;
    let rows: Vec<Row> = records
        .iter()
        .filter_map(|record| {
            let letter = Letter::read(&record.headers)?;
            let time = letter.timestamp.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
            Some(Row {
                origin: letter.origin(),
                time: time.map(|time| time.to_string()),
                cut: letter.is_cut,
                payload: String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned(),
                reason: letter.reason,
                detail: letter.detail,
            })
        })
        .collect();
    // Nobody to read it is no failure.
    let _ = print(args.output, topic, &rows);
    Ok(ExitCode::SUCCESS)
}

fn print(output: Output, topic: &str, rows: &[Row]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        return rows.iter().try_for_each(|row| writeln!(out, "{}", serde_json::json!(row)));
    }
    if rows.is_empty() {
        return writeln!(out, "there are no dead letters in {topic}");
    }
    let column = |heading, of: &dyn Fn(&Row) -> String| Column::text(heading, rows.iter().map(of).collect::<Vec<_>>());
    let columns = [
        column("FROM", &|row| row.origin.clone()),
        column("REASON", &|row| row.reason.clone()),
        column("PAYLOAD", &|row| beginning(&row.payload)),
        column("DETAIL", &|row| row.detail.clone()),
    ];
    write!(out, "{}", table(&columns))?;
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    rows.iter().for_each(|row| *reasons.entry(&row.reason).or_default() += 1);
    let counted: Vec<_> = reasons.iter().map(|(reason, letters)| format!("{letters} {reason}")).collect();
    writeln!(out, "\nthe newest {}: {}", rows.len(), counted.join(", "))
}

/// How a payload begins, on one line and without what a terminal would obey.
fn beginning(payload: &str) -> String {
    let mut shown: String = payload.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if payload.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payloads_beginning_is_short_and_harmless() {
        assert_eq!(beginning("a\n\u{1b}[31mb"), "a  [31mb");
        assert_eq!(beginning(&"é".repeat(100)).chars().count(), SHOWN + 1);
    }
}
