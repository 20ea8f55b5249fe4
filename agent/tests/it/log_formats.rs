//! Records in the formats that programs write, many events in one, and text in fields: one agent with a source for each format,
//! killed in between, shows what a recount in another language finds in the same files.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Of;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::Value;

use crate::agent::{Agent, repository};
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::oracle::{Sample, parse_page};

/// A kind, its file, how its source is written, and whether the whole file may be one record.
const KINDS: [(&str, &str, &str, bool); 13] = [
    ("combined", "combined.log", "format: { combined: { lines: true } }", true),
    ("logfmt", "logfmt.log", "format: { logfmt: { lines: true } }, timestamp: { field: ts, format: rfc3339 }", true),
    ("syslog", "syslog.log", "format: { syslog: { lines: true } }", true),
    ("klog", "klog.log", "format: klog", false),
    ("cri", "cri.log", "format: cri, parse: { message: json }", false),
    (
        "table",
        "table.csv",
        "format: { csv: { names: [time, host, status, text], lines: true } }, timestamp: { field: time, format: rfc3339 }",
        true,
    ),
    (
        "w3c",
        "w3c.log",
        "format: { w3c: { names: [date, time, cs-method, cs-uri-stem, sc-status, time-taken, cs(User-Agent)], lines: true } }",
        true,
    ),
    ("cef", "cef.log", "format: cef", false),
    ("gelf", "gelf.log", "format: gelf", false),
    (
        "database",
        "database.log",
        r#"format: { regex: '^(?<time>\S+ \S+ UTC) \[\d+\] (?<severity>\w+):  (?:duration: (?<duration>[\d.]+ ms))?' }, timestamp: { field: time, format: "%Y-%m-%d %H:%M:%S%.f %Z" }"#,
        false,
    ),
    ("otlp", "otlp.jsonl", "format: otlp_json", false),
    ("otlp_proto", "otlp.jsonl", "format: otlp_proto", false),
    ("records", "records.jsonl", "each: Records, timestamp: { field: eventTime, format: rfc3339 }", true),
];

const AGGREGATES: &str = r#"
  combined: { source: combined, by: { method: method, status: status, user: user }, measures: { requests: count, sent: { sum: size, unit: bytes } } }
  logfmt: { source: logfmt, by: { level: level, method: method }, measures: { lines: count, took: { sum: took, unit: s } } }
  syslog: { source: syslog, by: { facility: facility, severity: severity, app: appname, host: hostname, source: '"exampleSDID@32473".eventSource' }, measures: { messages: count } }
  klog: { source: klog, by: { level: level, file: file }, measures: { lines: count } }
  cri: { source: cri, by: { stream: stream, level: { field: message.level, default: none } }, measures: { lines: count } }
  table: { source: table, by: { host: host, status: status, text: text }, measures: { lines: count } }
  w3c: { source: w3c, by: { method: cs-method, status: sc-status, agent: cs(User-Agent) }, measures: { requests: count, took: { sum: time-taken, unit: ms } } }
  cef: { source: cef, by: { vendor: deviceVendor, severity: severity, user: suser }, measures: { events: count } }
  gelf: { source: gelf, by: { host: host, level: level, container: _container }, measures: { messages: count } }
  database: { source: database, by: { severity: severity }, measures: { lines: count, took: { sum: duration, unit: ms } } }
  otlp: { source: otlp, by: { service: attributes."service.name", severity: severityText, scope: scope.name }, measures: { lines: count } }
  otlp_proto: { source: otlp_proto, by: { service: attributes."service.name", severity: severityText, scope: scope.name }, measures: { lines: count } }
  records: { source: records, by: { account: ^.account, name: eventName }, measures: { events: count, size: { sum: bytes, unit: bytes } } }
"#;

const ROUNDS: usize = 40;

fn config(topics: &BTreeMap<&str, String>) -> String {
    let mut text = format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{}\n",
        topics["combined"]
    );
    for (section, key, variable) in
        [("state", "dir", "STATE_DIR"), ("http", "listen", "HTTP_LISTEN"), ("grpc", "listen", "GRPC_LISTEN")]
    {
        text += &format!("{section}:\n  {key}: ${{{variable}}}\n");
    }
    text += "sources:\n";
    for (kind, _, source, _) in KINDS {
        text += &format!("  {kind}: {{ topics: [{}], max_future: 3650d, {source} }}\n", topics[kind]);
    }
    text + "aggregates:" + AGGREGATES
}

