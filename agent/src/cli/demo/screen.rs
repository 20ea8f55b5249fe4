//! The live table on a terminal, drawn over itself; elsewhere a line a second.

use super::numbers::{Line, Numbers};
use crate::human;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

/// Rates are those of the last so many redraws.
const RATE_OVER: usize = 4;

/// One look at the stream.
pub struct Look {
    /// Since the first event.
    pub elapsed: Duration,
    pub acknowledged: u64,
    pub numbers: Numbers,
}

/// Shows looks on standard output.
pub struct Screen {
    terminal: bool,
    looks: VecDeque<Look>,
    /// Lines drawn, to be drawn over.
    drawn: usize,
}

impl Screen {
    pub fn new() -> Screen {
        Screen { terminal: std::io::stdout().is_terminal(), looks: VecDeque::new(), drawn: 0 }
    }

    /// How often to look.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(if self.terminal { 500 } else { 1_000 })
    }

    /// Shows a look, with rates against one from a while before.
    pub fn show(&mut self, look: Look) {
        let keep = if self.terminal { RATE_OVER } else { 1 };
        while self.looks.len() > keep {
            self.looks.pop_front();
        }
        let text = match self.terminal {
            true => table(&look, self.looks.front()),
            false => one_line(&look, self.looks.front()),
        };
        let mut out = std::io::stdout().lock();
        // Nobody who looks is no reason to stop counting.
        let _ = match self.terminal {
            true => write!(out, "{}", over(&text, self.drawn)),
            false => writeln!(out, "{text}"),
        };
        let _ = out.flush();
        self.drawn = text.lines().count();
        self.looks.push_back(look);
    }
}

/// `text` drawn over the `lines` above the cursor.
fn over(text: &str, lines: usize) -> String {
    let mut out = String::new();
    if lines > 0 {
        let _ = write!(out, "\x1b[{lines}A\r");
    }
    for line in text.lines() {
        let _ = writeln!(out, "{line}\x1b[K");
    }
    out
}

fn per_second(now: u64, then: Option<u64>, time: Duration) -> u64 {
    let (then, seconds) = (then.unwrap_or(0), time.as_secs_f64());
    if seconds > 0.0 { (now.saturating_sub(then) as f64 / seconds).round() as u64 } else { 0 }
}

fn since(look: &Look, before: Option<&Look>) -> Duration {
    look.elapsed.saturating_sub(before.map_or(Duration::ZERO, |before| before.elapsed))
}

fn one_line(look: &Look, before: Option<&Look>) -> String {
    let all = &look.numbers.all;
    let rate = per_second(all.requests, before.map(|b| b.numbers.all.requests), since(look, before));
    let [p50, p95, p99] = all.quantiles.map(milliseconds);
    format!(
        "{:>4.1} s  produced {}  counted {}  {}/s  errors {:.1} %  p50 {p50}  p95 {p95}  p99 {p99}  lag {}",
        look.elapsed.as_secs_f64(),
        human::count(look.acknowledged),
        human::count(all.requests),
        human::count(rate),
        all.error_rate() * 100.0,
        human::count(look.acknowledged.saturating_sub(all.requests)),
    )
}

fn table(look: &Look, before: Option<&Look>) -> String {
    let numbers = &look.numbers;
    let time = since(look, before);
    let then = |of: fn(&Numbers) -> &[Line], name: &str| {
        before.and_then(|before| of(&before.numbers).iter().find(|line| line.name == name)).map(|line| line.requests)
    };
    let mut out = format!(
        "{:.0} s   {} produced   {} counted   lag {}\n\n",
        look.elapsed.as_secs_f64(),
        human::count(look.acknowledged),
        human::count(numbers.all.requests),
        human::count(look.acknowledged.saturating_sub(numbers.all.requests)),
    );
    out += &heading("ENDPOINT");
    for line in &numbers.endpoints {
        let rate = per_second(line.requests, then(|n| &n.endpoints, &line.name), time);
        out += &row(&line.name, rate, line);
    }
    let rate = per_second(numbers.all.requests, before.map(|b| b.numbers.all.requests), time);
    out += &row("all", rate, &numbers.all);
    out += "\n";
    out += &heading("REGION");
    for line in &numbers.regions {
        let rate = per_second(line.requests, then(|n| &n.regions, &line.name), time);
        out += &row(&line.name, rate, line);
    }
    out
}

fn heading(name: &str) -> String {
    format!(
        "{name:<14} {:>10} {:>12} {:>8} {:>9} {:>9} {:>9}\n",
        "REQUESTS/S", "REQUESTS", "ERRORS", "P50", "P95", "P99"
    )
}

fn row(name: &str, rate: u64, line: &Line) -> String {
    let [p50, p95, p99] = line.quantiles.map(milliseconds);
    // Regions have no measure of errors in the example.
    let errors = if line.errors > 0 { format!("{:.1} %", line.error_rate() * 100.0) } else { String::new() };
    let (rate, requests) = (human::count(rate), human::count(line.requests));
    format!("{name:<14} {rate:>10} {requests:>12} {errors:>8} {p50:>9} {p95:>9} {p99:>9}\n")
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seconds: u64, requests: u64) -> Look {
        let line = |name: &str| Line {
            name: name.to_owned(),
            requests,
            errors: requests / 10,
            quantiles: [Some(0.045), Some(0.0635), None],
        };
        let numbers = Numbers { endpoints: vec![line("/api/users")], regions: vec![line("eu-west")], all: line("") };
        Look { elapsed: Duration::from_secs(seconds), acknowledged: requests + 1_500, numbers }
    }

    #[test]
    fn rates_are_those_since_the_look_before() {
        let text = one_line(&look(3, 90_000), Some(&look(2, 50_000)));
        assert_eq!(
            text,
            " 3.0 s  produced 91,500  counted 90,000  40,000/s  errors 10.0 %  p50 45.0 ms  p95 63.5 ms  p99 -  lag 1,500"
        );
    }

    #[test]
    fn the_table_fits_eighty_columns_and_is_drawn_over_itself() {
        let text = table(&look(3, 90_000_000), Some(&look(1, 50_000)));
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(text.contains("eu-west") && text.contains("/api/users") && text.contains("63.5 ms"), "{text}");
        assert!(over(&text, 7).starts_with("\x1b[7A\r") && !over(&text, 0).contains("\x1b[0A"));
        assert_eq!(over(&text, 7).matches("\x1b[K\n").count(), text.lines().count());
    }
}
