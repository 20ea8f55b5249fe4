//! Topics as a file wants them, and the plan that makes them so. Pure: the plan is a function of the file and of what is
//! there.

use super::SettingsChange;
use crate::config::parse_duration;
use crate::kafka::NewTopic;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// The least and largest name of a preset, with what it stands for.
const PRESETS: [(&str, Preset); 3] = [
    ("log-events", Preset { partitions: 12, retention: "7d", configs: &[("compression.type", "snappy")] }),
    ("critical-logs", Preset { partitions: 4, retention: "14d", configs: &[] }),
    ("audit-logs", Preset { partitions: 6, retention: "30d", configs: &[("cleanup.policy", "compact,delete")] }),
];

/// What all presets share.
const REPLICATION: i32 = 3;
const MIN_IN_SYNC: (&str, &str) = ("min.insync.replicas", "2");

struct Preset {
    partitions: i32,
    retention: &'static str,
    configs: &'static [(&'static str, &'static str)],
}

/// The file: topics by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    topics: BTreeMap<String, RawTopic>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTopic {
    preset: Option<String>,
    partitions: Option<i32>,
    replication_factor: Option<i32>,
    retention: Option<String>,
    #[serde(default)]
    configs: BTreeMap<String, RawValue>,
}

/// A setting's value as people write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl fmt::Display for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawValue::Bool(value) => value.fmt(f),
            RawValue::Int(value) => value.fmt(f),
            RawValue::Float(value) => value.fmt(f),
            RawValue::Text(value) => f.write_str(value),
        }
    }
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub name: String,
    pub partitions: Option<i32>,
    pub replication: Option<i32>,
    pub configs: BTreeMap<String, String>,
}

/// A topic as it is: what the plan needs of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    pub partitions: i32,
    pub replication: i32,
    /// Every setting in force; `true`: set for this topic, not a default.
    pub configs: BTreeMap<String, (String, bool)>,
}

/// One step to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create(NewTopic),
    Grow {
        topic: String,
        from: i32,
        to: i32,
    },
    /// Settings with their values so far.
    Update {
        topic: String,
        change: SettingsChange,
        before: Vec<Option<String>>,
    },
    /// What no call can do, and what to do instead.
    Cannot {
        topic: String,
        why: String,
    },
}

/// Reads a file; `replication`: instead of what it says, with `min.insync.replicas` no higher.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn read(text: &str, replication: Option<i32>) -> Result<Vec<Desired>, String> {
    let file: RawFile = serde_saphyr::from_str(text).map_err(|error| first_line(&error.to_string()))?;
    file.topics.into_iter().map(|(name, raw)| desired(name, raw, replication)).collect()
}

fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

fn desired(name: String, raw: RawTopic, replication: Option<i32>) -> Result<Desired, String> {
    super::checked(&name).map_err(|error| error.to_string())?;
    let mut wanted = Desired { name, partitions: None, replication: None, configs: BTreeMap::new() };
    let mut retention = raw.retention;
    if let Some(preset) = &raw.preset {
        let (_, preset) = PRESETS.iter().find(|(known, _)| known == preset).ok_or_else(|| {
            let known: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
            format!("topic {}: there is no preset `{preset}`; use one of {}", wanted.name, known.join(", "))
        })?;
        wanted.partitions = Some(preset.partitions);
        wanted.replication = Some(REPLICATION);
        let fixed = preset.configs.iter().chain([&MIN_IN_SYNC]);
        wanted.configs.extend(fixed.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        retention.get_or_insert_with(|| preset.retention.to_owned());
    }
    if let Some(retention) = retention {
        let time = parse_duration(&retention).map_err(|error| format!("topic {}: retention: {error}", wanted.name))?;
        wanted.configs.insert("retention.ms".into(), time.as_millis().to_string());
    }
    wanted.partitions = raw.partitions.or(wanted.partitions);
    wanted.replication = replication.or(raw.replication_factor).or(wanted.replication);
    wanted.configs.extend(raw.configs.into_iter().map(|(key, value)| (key, value.to_string())));
    in_sync(&mut wanted, replication)?;
    Ok(wanted)
}

/// More in-sync replicas than replicas would be a topic that nobody can write to with `acks=all`.
fn in_sync(wanted: &mut Desired, replication: Option<i32>) -> Result<(), String> {
    let Some(replicas) = wanted.replication else { return Ok(()) };
    let Some(value) = wanted.configs.get_mut(MIN_IN_SYNC.0) else { return Ok(()) };
    match value.parse::<i32>() {
        Ok(least) if least > replicas && replication.is_some() => *value = replicas.max(1).to_string(),
        Ok(least) if least > replicas => {
            return Err(format!(
                "topic {}: min.insync.replicas {least} with {replicas} replicas: nobody could write to it; lower it",
                wanted.name
            ));
        }
        _ => {}
    }
    Ok(())
}

/// What leads from `actual` (`None`: no such topic) to `wanted`; nothing if it is as wanted.
pub fn plan(wanted: &Desired, actual: Option<&Actual>) -> Vec<Step> {
    let Some(actual) = actual else {
        return vec![Step::Create(NewTopic {
            name: wanted.name.clone(),
            partitions: wanted.partitions,
            replication: wanted.replication,
            configs: wanted.configs.clone().into_iter().collect(),
        })];
    };
    let topic = || wanted.name.clone();
    let mut steps = Vec::new();
    if let Some(replicas) = wanted.replication.filter(|replicas| *replicas != actual.replication) {
        let why = format!(
            "it has {} replicas and should have {replicas}; move it with kafka-reassign-partitions",
            actual.replication
        );
        steps.push(Step::Cannot { topic: topic(), why });
    }
    match wanted.partitions {
        Some(to) if to > actual.partitions => {
            steps.push(Step::Grow { topic: topic(), from: actual.partitions, to });
        }
        Some(fewer) if fewer < actual.partitions => {
            let why = format!("it has {} partitions and should have {fewer}; a topic cannot shrink", actual.partitions);
            steps.push(Step::Cannot { topic: topic(), why });
        }
        _ => {}
    }
    let mut change = SettingsChange::default();
    let mut before = Vec::new();
    for (key, value) in &wanted.configs {
        let now = actual.configs.get(key);
        if !now.is_some_and(|(now, own)| *own && same(now, value)) {
            change.set.push((key.clone(), value.clone()));
            before.push(now.map(|(now, _)| now.clone()));
        }
    }
    if !change.set.is_empty() {
        steps.push(Step::Update { topic: topic(), change, before });
    }
    steps
}

/// Whether two values of a setting mean the same: lists may be in another order.
fn same(a: &str, b: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    parts(a) == parts(b)
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
