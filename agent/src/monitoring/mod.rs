//! What people look at and are woken by: recording rules, alert rules and Grafana dashboards for a config, as text. The
//! files shipped under `prometheus/`, `alerts/` and `grafana/` are what this room says of `examples/http-requests.yaml`.
//!
//! Pure: a checked config and [`Options`] in, files out.

#![forbid(unsafe_code)]

mod agent_alerts;
mod anomaly_alerts;
mod cluster_alerts;
mod draft;
mod grafana;
mod ingest_alerts;
mod recording;
mod rule;
mod slo;
mod statistic_alerts;
mod subject;
mod uid;

pub use grafana::dashboards;

use crate::config::Config;
use rule::Group;

/// What a config does not know: how its surroundings are reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The scrape job of the agents, as in Prometheus' config.
    pub job: String,
    /// Where Grafana is; alerts link to its dashboards.
    pub grafana_url: String,
    /// Where `docs/runbooks` is published; alerts link to its pages.
    pub runbooks_url: String,
    /// Share of requests that have to succeed, percent, below 100.
    pub objective: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            job: "streamgauge".into(),
            grafana_url: "http://localhost:3000".into(),
            runbooks_url: published_runbooks(env!("CARGO_PKG_REPOSITORY")),
            objective: 99.0,
        }
    }
}

/// Where the runbooks of this version are: in the repository that Cargo.toml names, or else a place that says itself that
/// it has to be set.
fn published_runbooks(repository: &str) -> String {
    match repository.trim_end_matches('/') {
        "" => PLACEHOLDER.into(),
        repository => format!("{repository}/blob/main/docs/runbooks"),
    }
}

/// A name that is nobody's and never will be (RFC 2606).
const PLACEHOLDER: &str = "https://set-runbook-base.example/runbooks";

impl Options {
    fn dashboard(&self, uid: &str) -> String {
        format!("{}/d/{uid}", self.grafana_url.trim_end_matches('/'))
    }

    fn runbook(&self, page: &str) -> String {
        format!("{}/{page}.md", self.runbooks_url.trim_end_matches('/'))
    }
}

/// A file to write, its path relative to where everything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub text: String,
}

/// Recording and alert rules: of each source's aggregates, of the agent, and of the Kafka cluster.
pub fn rules(config: &Config, options: &Options) -> Vec<File> {
    rule_files(config, options).iter().map(|(path, groups)| File { path: path.clone(), text: header(groups) }).collect()
}

/// The same as one rule file.
pub fn rules_in_one(config: &Config, options: &Options) -> String {
    let groups: Vec<Group> = rule_files(config, options).into_iter().flat_map(|(_, groups)| groups).collect();
    header(&groups)
}

fn header(groups: &[Group]) -> String {
    format!("# Made by `streamgauge generate rules`: change the config and generate it again.\n{}", rule::yaml(groups))
}

fn rule_files(config: &Config, options: &Options) -> Vec<(String, Vec<Group>)> {
    let mut files = Vec::new();
    for source in &config.sources {
        let subjects = subject::of_source(config, source);
        // What it shares with an earlier source is in that one's files.
        if subjects.is_empty() {
            continue;
        }
        let mut recording = recording::groups(&source.name, &subjects);
        if let Some(objective) = slo::Sli::find(&subjects) {
            recording.push(objective.recording(&source.name));
            files.push((format!("alerts/{}-slo.yaml", source.name), vec![objective.alerts(&source.name, options)]));
        }
        if let Some(group) = anomaly_alerts::group(&source.name, &subjects, options) {
            files.push((format!("alerts/{}-anomalies.yaml", source.name), vec![group]));
        }
        if let Some(group) = statistic_alerts::group(&source.name, &subjects, options) {
            files.push((format!("alerts/{}-statistics.yaml", source.name), vec![group]));
        }
        files.push((format!("prometheus/rules/{}.yaml", source.name), recording));
    }
    files.push(("alerts/streamgauge.yaml".into(), vec![agent_alerts::group(options)]));
    files.push(("alerts/kafka.yaml".into(), vec![cluster_alerts::group(options)]));
    files
}

#[cfg(test)]
mod tests;
