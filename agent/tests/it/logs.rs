//! Logs in the shapes that programs in wide use write, with what they leave out and put in quotes: one agent counts several
//! kinds, and each number equals a recount that shares nothing with it.

mod init;
mod kinds;
mod page;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::Value;

use crate::agent::Agent;
use crate::kafka::{shared, unique, wait_until};
use crate::oracle::{Sample, parse_page};

/// nginx with `escape=json`: every value is a string, and `-` is none.
const NGINX: [&str; 7] = [
    r#"{"msec":"1763657472.123","http_host":"shop.example","request_method":"GET","status":"200","request_time":"0.250","upstream_response_time":"0.249","bytes_sent":"1086"}"#,
    r#"{"msec":"1763657473.001","http_host":"shop.example","request_method":"GET","status":"503","request_time":"1.500","upstream_response_time":"-","bytes_sent":"12kB"}"#,
    r#"{"msec":"1763657473.900","http_host":"-","request_method":"POST","status":"404","request_time":"0.000","upstream_response_time":"-","bytes_sent":"0"}"#,
    r#"{"msec":"1763657474.100","http_host":"","request_method":"POST","status":"499","request_time":"60.125","upstream_response_time":"","bytes_sent":"1.5KiB"}"#,
    r#"{"msec":"1763657475.000","http_host":"api.example","request_method":"PUT","status":"502","request_time":"0.004","upstream_response_time":"0.001, 0.003","bytes_sent":"555"}"#,
    r#"{"msec":"1763657476.000","http_host":"api.example","request_method":null,"status":"-","request_time":"n/a"}"#,
    r#"{"http_host":"api.example","status":"500"}"#,
];

/// A sensor's events: each type has an object of its own.
const SENSOR: [&str; 7] = [
    r#"{"timestamp":"2026-11-20T10:00:00.123456-0400","event_type":"alert","alert":{"signature":"Odd port","severity":1},"proto":"TCP"}"#,
    r#"{"timestamp":"2026-11-20T10:00:01.000000-0400","event_type":"alert","alert":{"signature":"Old cipher","severity":3},"proto":"UDP"}"#,
    r#"{"timestamp":"2026-11-20T10:00:02.5-0400","event_type":"alert","alert":{"severity":2},"proto":"TCP"}"#,
    r#"{"timestamp":"2026-11-20T10:00:03Z","event_type":"flow","flow":{"bytes":1200},"proto":"TCP"}"#,
    r#"{"timestamp":"2026-11-20T10:00:04Z","event_type":"flow","flow":{"bytes":-5},"proto":"TCP"}"#,
    r#"{"timestamp":"2026-11-20T10:00:05Z","event_type":"stats","uptime":9}"#,
    r#"{"event_type":"heartbeat"}"#,
];

/// A store's warnings: durations as Go writes them, and ids beyond 64 bits.
const STORE: [&str; 6] = [
    r#"{"level":"warn","ts":"2026-11-20T10:00:00.1Z","took":"231.023586ms","id":18446744073709551615}"#,
    r#"{"level":"warn","ts":"2026-11-20T10:00:01.1Z","took":"1.263337456s","id":18446744073709551614}"#,
    r#"{"level":"warn","ts":"2026-11-20T10:00:02.1Z","took":"1m2.5s","id":7}"#,
    r#"{"level":"info","ts":"2026-11-20T10:00:03.1Z","logger":"raft","id":"7"}"#,
    r#"{"level":"warn","ts":"2026-11-20T10:00:04.1Z","took":"PT1.5S","id":[7]}"#,
    r#"{"level":"warn","ts":"2026-11-20T10:00:05.1Z","took":"1,5s","id":null}"#,
];

/// An audit log: the latency is the time between two of its fields.
const AUDIT: [&str; 4] = [
    r#"{"verb":"get","object":{"resource":"pods"},"received":"2026-11-20T10:00:00.000100Z","done":"2026-11-20T10:00:00.004350Z"}"#,
    r#"{"verb":"list","object":{"resource":"pods"},"received":"2026-11-20T10:00:01Z","done":"2026-11-20T10:00:01.5Z"}"#,
    r#"{"verb":"get","received":"2026-11-20T10:00:02Z","done":"2026-11-20T10:00:02.000001Z"}"#,
    r#"{"verb":"get","object":{"resource":""},"received":"2026-11-20T10:00:03Z"}"#,
];

const ROUNDS: usize = 50;

