//! `streamgauge schema`: the JSON schema of the config file, for editors and as the reference of its keys.

use std::io::Write;

use crate::config;

/// Prints the schema; the exit code is 0, or 1 if nobody takes it.
pub fn schema() -> u8 {
    match writeln!(std::io::stdout(), "{:#}", config::json_schema()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}
