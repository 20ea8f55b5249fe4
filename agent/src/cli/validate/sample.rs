//! `streamgauge validate --sample FILE` and `--topic T --last N`: what the config would make of these records.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::cli::{lines, newest};
use crate::config::{Config, Source};
use crate::sample::{Line, Rehearsal, Summary};

/// The sample cannot be read, or nothing says which source it is of.
const WRONG: u8 = 2;
/// Not all of the sample can be counted.
const NOT_COUNTED: u8 = 1;

#[derive(clap::Args, Default)]
pub struct SampleArgs {
    /// Show what the config makes of this file's lines, each one record; `-`: of standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "topic")]
    sample: Option<PathBuf>,
    /// Show what the config makes of this topic's newest records. Reads them from the config's Kafka, outside the group.
    #[arg(long)]
    topic: Option<String>,
    /// How many of the topic's records.
    #[arg(long, default_value_t = 100, requires = "topic", value_name = "RECORDS")]
    last: usize,
    /// The source whose records they are; needed where the config has several and the topic does not tell.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// How it is shown.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Text,
    /// One JSON object: `lines`, `summary`.
    Json,
}

impl SampleArgs {
    pub fn is_asked_for(&self) -> bool {
        self.sample.is_some() || self.topic.is_some()
    }
}

/// Prints what becomes of each record, and a summary. Exit code 0: all are counted or pass by, and each aggregate counts
/// some; 1: not; 2: there is nothing to say it of.
pub fn run(args: &SampleArgs, config: &Config) -> u8 {
    match rehearse(args, config) {
        Ok((lines, summary)) => {
            // Nobody to read it is no reason to fail.
            let _ = print(args.output, &lines, &summary);
            if summary.is_good() { 0 } else { NOT_COUNTED }
        }
        Err(error) => {
            eprintln!("streamgauge: {error:#}");
            WRONG
        }
    }
}

fn rehearse(args: &SampleArgs, config: &Config) -> anyhow::Result<(Vec<Line>, Summary)> {
    let source = source_of(args, config)?;
    let mut rehearsal = Rehearsal::new(config, source);
    let schemas = crate::cli::schemas(config)?;
    if let Some(schemas) = &schemas {
        rehearsal = rehearsal.with_schemas(schemas.clone());
    }
    let given = match (&args.sample, &args.topic) {
        (Some(path), _) => lines::read(path)?,
        (None, Some(topic)) => newest::records(&config.kafka, topic, args.last)?,
        (None, None) => Vec::new(),
    };
    if given.is_empty() {
        bail!("there are no records to look at");
    }
    let lines = given.iter().flat_map(|record| rehearsal.record(record)).collect();
    if let Some(trouble) = schemas.and_then(|schemas| schemas.trouble()) {
        bail!("the schema registry does not answer: {trouble}");
    }
    Ok((lines, rehearsal.finish()))
}

fn source_of<'a>(args: &SampleArgs, config: &'a Config) -> anyhow::Result<&'a Source> {
    let names = || config.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &args.source {
        let named = config.sources.iter().find(|source| source.name == *name);
        return named.with_context(|| format!("there is no source `{name}`; the config has {}", names()));
    }
    let takes = |source: &&Source| match &args.topic {
        Some(topic) => source.topics.iter().any(|selector| selector.matches(topic)),
        None => true,
    };
    let mut candidates = config.sources.iter().filter(takes);
    match (candidates.next(), candidates.next()) {
        (Some(source), None) => Ok(source),
        (None, _) => bail!("no source of the config reads this topic; name one of {} with --source", names()),
        _ => bail!("the config has several sources; name one of {} with --source", names()),
    }
}

fn print(output: Output, lines: &[Line], summary: &Summary) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            let all = serde_json::json!({ "lines": lines, "summary": summary });
            if out.is_terminal() { writeln!(out, "{all:#}") } else { writeln!(out, "{all}") }
        }
        Output::Text => {
            lines.iter().try_for_each(|line| write!(out, "{line}"))?;
            write!(out, "\n{summary}")
        }
    }
}
