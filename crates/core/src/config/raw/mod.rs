//! The config as it stands in the file, before any check. The docstrings here are the reference of the format:
//! `streamgauge schema` prints them.
//!
//! Whatever can be checked later is read as text here, because serde stops at the first error and the checks do not.

mod cluster;
mod condition;
mod format;
mod ingest;
mod label;
mod lock;
mod measure;
mod otlp;
mod recent;
mod registry;
mod scalar;
mod time;
mod window;

pub use cluster::{RawCluster, RawClusterLag, RawLoadTests, RawProbe, RawTopics};
pub use condition::{RawCondition, RawTerm, RawWhere, Tests};
pub use format::{Options, RawFormat, RawFormats};
pub use ingest::{RawDurability, RawEventField, RawIngest, RawRoute, RawUserEvents};
pub use label::{Label, RawLabel, RawTemplate, RawWords};
pub use lock::{RawClientCertificates, RawIdentities, RawIdentity, RawPeer, RawTls};
pub use measure::{Body, Measured, RawMeasure, RawRankedBy};
pub use otlp::{RawCompression, RawOtlp};
pub use recent::RawRecentEvents;
pub use registry::RawSchemaRegistry;
pub use scalar::{RawDuration, RawProperty, RawScalar, RawSize};
pub use time::{RawTimes, RawTimestamp};
pub use window::RawWindow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::{At, Map};
use super::listeners::Histograms;
use super::types::{
    DeadLetters, Guarantee, LetterPayload, LogFormat, Membership, OnLimit, OnLoss, OnShutdown, Publish, Start,
};

/// Streamgauge: Kafka log topics as exact, durable, event-time metrics.
///
/// `${VAR}` and `${VAR:-default}` in unquoted values are replaced from the environment. Durations are written `100ms`,
/// `30s`, `5m`, `2h`, `7d`; sizes `64MiB` or as a number of bytes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Streamgauge config")]
pub struct RawConfig {
    pub kafka: RawKafka,
    /// Which topics to read, and where the event time is, by a name of your choice.
    pub sources: At<Map<RawSource>>,
    /// What to measure, by a name of your choice. Metric names begin with it.
    pub aggregates: At<Map<RawAggregate>>,
    #[serde(default)]
    pub state: RawState,
    #[serde(default)]
    pub http: RawHttp,
    #[serde(default)]
    pub grpc: RawGrpc,
    pub ingest: Option<RawIngest>,
    pub otlp: Option<RawOtlp>,
    pub schema_registry: Option<RawSchemaRegistry>,
    #[serde(default)]
    pub cluster: RawCluster,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub telemetry: RawTelemetry,
    /// Worker threads, each with a consumer and a producer of its own. Default: 1.
    pub workers: Option<At<u64>>,
}

/// How to reach Kafka and which consumer group to be in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Kafka")]
pub struct RawKafka {
    /// `host:port`, several of them separated by commas.
    pub bootstrap_servers: At<String>,
    /// Agents with the same group share the partitions. It is part of the changelog topics' names: another group starts
    /// with no state. Default: `streamgauge`.
    pub group_id: Option<At<String>>,
    /// Any librdkafka property: `security.protocol`, `sasl.*`, `ssl.*` and so on. A secret may be read from a file:
    /// `sasl.password: { file: /run/secrets/kafka }`. Properties that exactly-once counting depends on are refused.
    #[serde(default)]
    pub properties: Map<At<RawProperty>>,
    /// How long the group keeps the partitions of a member that is silent; a restart within it causes no rebalance.
    /// The brokers allow 6s to 30m unless set otherwise. Default: `10s`.
    pub session_timeout: Option<At<RawDuration>>,
    /// After this the broker aborts a transaction that its producer has left open. Default: `10s`.
    pub transaction_timeout: Option<At<RawDuration>>,
    /// `static`: stable ids from the state directory. `dynamic`: a new member at each start, for pods without a lasting
    /// volume. Default: `static`.
    pub membership: Option<Membership>,
    /// `keep`: the partitions wait for this agent to come back, until the session timeout. `leave`: others take over at
    /// once. Default: `keep`.
    pub on_shutdown: Option<OnShutdown>,
    /// When a dead letter cannot be written: `stop`, or `drop_and_count`. Default: `stop`.
    pub dead_letters: Option<DeadLetters>,
    /// Create missing changelog and dead-letter topics. `false`: refuse to start, with the command that creates them.
    /// Default: true.
    pub create_topics: Option<bool>,
    /// Replication factor of the topics that are created. Default: the brokers' own.
    pub replication_factor: Option<At<i64>>,
}

