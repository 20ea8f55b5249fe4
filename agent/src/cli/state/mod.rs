//! `streamgauge state`: the stored state of a stopped agent: look at it, check it against the changelog, or reset it so
//! that everything is counted again.

mod cells;
mod inspect;
mod reset;
mod verify;

use crate::cli::USAGE;
use crate::config::{self, Config};
use crate::kafka::{Isolation, PartitionReader, Reading, TopicPartition, is_passing};
use crate::state::{StateDir, StateDirError};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const READ_WAIT: Duration = Duration::from_millis(200);
/// A changelog that says nothing for so many waits cannot be read.
const SILENCES: u32 = 150;
/// redb's page cache while a file is looked at.
const CACHE_BYTES: usize = 16 << 20;

#[derive(clap::Subcommand)]
pub enum StateVerb {
    /// What a stopped agent's state directory holds: checkpoint, keys and bytes of each partition, by aggregate.
    Inspect(inspect::InspectArgs),
    /// Compare a stopped agent's state files with a replay of the changelog; exit code 2 on a difference.
    Verify(verify::VerifyArgs),
    /// Empty the state of all partitions, here and in the changelog, so that the topic is counted again.
    Reset(reset::ResetArgs),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs the verb.
pub fn run(verb: &StateVerb) -> anyhow::Result<ExitCode> {
    match verb {
        StateVerb::Inspect(args) => inspect::run(args),
        StateVerb::Verify(args) => verify::run(args),
        StateVerb::Reset(args) => reset::run(args),
    }
}

/// The config, or the exit code of one that cannot be used, with its errors printed.
fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(USAGE)
    })
}

/// Locks the directory of a stopped agent.
fn lock(path: &Path) -> anyhow::Result<StateDir> {
    StateDir::existing(path).map_err(|error| match error {
        StateDirError::Locked { path } => anyhow::anyhow!(
            "an agent runs on {}; stop it first (a running one is asked with: streamgauge query, and /metrics)",
            path.display()
        ),
        error => error.into(),
    })
}

/// A time as Unix milliseconds, for people.
fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

/// Reads a changelog partition from its beginning to its end, committed records only; returns the end.
fn read_changelog(
    reader: &mut PartitionReader,
    partition: &TopicPartition,
    mut each: impl FnMut(i64, &[u8], Option<&[u8]>),
) -> anyhow::Result<i64> {
    let name = || partition.to_string();
    let one = std::slice::from_ref(partition);
    let ends = reader.ends(one, CALL_TIMEOUT).with_context(|| format!("the end of {}", name()))?;
    let end = ends.get(partition).copied().unwrap_or(0);
    if end == 0 {
        return Ok(0);
    }
    reader.assign(&[(partition.clone(), 0)]).with_context(name)?;
    let mut silent = 0;
    loop {
        silent += 1;
        match reader.read(READ_WAIT) {
            Reading::Record(record) => {
                silent = 0;
                each(record.offset(), record.key().unwrap_or_default(), record.payload());
            }
            Reading::End { .. } => break,
            Reading::Error(error) if !is_passing(&error) => return Err(error).with_context(name),
            _ if silent > SILENCES => bail!("{}: no more data arrives; is Kafka reachable?", name()),
            _ => {}
        }
    }
    reader.finish(partition).with_context(name)?;
    Ok(end)
}

/// What a config's changelogs are read with.
fn reader(config: &Config) -> anyhow::Result<PartitionReader> {
    let settings = crate::kafka::Settings::new(config.kafka.clone(), "streamgauge-state".into());
    let isolation = match config.state.guarantee {
        config::Guarantee::ExactlyOnce => Isolation::ReadCommitted,
        config::Guarantee::AtLeastOnce => Isolation::ReadUncommitted,
    };
    PartitionReader::create(&settings, isolation).context("a Kafka client")
}

/// The directory that `--dir` or the config names.
fn directory(dir: Option<&PathBuf>, config: Option<&Config>) -> anyhow::Result<PathBuf> {
    let from_config = || config.map(|config| config.state.dir.clone());
    dir.cloned().or_else(from_config).context("no directory given; name it with --dir, or its config with -c")
}