fn config(topics: &[String]) -> String {
    format!(
        r#"
kafka:
  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}
  group_id: {group}
state:
  dir: ${{STATE_DIR}}
http:
  listen: ${{HTTP_LISTEN}}
grpc:
  listen: ${{GRPC_LISTEN}}
sources:
  nginx: {{ topics: [{nginx}], timestamp: {{ field: msec, format: unix_s }}, max_future: 3650d, dead_letters: {{ topic: {letters}, payload: truncated }} }}
  sensor: {{ topics: [{sensor}], timestamp: {{ field: timestamp, format: rfc3339 }}, max_future: 3650d, where: {{ not: {{ event_type: heartbeat }} }} }}
  store: {{ topics: [{store}], timestamp: {{ field: ts, format: rfc3339 }}, max_future: 3650d, dead_letters: {{ enabled: false }} }}
  audit: {{ topics: [{audit}], timestamp: {{ field: received, format: rfc3339 }}, max_future: 3650d }}
aggregates:
  nginx:
    source: nginx
    by: {{ host: http_host, method: request_method, status: status }}
    measures:
      requests: count
      errors: {{ count: {{ where: {{ status: {{ gte: 500 }} }} }} }}
      time: {{ sum: request_time, unit: s }}
      upstream: {{ avg: upstream_response_time, unit: s }}
      sent: {{ sum: bytes_sent, unit: bytes }}
  sensor_types: {{ source: sensor, by: {{ type: event_type, proto: {{ field: proto, default: none }} }}, measures: {{ events: count, traffic: {{ sum: flow.bytes, unit: bytes }} }} }}
  sensor_alerts:
    source: sensor
    where: {{ event_type: alert }}
    by: {{ signature: {{ field: alert.signature, required: true }} }}
    measures: {{ alerts: count }}
  store:
    source: store
    where: {{ any: [ {{ level: {{ prefix: warn }} }}, {{ logger: {{ exists: true }} }} ] }}
    by: {{ id: id }}
    measures: {{ lines: count, took: {{ sum: took, unit: ms }} }}
  audit:
    source: audit
    by: {{ verb: verb, resource: {{ field: object.resource, default: none }} }}
    measures: {{ requests: count, latency: {{ sum: {{ from: received, to: done }} }} }}
"#,
        group = format_args!("group-of-{}", topics[0]),
        nginx = topics[0],
        sensor = topics[1],
        store = topics[2],
        audit = topics[3],
        letters = format_args!("{}-letters", topics[0]),
    )
}

type Numbers = BTreeMap<(String, Vec<(String, String)>), f64>;

/// Adds to a series; a label that is empty is none.
fn add(numbers: &mut Numbers, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(l, v)| ((*l).to_owned(), (*v).to_owned()));
    *numbers.entry((name.to_owned(), labels.collect())).or_default() += value;
}

/// What the lines come to, read off by a rule for each kind.
fn recount() -> Numbers {
    let mut numbers = Numbers::new();
    let text = |json: &Value| json.as_str().unwrap_or_default().to_owned();
    let parse = |line: &&str| serde_json::from_str::<Value>(line).expect("JSON");
    for line in NGINX.iter().map(parse).filter(|line| line["msec"].is_string()) {
        let (host, method, status) = (text(&line["http_host"]), text(&line["request_method"]), text(&line["status"]));
        let labels = [("host", &*host), ("method", &*method), ("status", &*status)];
        add(&mut numbers, "nginx_requests_total", &labels, 1.0);
        let error = status.parse().is_ok_and(|status: i32| status >= 500);
        add(&mut numbers, "nginx_errors_total", &labels, f64::from(u8::from(error)));
        add(&mut numbers, "nginx_time_seconds_total", &labels, text(&line["request_time"]).parse().unwrap_or(0.0));
        let upstream = text(&line["upstream_response_time"]).parse::<f64>();
        add(&mut numbers, "nginx_upstream_seconds_count", &labels, f64::from(u8::from(upstream.is_ok())));
        add(&mut numbers, "nginx_upstream_seconds_sum", &labels, upstream.unwrap_or(0.0));
        let sent = match text(&line["bytes_sent"]).as_str() {
            "12kB" => 12_000.0,
            "1.5KiB" => 1_536.0,
            plain => plain.parse().unwrap_or(0.0),
        };
        add(&mut numbers, "nginx_sent_bytes_total", &labels, sent);
    }
    for line in SENSOR.iter().map(parse).filter(|line| line["event_type"] != "heartbeat") {
        let (kind, proto) = (text(&line["event_type"]), line["proto"].as_str().unwrap_or("none"));
        add(&mut numbers, "sensor_types_events_total", &[("proto", proto), ("type", &kind)], 1.0);
        let bytes = line["flow"]["bytes"].as_f64().filter(|bytes| *bytes >= 0.0).unwrap_or(0.0);
        add(&mut numbers, "sensor_types_traffic_bytes_total", &[("proto", proto), ("type", &kind)], bytes);
        if let Some(signature) = line["alert"]["signature"].as_str() {
            add(&mut numbers, "sensor_alerts_alerts_total", &[("signature", signature)], 1.0);
        }
    }
    let ids = ["18446744073709551615", "18446744073709551614", "7", "7", "", ""];
    let took = [0.231_023_586, 1.263_337_456, 62.5, 0.0, 1.5, 0.0];
    for (id, took) in ids.into_iter().zip(took) {
        add(&mut numbers, "store_lines_total", &[("id", id)], 1.0);
        add(&mut numbers, "store_took_seconds_total", &[("id", id)], took);
    }
    let latencies =
        [("get", "pods", 0.004_25), ("list", "pods", 0.5), ("get", "none", 0.000_001), ("get", "none", 0.0)];
    for (verb, resource, latency) in latencies {
        let labels = [("resource", resource), ("verb", verb)];
        add(&mut numbers, "audit_requests_total", &labels, 1.0);
        add(&mut numbers, "audit_latency_seconds_total", &labels, latency);
    }
    numbers.values_mut().for_each(|number| *number *= ROUNDS as f64);
    numbers
}

