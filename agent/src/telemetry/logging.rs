//! Logs: text for people or JSON for machines, to stderr.

use std::io::IsTerminal;

use crate::config::{LogFormat, Telemetry};
use tracing_subscriber::EnvFilter;

/// Starts logging. A filter that is none falls back to `info`; a second call changes nothing.
pub fn init_logging(config: &Telemetry) {
    // rust-rdkafka closes a consumer once more when it is dropped, and says at error level that it was closed already.
    let filter = format!("rdkafka::consumer=off,{}", config.log_level);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
