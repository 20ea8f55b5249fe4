//! One aggregate of two sources that are written in different formats, on a real Kafka: their partitions are summed like
//! those of one, over two agents and a kill, and equal the audit's recount and one that is made here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::calls::answer;
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::scene::{number, unix_millis};

const MINUTE: i64 = 60_000;
const PARTITIONS: i32 = 2;
/// Of each source.
const EVENTS: i64 = 1_200;

fn config(name: &str, more: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{name}\n  session_timeout: 6s\n\
         sources:\n  web:\n    topics: [{name}-web]\n    format: combined\n  \
         api:\n    topics: [{name}-api]\n    timestamp: {{ field: at, format: unix_ms }}\n    \
         fields: {{ path: request.url, status: response.code, size: response.bytes, host: client }}\n\
         aggregates:\n  http:\n    sources: [web, api]\n    by: {{ path: path }}\n    windows: [1m]\n    grace: 10s\n    \
         retention: 3h\n    idle_timeout: 2s\n    measures:\n      \
         requests: count\n      \
         errors: {{ count: {{ where: {{ status: {{ gte: 500 }} }} }} }}\n      \
         sent: {{ histogram: size, unit: bytes }}\n      \
         callers: {{ distinct: host }}\n      \
         busiest: {{ top: {{ of: host, k: 3, label: host }} }}\n  \
         calls:\n    source: api\n    windows: [1m]\n    idle_timeout: 2s\n    measures: {{ events: count }}\n{more}"
    )
}

/// A request, to either of them.
struct Request {
    at: i64,
    path: String,
    status: u32,
    size: i64,
    host: String,
}

/// Always the same ones: ten minutes of event time, in whole seconds, as access logs have them.
fn requests(start: i64, of: i64) -> Vec<Request> {
    let request = |n: i64| Request {
        at: start + n * 10 * MINUTE / EVENTS / 1_000 * 1_000,
        path: format!("/p{}", (n * 7 + of) % 3),
        status: if n % (11 + of) == 0 { 503 } else { 200 },
        size: n % 1_000 + of,
        host: format!("10.0.{of}.{}", n % (40 + of)),
    };
    (0..EVENTS).map(request).collect()
}

fn access_line(request: &Request) -> String {
    let Request { at, path, status, size, host } = request;
    let at = jiff::Timestamp::from_millisecond(*at).expect("a time").strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    format!("{host} - - [{at}] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"curl/8\"")
}

fn call(request: &Request) -> String {
    let Request { at, path, status, size, host } = request;
    let response = json!({ "code": status, "bytes": size });
    json!({ "at": at, "client": host, "request": { "url": path }, "response": response }).to_string()
}

fn produce(kafka: &Kafka, topic: &str, requests: &[Request], text: fn(&Request) -> String) {
    for partition in 0..PARTITIONS {
        let own = requests.iter().enumerate().filter(|(n, _)| *n as i32 % PARTITIONS == partition);
        let texts: Vec<String> = own.map(|(_, request)| text(request)).collect();
        kafka.produce(topic, partition, texts.iter().map(|text| ("", text.as_str())));
    }
}

/// Requests, errors and bytes.
type ByPath = BTreeMap<String, (u64, u64, i64)>;

/// Those of some requests.
fn truth<'a>(all: impl Iterator<Item = &'a Request>) -> ByPath {
    let mut found: ByPath = BTreeMap::new();
    for request in all {
        let of = found.entry(request.path.clone()).or_default();
        *of = (of.0 + 1, of.1 + u64::from(request.status >= 500), of.2 + request.size);
    }
    found
}