/// Topics, their format, and where the event time is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source")]
pub struct RawSource {
    /// Topic names, or regular expressions that begin with `^`.
    pub topics: At<Vec<At<String>>>,
    /// How the records are written: a name, or a name and its options: `combined`, `{ csv: { names: [time, host] }
    /// }`, `{ regex: '^(?<host>\\S+) ' }`. `json` is read as one document, as several one after the other, or as an
    /// array of them: each is an event. `avro` and `protobuf` need a `schema_registry`. Default: `json`.
    pub format: Option<At<RawFormat>>,
    /// Which array of a record holds its events: `Records`, or through several
    /// `resourceLogs[].scopeLogs[].logRecords[]`. Every element is an event; `^.account` is a field of what encloses
    /// it. Default: a record's documents are its events.
    pub each: Option<At<String>>,
    /// Fields whose text is parsed, and the formats: `{ log: json }`, or `{ log: [json, combined] }` for the first
    /// that the text is written in. What is found are fields below that field, such as `log.level`. Text in another
    /// format stays text, and is counted in `streamgauge_unparsed_fields_total`.
    #[serde(default)]
    pub parse: Map<At<RawFormats>>,
    /// Where this source has a field that its aggregates ask for by another path: `{ status: response.code }`. Default:
    /// every field is where aggregates ask for it.
    #[serde(default)]
    pub fields: Map<At<String>>,
    /// A program in VRL, the language of Vector's transforms: it gets every event (of `format: raw` the text as
    /// `.message`) and what it leaves in `.` is the event, or each of them if that is an array. In released binaries and
    /// images, and in a build with `--features vrl`. Default: none.
    pub remap: Option<At<String>>,
    /// Records that are compressed with gzip, zlib, zstd, lz4 or snappy are known by how they begin, and unpacked.
    /// One that comes to more than this is a dead letter. Default: `16MiB`.
    pub unpacked_size: Option<At<RawSize>>,
    /// Where the event time is. Formats that have a time of their own need not be told.
    pub timestamp: Option<At<RawTimes>>,
    /// An event that is further ahead of its record's Kafka timestamp than this is a dead letter. Default: `1h`.
    pub max_future: Option<At<RawDuration>>,
    /// However far ahead of its record an event is dated, it moves stream time, which closes windows, no further than
    /// this beyond the record's Kafka timestamp. Default: `10s`, or `max_future` if that is less.
    pub max_lead: Option<At<RawDuration>>,
    /// Where events go that cannot be used.
    #[serde(default)]
    pub dead_letters: RawSourceDeadLetters,
    /// Where a partition that was never read begins: `earliest` or `latest`. Default: `earliest`.
    pub start: Option<Start>,
    /// `true`: an event that one aggregate cannot use as it is (a label's field missing, a measured one no number) is a
    /// dead letter, and counted by none. `false`: it is counted wherever it can be. Default: false.
    pub strict: Option<bool>,
    /// Only events for which all of these hold: `{ type: request }`. Others pass by: they are counted in
    /// `streamgauge_passed_by_events_total` and nowhere else, and need no event time. Default: all.
    #[serde(default, rename = "where")]
    pub filter: RawWhere,
    /// Lets people see single events. Default: nobody does.
    pub recent_events: Option<RawRecentEvents>,
}

/// What becomes of a source's events that cannot be used.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SourceDeadLetters")]
pub struct RawSourceDeadLetters {
    /// `false`: they are counted, and written nowhere. Default: true.
    pub enabled: Option<bool>,
    /// One topic for all of the source's. Default: `<topic>-dlq` for each.
    pub topic: Option<At<String>>,
    /// What of the event is kept: `full`, `truncated` (its first 1,024 bytes) or `none`. Default: `full`.
    pub payload: Option<LetterPayload>,
}