/// The same series of a page, all partitions together.
fn shown(page: &str, wanted: &Numbers) -> Numbers {
    let mut numbers = Numbers::new();
    for Sample { name, labels, value, .. } in parse_page(page).expect("a sound page") {
        if wanted.keys().any(|(known, _)| *known == name) {
            let own = labels.iter().filter(|(label, _)| !["topic", "partition", "instance"].contains(&label.as_str()));
            let own: Vec<_> = own.map(|(label, value)| (label.as_str(), value.as_str())).collect();
            add(&mut numbers, &name, &own, value);
        }
    }
    numbers
}

#[test]
fn logs_as_people_have_them_are_counted_wherever_they_can_be() {
    let kafka = shared();
    let topics: Vec<String> = ["nginx", "sensor", "store", "audit"].into_iter().map(unique).collect();
    topics.iter().for_each(|topic| kafka.create_topic(topic, 2, &[]));
    let producer = kafka.producer();
    let kinds: [&[&str]; 4] = [&NGINX, &SENSOR, &STORE, &AUDIT];
    for (topic, lines) in topics.iter().zip(kinds) {
        for round in 0..ROUNDS {
            for line in lines {
                let record = BaseRecord::<str, str>::to(topic).partition((round % 2) as i32).payload(line);
                producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
            }
        }
        let tombstone = BaseRecord::<str, str>::to(topic).partition(0).key("k");
        producer.send(tombstone).map_err(|(error, _)| error).expect("there is room in the queue");
    }
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topics));
    agent.wait_ready();
    let wanted = recount();
    let close = |shown: &Numbers| {
        shown.len() == wanted.len()
            && wanted.iter().all(|(key, value)| shown.get(key).is_some_and(|found| (found - value).abs() < 1e-6))
    };
    let counts = |numbers: &Numbers| {
        numbers.iter().filter(|((name, _), _)| name.contains("requests")).map(|(_, n)| *n).sum::<f64>()
    };
    wait_until("all is counted", || {
        counts(&shown(&agent.scrape(), &wanted)) >= counts(&wanted) && close(&shown(&agent.scrape(), &wanted))
    });
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = format!("{}{}", String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert!(audit.status.success(), "{text}");
    let letters = kafka.read(&format!("{}-letters", topics[0]));
    assert_eq!(letters.len(), ROUNDS, "the lines without a time, and no others");
}

#[test]
fn a_condition_that_never_holds_is_a_hint_in_the_log_once() {
    let kafka = shared();
    let topic = unique("never-holds");
    kafka.create_topic(&topic, 2, &[]);
    let mut agent = Agent::start(
        kafka.bootstrap(),
        &format!(
            "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\nworkers: 2\n\
             sources:\n  s: {{ topics: [{topic}], timestamp: {{ from: kafka }} }}\n\
             aggregates:\n  a: {{ source: s, measures: {{ requests: count, errors: {{ count: {{ where: {{ status: {{ gte: 500 }} }} }} }} }} }}\n"
        ),
    );
    agent.wait_ready();
    // Many events in a record.
    let record = "{\"status\": \"5xx\"}\n".repeat(1_000);
    let mut sent = 0.0;
    let mut events = |records: usize| {
        (0..2).for_each(|partition| kafka.produce(&topic, partition, (0..records).map(|_| ("k", record.as_str()))));
        sent += 2_000.0 * records as f64;
        sent
    };
    let hints = |agent: &Agent| {
        agent.log().lines().filter(|line| line.contains("has held for none of the first 100000 events")).count()
    };
    let counted = |agent: &Agent| {
        let of = |sample: &&Sample| sample.name == "a_requests_total";
        parse_page(&agent.scrape()).expect("a sound page").iter().filter(of).map(|sample| sample.value).sum::<f64>()
    };
    let few = events(20);
    wait_until("some are counted", || counted(&agent) == few);
    assert_eq!(hints(&agent), 0, "{}", agent.log());
    let many = events(120);
    wait_until("all are counted", || counted(&agent) == many);
    wait_until("the hint is given", || hints(&agent) > 0);
    let more = events(120);
    wait_until("more are counted", || counted(&agent) == more);
    assert!(agent.terminate().success());
    assert_eq!(hints(&agent), 1, "{}", agent.log());
    let hint = agent.log().lines().find(|line| line.contains("has held for none")).unwrap_or_default().to_owned();
    assert!(hint.contains("status: { gte: 500 }") && hint.contains("5xx"), "{hint}");
}
