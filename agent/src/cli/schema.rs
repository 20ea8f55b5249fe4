//! `streamgauge schema`: the JSON schema of the config file, for editors and as the reference of its keys.

use std::process::ExitCode;

use super::pipe;
use crate::config;

/// Prints the schema.
pub fn run() -> anyhow::Result<ExitCode> {
    pipe::print(format!("{:#}\n", config::json_schema()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
