//! The checked config as YAML again: every default spelled out, every secret masked. It reads back as the same config.

use std::time::Duration;

use serde::Serialize;

use super::cluster::Cluster;
use super::lock::ShownLine;
use super::secret::MASK;
use super::types::*;
use super::units::{format_duration, format_size};
use super::yaml::{Yaml, quoted, text};
use crate::measure::{Beyond, Precision};

impl Config {
    /// The config as it is in force, as YAML in the format of the config file, without secrets.
    pub fn redacted_yaml(&self) -> String {
        let mut out = Yaml::default();
        out.line(0, "kafka:");
        kafka(&mut out, &self.kafka);
        out.line(0, "sources:");
        self.sources.iter().for_each(|each| source(&mut out, each));
        out.line(0, "aggregates:");
        self.aggregates.iter().for_each(|each| aggregate(&mut out, each));
        state(&mut out, &self.state);
        out.line(0, "http:");
        out.entry(1, "listen", text(&self.http.listen.to_string()));
        out.entry(1, "histograms", word(self.http.histograms));
        out.entry(1, "created_series", self.http.created_series);
        if !self.http.cors_origins.is_empty() {
            let origins: Vec<String> = self.http.cors_origins.iter().map(|origin| quoted(origin)).collect();
            out.entry(1, "cors_origins", format_args!("[{}]", origins.join(", ")));
        }
        shown(&mut out, self.http.lock.shown());
        out.line(0, "grpc:");
        out.entry(1, "listen", text(&self.grpc.listen.to_string()));
        self.grpc.advertise.iter().for_each(|address| out.entry(1, "advertise", text(address)));
        shown(&mut out, self.grpc.peer.shown());
        shown(&mut out, self.grpc.lock.shown());
        self.ingest.iter().for_each(|each| shown(&mut out, each.shown()));
        cluster(&mut out, &self.cluster);
        self.otlp.iter().for_each(|each| otlp(&mut out, each));
        self.schema_registry.iter().for_each(|each| registry(&mut out, each));
        limits(&mut out, &self.limits);
        out.line(0, "telemetry:");
        out.entry(1, "log_format", word(self.telemetry.log_format));
        out.entry(1, "log_level", text(&self.telemetry.log_level));
        out.entry(0, "workers", self.workers);
        out.0
    }
}

impl Kafka {
    /// The librdkafka properties with the secret ones masked.
    pub fn masked_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(name, value)| {
            let value = if self.secrets.contains(name) { MASK } else { value.as_str() };
            (name.as_str(), value)
        })
    }
}

fn kafka(out: &mut Yaml, kafka: &Kafka) {
    out.entry(1, "bootstrap_servers", text(&kafka.bootstrap_servers));
    out.entry(1, "group_id", text(&kafka.group_id));
    if !kafka.properties.is_empty() {
        out.line(1, "properties:");
    }
    for (name, value) in kafka.masked_properties() {
        out.entry(2, &text(name), text(value));
    }
    out.entry(1, "session_timeout", format_duration(kafka.session_timeout));
    out.entry(1, "transaction_timeout", format_duration(kafka.transaction_timeout));
    out.entry(1, "membership", word(kafka.membership));
    out.entry(1, "on_shutdown", word(kafka.on_shutdown));
    out.entry(1, "dead_letters", word(kafka.dead_letters));
    out.entry(1, "create_topics", kafka.create_topics);
    if let Some(factor) = kafka.replication_factor {
        out.entry(1, "replication_factor", factor);
    }
}

