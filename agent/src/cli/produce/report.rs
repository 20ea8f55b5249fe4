//! What the user sees: progress while it runs, the summary at its end.

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::kafka::event_producer::Delivered;

/// A bar on a terminal, else a line every few seconds; both on standard error.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    interval: Duration,
    next: Duration,
    /// Events and time when it was last shown.
    last: (u64, Duration),
}

impl Progress {
    /// `count`: how many events there will be, if that is known. `quiet`: what is printed is not disturbed.
    pub fn new(count: Option<u64>, quiet: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let (bar, template) = match count {
                Some(count) => (ProgressBar::new(count), "{bar:40} {human_pos}/{human_len} events, {msg}, {eta} left"),
                None => (ProgressBar::no_length(), "{spinner} {human_pos} events in {elapsed}, {msg}"),
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.with_style(style)
        });
        let interval = match (&bar, quiet) {
            (_, true) => Duration::MAX,
            (Some(_), false) => Duration::from_millis(200),
            (None, false) => Duration::from_secs(5),
        };
        Progress { bar, interval, next: interval, last: (0, Duration::ZERO) }
    }

    /// Shows where it stands, if it is time to.
    pub fn show(&mut self, sent: u64, elapsed: Duration, (acknowledged, failed): (u64, u64)) {
        if elapsed < self.next {
            return;
        }
        self.next = elapsed + self.interval;
        let rate = per_second(sent - self.last.0, elapsed.saturating_sub(self.last.1));
        self.last = (sent, elapsed);
        let message = format!("{rate:.0}/s, {acknowledged} acknowledged, {failed} failed");
        match &self.bar {
            Some(bar) => {
                bar.set_position(sent);
                bar.set_message(message);
            }
            None => eprintln!("{:.0} s: {sent} events, {message}", elapsed.as_secs_f64()),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What was sent.
pub(super) struct Sent {
    pub events: u64,
    pub started: Duration,
    /// Why it ended early.
    pub error: Option<anyhow::Error>,
}

/// The result, for people and as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub events: u64,
    pub acknowledged: u64,
    /// Events without an acknowledgement, whether Kafka refused them or never answered.
    pub failed: u64,
    /// From the first event's due time to the last report.
    pub seconds: f64,
    /// Acknowledged events per second.
    pub rate: f64,
    /// From when an event was due (with `--rate max`: handed over) to its acknowledgement; absent without any.
    pub ack_p50_ms: Option<f64>,
    pub ack_p99_ms: Option<f64>,
    /// Lines of the input that were longer than 1 MiB.
    #[serde(skip_serializing_if = "is_none")]
    pub left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    pub fn new(sent: &Sent, delivered: &Delivered, left_out: u64) -> Self {
        let time = delivered.last_report.saturating_sub(sent.started);
        let quantile =
            |q| (delivered.acknowledged > 0).then(|| delivered.latency.value_at_quantile(q) as f64 / 1_000.0);
        Summary {
            events: sent.events,
            acknowledged: delivered.acknowledged,
            failed: sent.events.saturating_sub(delivered.acknowledged),
            seconds: time.as_secs_f64(),
            rate: per_second(delivered.acknowledged, time),
            ack_p50_ms: quantile(0.5),
            ack_p99_ms: quantile(0.99),
            left_out,
            error: sent.error.as_ref().map(|error| format!("{error:#}")).or_else(|| delivered.first_error.clone()),
        }
    }

    pub fn all_acknowledged(&self) -> bool {
        self.failed == 0 && self.left_out == 0 && self.error.is_none()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "events        {}", self.events)?;
        writeln!(f, "rate          {:.0}/s over {:.2} s", self.rate, self.seconds)?;
        writeln!(f, "acknowledged  {}", self.acknowledged)?;
        write!(f, "failed        {}", self.failed)?;
        if let (Some(p50), Some(p99)) = (self.ack_p50_ms, self.ack_p99_ms) {
            write!(f, "\nacknowledged after  p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        }
        if self.left_out > 0 {
            write!(f, "\nleft out      {} lines longer than 1 MiB", self.left_out)?;
        }
        match &self.error {
            Some(error) => write!(f, "\nfirst error   {error}"),
            None => Ok(()),
        }
    }
}

fn per_second(events: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { events as f64 / time.as_secs_f64() }
}
