//! One health check: asks the cluster within a deadline, and lets `health.rs` judge.

use super::health::{Facts, Health};
use crate::clock::Clock;
use crate::kafka::cluster::{CallError, ClusterClient};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Checks the cluster now. Each question may take `timeout`, and the two that any broker can answer are asked twice.
pub fn check(client: &ClusterClient, clock: &Clock, before: &Health, timeout: Duration) -> Health {
    let began = clock.boot_time();
    let facts = facts(client, timeout).map_err(|error| {
        // What the client noticed meanwhile says why nobody answers.
        client.serve(Duration::ZERO);
        match (client.unreachable(), client.last_error()) {
            (Some(cause), _) if error.is_silence() => cause,
            (None, Some(said)) if error.is_silence() => format!("{error} ({said})"),
            _ => error.to_string(),
        }
    });
    Health::judge(before, facts, clock.unix_millis(), clock.boot_time().since(began))
}

fn facts(client: &ClusterClient, timeout: Duration) -> Result<Facts, CallError> {
    let nodes = client.nodes(timeout)?;
    let topics: Arc<[_]> = repeated(&|| client.topics(timeout))?.into();
    let ids: Vec<i32> = nodes.nodes.iter().map(|node| node.id).collect();
    let answers = client.ping(&ids, timeout).into_iter();
    let answers = answers.map(|(id, answer)| (id, answer.map_err(|error| error.to_string()))).collect();
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    let min_isr = client
        .topic_setting(&names, c"min.insync.replicas", timeout)
        .map(|found| found.into_iter().filter_map(|(topic, value)| Some((topic, value.parse().ok()?))))
        .map(|found| found.collect::<HashMap<String, i32>>())
        .map_err(|error| error.to_string());
    Ok(Facts { nodes, answers, topics, min_isr })
}

/// Asks a second time if nobody answered: the first time it may have been a broker that hangs.
fn repeated<T>(ask: &dyn Fn() -> Result<T, CallError>) -> Result<T, CallError> {
    match ask() {
        Err(error) if error.is_silence() => ask(),
        answer => answer,
    }
}
