//! The part of the checked `cluster` section that only looks.

use std::time::Duration;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
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