type Numbers = BTreeMap<(String, Vec<(String, String)>), f64>;

/// What Python's standard library finds in the files, once each.
fn recount() -> (Numbers, BTreeMap<String, f64>) {
    let output = Command::new("python3")
        .arg(repository().join("agent/tests/it/logs/lines/recount.py"))
        .output()
        .expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Vec<(String, BTreeMap<String, String>, f64)> = serde_json::from_slice(&output.stdout).expect("JSON");
    let (letters, numbers): (Vec<_>, Vec<_>) = all.into_iter().partition(|(metric, _, _)| metric == "letters");
    let numbers = numbers.into_iter().map(|(metric, labels, number)| ((metric, labels.into_iter().collect()), number));
    (numbers.collect(), letters.into_iter().map(|(_, labels, number)| (labels["kind"].clone(), number)).collect())
}

/// The series of a page that are wanted, all partitions together.
fn shown(page: &str, wanted: &Numbers) -> Numbers {
    let mut numbers = Numbers::new();
    for Sample { name, labels, value, .. } in parse_page(page).expect("a sound page") {
        if wanted.keys().any(|(known, _)| *known == name) {
            let own = labels.iter().filter(|(label, value)| {
                !["topic", "partition", "instance"].contains(&label.as_str()) && !value.is_empty()
            });
            let own: Vec<_> = own.map(|(label, value)| (label.clone(), value.clone())).collect();
            *numbers.entry((name, own)).or_default() += value;
        }
    }
    numbers
}

/// The record as it is, or compressed, as its round has it.
fn packed(round: usize, record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match round % 10 {
        2 => {
            let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
            writer.write_all(record).and_then(|()| writer.finish().map(drop)).expect("gzip");
        }
        4 => out = zstd::encode_all(record, 1).expect("zstd"),
        6 => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(&mut out);
            writer.write_all(record).expect("lz4");
            writer.finish().expect("lz4");
        }
        7 => {
            let mut writer = snap::write::FrameEncoder::new(&mut out);
            writer.write_all(record).and_then(|()| writer.flush()).expect("snappy");
        }
        // A short one may look like text.
        8 if record.len() > 200 => out = snap::raw::Encoder::new().compress_vec(record).expect("raw snappy"),
        _ => out.extend_from_slice(record),
    }
    out
}

/// A record's bytes: the line as it is, or the request that it says in OpenTelemetry's JSON, in protobuf.
fn written(kind: &str, line: &str) -> Vec<u8> {
    if kind != "otlp_proto" {
        return line.as_bytes().to_vec();
    }
    let request: Value = serde_json::from_str(line).expect("OTLP in JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attributes = |owner: &Value| -> Vec<KeyValue> {
        let any = |value: &Value| Of::StringValue(text(&value["stringValue"]));
        let pair = |pair: &Value| KeyValue {
            key: text(&pair["key"]),
            value: Some(AnyValue { value: Some(any(&pair["value"])) }),
            ..KeyValue::default()
        };
        each(&owner["attributes"]).iter().map(pair).collect()
    };
    let record = |record: &Value| LogRecord {
        time_unix_nano: text(&record["timeUnixNano"]).parse().unwrap_or(0),
        severity_text: text(&record["severityText"]),
        attributes: attributes(record),
        ..LogRecord::default()
    };
    let scope = |logs: &Value| ScopeLogs {
        scope: Some(InstrumentationScope { name: text(&logs["scope"]["name"]), ..InstrumentationScope::default() }),
        log_records: each(&logs["logRecords"]).iter().map(record).collect(),
        ..ScopeLogs::default()
    };
    let resource = |logs: &Value| ResourceLogs {
        resource: Some(Resource { attributes: attributes(&logs["resource"]), ..Resource::default() }),
        scope_logs: each(&logs["scopeLogs"]).iter().map(scope).collect(),
        ..ResourceLogs::default()
    };
    LogsData { resource_logs: each(&request["resourceLogs"]).iter().map(resource).collect() }.encode_to_vec()
}