fn source(out: &mut Yaml, source: &Source) {
    out.line(1, format_args!("{}:", text(&source.name)));
    let topics: Vec<String> = source.topics.iter().map(|topic| text(topic.as_str())).collect();
    out.entry(2, "topics", format_args!("[{}]", topics.join(", ")));
    out.entry(2, "format", &source.format);
    source.each.iter().for_each(|each| out.entry(2, "each", quoted(&each.to_string())));
    if !source.parse.is_empty() {
        out.line(2, "parse:");
    }
    for rules in source.parse.chunk_by(|one, next| one.path == next.path) {
        let formats: Vec<String> = rules.iter().map(|rule| rule.format.to_string()).collect();
        let path = text(&rules[0].path.to_string());
        match formats.as_slice() {
            [one] => out.entry(3, &path, one),
            all => out.entry(3, &path, format_args!("[{}]", all.join(", "))),
        }
    }
    source.remap.iter().for_each(|program| out.entry(2, "remap", quoted(program)));
    if !source.fields.is_empty() {
        out.line(2, "fields:");
    }
    source.fields.iter().for_each(|(name, at)| out.entry(3, &text(&name.to_string()), text(&at.to_string())));
    if source.unpacked_bytes != Source::UNPACKED_BYTES {
        out.entry(2, "unpacked_size", format_size(source.unpacked_bytes as u64));
    }
    out.entry(2, "timestamp", timestamp(&source.timestamp));
    out.entry(2, "max_future", format_duration(source.max_future));
    out.entry(2, "max_lead", format_duration(source.max_lead));
    out.entry(2, "start", word(source.start));
    if source.strict {
        out.entry(2, "strict", true);
    }
    conditions(out, 2, &source.filter);
    let letters = &source.dead_letters;
    if *letters != SourceDeadLetters::default() {
        out.line(2, "dead_letters:");
        out.entry(3, "enabled", letters.enabled);
        letters.topic.iter().for_each(|topic| out.entry(3, "topic", text(topic)));
        out.entry(3, "payload", word(letters.payload));
    }
    source.recent_events.iter().for_each(|recent| shown(out, recent.shown()));
}

fn timestamp(timestamp: &Timestamp) -> String {
    match timestamp {
        Timestamp::Kafka => "{ from: kafka }".to_owned(),
        Timestamp::Field { path, format, part } => {
            let part = part.iter().map(|part| format!(", match: {}", quoted(part))).collect::<String>();
            format!("{{ field: {}, format: {}{part} }}", text(&path.to_string()), time_format(format))
        }
        Timestamp::Parts { seconds, nanos } => {
            format!("{{ seconds: {}, nanos: {} }}", text(&seconds.to_string()), text(&nanos.to_string()))
        }
        Timestamp::FirstOf(all) => format!("[{}]", all.iter().map(self::timestamp).collect::<Vec<_>>().join(", ")),
    }
}

/// As the value of `format`, and the zone after it.
fn time_format(format: &TimeFormat) -> String {
    let zone = format.zone().map(|zone| format!(", zone: {}", text(zone))).unwrap_or_default();
    format!("{}{zone}", text(format.name()))
}

fn aggregate(out: &mut Yaml, aggregate: &Aggregate) {
    out.line(1, format_args!("{}:", text(&aggregate.name)));
    match aggregate.sources.as_slice() {
        [one] => out.entry(2, "source", text(one)),
        several => out.entry(2, "sources", format_args!("[{}]", several.join(", "))),
    }
    conditions(out, 2, &aggregate.filter);
    if !aggregate.by.is_empty() {
        out.line(2, "by:");
    }
    aggregate.by.iter().for_each(|each| out.entry(3, &text(&each.label), label(each)));
    let sessions = aggregate.measures.iter().filter_map(|measure| match measure.kind {
        MeasureKind::Sessions(rule) => {
            let text = |millis: i64| format_duration(Duration::from_millis(millis.unsigned_abs()));
            Some(format!("{{ session: {}, max: {} }}", text(rule.gap_ms), text(rule.max_ms)))
        }
        _ => None,
    });
    let windows: Vec<String> = aggregate.windows.iter().map(|window| window.to_string()).chain(sessions).collect();
    out.entry(2, "windows", format_args!("[{}]", windows.join(", ")));
    let durations: [(&str, Option<Duration>); 5] = [
        ("pane", Some(aggregate.pane)),
        ("grace", Some(aggregate.grace)),
        ("retention", Some(aggregate.retention)),
        ("key_ttl", aggregate.key_ttl),
        ("idle_timeout", Some(aggregate.idle_timeout)),
    ];
    for (key, duration) in durations {
        duration.into_iter().for_each(|duration| out.entry(2, key, format_duration(duration)));
    }
    out.entry(2, "limit", aggregate.key_limit);
    out.entry(2, "on_limit", word(aggregate.on_limit));
    if aggregate.backfill {
        out.entry(2, "backfill", "earliest");
    }
    out.entry(2, "publish", word(aggregate.publish));
    let prefix = aggregate.metric_prefix.strip_suffix(&aggregate.name).unwrap_or_default();
    if !prefix.is_empty() {
        out.entry(2, "prefix", text(prefix));
    }
    out.line(2, "measures:");
    aggregate.measures.iter().for_each(|each| measure(out, each));
}

