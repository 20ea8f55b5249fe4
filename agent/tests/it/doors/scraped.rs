//! The same cells as Prometheus sees them: one job each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::clients::Outcome;
use crate::kafka::wait_until;
use crate::monitoring::servers::Prometheus;

/// One cell.
pub struct Job {
    pub name: String,
    pub address: SocketAddr,
    /// How it is scraped: lines of its config.
    pub scrape: String,
    pub expected: Outcome,
}

/// Has Prometheus scrape all of them; the cells that are not as expected.
pub fn wrong(jobs: &[Job]) -> Vec<String> {
    let mut config = "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n".to_owned();
    for (number, Job { address, scrape, .. }) in jobs.iter().enumerate() {
        config += &format!("  - job_name: '{number}'\n    static_configs: [{{ targets: [\"{address}\"] }}]\n{scrape}");
    }
    let prometheus = Prometheus::start_on(&config);
    let mut seen = BTreeMap::new();
    wait_until("Prometheus has scraped all of them", || {
        seen = scraped(&prometheus);
        seen.len() == jobs.len()
    });
    let found = jobs.iter().enumerate().map(|(number, job)| (job, &seen[&number.to_string()]));
    let wrong = found.filter(|(job, found)| !is_as_expected(job.expected, found.as_deref()));
    wrong.map(|(job, found)| format!("Prometheus {}: {found:?} instead of {:?}", job.name, job.expected)).collect()
}

/// Jobs that have been scraped, and the error of each that could not be.
fn scraped(prometheus: &Prometheus) -> BTreeMap<String, Option<String>> {
    let targets = prometheus.get("targets", &[]).expect("Prometheus knows its targets");
    let targets = targets["activeTargets"].as_array().cloned().unwrap_or_default();
    let known = targets.iter().filter(|target| target["health"] != "unknown");
    let error =
        |target: &serde_json::Value| target["lastError"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    known.map(|target| (target["labels"]["job"].as_str().unwrap_or_default().to_owned(), error(target))).collect()
}

fn is_as_expected(expected: Outcome, error: Option<&str>) -> bool {
    let has = |words: &[&str]| error.is_some_and(|error| words.iter().any(|word| error.contains(word)));
    match expected {
        Outcome::Answered => error.is_none(),
        // It tries each second: after ten attempts a wrong one is not even compared.
        Outcome::Unknown => has(&["HTTP status 401", "HTTP status 429"]),
        Outcome::Forbidden => has(&["HTTP status 403"]),
        Outcome::NoTls => has(&["tls:", "EOF", "connection reset"]),
    }
}
