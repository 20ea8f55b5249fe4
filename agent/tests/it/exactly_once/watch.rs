//! Watches several agents' `/metrics` at once, as a Prometheus would: no total ever goes backwards, merged or not, no window
//! is gone back behind, a window that is said to be whole never changes, and no series is exposed by two agents at the same
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::agent::http_get;
use crate::oracle::{AGGREGATES, Recount, Sample, Window, parse_page};

type Page = BTreeMap<String, f64>;

/// An aggregate's name, the labels `window` and `hop`, and a window's end in Unix milliseconds.
type WindowId = (String, String, String, i64);

pub struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a watch has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub complaints: Vec<String>,
    /// Pages read.
    pub pages: usize,
    /// Pages with totals on them, by agent.
    pub with_totals: Vec<usize>,
    /// Pages with merged totals on them.
    pub with_merged: usize,
    /// Windows that were shown as whole, each series with the value it had then.
    pub whole: BTreeMap<WindowId, Page>,
    /// Windows that were shown as not whole.
    pub partial: BTreeSet<WindowId>,
    highest: Page,
}

impl Watch {
    pub fn start(agents: &[SocketAddr]) -> Watch {
        let (ended, agents) = (Arc::new(AtomicBool::new(false)), agents.to_vec());
        let flag = ended.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Seen { with_totals: vec![0; agents.len()], ..Seen::default() };
            while !flag.load(Ordering::Acquire) {
                let next = Instant::now() + Duration::from_millis(200);
                seen.look(&agents);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            seen
        });
        Watch { ended, thread }
    }

    /// Ends the watch; gives what was wrong.
    pub fn complaints(self) -> Vec<String> {
        self.end().complaints
    }

    fn end(self) -> Seen {
        self.ended.store(true, Ordering::Release);
        self.thread.join().expect("the watch does not panic")
    }

    /// Ends the watch; fails if something was wrong.
    pub fn finish(self) -> Seen {
        let seen = self.end();
        let shown: Vec<_> = seen.complaints.iter().take(10).map(String::as_str).collect();
        assert!(seen.complaints.is_empty(), "{} complaints:\n{}", seen.complaints.len(), shown.join("\n"));
        seen
    }
}

impl Seen {
    /// Every agent, then the first ones again: a series that is on a page before *and* after it was on another agent's
    /// did not just move between two reads.
    fn look(&mut self, agents: &[SocketAddr]) {
        let pages: Vec<Option<Page>> = agents.iter().map(|&agent| self.read(agent)).collect();
        for (at, page) in pages.iter().enumerate() {
            self.with_totals[at] += usize::from(page.as_ref().is_some_and(|page| !page.is_empty()));
        }
        let keys = |page: &Option<Page>| -> BTreeSet<String> { page.iter().flat_map(|p| p.keys().cloned()).collect() };
        for first in 0..agents.len() {
            for second in first + 1..agents.len() {
                let both: BTreeSet<_> = keys(&pages[first]).intersection(&keys(&pages[second])).cloned().collect();
                if both.is_empty() {
                    continue;
                }
                let again = keys(&self.read(agents[first]));
                if let Some(series) = both.intersection(&again).next() {
                    self.complaints.push(format!("on the pages of agents {first} and {second} at once: {series}"));
                }
            }
        }
    }

    /// An agent's totals, and the ends of the windows it shows; none if it does not answer.
    fn read(&mut self, agent: SocketAddr) -> Option<Page> {
        let (status, page) = http_get(agent, "/metrics", Duration::from_secs(1))?;
        if status != 200 {
            return None;
        }
        self.pages += 1;
        match parse_page(&page) {
            Ok(samples) => Some(self.note(&samples, agent)),
            Err(error) => {
                self.complaints.push(error);
                None
            }
        }
    }

    fn note(&mut self, samples: &[Sample], agent: SocketAddr) -> Page {
        let is_merged = |s: &&Sample| is_total(s) && !s.labels.contains_key("partition");
        self.with_merged += usize::from(samples.iter().any(|s| is_merged(&s)));
        let rises: Page = samples.iter().filter(|s| is_total(s) || is_end(s)).map(|s| (name(s), s.value)).collect();
        for (series, value) in &rises {
            let highest = self.highest.entry(series.clone()).or_insert(*value);
            if *value < *highest {
                self.complaints.push(format!("backwards: {series} from {highest} to {value} on {agent}"));
            }
            *highest = highest.max(*value);
        }
        for end in samples.iter().filter(|s| is_end(s)) {
            self.note_window(samples, end, agent);
        }
        rises
    }

