//! `streamgauge cluster health`.

use super::ask::Asker;
use super::{Output, Show, Shown, Target, client, columns};
use crate::human;
use std::fmt::Write;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;

/// Topics that are listed; the rest are counted.
const TOPICS_SHOWN: usize = 20;

#[derive(clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub show: Show,
}

pub async fn ask(asker: &mut Asker, args: &HealthArgs) -> anyhow::Result<Shown> {
    let health = asker.health().await?;
    let text = match args.show.output {
        Output::Table => table(&health),
        Output::Json => client::pretty("ClusterHealth", &health)?,
    };
    Ok(Shown { text, well: health.status() == pb::HealthStatus::Healthy })
}

fn word(status: pb::HealthStatus) -> &'static str {
    match status {
        pb::HealthStatus::Unspecified => "unknown",
        pb::HealthStatus::Healthy => "healthy",
        pb::HealthStatus::Degraded => "degraded",
        pb::HealthStatus::Unhealthy => "unhealthy",
    }
}

fn state(broker: &pb::BrokerHealth) -> &'static str {
    match broker.state() {
        pb::BrokerState::Up => "up",
        pb::BrokerState::Silent => "silent",
        pb::BrokerState::Down => "down",
        pb::BrokerState::Unspecified => "unknown",
    }
}

fn table(health: &pb::ClusterHealth) -> String {
    // A cluster that never answered has no id.
    let id = if health.cluster_id.is_empty() { String::new() } else { format!("{} ", health.cluster_id) };
    let mut text = format!("cluster {id}is {}\n", word(health.status()));
    health.problems.iter().for_each(|problem| text.extend(["  ", problem, "\n"]));
    health.notes.iter().for_each(|note| text.extend(["  note: ", note, "\n"]));
    let number = |count: u32| human::count(count.into());
    if health.reachable {
        let unknown = || "unknown".to_owned();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} of {} topics healthy; {} partitions: {} under-replicated, {} under min.insync.replicas, {} offline",
            number(health.topics_healthy),
            number(health.topics),
            number(health.partitions),
            number(health.under_replicated_partitions),
            health.under_min_isr_partitions.map_or_else(unknown, number),
            number(health.offline_partitions),
        );
    }
    let mut rows =
        vec![["BROKER", "ADDRESS", "STATE", "ANSWERED IN", "LEADS", "REPLICAS", "IN SYNC"].map(str::to_owned).to_vec()];
    for broker in &health.brokers {
        rows.push(vec![
            broker.id.to_string(),
            broker.address.clone(),
            state(broker).to_owned(),
            broker.latency.map_or_else(|| "-".to_owned(), |latency| human::seconds(seconds(&latency))),
            number(broker.leads),
            number(broker.replicas),
            number(broker.in_sync),
        ]);
    }
    if !health.brokers.is_empty() {
        let _ = write!(text, "\n{}", columns(&rows, &[3, 4, 5, 6]));
    }
    text + &topics(health)
}

fn topics(health: &pb::ClusterHealth) -> String {
    if health.unhealthy_topics.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["TOPIC", "PARTITIONS", "UNDER-REPLICATED", "UNDER MIN ISR", "OFFLINE", "SILENT"].map(str::to_owned).to_vec(),
    ];
    for topic in health.unhealthy_topics.iter().take(TOPICS_SHOWN) {
        let lists = [&topic.under_replicated, &topic.under_min_isr, &topic.offline, &topic.silent];
        let mut row = vec![topic.name.clone(), topic.partitions.to_string()];
        row.extend(lists.map(|list| list.len().to_string()));
        rows.push(row);
    }
    let more = match health.unhealthy_topics.len().saturating_sub(TOPICS_SHOWN) {
        0 => String::new(),
        more => format!("and {more} topics more; -o json lists all\n"),
    };
    format!("\n{}{more}", columns(&rows, &[1, 2, 3, 4, 5]))
}

fn seconds(duration: &types::Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}
