//! `streamgauge init`: a config to begin with. Without a sample it is the example of the repository, every key explained,
//! and valid as it stands; with one it is drafted from these records.

use anyhow::Context;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::target::BrokerArgs;
use super::{lines, newest};
use crate::draft::{self, Draft, MOST_RECORDS, Subject};

/// What is written; the tests run the agent on the same file.
const STARTER: &str = include_str!("../../../examples/http-requests.yaml");

/// Its line about how it is run, which names the file.
const RUN_LINE: &str = "streamgauge run -c examples/http-requests.yaml";

#[derive(clap::Args)]
pub struct InitArgs {
    /// The file to write; without it the config goes to standard output.
    file: Option<PathBuf>,
    /// Draft the config from this file's lines, each one record; `-`: from standard input.
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Draft the config for this topic, from its newest records if there is no --sample. Reads them outside any group.
    #[arg(long)]
    topic: Option<String>,
    /// How many of the topic's records.
    #[arg(long, default_value_t = 1_000, requires = "topic", value_name = "RECORDS")]
    last: usize,
    // Of these only the brokers' addresses are written to the config.
    #[command(flatten)]
    brokers: BrokerArgs,
}

/// Runs the verb. A file that is there is left alone, and records that no format is known for give no file: exit code 1.
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let text = match (&args.sample, &args.topic) {
        (None, None) => starter(&file_name(args)),
        _ => drafted(args)?,
    };
    match &args.file {
        None => std::io::stdout().write_all(text.as_bytes())?,
        Some(path) => {
            write(path, &text)?;
            eprintln!("wrote {0}; next: streamgauge validate -c {0}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// As the config calls its own file.
fn file_name(args: &InitArgs) -> String {
    args.file.as_ref().map_or_else(|| "FILE".to_owned(), |path| path.display().to_string())
}

fn starter(name: &str) -> String {
    STARTER.replace(RUN_LINE, &format!("streamgauge run -c {name}"))
}

/// The config that is drafted from records; what it makes of them is said on standard error.
fn drafted(args: &InitArgs) -> anyhow::Result<String> {
    let kafka = args.brokers.kafka()?;
    let (records, topic, sample) = match (&args.sample, &args.topic) {
        (Some(path), topic) => {
            let stem = path.file_stem().filter(|stem| *stem != "-").unwrap_or("log-events".as_ref());
            let topic = topic.clone().unwrap_or_else(|| topic_name(&stem.to_string_lossy()));
            (lines::read(path)?, topic, format!("--sample {}", path.display()))
        }
        (None, topic) => {
            let topic = topic.clone().unwrap_or_default();
            let records = newest::records(&kafka, &topic, args.last.min(MOST_RECORDS))?;
            let sample = format!("--topic {topic} --last {}", args.last);
            (records, topic, sample)
        }
    };
    let bootstrap_servers = format!("${{KAFKA_BOOTSTRAP_SERVERS:-{}}}", kafka.bootstrap_servers);
    let Draft { text, summary } =
        draft::draft(&records, &Subject { topic, bootstrap_servers, sample, file: file_name(args) })?;
    eprint!("{summary}");
    Ok(text)
}

/// A name that a topic can have.
fn topic_name(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    text.chars().map(fits).take(200).collect()
}

/// Writes the config to a new file.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let made = File::options().write(true).create_new(true).open(path);
    let mut file = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!("{} already exists; name another file", path.display()),
        _ => anyhow::anyhow!("{}: {error}", path.display()),
    })?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_it_writes_is_valid_and_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yaml");
        write(&path, &starter(&path.display().to_string())).unwrap();
        assert!(config::load(&path).unwrap().warnings.is_empty());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("run -c {}", path.display())) && !text.contains("examples/"), "{text}");
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yaml");
        std::fs::write(&path, "precious").unwrap();
        let error = write(&path, "new").unwrap_err().to_string();
        assert!(error.contains("already exists"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
