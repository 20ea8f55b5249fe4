//! Grafana dashboards: one for each source's aggregates, one for its objective, and those of the agent, the Kafka cluster,
//! load tests and log ingest.

mod agent;
mod board;
mod cluster;
mod ingest;
mod load;
mod objective;
mod panel;
mod source;

use super::slo::Sli;
use super::uid::{AGENT_UID, CLUSTER_UID, INGEST_UID, LOAD_UID, SLO_UID};
use super::{File, Options, subject};
use crate::config::Config;

/// Where a datasource variable and Grafana's own variables stand in for what differs between installations.
pub const DATASOURCE: &str = "${datasource}";

/// A dashboard for each source with aggregates, for the first source that has an objective, and those that are the same
/// for every config.
pub fn dashboards(config: &Config, options: &Options) -> Vec<File> {
    let mut files = Vec::new();
    let mut objective = None;
    for from in &config.sources {
        let subjects = subject::of_source(config, from);
        if !subjects.is_empty() {
            files.push(file(&from.name, source::board(&from.name, &subjects)));
        }
        objective = objective.or_else(|| Sli::find(&subjects));
    }
    if let Some(sli) = &objective {
        files.push(file(SLO_UID, objective::board(sli, options.objective)));
    }
    files.push(file(AGENT_UID, agent::board()));
    files.push(file(CLUSTER_UID, cluster::board()));
    files.push(file(LOAD_UID, load::board()));
    files.push(file(INGEST_UID, ingest::board()));
    files
}

fn file(name: &str, board: board::Board) -> File {
    // A value made of maps and strings can always be written.
    let text = serde_json::to_string_pretty(&board.json()).unwrap_or_default();
    File { path: format!("grafana/dashboards/{name}.json"), text: text + "\n" }
}