fn label(label: &LabelField) -> String {
    let field = paths_text(&label.path, &label.or);
    let mut more = Vec::new();
    let making = &label.making;
    more.extend(making.part.iter().map(|pattern| format!("match: {}", quoted(pattern))));
    if making.lower {
        more.push("lower: true".to_owned());
    }
    match &making.template {
        Some(Template::Path) => more.push("template: path".to_owned()),
        Some(Template::Routes(routes)) => {
            let routes: Vec<_> = routes.iter().map(|route| quoted(route)).collect();
            more.push(format!("template: [{}]", routes.join(", ")));
        }
        None => {}
    }
    if making.class {
        more.push("class: true".to_owned());
    }
    if !making.map.is_empty() {
        let names = making.map.iter().map(|(value, name)| format!("{}: {}", quoted(value), quoted(name)));
        more.push(format!("map: {{ {} }}", names.collect::<Vec<_>>().join(", ")));
    }
    if let Some(default) = &label.default {
        more.push(format!("default: {}", quoted(default)));
    }
    if label.required {
        more.push("required: true".to_owned());
    }
    if more.is_empty() { field } else { format!("{{ field: {field}, {} }}", more.join(", ")) }
}

/// A path, or a list of them.
fn paths_text(path: &FieldPath, or: &[FieldPath]) -> String {
    let all: Vec<String> = [path].into_iter().chain(or).map(|path| text(&path.to_string())).collect();
    if or.is_empty() { all.concat() } else { format!("[{}]", all.join(", ")) }
}

fn measure(out: &mut Yaml, measure: &Measure) {
    if let MeasureKind::Sessions(_) = measure.kind {
        // It is a window.
        return;
    }
    out.line(3, format_args!("{}:", text(&measure.name)));
    let mut parts = Vec::new();
    if let Some(path) = &measure.field {
        let key = if measure.since.is_some() { "to" } else { "field" };
        parts.push(format!("{key}: {}", paths_text(path, &measure.or)));
    }
    if let Some(since) = &measure.since {
        parts.push(format!("from: {}, format: {}", text(&since.path.to_string()), time_format(&since.format)));
    }
    match &measure.kind {
        MeasureKind::Buckets(bounds) => {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            parts.push(format!("bounds: [{}]", bounds.join(", ")));
        }
        MeasureKind::Distinct(precision) if *precision != Precision::default() => {
            parts.push(format!("error: {}", precision.error()));
        }
        MeasureKind::Histogram(resolution) if resolution.asked().is_some() => {
            parts.push(format!("error: {}", resolution.error()));
        }
        MeasureKind::Anomaly(usual) => {
            parts.push(match usual.beyond {
                Beyond::Deviations(sigma) => format!("sigma: {sigma}, min_count: {}", usual.min_count),
                Beyond::Quantile(q) => format!("above_quantile: {q}, min_count: {}", usual.min_count),
            });
            if usual.half_life_ms > 0 {
                let half_life = Duration::from_millis(usual.half_life_ms.unsigned_abs());
                parts.push(format!("half_life: {}", format_duration(half_life)));
            }
        }
        MeasureKind::Versus(earlier) => {
            let ago = Duration::from_millis(earlier.ago_ms.unsigned_abs());
            parts.push(format!("ago: {}", format_duration(ago)));
        }
        MeasureKind::Apdex(target) => parts.push(format!("target: {}", target.0)),
        MeasureKind::Top(ranking) => {
            parts.push(format!("k: {}, label: {}", ranking.k, text(&measure.label)));
            parts.extend(measure.weight.iter().map(|path| format!("by: {{ sum: {} }}", text(&path.to_string()))));
        }
        _ => {}
    }
    parts.extend(measure.ratio.iter().map(|of| format!("part: {}, of: {}", text(&of.part), text(&of.whole))));
    let parts = if parts.is_empty() { "{}".into() } else { format!("{{ {} }}", parts.join(", ")) };
    out.entry(4, measure.kind.word(), parts);
    if measure.ratio.is_none() {
        conditions(out, 4, &measure.filter);
    }
    if !measure.quantiles.is_empty() {
        let quantiles: Vec<String> = measure.quantiles.iter().map(f64::to_string).collect();
        out.entry(4, "quantiles", format!("[{}]", quantiles.join(", ")));
    }
    if measure.unit != Unit::None {
        out.entry(4, "unit", word(measure.unit));
    }
    if measure.signed {
        out.entry(4, "signed", true);
    }
    for (key, value) in [("name", &measure.metric), ("help", &measure.help)] {
        value.iter().for_each(|value| out.entry(4, key, quoted(value)));
    }
}

