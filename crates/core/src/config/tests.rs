//! The examples parse to what they say; every bad config gives the text that its snapshot shows.

use std::path::Path;
use std::time::Duration;

use super::*;

const MINIMAL: &str = include_str!("../../../../examples/minimal.yaml");
const EXAMPLE: &str = include_str!("../../../../examples/http-requests.yaml");

fn no_env(_: &str) -> Option<String> {
    None
}

fn good(text: &str) -> Config {
    parse(text, "c.yaml", &no_env).unwrap()
}

pub(super) fn refused(text: &str) -> String {
    match parse(text, "c.yaml", &|name| (name == "EMPTY").then(String::new)) {
        Ok(config) => panic!("expected an error, got {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// The minimal config with `from` replaced.
pub(super) fn changed(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from} is not in the minimal config");
    MINIMAL.replace(from, to)
}

/// The texts of the errors of all these configs, one after the other.
pub(super) fn all_refused(cases: &[(&str, String)]) -> String {
    cases.iter().map(|(name, text)| format!("## {name}\n{}\n\n", refused(text))).collect()
}

/// Compares with `snapshots/<name>.snap`; `INSTA_UPDATE=always` writes it anew.
#[track_caller]
pub(super) fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[test]
fn the_example_is_the_topology_that_it_describes() {
    let config = good(EXAMPLE);
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
    let source = &config.sources[0];
    assert_eq!(
        (source.name.as_str(), source.topics.as_slice()),
        ("requests", [TopicSelector::named("log-events")].as_slice())
    );
    let timestamp = FieldPath::keys(["timestamp"]);
    assert_eq!(source.timestamp, Timestamp::field(timestamp, TimeFormat::UnixMillis));

    let minute = Window { size: minutes(1), hop: minutes(1) };
    let hopping = Window { size: minutes(5), hop: minutes(1) };
    let shapes: Vec<_> = config
        .aggregates
        .iter()
        .map(|aggregate| {
            let labels = aggregate.by.iter().map(|by| by.label.as_str()).collect::<Vec<_>>().join(",");
            let measures = aggregate.measures.iter().map(|measure| measure.name.as_str()).collect::<Vec<_>>().join(",");
            (aggregate.name.as_str(), labels, aggregate.windows.clone(), measures)
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("http", "endpoint".to_owned(), vec![minute, hopping], "requests,errors,duration".to_owned()),
            ("http_status", "endpoint,status".to_owned(), vec![hopping], "requests".to_owned()),
            ("http_region", "region".to_owned(), vec![minute], "requests,duration".to_owned()),
        ]
    );
    for aggregate in &config.aggregates {
        let times = (aggregate.pane, aggregate.grace, aggregate.retention);
        assert_eq!(times, (minutes(1), Duration::from_secs(30), minutes(120)), "{}", aggregate.name);
    }
    let [requests, errors, duration] = config.aggregates[0].measures.as_slice() else { panic!("three measures") };
    assert_eq!((&requests.kind, requests.filter.len()), (&MeasureKind::Count, 0));
    let status = FieldPath::keys(["status"]);
    assert_eq!(errors.kind, MeasureKind::Count);
    assert_eq!(errors.filter, [Condition::Field { path: status, test: Test::Gte(400.0) }]);
    assert_eq!((&duration.kind, duration.unit), (&MeasureKind::Histogram(Default::default()), Unit::Milliseconds));
    assert_eq!(duration.field, Some(FieldPath::keys(["response_time_ms"])));
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = good(MINIMAL);
    snapshot("defaults", &config.redacted_yaml());
}

#[test]
fn the_shown_config_reads_back_as_the_same() {
    for text in [MINIMAL, EXAMPLE, EVERYTHING] {
        let config = good(text);
        let shown = config.redacted_yaml();
        let again = parse(&shown, "shown.yaml", &no_env).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(again, Config { warnings: again.warnings.clone(), ..config }, "{shown}");
    }
}

/// A config that uses every key at least once.
const EVERYTHING: &str = r#"
kafka:
  bootstrap_servers: kafka-1:9092, [::1]:9093
  group_id: shop.eu-1
  properties: { security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: "0123", fetch.wait.max.ms: 20, linger.ms: 0.5, "client.rack": on }
  session_timeout: 1m
  transaction_timeout: 30s
  membership: dynamic
  on_shutdown: leave
  dead_letters: drop_and_count
  create_topics: false
  replication_factor: 3
sources:
  a: { topics: [one, '^two-[0-9]$'], timestamp: { field: at.time, format: rfc3339 }, max_future: 5m, max_lead: 2s, start: latest }
  b:
    { topics: [three], timestamp: { from: kafka }, strict: true,
      where: { type: [a, b], not: { level: debug, x: { exists: false } } },
      dead_letters: { enabled: false, topic: dead, payload: truncated } }
  c: { topics: [four], timestamp: { seconds: at.s, nanos: at.n }, fields: { x: a.b, "%topic": '%headers."x.y"' } }
  d: { topics: [five], timestamp: [{ field: ID, match: '^([0-9.]+):', format: unix }, { field: t, format: '%d.%m.%Y %T', zone: Europe/Berlin }, { from: kafka }] }
aggregates:
  web:
    source: a
    where: { any: [{ a: 1, b: { suffix: x } }, { c: { contains: y } }], not: { d: { not: [1, 2] } }, e: { matches: "^a" } }
    by: { zone: geo.zone, app: app name, host: "true", who: { field: user, default: none }, what: { field: verb, required: true },
          r: { field: u, match: '^(.)', lower: true, template: [/a/:b, /c/*] }, s: { field: s, class: true }, p: { field: u, template: path },
          l: { field: [level, '"log.level"'], map: { 30: info, 40: "true", _: x } }, m: [b, 'c[-1]."d e"'], n: 'c[k="x]"].v', t: "%topic", h: '%headers."x.y"' }
    windows: [10s, 1m/10s, 1h/20s, total]
    pane: 5s
    grace: 1h30m
    retention: 7d
    limit: 5
    on_limit: replace_idle
    key_ttl: 30d
    publish: merged
    idle_timeout: 90s
    prefix: shop_
    measures:
      all: count
      some: { count: { where: { a: 1, b: yes, c: "1", d: [x, 2, true], e: { gt: 0.5, lte: 9, prefix: "a\"b", exists: true, ne: q } } } }
      size: { sum: { field: size, where: { ok: true } }, where: { big: { eq: 2, lt: 7, gte: 3, in: [1] } }, unit: kB, name: web_size, help: "Bytes: sent" }
      least: { min: [x, '"y.z"'], unit: percent }
      larger: { max: { field: [x, y] } }
      most: { max: x.y, unit: us }
      mean: { avg: x, unit: MB }
      balance: { sum: x, signed: true }
      took: { histogram: { from: began, to: ended, format: unix_ms } }
      lasted: { sum: { from: began, to: ended, format: clf, zone: Asia/Tokyo } }
      time: { buckets: { field: x, bounds: [0.1, 1, 2.5e1] }, unit: ns }
  all: { source: b, measures: { n: count } }
  both: { sources: [b, c], by: { x: x, t: "%topic" }, measures: { n: count } }
state: { dir: "/var/lib/a b", commit_interval: 1s, processing_guarantee: at_least_once, on_loss: continue, cache: 1GiB }
http: { listen: "0.0.0.0:80", histograms: native, created_series: false, cors_origins: ["https://dash.example.com:8443"] }
grpc: { listen: "[::1]:81" }
ingest:
  topic: logs
  routes:
    - { path: /audit, topic: audit-logs }
    - { where: { level: [error, fatal], source: shop }, topic: critical-logs }
  events:
    topic: user_events
    fields: { user: { type: integer, required: true }, kind: { required: true }, at: { type: timestamp }, more: { type: object }, ok: { type: boolean }, n: { type: number } }
    key: [kind, user]
    routes: [{ where: { kind: purchase }, topic: purchases }]
  listen: "[::1]:82"
  otlp_grpc: "[::1]:4317"
  durability: spooled
  delivery_timeout: 3s
  circuit_open: 9s
  buffer_size: 2MiB
  spool_size: 3MiB
  requests_per_second: 0
  batches_per_second: 7
  body_size: 1MiB
  event_size: 4KiB
  batch_events: 5
  identities: { app: { token_file: /secrets/app }, all: { token_file: /secrets/all, may: [read, ingest] } }
cluster:
  topics: { allow: [delete, grow, create], protected: ["pay-.*"], timeout: 3s }
  load_tests: { allow: true, max_events: 9, max_duration: 1m, max_rate: 8, max_event_size: 2KiB }
otlp:
  endpoint: https://otel.example:4317
  protocol: grpc
  compression: gzip
  timeout: 3s
  interval: 15s
  certificate: /etc/ssl/otel.pem
  client_certificate: /etc/ssl/agent.pem
  client_key: /etc/ssl/agent.key
  resource: { service.name: shop, deployment.environment.name: "test 1" }
  backlog_size: 1MiB
  backlog_age: 2h
limits: { event_size: 2000, entry_size: 1MB, query_cells: 5, watchers: 3, label_size: 3KiB, keys_per_aggregate: 7 }
telemetry: { log_format: json, log_level: "streamgauge=debug,info" }
workers: 4
"#;

#[test]
fn every_key_is_understood() {
    let config = good(EVERYTHING);
    let topics = ["audit-logs", "critical-logs", "logs", "purchases", "user_events"];
    assert_eq!(config.ingest.iter().flat_map(Ingest::topics).collect::<Vec<_>>(), topics);
    assert_eq!(config.kafka.properties["sasl.username"], "0123");
    assert_eq!(config.kafka.properties["linger.ms"], "0.5");
    let web = &config.aggregates[0];
    assert_eq!(web.metric_prefix, "shop_web");
    assert_eq!((web.pane, web.windows.len()), (Duration::from_secs(5), 3));
    let test = |c: &Condition| if let Condition::Field { test, .. } = c { Some(test.clone()) } else { None };
    let some: Vec<Test> = web.measures[1].filter.iter().filter_map(test).collect();
    assert_eq!(some[0], Test::Eq(Scalar::Number(1.0)));
    assert_eq!(some[1], Test::Eq(Scalar::Text("yes".into())));
    assert_eq!(some[2], Test::Eq(Scalar::Text("1".into())));
    let list = vec![Scalar::Text("x".into()), Scalar::Number(2.0), Scalar::Bool(true)];
    assert_eq!(some[3], Test::In(list));
    let (strict, letters) = (config.sources[1].strict, &config.sources[1].dead_letters);
    assert_eq!((strict, letters.enabled, letters.payload), (true, false, LetterPayload::Truncated));
    assert_eq!(web.measures[2].filter.len(), 5);
    assert_eq!(config.aggregates[1].key_limit, 7);
    assert_eq!(config.cluster.topics.allow.len(), 3);
    assert_eq!((config.cluster.load_tests.max_rate, config.cluster.load_tests.max_event_size), (8, 2048));
    let both = &config.aggregates[2];
    assert_eq!(both.sources, ["b", "c"]);
    let labels = |source: &Source| both.within(source).by.iter().map(|by| by.path.to_string()).collect::<Vec<_>>();
    assert_eq!([&config.sources[1], &config.sources[2]].map(labels), [["x", "%topic"], ["a.b", "%headers.\"x.y\""]]);
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
}

#[test]
fn variables_are_replaced_in_values_and_keep_their_spelling() {
    let text = changed(
        "localhost:9092",
        "${HOSTS}\n  group_id: ${GROUP:-fallback}\n  properties:\n    sasl.password: ${PASSWORD}\n    # ${NOT_USED}\n    client.rack: $${RACK}",
    );
    let env = |name: &str| match name {
        "HOSTS" => Some("a:1,b:2".to_owned()),
        "PASSWORD" => Some("0123: # {x}".to_owned()),
        _ => None,
    };
    let config = parse(&text, "c.yaml", &env).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "a:1,b:2");
    assert_eq!(config.kafka.group_id, "fallback");
    assert_eq!(config.kafka.properties["sasl.password"], "0123: # {x}");
    assert_eq!(config.kafka.properties["client.rack"], "${RACK}");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2\n").unwrap();
    let properties = format!(
        "localhost:9092\n  properties:\n    sasl.password: swordfish\n    sasl.username: {{ file: {} }}",
        file.display()
    );
    let config = good(&changed("localhost:9092", &properties));
    assert_eq!(config.kafka.properties["sasl.username"], "hunter2");
    assert_eq!(config.kafka.properties["sasl.password"], "swordfish");
    for shown in [config.redacted_yaml(), format!("{config:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
}

#[test]
fn errors_of_the_text_are_told() {
    let unknown = |from: &str, to: &str| changed(from, to);
    snapshot(
        "errors_of_text",
        &all_refused(&[
            ("empty file", String::new()),
            ("only comments", "# nothing\n\n".into()),
            ("not YAML", "kafka: [unclosed\nsources: {".into()),
            ("not a mapping", "just some words".into()),
            ("tabs", "kafka:\n\tbootstrap_servers: x".into()),
            ("bad indentation", unknown("  bootstrap", "    group_id: x\n  bootstrap")),
            ("unknown key", unknown("bootstrap_servers", "bootstrap_server")),
            ("unknown key, nothing near", unknown("  bootstrap_servers", "  zebra: 1\n  bootstrap_servers")),
            ("key of a later version", format!("{MINIMAL}gateway: {{}}\n")),
            ("missing section", unknown("kafka:\n  bootstrap_servers: localhost:9092\n", "")),
            ("missing field", unknown("    timestamp: { from: kafka }\n", "")),
            ("wrong type: a mapping for a list", unknown("[log-events]", "{ a: b }")),
            ("wrong type: a list for a text", unknown("localhost:9092", "[localhost:9092]")),
            ("wrong type: a text for a number", format!("{MINIMAL}workers: many\n")),
            ("wrong type: a number for a section", format!("{MINIMAL}state: 7\n")),
            ("yes is not true", unknown("localhost:9092", "localhost:9092\n  create_topics: yes")),
            ("null", unknown("localhost:9092", "")),
            ("unknown word", unknown("localhost:9092", "localhost:9092\n  membership: sticky")),
            ("unknown measure", unknown("events: count", "events: cuont")),
            ("a list for a measure", unknown("events: count", "events: [count]")),
            ("unknown key in a measure", unknown("events: count", "events: { count: {}, wher: {} }")),
            ("unknown test", unknown("events: count", "events: { count: { where: { status: { ge: 400 } } } }")),
            (
                "text for a number in a test",
                unknown("events: count", "events: { count: { where: { status: { gte: x } } } }"),
            ),
            ("key twice", format!("{MINIMAL}kafka: {{}}\n")),
            ("two documents", format!("{MINIMAL}---\nkafka: {{}}\n")),
            ("missing variable", unknown("localhost:9092", "${KAFKA_HOSTS}")),
            ("empty variable", unknown("localhost:9092", "${EMPTY:?set it to the brokers}")),
            ("bad variable", unknown("localhost:9092", "${not a name}")),
            ("unknown anchor", unknown("localhost:9092", "*nowhere")),
            (
                "a mapping for a property",
                unknown("localhost:9092", "localhost:9092\n  properties: { a.b: { flie: x } }"),
            ),
        ]),
    );
}

/// The parser hides names near a value from a variable; they are not secrets, but what stands in the file.
#[test]
fn a_misspelt_key_is_named_beside_variables_too() {
    let hosts = |lines: &str| changed("localhost:9092", &format!("${{HOSTS}}\n{lines}"));
    let env = |name: &str| Some(if name == "HOSTS" { "a:1" } else { "s3cret" }.to_owned());
    let told = |text: String| parse(&text, "c.yaml", &env).unwrap_err().to_string();
    let texts = [
        told(hosts("  gruop_id: x")),
        told(hosts("  'gruop_id': x")),
        told(changed("topics: [log-events]", "topics: ['${TOPIC:-t}']\n    topcs: [x]")),
        told(hosts("  session_timeout: ${S:-10s}\n  membership: statci")),
        told(hosts("  membership: ${MODE}")),
        told(hosts("  ${KEY}: x")),
        told(hosts("") + "sate: {}\n"),
    ];
    snapshot("errors_beside_variables", &texts.join("\n\n"));
    assert!(!texts.concat().contains("s3cret"));
}

#[test]
fn errors_of_kafka_and_state_are_told() {
    let kafka = |line: &str| changed("localhost:9092", &format!("localhost:9092\n  {line}"));
    snapshot(
        "errors_of_kafka_and_state",
        &all_refused(&[
            ("no brokers", changed("localhost:9092", "\"\"")),
            ("bad broker", changed("localhost:9092", "localhost:9092,other:kafka")),
            ("group characters", kafka("group_id: my group")),
            ("quoted variable", changed("localhost:9092", "\"${KAFKA_HOSTS}\"")),
            ("bad duration", kafka("session_timeout: 10 seconds")),
            ("duration without a unit", kafka("session_timeout: 10")),
            ("session timeout out of range", kafka("session_timeout: 5ms")),
            (
                "timeouts shorter than commits",
                kafka("session_timeout: 10s\n  transaction_timeout: 10s") + "state: { commit_interval: 20s }\n",
            ),
            ("default timeouts shorter than commits", format!("{MINIMAL}state: {{ commit_interval: 4s }}\n")),
            ("replication factor", kafka("replication_factor: 0")),
            (
                "refused properties",
                kafka(
                    "properties:\n    enable.auto.commit: true\n    isolation.level: read_uncommitted\n    transactional.id: x\n    partition.assignment.strategy: range\n    group.id: x",
                ),
            ),
            ("misspelled property", kafka("properties:\n    sasl.mechansim: PLAIN")),
            ("property of Java's clients", kafka("properties:\n    sasl.jaas.config: x")),
            ("SASL without a mechanism", kafka("properties:\n    security.protocol: sasl_ssl")),
            ("Kerberos", kafka("properties:\n    security.protocol: SASL_SSL\n    sasl.mechanism: GSSAPI")),
            ("IAM of MSK", kafka("properties:\n    security.protocol: SASL_SSL\n    sasl.mechanism: AWS_MSK_IAM")),
            ("unreadable secret", kafka("properties:\n    sasl.username: { file: /nonexistent/secret }")),
            ("no directory", format!("{MINIMAL}state: {{ dir: '' }}\n")),
            ("bad size", format!("{MINIMAL}state: {{ cache: 64M }}\n")),
            ("unknown guarantee", format!("{MINIMAL}state: {{ processing_guarantee: twice }}\n")),
            ("listen on a name", format!("{MINIMAL}http: {{ listen: 'localhost:9746' }}\n")),
            ("one port for two", format!("{MINIMAL}http: {{ listen: 127.0.0.1:9747 }}\n")),
            ("log level", format!("{MINIMAL}telemetry: {{ log_level: debgu }}\n")),
            ("level of a part", format!("{MINIMAL}telemetry: {{ log_level: \"info,streamgauge=\" }}\n")),
            ("certificate without a key", format!("{MINIMAL}otlp: {{ client_certificate: /a.pem }}\n")),
            ("key without a certificate", format!("{MINIMAL}otlp: {{ client_key: /a.key }}\n")),
            ("workers", format!("{MINIMAL}workers: 0\n")),
        ]),
    );
}

#[test]
fn events_lead_by_ten_seconds_unless_they_may_not_even_be_so_far_ahead() {
    let leads = |lines: &str| {
        let config =
            good(&changed("    timestamp: { from: kafka }", &format!("    timestamp: {{ from: kafka }}{lines}")));
        config.sources[0].max_lead.as_millis()
    };
    assert_eq!(leads(""), 10_000);
    assert_eq!(leads("\n    max_future: 2s"), 2_000);
    assert_eq!(leads("\n    max_lead: 0s"), 0);
    assert_eq!(leads("\n    max_future: 30s\n    max_lead: 30s"), 30_000);
}

#[test]
fn every_semantic_error_is_told_at_once_in_the_order_of_the_file() {
    let text = "
kafka: { bootstrap_servers: 'a b', group_id: '', session_timeout: soon }
sources:
  s: { topics: [], timestamp: {} }
aggregates:
  a: { source: t, windows: [x], measures: {} }
workers: 1000
";
    let error = refused(text);
    let lines: Vec<usize> =
        error.lines().filter_map(|line| line.strip_prefix("c.yaml:")?.split(':').next()?.parse().ok()).collect();
    assert_eq!(lines, [2, 2, 2, 4, 4, 6, 6, 6, 7], "{error}");
}

#[test]
fn an_alias_bomb_is_refused_quickly() {
    let mut text = String::from("kafka:\n  bootstrap_servers: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 0..30 {
        let alias = format!("*{}", char::from(b'a' + (level % 26) as u8));
        text.push_str(&format!(
            "k{level}: &{} [{}]\n",
            char::from(b'a' + ((level + 1) % 26) as u8),
            [alias.as_str(); 10].join(",")
        ));
    }
    refused(&text);
    let mut nested = String::from("sources: &a0 { s: 1 }\n");
    for level in 1..40 {
        nested.push_str(&format!("s{level}: &a{level} {{ <<: [*a{0}, *a{0}, *a{0}], k: *a{0} }}\n", level - 1));
    }
    refused(&nested);
    refused(&"[".repeat(100_000));
    refused(&format!("aggregates: {}", "{a: ".repeat(50_000)));
}

#[test]
fn any_prefix_of_a_config_is_no_panic() {
    for end in 0..EXAMPLE.len() {
        if let Some(prefix) = EXAMPLE.get(..end) {
            let _ = parse(prefix, "c.yaml", &no_env);
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let error = load(Path::new("/nonexistent/c.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/c.yaml: cannot read the config: No such file"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    assert!(load(dir.path()).unwrap_err().to_string().contains("cannot read the config"));
    let file = dir.path().join("binary.yaml");
    std::fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("is not UTF-8 text"));
}

#[test]
fn the_schema_has_every_key_and_refuses_others() {
    let schema = json_schema();
    let properties = schema["properties"].as_object().unwrap();
    for key in ["kafka", "sources", "aggregates", "state", "http", "grpc", "limits", "telemetry", "workers"] {
        assert!(properties.contains_key(key), "{key}");
    }
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    snapshot("schema", &serde_json::to_string_pretty(&schema).unwrap());
}