    fn note_window(&mut self, samples: &[Sample], end: &Sample, agent: SocketAddr) {
        let prefix = end.name.trim_end_matches("_window_end_timestamp_seconds");
        let (window, hop) = (end.labels["window"].clone(), end.labels["hop"].clone());
        let id = (prefix.to_owned(), window, hop, (end.value * 1_000.0) as i64);
        let of_it = |s: &&Sample| {
            let measure = s.name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("_window_"));
            measure && s.labels.get("window") == Some(&id.1) && s.labels.get("hop") == Some(&id.2)
        };
        let complete = samples.iter().filter(of_it).find(|s| s.name.ends_with("_window_complete"));
        if complete.is_none_or(|complete| complete.value != 1.0) {
            self.partial.insert(id);
            return;
        }
        let values: Page = samples.iter().filter(of_it).map(|s| (name(s), s.value)).collect();
        match self.whole.get(&id) {
            None => drop(self.whole.insert(id, values)),
            Some(before) if *before != values => {
                let what = before.iter().find(|(series, value)| values.get(*series) != Some(value));
                self.complaints.push(format!("a whole window changed: {id:?} on {agent}, {what:?} before"));
            }
            Some(_) => {}
        }
    }

    /// Requests of each key in windows that were shown as whole, against the recount; what differs.
    pub fn differences(&self, recount: &Recount) -> Vec<String> {
        let mut differences = Vec::new();
        for ((name, window, hop, end), values) in &self.whole {
            let aggregate = AGGREGATES.iter().find(|aggregate| aggregate.name == name).expect("one of the example's");
            let window = Window { size: minutes(window), hop: minutes(hop) };
            let wanted: BTreeMap<_, _> = recount
                .window(aggregate.name, window, end - window.size)
                .into_iter()
                .map(|(key, cell)| (key, cell.requests as f64))
                .collect();
            let mut shown = BTreeMap::new();
            for (series, value) in
                values.iter().filter(|(series, _)| series.starts_with(&format!("{name}_window_requests")))
            {
                // As `name` writes labels.
                let label = |by: &&str| {
                    let (_, rest) = series.split_once(&format!("{by:?}: \"")).expect("the label");
                    rest.split_once('"').expect("its end").0.to_owned()
                };
                shown.insert(aggregate.by.iter().map(label).collect::<Vec<_>>(), *value);
            }
            if shown != wanted {
                differences
                    .push(format!("{name} {}m/{}m@{end}: {shown:?}, should be {wanted:?}", window.size, window.hop));
            }
        }
        differences
    }
}

/// A group-wide total: a counter or a histogram's part, of a partition or of all.
fn is_total(sample: &Sample) -> bool {
    let kinds = ["_total", "_count", "_sum", "_bucket"];
    let is_ours = AGGREGATES.iter().any(|aggregate| {
        sample
            .name
            .strip_prefix(aggregate.name)
            .is_some_and(|rest| rest.starts_with('_') && !rest.starts_with("_window_"))
    });
    is_ours && kinds.iter().any(|kind| sample.name.ends_with(kind))
}

fn is_end(sample: &Sample) -> bool {
    sample.name.ends_with("_window_end_timestamp_seconds")
}

fn minutes(duration: &str) -> i64 {
    duration.strip_suffix('m').and_then(|minutes| minutes.parse::<i64>().ok()).expect("minutes") * 60_000
}

fn name(sample: &Sample) -> String {
    format!("{}{:?}", sample.name, sample.labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pages: &[&str]) -> Vec<String> {
        let mut seen = Seen::default();
        let agent = SocketAddr::from(([127, 0, 0, 1], 1));
        for page in pages {
            seen.note(&parse_page(page).expect("a page"), agent);
        }
        seen.complaints
    }

    #[test]
    fn merged_totals_that_go_back_are_seen() {
        let total = |value: u64| format!("http_requests_total{{endpoint=\"/a\",instance=\"\"}} {value}");
        assert!(seen(&[&total(5), &total(7), &total(7)]).is_empty());
        assert_eq!(seen(&[&total(5), &total(4)]).len(), 1);
    }

    #[test]
    fn a_window_that_goes_back_or_changes_after_it_was_whole_is_seen() {
        let window = |end: u64, whole: u64, value: u64| {
            let labels = "window=\"1m\",hop=\"1m\",instance=\"\"";
            format!(
                "http_window_requests{{endpoint=\"/a\",{labels}}} {value}\n\
                 http_window_end_timestamp_seconds{{{labels}}} {end}\nhttp_window_complete{{{labels}}} {whole}"
            )
        };
        assert!(seen(&[&window(60, 0, 5), &window(60, 1, 7), &window(60, 1, 7), &window(120, 1, 2)]).is_empty());
        assert_eq!(seen(&[&window(120, 1, 5), &window(60, 1, 5)]).len(), 1, "it went back");
        assert_eq!(seen(&[&window(60, 1, 5), &window(60, 1, 6)]).len(), 1, "it changed");
    }
}
