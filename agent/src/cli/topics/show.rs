//! Topics as tables and as JSON.

use crate::cli::columns::{Column, table};
use crate::config::format_duration;
use crate::human;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;
use streamgauge_proto::v1 as pb;

pub fn list(topics: &[pb::Topic]) -> String {
    let state = |topic: &pb::Topic| match (topic.offline_partitions, topic.under_replicated_partitions) {
        (0, 0) => "ok".to_owned(),
        (0, behind) => format!("{behind} under-replicated"),
        (offline, _) => format!("{offline} offline"),
    };
    table(&[
        Column::text("TOPIC", topics.iter().map(|topic| topic.name.clone())),
        Column::number("PARTITIONS", topics.iter().map(|topic| topic.partition_count.to_string())),
        Column::number("REPLICAS", topics.iter().map(|topic| topic.replication_factor.to_string())),
        Column::text("STATE", topics.iter().map(state)),
        Column::text("PROTECTED", topics.iter().map(|topic| topic.protected_by.clone())),
    ])
}

/// A topic in full; `all`: its defaults, too.
pub fn one(topic: &pb::Topic, all: bool) -> String {
    let mut text = String::new();
    let records = topic.records.map_or("unknown".to_owned(), |records| human::count(records.unsigned_abs()));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "topic       {}", topic.name);
    let _ = writeln!(text, "id          {}", topic.id);
    let _ = writeln!(text, "partitions  {}, {} replicas each", topic.partition_count, topic.replication_factor);
    let _ = writeln!(text, "records     {records}");
    if !topic.protected_by.is_empty() {
        let _ = writeln!(text, "protected   {}", topic.protected_by);
    }
    let settings: Vec<&pb::TopicConfig> = topic.configs.iter().filter(|config| all || !config.is_default).collect();
    if !settings.is_empty() {
        let _ = writeln!(text);
        let value = |config: &&pb::TopicConfig| match config.is_secret {
            true => "(secret)".to_owned(),
            false => readable(&config.name, &config.value),
        };
        text += &table(&[
            Column::text("SETTING", settings.iter().map(|config| config.name.clone())),
            Column::text("VALUE", settings.iter().map(value)),
            Column::text("", settings.iter().map(|c| if c.is_default { "default".into() } else { String::new() })),
        ]);
    }
    let _ = writeln!(text);
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let offset = |offset: Option<i64>| offset.map_or("?".to_owned(), |offset| offset.to_string());
    let parts = &topic.partitions;
    text += &table(&[
        Column::number("PARTITION", parts.iter().map(|p| p.partition.to_string())),
        Column::text("LEADER", parts.iter().map(|p| p.leader.map_or("none".into(), |leader| leader.to_string()))),
        Column::text("REPLICAS", parts.iter().map(|p| ids(&p.replicas))),
        Column::text("IN SYNC", parts.iter().map(|p| ids(&p.in_sync_replicas))),
        Column::number("OLDEST", parts.iter().map(|p| offset(p.oldest_offset))),
        Column::number("NEXT", parts.iter().map(|p| offset(p.current_offset))),
    ]);
    text
}

/// Times beside their milliseconds.
pub fn readable(name: &str, value: &str) -> String {
    match value.parse::<u64>() {
        Ok(millis) if name.ends_with(".ms") && (1..=315_360_000_000).contains(&millis) => {
            format!("{value} ({})", format_duration(Duration::from_millis(millis)))
        }
        _ => value.to_owned(),
    }
}

pub fn json(topic: &pb::Topic) -> Value {
    let partition = |p: &pb::TopicPartition| {
        json!({
            "partition": p.partition,
            "leader": p.leader,
            "replicas": p.replicas,
            "in_sync_replicas": p.in_sync_replicas,
            "oldest_offset": p.oldest_offset,
            "current_offset": p.current_offset,
        })
    };
    let config = |config: &pb::TopicConfig| {
        let value = if config.is_secret { Value::Null } else { json!(config.value) };
        (config.name.clone(), json!({ "value": value, "default": config.is_default }))
    };
    json!({
        "name": topic.name,
        "id": topic.id,
        "partition_count": topic.partition_count,
        "replication_factor": topic.replication_factor,
        "internal": topic.internal,
        "protected_by": topic.protected_by,
        "under_replicated_partitions": topic.under_replicated_partitions,
        "offline_partitions": topic.offline_partitions,
        "records": topic.records,
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
        "configs": topic.configs.iter().map(config).collect::<serde_json::Map<_, _>>(),
    })
}
