//! The checked `cluster` section: what is looked at, and what may be changed.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The services for the cluster itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Health, lag and probe.
    pub watch: Watch,
    pub topics: Topics,
    pub load_tests: LoadTests,
}

/// What the topic service may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    pub allow: BTreeSet<TopicChange>,
    /// Regular expressions for whole names.
    pub protected: Vec<String>,
    /// How long a call waits for the brokers.
    pub timeout: Duration,
}

impl Default for Topics {
    fn default() -> Self {
        Topics { allow: BTreeSet::new(), protected: Vec::new(), timeout: Duration::from_secs(10) }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum TopicChange {
    Create,
    Update,
    Grow,
    Delete,
}

impl TopicChange {
    pub const ALL: [TopicChange; 4] = [Self::Create, Self::Update, Self::Grow, Self::Delete];

    /// As the config writes it.
    pub fn word(self) -> &'static str {
        match self {
            TopicChange::Create => "create",
            TopicChange::Update => "update",
            TopicChange::Grow => "grow",
            TopicChange::Delete => "delete",
        }
    }
}

/// How much a load test may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadTests {
    pub allow: bool,
    pub max_events: u64,
    pub max_duration: Duration,
    /// Events per second.
    pub max_rate: u64,
    /// Bytes.
    pub max_event_size: usize,
}

impl Default for LoadTests {
    fn default() -> Self {
        LoadTests {
            allow: false,
            max_events: 10_000_000,
            max_duration: Duration::from_secs(600),
            max_rate: 1_000_000,
            max_event_size: 64 << 10,
        }
    }
}

/// How the agent looks after the Kafka cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    pub enabled: bool,
    /// Between two health checks.
    pub interval: Duration,
    /// Of each question.
    pub timeout: Duration,
    pub lag: ClusterLag,
    pub probe: Probe,
}

/// Which consumer groups and topics are looked at, and how they are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterLag {
    pub enabled: bool,
    pub interval: Duration,
    /// Regular expressions for whole names; empty: no condition.
    pub groups: String,
    pub exclude_groups: String,
    pub topics: String,
    pub exclude_topics: String,
    pub granularity: Granularity,
    /// With more partitions of groups than this only sums are shown.
    pub max_partitions: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    #[default]
    Partition,
    Topic,
}

/// The end-to-end probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub enabled: bool,
    pub topic: String,
    pub interval: Duration,
    /// A message that has not come back by then is lost.
    pub timeout: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            enabled: true,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(3),
            lag: ClusterLag::default(),
            probe: Probe {
                enabled: false,
                topic: String::new(),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(5),
            },
        }
    }
}

impl Default for ClusterLag {
    fn default() -> Self {
        ClusterLag {
            enabled: true,
            interval: Duration::from_secs(30),
            groups: String::new(),
            exclude_groups: String::new(),
            topics: String::new(),
            exclude_topics: String::new(),
            granularity: Granularity::Partition,
            max_partitions: 50_000,
        }
    }
}