/// A `where` of its own, if it has anything in it.
fn conditions(out: &mut Yaml, depth: usize, filter: &[Condition]) {
    if !filter.is_empty() {
        out.entry(depth, "where", conditions_text(filter));
    }
}

/// As one mapping; a path's tests stand together.
fn conditions_text(filter: &[Condition]) -> String {
    let mut paths: Vec<(&FieldPath, Vec<String>)> = Vec::new();
    let mut more: Vec<(&str, String)> = Vec::new();
    for condition in filter {
        match condition {
            Condition::Field { path, test } => match paths.iter_mut().find(|(known, _)| *known == path) {
                Some((_, tests)) => tests.push(test_text(test)),
                None => paths.push((path, vec![test_text(test)])),
            },
            Condition::Any(branches) => {
                let branches: Vec<_> = branches.iter().map(|branch| conditions_text(branch)).collect();
                more.push(("any", format!("[{}]", branches.join(", "))));
            }
            Condition::Not(filter) => more.push(("not", conditions_text(filter))),
        }
    }
    let paths = paths.into_iter().map(|(path, tests)| (text(&path.to_string()), format!("{{ {} }}", tests.join(", "))));
    let entries: Vec<_> = paths
        .chain(more.into_iter().map(|(key, value)| (key.to_owned(), value)))
        .map(|(k, v)| format!("{k}: {v}"))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// One condition as the config spells it: `status: { gte: 500 }`.
pub(crate) fn condition_text(path: &FieldPath, test: &Test) -> String {
    format!("{path}: {{ {} }}", test_text(test))
}

fn test_text(test: &Test) -> String {
    let scalar = |value: &Scalar| match value {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Number(value) => value.to_string(),
        Scalar::Text(value) => quoted(value),
    };
    match test {
        Test::Eq(value) => format!("eq: {}", scalar(value)),
        Test::Ne(value) => format!("ne: {}", scalar(value)),
        Test::Gt(value) => format!("gt: {value}"),
        Test::Gte(value) => format!("gte: {value}"),
        Test::Lt(value) => format!("lt: {value}"),
        Test::Lte(value) => format!("lte: {value}"),
        Test::In(values) => format!("in: [{}]", values.iter().map(scalar).collect::<Vec<_>>().join(", ")),
        Test::Prefix(part) => format!("prefix: {}", quoted(part)),
        Test::Suffix(part) => format!("suffix: {}", quoted(part)),
        Test::Contains(part) => format!("contains: {}", quoted(part)),
        Test::Matches(pattern) => format!("matches: {}", quoted(pattern)),
        Test::Exists(exists) => format!("exists: {exists}"),
        Test::Not(tests) => format!("not: {{ {} }}", tests.iter().map(test_text).collect::<Vec<_>>().join(", ")),
    }
}

/// One of several words, as the config spells it.
fn word(choice: impl Serialize) -> String {
    // A unit variant is a JSON string of plain letters.
    serde_json::to_string(&choice).unwrap_or_default().trim_matches('"').to_owned()
}

fn state(out: &mut Yaml, state: &State) {
    out.line(0, "state:");
    out.entry(1, "dir", text(&state.dir.display().to_string()));
    out.entry(1, "commit_interval", format_duration(state.commit_interval));
    out.entry(1, "processing_guarantee", word(state.guarantee));
    out.entry(1, "on_loss", word(state.on_loss));
    out.entry(1, "cache", format_size(state.cache_bytes));
    out.entry(1, "standby_replicas", state.standby_replicas);
    out.entry(1, "global_view", state.global_view);
    out.entry(1, "keep_removed", format_duration(state.keep_removed));
}

fn cluster(out: &mut Yaml, cluster: &Cluster) {
    out.line(0, "cluster:");
    let watch = &cluster.watch;
    out.entry(1, "enabled", watch.enabled);
    out.entry(1, "interval", format_duration(watch.interval));
    out.entry(1, "timeout", format_duration(watch.timeout));
    let lag = &watch.lag;
    out.line(1, "lag:");
    out.entry(2, "enabled", lag.enabled);
    out.entry(2, "interval", format_duration(lag.interval));
    let regexes = [
        ("groups", &lag.groups),
        ("exclude_groups", &lag.exclude_groups),
        ("topics", &lag.topics),
        ("exclude_topics", &lag.exclude_topics),
    ];
    regexes.iter().filter(|(_, regex)| !regex.is_empty()).for_each(|(key, regex)| out.entry(2, key, text(regex)));
    out.entry(2, "granularity", word(lag.granularity));
    out.entry(2, "max_partitions", lag.max_partitions);
    out.line(1, "probe:");
    out.entry(2, "enabled", watch.probe.enabled);
    out.entry(2, "topic", text(&watch.probe.topic));
    out.entry(2, "interval", format_duration(watch.probe.interval));
    out.entry(2, "timeout", format_duration(watch.probe.timeout));
    out.line(1, "topics:");
    let allow: Vec<&str> = cluster.topics.allow.iter().map(|change| change.word()).collect();
    out.entry(2, "allow", format_args!("[{}]", allow.join(", ")));
    let protected: Vec<String> = cluster.topics.protected.iter().map(|pattern| quoted(pattern)).collect();
    out.entry(2, "protected", format_args!("[{}]", protected.join(", ")));
    out.entry(2, "timeout", format_duration(cluster.topics.timeout));
    let tests = &cluster.load_tests;
    out.line(1, "load_tests:");
    out.entry(2, "allow", tests.allow);
    out.entry(2, "max_events", tests.max_events);
    out.entry(2, "max_duration", format_duration(tests.max_duration));
    out.entry(2, "max_rate", tests.max_rate);
    out.entry(2, "max_event_size", format_size(tests.max_event_size as u64));
}

fn otlp(out: &mut Yaml, otlp: &Otlp) {
    out.line(0, "otlp:");
    out.entry(1, "endpoint", text(&otlp.endpoint));
    out.entry(1, "protocol", word(otlp.protocol));
    if !otlp.headers.0.is_empty() {
        out.line(1, "headers:");
    }
    otlp.headers.0.keys().for_each(|name| out.entry(2, &text(name), text(MASK)));
    out.entry(1, "compression", if otlp.gzip { "gzip" } else { "none" });
    out.entry(1, "timeout", format_duration(otlp.timeout));
    out.entry(1, "interval", format_duration(otlp.interval));
    if let Some(path) = &otlp.certificate {
        out.entry(1, "certificate", text(&path.display().to_string()));
    }
    if let Some(client) = &otlp.client {
        out.entry(1, "client_certificate", text(&client.certificate.display().to_string()));
        out.entry(1, "client_key", text(&client.key.display().to_string()));
    }
    out.line(1, "resource:");
    otlp.resource.iter().for_each(|(name, value)| out.entry(2, &text(name), text(value)));
    out.entry(1, "traces", otlp.traces);
    out.entry(1, "logs", otlp.logs);
    out.entry(1, "backlog_size", format_size(otlp.backlog_bytes));
    out.entry(1, "backlog_age", format_duration(otlp.backlog_age));
}

fn shown(out: &mut Yaml, lines: Vec<ShownLine>) {
    for (depth, key, value) in lines {
        match value {
            Some(value) => out.entry(depth, &key, value),
            None => out.line(depth, format!("{key}:")),
        }
    }
}

fn registry(out: &mut Yaml, registry: &SchemaRegistry) {
    out.line(0, "schema_registry:");
    out.entry(1, "url", text(&registry.url));
    match &registry.credentials {
        Credentials::None => {}
        Credentials::Password { username, .. } => {
            out.entry(1, "username", text(username));
            out.entry(1, "password", text(MASK));
        }
        Credentials::Token(_) => out.entry(1, "token", text(MASK)),
    }
    if let Some(path) = &registry.certificate {
        out.entry(1, "certificate", text(&path.display().to_string()));
    }
    out.entry(1, "timeout", format_duration(registry.timeout));
    out.entry(1, "schemas", registry.schemas);
}

fn limits(out: &mut Yaml, limits: &Limits) {
    out.line(0, "limits:");
    out.entry(1, "event_size", format_size(limits.event_bytes as u64));
    out.entry(1, "entry_size", format_size(limits.entry_bytes as u64));
    out.entry(1, "query_cells", limits.query_cells);
    out.entry(1, "watchers", limits.watchers);
    out.entry(1, "label_size", format_size(limits.label_bytes as u64));
    if let Some(budget) = limits.memory_budget {
        out.entry(1, "memory_budget", format_size(budget));
    }
}
