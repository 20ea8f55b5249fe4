//! `streamgauge state inspect`: what a stopped agent's state directory holds.

use super::{CACHE_BYTES, Output, directory, load, lock, time};
use crate::human;
use crate::state::{Contents, Store, TaskId};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct InspectArgs {
    /// The config file, whose state.dir is looked at.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE", required_unless_present = "dir")]
    config: Option<PathBuf>,
    /// The state directory, instead of the config's.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// One partition's file.
struct Found {
    id: TaskId,
    bytes: u64,
    contents: Result<Contents, String>,
}

/// Runs the verb. A file that cannot be read is named, and the exit code 2.
pub fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let config = match args.dir.as_ref().and(None).or(args.config.as_deref()).map(load).transpose() {
        Ok(config) => config,
        Err(code) if args.dir.is_none() => return Ok(code),
        Err(_) => None,
    };
    let dir = lock(&directory(args.dir.as_ref(), config.as_ref())?)?;
    let mut found = Vec::new();
    for (id, path) in dir.task_files()? {
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        let contents = Store::open(&path, CACHE_BYTES).and_then(|store| Contents::read(&store));
        found.push(Found { id, bytes, contents: contents.map_err(|error| error.to_string()) });
    }
    let text = match args.output {
        Output::Table => table(dir.instance(), &found),
        Output::Json => format!("{:#}\n", as_json(dir.instance(), &found)),
    };
    print!("{text}");
    Ok(if found.iter().all(|found| found.contents.is_ok()) { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn table(instance: &str, found: &[Found]) -> String {
    let mut out = format!("agent {instance}, {} partitions\n", found.len());
    for Found { id, bytes, contents } in found {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{id}: {}", human::bytes(*bytes as f64));
        let contents = match contents {
            Ok(contents) => contents,
            Err(error) => {
                let _ = writeln!(out, ", cannot be read: {error}");
                continue;
            }
        };
        let Some(checkpoint) = &contents.checkpoint else {
            out += ", never written\n";
            continue;
        };
        let record = checkpoint.offset_record.clone().unwrap_or_default();
        let stream_time =
            record.stream_time.map_or_else(|| "no event yet".into(), |at| format!("events up to {}", time(at)));
        let _ = writeln!(
            out,
            ", input offset {}, changelog offset {}, written {}, {stream_time}",
            record.next_offset,
            checkpoint.changelog_offset,
            time(record.written_at_ms),
        );
        let _ = writeln!(out, "  {:30} {:>12} {:>12} {:>10}", "AGGREGATE", "KEYS", "PANES", "BYTES");
        for aggregate in &contents.aggregates {
            let name = match aggregate.name.as_str() {
                "" => format!("(unlisted {:016x})", aggregate.id),
                name => name.to_owned(),
            };
            let [keys, panes] = [aggregate.keys, aggregate.panes].map(human::count);
            let _ = writeln!(out, "  {name:30} {keys:>12} {panes:>12} {:>10}", human::bytes(aggregate.bytes as f64));
        }
    }
    out
}

fn as_json(instance: &str, found: &[Found]) -> Value {
    let partitions = found.iter().map(|Found { id, bytes, contents }| {
        let mut value = json!({ "topic": *id.topic, "partition": id.partition, "file_bytes": bytes });
        match contents {
            Err(error) => value["error"] = json!(error),
            Ok(Contents { checkpoint: None, .. }) => value["checkpoint"] = Value::Null,
            Ok(Contents { checkpoint: Some(checkpoint), aggregates }) => {
                let record = checkpoint.offset_record.clone().unwrap_or_default();
                value["checkpoint"] = json!({
                    "format_version": checkpoint.format_version,
                    "input_offset": record.next_offset,
                    "changelog_offset": checkpoint.changelog_offset,
                    "stream_time_ms": record.stream_time,
                    "written_at_ms": record.written_at_ms,
                    "owner_epoch": record.owner_epoch,
                    "transactional_id": record.transactional_id,
                    "cluster_id": checkpoint.cluster_id,
                    "topic_id": checkpoint.topic_id,
                    "changelog_topic_id": checkpoint.changelog_topic_id,
                });
                let aggregate = |a: &crate::state::AggregateContents| {
                    json!({ "id": format!("{:016x}", a.id), "name": a.name, "keys": a.keys, "panes": a.panes, "bytes": a.bytes })
                };
                value["aggregates"] = aggregates.iter().map(aggregate).collect();
            }
        }
        value
    });
    json!({ "instance": instance, "partitions": partitions.collect::<Vec<_>>() })
}