/// Source, labels, windows and measures.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Aggregate")]
pub struct RawAggregate {
    /// The source whose events are measured.
    pub source: Option<At<String>>,
    /// Instead of `source`: several, whose events are measured together, `[web, api]`. Where they have a field in different
    /// places, each one's `fields` says where.
    pub sources: Option<At<Vec<At<String>>>>,
    /// Only events for which all of these hold are this aggregate's. Default: all of its source.
    #[serde(default, rename = "where")]
    pub filter: RawWhere,
    /// Label names and the fields they are made of: `{ endpoint: request.path }`, or with more to say
    /// `{ endpoint: { field: request.path, default: none } }`. Default: no labels.
    #[serde(default)]
    pub by: Map<At<RawLabel>>,
    /// `1m` is a tumbling window of a minute; `5m/1m` is five minutes long and starts every minute; `total`, since the
    /// state began, is always kept and may be named. Default: `total` alone.
    #[serde(default)]
    pub windows: Vec<At<RawWindow>>,
    /// The smallest slice of event time that is stored; every window is a multiple of it.
    /// Default: the greatest common divisor of the windows' lengths and hops.
    pub pane: Option<At<RawDuration>>,
    /// How long after a window's end its late events still count. Default: `30s`.
    pub grace: Option<At<RawDuration>>,
    /// How long windows are kept for queries; at least the largest window plus `grace`. Default: `2h`, or twice that
    /// least.
    pub retention: Option<At<RawDuration>>,
    /// What is measured, by a name of your choice.
    pub measures: At<Map<At<RawMeasure>>>,
    /// Label combinations per partition; `on_limit` says what becomes of more. Default: `limits.keys_per_aggregate`.
    pub limit: Option<At<u64>>,
    /// What becomes of a new label combination at the limit. `overflow`: its events count in one overflow series.
    /// `replace_idle`: the combination that has been unseen for the longest time (event time) gives up its series,
    /// and what that has counted moves to the overflow series. Sums over all series are exact either way. Default:
    /// `overflow`.
    pub on_limit: Option<OnLimit>,
    /// Drop label combinations that have not been seen for this long (event time), their totals too. Default: never.
    pub key_ttl: Option<At<RawDuration>>,
    /// Where an aggregate begins that is added to a group which has counted already: `now`, or `earliest`: it first
    /// reads again what Kafka still has. Meanwhile the partitions of its source are restoring. Default: `now`.
    pub backfill: Option<RawBackfill>,
    /// `per_partition`: totals carry `topic` and `partition`. `merged`: one agent publishes the group's totals without
    /// them. Default: `per_partition`.
    pub publish: Option<Publish>,
    /// A partition that is silent for this long (wall clock) no longer holds up the closing of windows. Default: `1m`.
    pub idle_timeout: Option<At<RawDuration>>,
    /// Put before the metric names, with `_` between: `prefix: shop` gives `shop_http_requests_total`. Default: none.
    pub prefix: Option<At<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Backfill")]
pub enum RawBackfill {
    Now,
    Earliest,
}

/// Where and how the state is kept on this machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "State")]
pub struct RawState {
    /// Directory of the state files; one per agent. Default: `./state`.
    pub dir: Option<At<String>>,
    /// At least this long between commits. What is not committed is not shown. Default: `100ms`.
    pub commit_interval: Option<At<RawDuration>>,
    /// `exactly_once`, or `at_least_once` for brokers without transactions. Default: `exactly_once`.
    pub processing_guarantee: Option<Guarantee>,
    /// When the group has committed offsets but the state is gone: `fail`; `earliest`: count everything again that the
    /// topic still has; `continue`: from the offsets, with empty totals. Default: `fail`.
    pub on_loss: Option<OnLoss>,
    /// Page cache of the state files, shared by all partitions. Default: `64MiB`.
    pub cache: Option<At<RawSize>>,
    /// Copies of each partition's state that other agents of the group keep up to date: an agent that takes over a
    /// partition that it has a copy of reads only the changelog's newest part. Default: 0.
    pub standby_replicas: Option<At<u64>>,
    /// Keep a copy of every partition's state on this agent, so that it answers for the whole group without asking the
    /// others, and can publish merged totals. Default: false.
    pub global_view: Option<bool>,
    /// How long the state of an aggregate that the config no longer has is carried, unread, after a restart: another
    /// version in the group may still have it. Then it is deleted. Default: `1d`.
    pub keep_removed: Option<At<RawDuration>>,
}

/// `/metrics`, queries in JSON, health and readiness.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Http")]
pub struct RawHttp {
    /// Address and port. Default: `127.0.0.1:9746`.
    pub listen: Option<At<String>>,
    /// Which buckets histograms have for servers that ask for protobuf (Prometheus with `scrape_native_histograms`):
    /// `classic`, `native` or `both`. Text formats have classic buckets only. Default: `both`.
    pub histograms: Option<Histograms>,
    /// Whether OpenMetrics text has a series `…_created` for each total, which says since when it counts. Servers
    /// that do not know what it is for store it as one more series; protobuf says it without one. Default: `true`.
    pub created_series: Option<bool>,
    /// Origins, such as `https://dash.example.com`, whose pages may read `/api/` here, and call
    /// `grpc` by gRPC-web, from a browser (CORS). Default: none.
    #[serde(default)]
    pub cors_origins: Vec<At<String>>,
    /// A file in the format of Prometheus' `--web.config.file` with `tls_server_config` and `basic_auth_users`, instead of
    /// `tls` and `identities`. Its users may do everything that this listener offers.
    pub web_config_file: Option<At<String>>,
    pub tls: Option<RawTls>,
    /// Who may call, by a name of your choice. Default: anyone; with a `tls.client_ca`, anyone with a certificate.
    pub identities: Option<RawIdentities>,
    /// Whether health and readiness are answered to anyone who gets a connection. Default: `true`.
    pub open_health: Option<bool>,
}

/// The query service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Grpc")]
pub struct RawGrpc {
    /// Address and port. Default: `127.0.0.1:9747`.
    pub listen: Option<At<String>>,
    /// `host:port` under which the other agents of the group reach this one; they learn it from Kafka. Default: the
    /// address it listens on.
    pub advertise: Option<At<String>>,
    pub peer: Option<RawPeer>,
    /// A file in the format of Prometheus' `--web.config.file` with `tls_server_config` and `basic_auth_users`,
    /// instead of `tls` and `identities`. Its users may do everything that this listener offers.
    pub web_config_file: Option<At<String>>,
    pub tls: Option<RawTls>,
    /// Who may call, by a name of your choice. Default: anyone; with a `tls.client_ca`, anyone with a certificate.
    pub identities: Option<RawIdentities>,
    /// Whether health and readiness are answered to anyone who gets a connection. Default: `true`.
    pub open_health: Option<bool>,
}

/// Everything that can grow has a limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub struct RawLimits {
    /// Larger events are dead letters. Default: `1MiB`.
    pub event_size: Option<At<RawSize>>,
    /// Larger changelog entries stop their partition before its transaction begins; below the brokers'
    /// `message.max.bytes`. Default: `900KiB`.
    pub entry_size: Option<At<RawSize>>,
    /// A query that would answer with more cells is refused. Default: 100000.
    pub query_cells: Option<At<u64>>,
    /// Watches that may be open at a time, over gRPC and HTTP together. Default: 200.
    pub watchers: Option<At<u64>>,
    /// Longer label values are cut to this, ending with a hash of the whole. Default: `1KiB`.
    pub label_size: Option<At<RawSize>>,
    /// Label combinations per aggregate and partition, for aggregates without a `limit`. Default: 10000.
    pub keys_per_aggregate: Option<At<u64>>,
    /// Memory of the whole process (resident) that is not to be exceeded: near it partitions are paused until some is
    /// free again. Default: none.
    pub memory_budget: Option<At<RawSize>>,
}

/// The agent's own logs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Telemetry")]
pub struct RawTelemetry {
    /// `text` or `json`. Default: `text`.
    pub log_format: Option<LogFormat>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `streamgauge=debug,info`. Default: `info`.
    pub log_level: Option<At<String>>,
}
