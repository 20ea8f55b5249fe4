//! A load test as a progress bar, as a report, as a row of the ladder, and as JSON.

use crate::cli::columns::{Column, table};
use crate::human;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::load_test::State;

/// A bar on a terminal, else a line every few seconds; both on standard error.
pub struct Bar {
    bar: Option<ProgressBar>,
    next: Duration,
}

const LINE_EVERY: Duration = Duration::from_secs(5);

impl Bar {
    /// `planned`: how many events there will be, if that is known.
    pub fn new(planned: Option<u64>) -> Bar {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match planned {
                Some(events) => {
                    (ProgressBar::new(events), "{bar:40} {human_pos}/{human_len} events, {msg}, {eta} left")
                }
                None => (ProgressBar::no_length(), "{spinner} {human_pos} events in {elapsed}, {msg}"),
            };
            bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Bar { bar, next: LINE_EVERY }
    }

    pub fn show(&mut self, test: &pb::LoadTest) {
        let mut message = format!("{}/s", human::count(test.rate as u64));
        if let Some(latency) = &test.latency {
            message += &format!(", p99 {}", human::seconds(latency.p99));
        }
        if test.failed > 0 {
            message += &format!(", {} failed", human::count(test.failed));
        }
        if test.state() == State::Verifying {
            message += ", reading back";
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(test.sent);
                bar.set_message(message);
            }
            None if elapsed(test) >= self.next && test.state() == State::Running => {
                self.next = elapsed(test) + LINE_EVERY;
                eprintln!("{:.0} s: {} events, {message}", elapsed(test).as_secs_f64(), human::count(test.sent));
            }
            None => {}
        }
    }

    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn elapsed(test: &pb::LoadTest) -> Duration {
    test.elapsed.and_then(|elapsed| Duration::try_from(elapsed).ok()).unwrap_or_default()
}

pub fn one(test: &pb::LoadTest) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "acknowledged  {} of {} events", human::count(test.acknowledged), human::count(test.sent));
    let _ = writeln!(
        text,
        "rate          {}/s, {}/s, over {}",
        human::count(test.rate as u64),
        human::bytes(test.bytes_per_second),
        human::seconds(elapsed(test).as_secs_f64())
    );
    if let Some(latency) = &test.latency {
        let times = [
            ("p50", latency.p50),
            ("p95", latency.p95),
            ("p99", latency.p99),
            ("p99.9", latency.p999),
            ("max", latency.max),
        ];
        let times = times.map(|(name, time)| format!("{name} {}", human::seconds(time)));
        let _ = writeln!(text, "latency       {}", times.join(", "));
    }
    if test.failed > 0 {
        let _ = writeln!(text, "failed        {}", human::count(test.failed));
    }
    if let Some(found) = &test.verification {
        let _ = writeln!(
            text,
            "read back     {} found, {} lost, {} duplicated, {} out of order",
            human::count(found.found),
            human::count(found.lost),
            human::count(found.duplicated),
            human::count(found.reordered)
        );
        if found.unacknowledged_found > 0 {
            let _ = writeln!(text, "              {} of them unacknowledged", human::count(found.unacknowledged_found));
        }
    }
    if test.state() == State::Cancelled {
        let _ = writeln!(text, "cancelled");
    }
    if !test.error.is_empty() {
        let _ = writeln!(text, "error         {}", test.error);
    }
    text
}

/// One row a test.
pub fn ladder(tests: &[pb::LoadTest]) -> String {
    let latency = |heading, of: fn(&pb::Latency) -> f64| {
        Column::number(heading, tests.iter().map(move |t| t.latency.map_or("".into(), |l| human::seconds(of(&l)))))
    };
    let mut columns = vec![
        Column::number("EVENTS", tests.iter().map(|t| human::count(t.sent))),
        Column::number("EVENTS/S", tests.iter().map(|t| human::count(t.rate as u64))),
        latency("P50", |l| l.p50),
        latency("P95", |l| l.p95),
        latency("P99", |l| l.p99),
        latency("P99.9", |l| l.p999),
        latency("MAX", |l| l.max),
        Column::number("FAILED", tests.iter().map(|t| human::count(t.failed))),
    ];
    if tests.iter().any(|test| test.verification.is_some()) {
        let count = |heading, of: fn(&pb::Verification) -> u64| {
            Column::number(
                heading,
                tests.iter().map(move |t| t.verification.map_or("".into(), |v| human::count(of(&v)))),
            )
        };
        columns.extend([
            count("LOST", |v| v.lost),
            count("DUPLICATED", |v| v.duplicated),
            count("REORDERED", |v| v.reordered),
        ]);
    }
    let mut text = table(&columns);
    tests.iter().filter(|t| !t.error.is_empty()).for_each(|t| text += &format!("error: {}\n", t.error));
    text
}

pub fn json(test: &pb::LoadTest) -> Value {
    let state = match test.state() {
        State::Unspecified => "unspecified",
        State::Running => "running",
        State::Verifying => "verifying",
        State::Done => "done",
        State::Cancelled => "cancelled",
        State::Failed => "failed",
    };
    let ms = |seconds: f64| (seconds * 1e6).round() / 1e3;
    json!({
        "id": test.id,
        "state": state,
        "topic": test.request.as_ref().map(|request| request.topic.as_str()),
        "events": test.sent,
        "acknowledged": test.acknowledged,
        "failed": test.failed,
        "seconds": elapsed(test).as_secs_f64(),
        "events_per_second": test.rate,
        "bytes_per_second": test.bytes_per_second,
        "latency_ms": test.latency.map(|l| json!({
            "p50": ms(l.p50), "p95": ms(l.p95), "p99": ms(l.p99), "p99.9": ms(l.p999), "max": ms(l.max), "mean": ms(l.mean),
        })),
        "verification": test.verification.map(|v| json!({
            "found": v.found,
            "lost": v.lost,
            "duplicated": v.duplicated,
            "reordered": v.reordered,
            "unacknowledged_found": v.unacknowledged_found,
        })),
        "error": Some(&test.error).filter(|error| !error.is_empty()),
    })
}