/// The same of an answer's rows, by the windows' beginnings ("" for totals).
fn answered(agent: &Agent, more: &Value) -> Option<BTreeMap<String, ByPath>> {
    let mut request = json!({ "aggregate": "http" });
    request.as_object_mut()?.extend(more.as_object()?.clone());
    let answer = answer(agent, "QueryService/Query", &request);
    if answer["missing"].as_array().is_some_and(|missing| !missing.is_empty()) {
        return None;
    }
    let mut windows: BTreeMap<String, ByPath> = BTreeMap::new();
    for row in answer["rows"].as_array()? {
        let start = row["windowStart"].as_str().unwrap_or_default().to_owned();
        let values = row["values"].as_array()?;
        let count = |at: usize| values[at]["count"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        let sum = values[2]["sum"].as_f64().unwrap_or_default() as i64;
        let path = row["labels"]["path"].as_str()?.to_owned();
        windows.entry(start).or_default().insert(path, (count(0), count(1), sum));
    }
    Some(windows)
}

fn counted(agents: &[&Agent]) -> f64 {
    agents.iter().map(|agent| number(&agent.scrape(), "http_requests_total", &[])).sum()
}

#[test]
fn two_sources_count_as_one_over_two_agents_and_a_kill() {
    let (kafka, name) = (shared(), unique("several"));
    let topics = ["web", "api"].map(|source| format!("{name}-{source}"));
    topics.iter().for_each(|topic| kafka.create_topic(topic, PARTITIONS, &[]));
    let start = (unix_millis() - 30 * MINUTE) / MINUTE * MINUTE;
    let (web, api) = (requests(start, 0), requests(start, 1));
    let half = EVENTS as usize / 2;
    let mut first = Agent::start(kafka.bootstrap(), &config(&name, ""));
    first.wait_ready();
    let mut second = Agent::start(kafka.bootstrap(), &config(&name, ""));
    second.wait_ready();
    produce(kafka, &topics[0], &web[..half], access_line);
    produce(kafka, &topics[1], &api[..half], call);
    wait_until("both count", || number(&second.scrape(), "http_requests_total", &[]) > 0.0 && counted(&[&first]) > 0.0);
    second.kill9();
    second.restart();
    second.wait_ready();
    produce(kafka, &topics[0], &web[half..], access_line);
    produce(kafka, &topics[1], &api[half..], call);
    wait_until("all is counted", || counted(&[&first, &second]) == 2.0 * EVENTS as f64);

    let all = || web.iter().chain(&api);
    let mut by_minute: BTreeMap<String, Vec<&Request>> = BTreeMap::new();
    for request in all() {
        let minute = jiff::Timestamp::from_millisecond(request.at / MINUTE * MINUTE).expect("a time");
        by_minute.entry(minute.to_string()).or_default().push(request);
    }
    let windows = json!({ "window": "60s", "lastN": 20, "closedOnly": true });
    let minutes: BTreeMap<_, _> =
        by_minute.iter().map(|(minute, of)| (minute.clone(), truth(of.iter().copied()))).collect();
    assert_eq!(minutes.len(), 10);
    for agent in [&first, &second] {
        wait_until("all can be asked", || answered(agent, &json!({})).is_some());
        assert_eq!(answered(agent, &json!({})), Some([(String::new(), truth(all()))].into()));
        wait_until("all windows are closed", || answered(agent, &windows).is_some_and(|found| found.len() == 10));
        assert_eq!(answered(agent, &windows), Some(minutes.clone()));
        let wall = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
        let text = String::from_utf8_lossy(&wall.stdout).into_owned();
        assert!(wall.status.success(), "{text}{}", String::from_utf8_lossy(&wall.stderr));
        for line in ["http, windows of 1m: 30 rows in 10 closed windows", "http, totals: 3 rows from 2,400 events"] {
            assert!(text.lines().any(|found| found.contains(line) && found.ends_with(": the same")), "{line}: {text}");
        }
    }
    // The group shows each window once, whichever source its parts are of.
    let last = truth(by_minute.values().last().expect("one").iter().copied());
    let requests: u64 = last.values().map(|(requests, ..)| requests).sum();
    wait_until("the last window is shown", || {
        let shown = |agent: &Agent| number(&agent.scrape(), "http_window_requests", &[("window", "1m")]);
        shown(&first) + shown(&second) == requests as f64
    });
    let shown = |agent: &Agent| number(&agent.scrape(), "http_window_complete", &[]);
    assert_eq!(shown(&first) + shown(&second), 1.0);
    let callers =
        answer(&first, "QueryService/Query", &json!({ "aggregate": "http", "groupBy": {}, "measures": ["callers"] }));
    assert_eq!(callers["rows"][0]["values"][0]["value"].as_f64(), Some(81.0), "40 and 41 of them: {callers}");
    let listed = answer(&first, "QueryService/ListAggregates", &json!({}));
    let aggregates = listed["aggregates"].as_array().expect("aggregates");
    let http = aggregates.iter().find(|aggregate| aggregate["name"] == "http").expect("it is listed");
    assert_eq!((&http["sources"], &http["topics"]), (&json!(["web", "api"]), &json!(topics)), "{http}");
}

#[test]
fn merged_totals_are_those_of_both_sources_and_never_go_back() {
    let (kafka, name) = (shared(), unique("merged"));
    let topics = ["web", "api"].map(|source| format!("{name}-{source}"));
    topics.iter().for_each(|topic| kafka.create_topic(topic, PARTITIONS, &[]));
    let start = (unix_millis() - 30 * MINUTE) / MINUTE * MINUTE;
    let (web, api) = (requests(start, 0), requests(start, 1));
    let more = "  all:\n    sources: [web, api]\n    publish: merged\n    measures: { events: count }\n\
                state:\n  dir: ${STATE_DIR}\n  global_view: true\n";
    let mut agents = [(); 2].map(|()| Agent::start(kafka.bootstrap(), &config(&name, more)));
    agents.iter_mut().for_each(Agent::wait_ready);
    produce(kafka, &topics[0], &web, access_line);
    let shown =
        |agents: &[Agent]| agents.iter().map(|agent| number(&agent.scrape(), "all_events_total", &[])).sum::<f64>();
    wait_until("one source is counted", || shown(&agents) == EVENTS as f64);
    produce(kafka, &topics[1], &api, call);
    wait_until("both are", || {
        let now = shown(&agents);
        assert!(now == 0.0 || now >= EVENTS as f64, "it went back to {now}");
        now == 2.0 * EVENTS as f64
    });
    // Whichever of the two published, the other one goes on from there.
    let publishes = |agent: &Agent| number(&agent.scrape(), "all_events_total", &[]) > 0.0;
    let at = agents.iter().position(publishes).expect("one of them");
    agents[at].kill9();
    wait_until("the other one shows all", || {
        number(&agents[1 - at].scrape(), "all_events_total", &[]) == 2.0 * EVENTS as f64
    });
}
