//! `streamgauge validate --sample FILE` and `--topic T --last N`: what the config would make of these records.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::config::{Config, Source};
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing};
use crate::sample::{Line, Record, Rehearsal, Summary};

/// The sample cannot be read, or nothing says which source it is of.
const WRONG: u8 = 2;
/// Not all of the sample can be counted.
const NOT_COUNTED: u8 = 1;
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const READ_WAIT: Duration = Duration::from_millis(200);
/// Kafka says nothing for so many waits: something is wrong.
const PATIENCE: u32 = 150;

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
    let given = match (&args.sample, &args.topic) {
        (Some(path), _) => lines_of(path)?,
        (None, Some(topic)) => newest(config, topic, args.last)?,
        (None, None) => Vec::new(),
    };
    if given.is_empty() {
        bail!("there are no records to look at");
    }
    let lines = given.iter().flat_map(|record| rehearsal.record(record)).collect();
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

/// Each line that is not blank.
fn lines_of(path: &PathBuf) -> anyhow::Result<Vec<Record>> {
    let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(std::fs::File::open(path).with_context(|| path.display().to_string())?))
    };
    let mut given = Vec::new();
    for line in input.split(b'\n') {
        let mut line = line.with_context(|| path.display().to_string())?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            given.push(Record { payload: Some(line), ..Record::default() });
        }
    }
    Ok(given)
}

/// The newest committed records of a topic, oldest first.
fn newest(config: &Config, topic: &str, wanted: usize) -> anyhow::Result<Vec<Record>> {
    let settings = Settings::new(config.kafka.clone(), "streamgauge-validate".into());
    let mut reader = PartitionReader::create(&settings, Isolation::ReadCommitted)?;
    let partitions = reader.partition_count(topic, CALL_TIMEOUT)?;
    let partitions = partitions.with_context(|| format!("there is no topic `{topic}`"))?;
    let all: Vec<TopicPartition> = (0..partitions).map(|partition| (topic.into(), partition)).collect();
    let (ends, beginnings) = (reader.ends(&all, CALL_TIMEOUT)?, reader.beginnings(&all, CALL_TIMEOUT)?);
    let mut left = BTreeMap::new();
    let mut from = Vec::new();
    for partition in all {
        let end = ends.get(&partition).copied().unwrap_or(0);
        let first = beginnings.get(&partition).copied().unwrap_or(0);
        let start = end.saturating_sub(i64::try_from(wanted).unwrap_or(i64::MAX)).max(first);
        if start < end {
            left.insert(partition.1, end);
            from.push((partition, start));
        }
    }
    if from.is_empty() {
        return Ok(Vec::new());
    }
    reader.assign(&from)?;
    let (mut found, mut silent) = (Vec::new(), 0);
    while !left.is_empty() && silent < PATIENCE {
        let done = match reader.read(READ_WAIT) {
            Reading::Record(record) => {
                silent = 0;
                let at = (record.timestamp(), record.partition(), record.offset());
                let given = Record {
                    payload: record.payload().map(<[u8]>::to_vec),
                    timestamp: record.timestamp(),
                    topic: topic.to_owned(),
                    partition: record.partition(),
                    key: record.key().map(<[u8]>::to_vec),
                    headers: record.headers(),
                };
                found.push((at, given));
                left.get(&record.partition())
                    .is_none_or(|&end| record.offset() + 1 >= end)
                    .then_some(record.partition())
            }
            // What is left before the end are markers and records that were never committed.
            Reading::End { partition } => Some(partition.1),
            Reading::Nothing => {
                silent += 1;
                None
            }
            Reading::Error(error) if is_passing(&error) => {
                silent += 1;
                None
            }
            Reading::Error(error) => return Err(error.into()),
        };
        if let Some(partition) = done {
            left.remove(&partition);
        }
    }
    if !left.is_empty() {
        bail!(
            "Kafka does not deliver all of {topic}{}",
            reader.last_error().map(|e| format!(": {e}")).unwrap_or_default()
        );
    }
    found.sort_by_key(|(at, _)| *at);
    let surplus = found.len().saturating_sub(wanted);
    Ok(found.into_iter().skip(surplus).map(|(_, given)| given).collect())
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
