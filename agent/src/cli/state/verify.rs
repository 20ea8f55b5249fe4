//! `streamgauge state verify`: every cell of a stopped agent's state files against a replay of the changelog.

use super::cells::Names;
use super::{CACHE_BYTES, directory, load, lock, read_changelog, reader};
use crate::config::Config;
use crate::human;
use crate::kafka::{PartitionReader, TopicPartition};
use crate::replica::{Difference, Verification, Verified};
use crate::sources::changelog_topic;
use crate::state::{Store, TaskId};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// More differences of one partition are counted, not printed.
const SHOWN: usize = 20;
/// A check did not hold.
const DIFFERENT: u8 = 2;

#[derive(clap::Args)]
pub struct VerifyArgs {
    /// The agent's config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The state directory, instead of the config's.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the verb. Exit code 0: all files are what the changelog says; 2: one is not, or cannot be read.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let dir = lock(&directory(args.dir.as_ref(), Some(&config))?)?;
    let (names, mut reader) = (Names::new(&config), reader(&config)?);
    let (mut cells, mut wrong) = (0, 0);
    let files = dir.task_files()?;
    for (id, path) in &files {
        match verify(&config, &mut reader, id, path)? {
            Ok(verified) => {
                cells += verified.cells;
                wrong += verified.differences.len();
                print!("{}", report(id, &verified, &names));
            }
            Err(unreadable) => {
                wrong += 1;
                println!("{id}: {unreadable}");
            }
        }
    }
    if wrong == 0 {
        println!("{} cells in {} files are what the changelog says", human::count(cells), files.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{wrong} differences. The changelog is the truth: delete the files named, and the next start rebuilds them"
    );
    Ok(ExitCode::from(DIFFERENT))
}

/// `Ok(Err(_))`: the file cannot be read, which is a finding.
fn verify(
    config: &Config,
    reader: &mut PartitionReader,
    id: &TaskId,
    path: &Path,
) -> anyhow::Result<Result<Verified, String>> {
    let mut entries = rustc_hash::FxHashMap::default();
    let opened = Store::open(path, CACHE_BYTES).and_then(|store| {
        store.entries(|key, value| drop(entries.insert(key.to_vec(), value.to_vec())))?;
        store.checkpoint()
    });
    let checkpoint = match opened {
        Ok(checkpoint) => checkpoint.unwrap_or_default(),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let changelog = TopicPartition::new(changelog_topic(&config.kafka.group_id, &id.topic), id.partition);
    let mut verification = Verification::new(entries, &checkpoint);
    let end = read_changelog(reader, &changelog, |offset, key, value| verification.apply(offset, key, value))?;
    Ok(Ok(verification.finish(end, config.state.guarantee)))
}

fn report(id: &TaskId, verified: &Verified, names: &Names) -> String {
    let mut out = String::new();
    for difference in verified.differences.iter().take(SHOWN) {
        let line = match difference {
            Difference::Cell { key, file, changelog } => {
                let [file, changelog] = [file, changelog].map(|value| names.value(key, value.as_deref()));
                format!("{}: the file has {file}; the changelog {changelog}", names.cell(key))
            }
            Difference::Fingerprint { aggregate, entries, expected } => format!(
                "{aggregate}: the file's entries do not add up to its checkpoint's fingerprint ({entries} entries, {expected} expected)"
            ),
            Difference::BeyondChangelog { checkpoint, end } => format!(
                "the file is at changelog offset {checkpoint}, but the changelog ends at {end}: it is of another cluster or an older changelog"
            ),
        };
        out += &format!("{id}: {line}\n");
    }
    if let Some(more) = verified.differences.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        out += &format!("{id}: … and {more} more\n");
    }
    if verified.superseded > 0 {
        out += &format!(
            "{id}: {} cells have newer records in the changelog and were checked by their fingerprint alone\n",
            human::count(verified.superseded)
        );
    }
    out
}
