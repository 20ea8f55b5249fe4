//! Verbs that ask once, or again and again (`--watch`).

use super::pipe;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// A check did not hold.
const NOT_WELL: u8 = 2;
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What one asking gave: the text to show, and whether the check held.
pub struct Shown {
    pub text: String,
    pub well: bool,
}

/// Asks once, or after each `interval` until interrupted, and prints what came of it. `in_place`: on a terminal each answer
/// takes the place of the one before. A failure ends it only if it asks once.
///
/// # Errors
/// If the only asking fails, or nobody reads.
pub async fn ask(
    interval: Option<Duration>,
    in_place: bool,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Shown>,
) -> anyhow::Result<ExitCode> {
    let Some(interval) = interval else {
        let shown = ask().await?;
        pipe::print(shown.text.as_bytes())?;
        return Ok(if shown.well { ExitCode::SUCCESS } else { ExitCode::from(NOT_WELL) });
    };
    let clear = if in_place && std::io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let text = ask().await.map_or_else(|error| format!("{error:#}\n"), |shown| shown.text);
        pipe::print(format!("{clear}{text}").as_bytes())?;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}
