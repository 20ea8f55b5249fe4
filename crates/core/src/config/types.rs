//! The checked configuration. Whoever holds one of these need not check it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::ingest::Ingest;
use super::listeners::{Grpc, Http};
use super::selector::TopicSelector;
use super::units::format_duration;

pub use super::conditions::{Condition, Scalar, Test};
pub use super::format::{Each, Format, FormatKind, Parse};
pub use super::letters::{LetterPayload, SourceDeadLetters};
pub use super::making::{LabelMaking, Template};
pub use super::measures::{Measure, MeasureKind, RatioOf, Since, Unit};
pub use super::path::{BadPath, FieldPath, RecordField, Step};
pub use super::recent::{RecentEvents, Show, ShownField};
pub use super::registry::{Credentials, SchemaRegistry};
pub use super::times::Timestamp;
pub use crate::value::time::TimeFormat;

/// The whole checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub kafka: Kafka,
    pub sources: Vec<Source>,
    pub aggregates: Vec<Aggregate>,
    pub state: State,
    pub http: Http,
    pub grpc: Grpc,
    /// `None`: nobody hands in events.
    pub ingest: Option<Ingest>,
    pub cluster: Cluster,
    /// `None`: nothing is pushed.
    pub otlp: Option<Otlp>,
    /// Where the schemas of sources are that need one.
    pub schema_registry: Option<SchemaRegistry>,
    pub limits: Limits,
    pub telemetry: Telemetry,
    /// Worker threads, each with a consumer and a producer of its own.
    pub workers: usize,
    /// What is allowed and still worth a word: to be logged at the start.
    pub warnings: Vec<String>,
}

/// How to reach Kafka and which group to be in.
#[derive(Clone, PartialEq)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub group_id: String,
    /// librdkafka properties given by the user, after secrets have been read from their files. They win over ours,
    /// but for the ones that exactly-once depends on, which are refused when the config is checked.
    pub properties: BTreeMap<String, String>,
    /// Names of the properties that must not be shown: by their names, or because they came from files.
    pub secrets: BTreeSet<String>,
    /// Files that clients are made of, by property: certificates, keys, secrets. They are read once.
    pub files: BTreeMap<String, PathBuf>,
    /// How long the group keeps a silent member's partitions.
    pub session_timeout: Duration,
    /// After this the broker aborts a transaction that its producer has left open.
    pub transaction_timeout: Duration,
    pub membership: Membership,
    pub on_shutdown: OnShutdown,
    /// What to do when a dead letter cannot be written.
    pub dead_letters: DeadLetters,
    /// Create missing changelog and dead-letter topics (`false`: refuse to start, with the command that creates them).
    pub create_topics: bool,
    /// Replication factor of the topics that are created; `None`: the brokers' default.
    pub replication_factor: Option<i32>,
}

impl Kafka {
    /// For a client that has no config file: brokers and librdkafka's properties, and defaults for the rest.
    pub fn reaching(bootstrap_servers: &str, properties: BTreeMap<String, String>) -> Kafka {
        Kafka {
            bootstrap_servers: bootstrap_servers.to_owned(),
            group_id: "streamgauge".to_owned(),
            secrets: properties.keys().filter(|name| super::secret::is_secret(name)).cloned().collect(),
            files: BTreeMap::new(),
            properties,
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(10),
            membership: Membership::Dynamic,
            on_shutdown: OnShutdown::Leave,
            dead_letters: DeadLetters::Stop,
            create_topics: false,
            replication_factor: None,
        }
    }
}

/// Shows no secret, so that a config may be logged.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("properties", &self.masked_properties().collect::<BTreeMap<_, _>>())
            .field("session_timeout", &self.session_timeout)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("membership", &self.membership)
            .field("on_shutdown", &self.on_shutdown)
            .field("dead_letters", &self.dead_letters)
            .field("create_topics", &self.create_topics)
            .field("replication_factor", &self.replication_factor)
            .finish()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// Stable ids from the state directory: a restart within the session timeout causes no rebalance.
    #[default]
    Static,
    /// A new member at each start: for pods without a lasting volume.
    Dynamic,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnShutdown {
    /// Keep the membership: the partitions wait for this identity until the session timeout.
    #[default]
    Keep,
    /// Leave the group: others take over at once.
    Leave,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetters {
    /// Stop rather than lose an undecodable event.
    #[default]
    Stop,
    /// Count it and go on.
    DropAndCount,
}

/// Topics, their format, and where the event time is.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub topics: Vec<TopicSelector>,
    pub format: Format,
    /// `None`: a record's documents are its events.
    pub each: Option<Each>,
    pub parse: Vec<Parse>,
    /// A program in VRL that is run on every event before anything else is read of it.
    pub remap: Option<String>,
    /// What aggregates call a field that this source has elsewhere, and where that is.
    pub fields: Vec<(FieldPath, FieldPath)>,
    /// What a compressed record may come to. Bytes.
    pub unpacked_bytes: usize,
    pub timestamp: Timestamp,
    /// An event further ahead of its record's Kafka timestamp than this is a dead letter.
    pub max_future: Duration,
    /// Stream time goes no further than this beyond the Kafka timestamps of the records.
    pub max_lead: Duration,
    /// Where a partition that was never read begins.
    pub start: Start,
    /// An event that one aggregate cannot use as it is is a dead letter for all.
    pub strict: bool,
    /// Events for which not all of these hold pass by.
    pub filter: Vec<Condition>,
    pub dead_letters: SourceDeadLetters,
    /// `None`: nobody sees single events.
    pub recent_events: Option<RecentEvents>,
}

