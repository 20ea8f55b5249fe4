//! `cluster`: how the agent looks after the Kafka cluster, and what it may do to it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::at::At;
use super::super::cluster::{Granularity, TopicChange};
use super::{RawDuration, RawSize};

/// The Kafka cluster beside the agent: its health, the lag of its consumer groups, topics and load tests.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cluster")]
pub struct RawCluster {
    /// Look after the cluster. Of several agents on one cluster one is enough. Default: true.
    pub enabled: Option<bool>,
    /// Time between two health checks; a cluster that is not healthy is checked every 5s. Default: `30s`.
    pub interval: Option<At<RawDuration>>,
    /// How long each question may take. Default: `3s`.
    pub timeout: Option<At<RawDuration>>,
    #[serde(default)]
    pub lag: RawClusterLag,
    #[serde(default)]
    pub probe: RawProbe,
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
    pub allow: Vec<TopicChange>,
    /// Regular expressions; a topic whose whole name matches one never changes. Kafka's own topics and the ones that the
    /// agent keeps its state and its dead letters in are always protected. Default: none.
    #[serde(default)]
    pub protected: Vec<At<String>>,
    /// How long a call waits for the brokers. Default: `10s`.
    pub timeout: Option<At<RawDuration>>,
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

/// Topics and consumer groups: offsets and lag.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClusterLag")]
pub struct RawClusterLag {
    /// Default: true.
    pub enabled: Option<bool>,
    /// Time between two collections. Default: `30s`.
    pub interval: Option<At<RawDuration>>,
    /// Only groups whose whole name matches this regular expression. Default: all.
    pub groups: Option<At<String>>,
    /// No groups whose whole name matches this.
    pub exclude_groups: Option<At<String>>,
    /// Only topics whose whole name matches this regular expression. Default: all.
    pub topics: Option<At<String>>,
    /// No topics whose whole name matches this.
    pub exclude_topics: Option<At<String>>,
    /// `partition`: series by group, topic and partition. `topic`: sums by group and topic only. Default: `partition`.
    pub granularity: Option<Granularity>,
    /// With more partitions of groups than this only sums are shown. Default: 50000.
    pub max_partitions: Option<At<u64>>,
}

/// Produces to, and consumes from, each broker: how long that takes, and what is lost.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Probe")]
pub struct RawProbe {
    /// It creates a topic and writes to it. Default: false.
    pub enabled: Option<bool>,
    /// A topic of the probe's own. Default: `streamgauge-<group>-probe`.
    pub topic: Option<At<String>>,
    /// Time between two messages to the same broker. Default: `1s`.
    pub interval: Option<At<RawDuration>>,
    /// A message that has not come back by then is lost. Default: `5s`.
    pub timeout: Option<At<RawDuration>>,
}
