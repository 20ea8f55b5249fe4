//! `streamgauge init`: a config to begin with. It is the example of the repository, every key explained, and valid as
//! it stands.

use anyhow::Context;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is written; the tests run the agent on the same file.
const STARTER: &str = include_str!("../../../examples/http-requests.yaml");

/// Its line about how it is run, which names the file.
const RUN_LINE: &str = "streamgauge run -c examples/http-requests.yaml";

#[derive(clap::Args)]
pub struct InitArgs {
    /// The file to write; without it the config goes to standard output.
    file: Option<PathBuf>,
}

/// Runs the verb. A file that is there is left alone: exit code 1.
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    match &args.file {
        None => std::io::stdout().write_all(starter("FILE").as_bytes())?,
        Some(path) => {
            write(path)?;
            eprintln!("wrote {0}; next: streamgauge validate -c {0}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn starter(name: &str) -> String {
    STARTER.replace(RUN_LINE, &format!("streamgauge run -c {name}"))
}

/// Writes the config to a new file.
fn write(path: &Path) -> anyhow::Result<()> {
    let made = File::options().write(true).create_new(true).open(path);
    let mut file = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!("{} is there already; name another file", path.display()),
        _ => anyhow::anyhow!("{}: {error}", path.display()),
    })?;
    file.write_all(starter(&path.display().to_string()).as_bytes()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_it_writes_is_valid_and_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yaml");
        write(&path).unwrap();
        assert!(config::load(&path).unwrap().warnings.is_empty());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("run -c {}", path.display())) && !text.contains("examples/"), "{text}");
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yaml");
        std::fs::write(&path, "precious").unwrap();
        let error = write(&path).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