impl Source {
    /// What a compressed record may come to, unless its source says otherwise.
    pub const UNPACKED_BYTES: usize = 16 << 20;
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    #[default]
    Earliest,
    Latest,
}

/// Source + key + windows + measures: the unit that users define.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub name: String,
    /// Whose events are counted, together: one, or several.
    pub sources: Vec<String>,
    /// Only events for which all of these hold are the aggregate's.
    pub filter: Vec<Condition>,
    /// Labels in the order of the config.
    pub by: Vec<LabelField>,
    pub windows: Vec<Window>,
    /// The smallest stored slice of event time; every window is a multiple of it.
    pub pane: Duration,
    pub grace: Duration,
    pub retention: Duration,
    pub measures: Vec<Measure>,
    /// More keys than this per task fold into one overflow key.
    pub key_limit: usize,
    /// What becomes of a new key at the limit.
    pub on_limit: OnLimit,
    /// Keys unseen for this long (event time) are dropped, their totals too.
    pub key_ttl: Option<Duration>,
    /// Begin at the earliest record that Kafka still has when a state does not have this aggregate yet; else now.
    pub backfill: bool,
    /// How totals are published.
    pub publish: Publish,
    /// A partition silent for this long (wall clock) no longer holds up the closing of windows.
    pub idle_timeout: Duration,
    /// What metric names of this aggregate begin with; usually its name, with the user's prefix before it.
    pub metric_prefix: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// Its events go to the overflow key.
    #[default]
    Overflow,
    /// The key that has been unseen for the longest time gives its counts to the overflow key and its place to the new one.
    ReplaceIdle,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    #[default]
    PerPartition,
    Merged,
}

/// A label and the field it is made of. Without a value (missing, null or empty) it is empty, unless it says something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelField {
    pub label: String,
    pub path: FieldPath,
    /// Fields to look at, in this order, where that one has no value.
    pub or: Vec<FieldPath>,
    /// An event without a value is not the aggregate's.
    pub required: bool,
    /// What the label is without a value.
    pub default: Option<String>,
    pub making: LabelMaking,
}

/// A window that is `size` long and starts every `hop`. Tumbling: `hop == size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    pub size: Duration,
    pub hop: Duration,
}

impl Window {
    pub fn is_tumbling(&self) -> bool {
        self.size == self.hop
    }
}

/// As the config writes it: `1m`, `5m/1m`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.size))?;
        if self.is_tumbling() { Ok(()) } else { write!(f, "/{}", format_duration(self.hop)) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub dir: PathBuf,
    pub commit_interval: Duration,
    pub guarantee: Guarantee,
    /// What to do when the group has offsets but the state is gone.
    pub on_loss: OnLoss,
    /// redb's page cache, bytes, shared by all tasks.
    pub cache_bytes: u64,
    /// Copies of each partition's state that other agents keep up to date.
    pub standby_replicas: usize,
    /// This agent keeps a copy of every partition's state.
    pub global_view: bool,
    /// How long the state of an aggregate that the config no longer has is carried, unread, before it is deleted.
    pub keep_removed: Duration,
}

/// What is promised of each event, whatever crashes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// State and input offsets are committed in one transaction.
    #[default]
    ExactlyOnce,
    /// They are written one after the other: an event may count twice, and a state need not match its fingerprint.
    AtLeastOnce,
}

impl Guarantee {
    pub fn is_transactional(self) -> bool {
        self == Guarantee::ExactlyOnce
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    #[default]
    Fail,
    Earliest,
    Continue,
}

/// What an agent shows a receiver that asks who it is: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where and how metrics are pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// URL; over HTTP with the path of the metrics.
    pub endpoint: String,
    pub protocol: OtlpProtocol,
    /// Sent with every push; names are in lower case.
    pub headers: Secrets,
    pub gzip: bool,
    /// How long the receiver may take.
    pub timeout: Duration,
    /// How often totals are pushed.
    pub interval: Duration,
    /// PEM file with the authority to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
    /// Attributes of the resource; `service.name` is always there.
    pub resource: BTreeMap<String, String>,
    /// Whether the agent's own spans and log lines are pushed too.
    pub traces: bool,
    pub logs: bool,
    /// Limits of what waits on disk for the receiver.
    pub backlog_bytes: u64,
    pub backlog_age: Duration,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OtlpProtocol {
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP/1.1.
    #[default]
    #[serde(rename = "http/protobuf")]
    Http,
}

/// Values that are shown nowhere, by their names.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets(pub BTreeMap<String, String>);

/// Shows the names alone.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything that can grow has a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Larger events are dead letters. Bytes.
    pub event_bytes: usize,
    /// Larger changelog entries stop the task before its transaction begins. Bytes.
    pub entry_bytes: usize,
    /// A query that would answer with more cells than this is refused, with how to narrow it.
    pub query_cells: usize,
    /// Watches that may be open at a time.
    pub watchers: usize,
    /// Longer label values are cut to this. Bytes.
    pub label_bytes: usize,
    /// Resident memory of the process near which no more is read until some of it is free again. Bytes.
    pub memory_budget: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    pub log_format: LogFormat,
    /// A `tracing` filter such as `info` or `streamgauge=debug`.
    pub log_level: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
