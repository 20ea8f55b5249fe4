//! Watches several agents' `/metrics` at once, as a Prometheus would: no total ever goes backwards, and no series is
//! exposed by two agents at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::agent::http_get;
use crate::oracle::{Sample, parse_page};

type Page = BTreeMap<String, f64>;

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

    /// An agent's totals; none if it does not answer.
    fn read(&mut self, agent: SocketAddr) -> Option<Page> {
        let (status, page) = http_get(agent, "/metrics", Duration::from_secs(1))?;
        if status != 200 {
            return None;
        }
        self.pages += 1;
        let samples = match parse_page(&page) {
            Ok(samples) => samples,
            Err(error) => {
                self.complaints.push(error);
                return None;
            }
        };
        let totals: Page = samples.iter().filter(|s| is_total(s)).map(|s| (name(s), s.value)).collect();
        for (series, value) in &totals {
            let highest = self.highest.entry(series.clone()).or_insert(*value);
            if *value < *highest {
                self.complaints.push(format!("backwards: {series} from {highest} to {value} on {agent}"));
            }
            *highest = highest.max(*value);
        }
        Some(totals)
    }
}

/// A group-wide total: a counter or a histogram's part that carries its partition.
fn is_total(sample: &Sample) -> bool {
    let kinds = ["_total", "_count", "_sum", "_bucket"];
    !sample.name.starts_with("streamgauge_")
        && sample.labels.contains_key("partition")
        && kinds.iter().any(|kind| sample.name.ends_with(kind))
}

fn name(sample: &Sample) -> String {
    format!("{}{:?}", sample.name, sample.labels)
}
