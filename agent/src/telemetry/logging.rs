//! Logs to stderr, as text for people or JSON for machines; and, if they are wanted, spans and lines as values to send on.

use super::signals::Signals;
use crate::clock::Clock;
use crate::config::{LogFormat, Otlp, Telemetry};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Those who speak when something is sent: to send what they say would go on for ever.
const SENDERS: &str = "h2=off,hyper=off,hyper_util=off,hyper_rustls=off,rustls=off,tonic=off,tower=off";

/// What the process's logging gives to the push. There is one, as there is one subscriber.
static SIGNALS: OnceLock<Signals> = OnceLock::new();

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

/// Sends all of the process's logs to stderr, and keeps what `otlp` wants to push of them. To be called once, early.
///
/// # Errors
/// If the level is no filter, or logging was set up before.
pub fn init_logging(config: &Telemetry, otlp: Option<&Otlp>, is_coloured: bool) -> Result<(), LoggingError> {
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => Box::new(
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(is_coloured),
        ),
        LogFormat::Json => {
            Box::new(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).json().flatten_event(true))
        }
    };
    let lines = lines.with_filter(filter(&config.log_level, "")?);
    let wanted = otlp.filter(|otlp| otlp.logs || otlp.traces);
    let pushed = match wanted.map(|otlp| Signals::new(Clock::default(), otlp.traces, otlp.logs)) {
        Some((layer, signals)) => {
            // The second time fails below.
            let _ = SIGNALS.set(signals);
            Some(layer.with_filter(filter(&config.log_level, SENDERS)?))
        }
        None => None,
    };
    tracing_subscriber::registry().with(lines).with(pushed).try_init().map_err(|_| LoggingError::Twice)
}

/// What logging keeps for the push; `None` if nothing was asked for.
pub fn signals() -> Option<Signals> {
    SIGNALS.get().cloned()
}

fn filter(level: &str, also: &str) -> Result<EnvFilter, LoggingError> {
    // rust-rdkafka closes a consumer once more when it is dropped, and says at error level that it was closed already.
    let directives = format!("rdkafka::consumer=off,{also}{}{level}", if also.is_empty() { "" } else { "," });
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| LoggingError::Filter { level: level.to_owned(), problem: error.to_string() })
}
