//! `cluster`: the health of Kafka and the lag of its consumer groups.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::at::At;
use super::RawDuration;

/// The Kafka cluster beside the agent: its health, the lag of its consumer groups, and a probe.
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
    pub granularity: Option<RawGranularity>,
    /// With more partitions of groups than this only sums are shown. Default: 50000.
    pub max_partitions: Option<At<u64>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Granularity")]
pub enum RawGranularity {
    Partition,
    Topic,
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