fn produce(kafka: &Kafka, topics: &BTreeMap<&str, String>, rounds: std::ops::Range<usize>) {
    let producer = kafka.producer();
    for (kind, file, _, whole) in KINDS {
        let text =
            std::fs::read_to_string(repository().join("agent/tests/it/logs/lines").join(file)).expect("a sample");
        for round in rounds.clone() {
            let records: Vec<&str> = if whole && round % 2 == 1 { vec![&text] } else { text.lines().collect() };
            for record in records {
                let record = packed(round, &written(kind, record));
                let record = BaseRecord::<str, [u8]>::to(&topics[kind]).partition((round % 2) as i32).payload(&record);
                producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
            }
        }
    }
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
}

#[test]
fn every_format_is_counted_as_another_language_counts_it_though_the_agent_is_killed() {
    let kafka = shared();
    let topics: BTreeMap<&str, String> = KINDS.iter().map(|(kind, ..)| (*kind, unique(kind))).collect();
    topics.values().for_each(|topic| kafka.create_topic(topic, 2, &[]));
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topics));
    agent.wait_ready();
    let (mut wanted, letters) = recount();
    wanted.values_mut().for_each(|number| *number *= ROUNDS as f64);
    produce(kafka, &topics, 0..ROUNDS / 2);
    wait_until("something is counted", || !shown(&agent.scrape(), &wanted).is_empty());
    agent.kill9();
    produce(kafka, &topics, ROUNDS / 2..ROUNDS);
    agent.restart();
    agent.wait_ready();
    let wrong = |shown: &Numbers| -> Vec<String> {
        let keys = shown.keys().chain(wanted.keys());
        let differs = |key: &&(String, Vec<_>)| match (shown.get(*key), wanted.get(*key)) {
            (Some(shown), Some(wanted)) => (shown - wanted).abs() > 1e-6,
            _ => true,
        };
        let mut wrong: Vec<_> = keys
            .filter(differs)
            .map(|key| format!("{key:?}: {:?} for {:?}", shown.get(key), wanted.get(key)))
            .collect();
        wrong.sort();
        wrong.dedup();
        wrong
    };
    let counted = |numbers: &Numbers| numbers.values().sum::<f64>();
    let mut seen = (0.0, 0);
    wait_until("all is counted", || {
        let shown = shown(&agent.scrape(), &wanted);
        let sum = counted(&shown);
        // Numbers that stand still and are wrong stay wrong.
        seen = if sum == seen.0 { (sum, seen.1 + 1) } else { (sum, 0) };
        assert!(seen.1 < 200 || wrong(&shown).is_empty(), "{:#?}\n{}", wrong(&shown), agent.log());
        wrong(&shown).is_empty()
    });
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = format!("{}{}", String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert!(audit.status.success(), "{text}");

    for (kind, topic) in &topics {
        let found = kafka.read(&format!("{topic}-dlq"));
        let expected = letters.get(*kind).copied().unwrap_or(0.0) * ROUNDS as f64;
        assert_eq!(found.len() as f64, expected, "letters of {kind}");
    }
    let page = agent.scrape();
    let of = |name: &str, label: &str, value: &str| -> f64 {
        let samples = parse_page(&page).expect("a sound page");
        let named = samples
            .iter()
            .filter(|sample| sample.name == name && sample.labels.iter().any(|(l, v)| l == label && v == value));
        named.map(|sample| sample.value).sum()
    };
    assert!(of("streamgauge_unparsed_fields_total", "field", "message") > 0.0, "{page}");
    assert!(of("streamgauge_passed_by_events_total", "reason", "comment") > 0.0, "{page}");
    assert!(of("streamgauge_passed_by_events_total", "reason", "no_events") > 0.0, "{page}");
    // A letter about one of a record's events says which one, and holds nothing else.
    let letters = kafka.read(&format!("{}-dlq", topics["records"]));
    let lost = letters.iter().find(|letter| {
        letter.value.as_deref().is_some_and(|payload| String::from_utf8_lossy(payload).contains("lost"))
    });
    let lost = lost.expect("the letter of the event without a time");
    let payload: Value = serde_json::from_slice(
        &String::from_utf8_lossy(lost.value.as_deref().unwrap()).replace("NaN", "0").into_bytes(),
    )
    .unwrap();
    assert_eq!(payload["Records"].as_array().map(Vec::len), Some(1), "{payload}");
    assert_eq!((&payload["account"], &payload["Records"][0]["eventName"]), (&Value::from("b"), &Value::from("lost")));
    assert!(lost.headers.iter().any(|(name, _)| name == "streamgauge.event"), "{:?}", lost.headers);
}
