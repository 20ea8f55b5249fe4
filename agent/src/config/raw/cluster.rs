//! `cluster`: what the agent may do to the cluster beside reading it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::at::At;
use super::{RawDuration, RawSize};

/// The services for the cluster itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cluster")]
pub struct RawCluster {
    #[serde(default)]
    pub topics: RawTopics,
    #[serde(default)]
    pub load_tests: RawLoadTests,
}

/// The topic service. Reading is always allowed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Topics")]
pub struct RawTopics {
    /// The changing calls that are answered: `create`, `update` (settings), `grow` (partitions), `delete`. Default: none.
    #[serde(default)]
    pub allow: Vec<RawTopicChange>,
    /// Regular expressions; a topic whose whole name matches one never changes. Kafka's own topics and the ones that the
    /// agent keeps its state and its dead letters in are always protected. Default: none.
    #[serde(default)]
    pub protected: Vec<At<String>>,
    /// How long a call waits for the brokers. Default: `10s`.
    pub timeout: Option<At<RawDuration>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TopicChange")]
pub enum RawTopicChange {
    Create,
    Update,
    Grow,
    Delete,
}

/// The load-test service, and how much a test may ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LoadTests")]
pub struct RawLoadTests {
    /// Whether load tests may be started. Default: false.
    pub allow: Option<bool>,
    /// Most events of a test. Default: 10000000.
    pub max_events: Option<At<u64>>,
    /// Longest test. Default: `10m`.
    pub max_duration: Option<At<RawDuration>>,
    /// Most events per second that may be asked for; a test that asks for none in particular runs at this rate. Default: 1000000.
    pub max_rate: Option<At<u64>>,
    /// Largest event. Default: `64KiB`.
    pub max_event_size: Option<At<RawSize>>,
}
