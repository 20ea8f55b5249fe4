//! Logs to stderr, as text for people or JSON for machines.

use crate::config::{LogFormat, Telemetry};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error(
        "telemetry.log_level `{level}`: {problem}; use error, warn, info, debug, trace, or `streamgauge=debug,info`"
    )]
    Filter { level: String, problem: String },
    #[error("logging was set up before")]
    Twice,
}

/// Sends all of the process's logs to stderr. To be called once, early.
///
/// # Errors
/// If the level is no filter, or logging was set up before.
pub fn init_logging(config: &Telemetry) -> Result<(), LoggingError> {
    // rust-rdkafka closes a consumer once more when it is dropped, and says at error level that it was closed already.
    let level = format!("rdkafka::consumer=off,{}", config.log_level);
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|error| LoggingError::Filter { level: config.log_level.clone(), problem: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let set = match config.log_format {
        LogFormat::Text => logs.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    set.map_err(|_| LoggingError::Twice)
}
