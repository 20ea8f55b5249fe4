//! The server over a real socket.

use super::{HttpState, Live, serve};
use crate::api::{Api, Watches};
use crate::config::Histograms;
use crate::publish::Publisher;
use crate::query::Readiness;
use crate::query::testing::{Agent, T0, event};
use crate::recent::Recent;
use crate::server::{Door, Protocol};
use crate::telemetry::Metrics;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use streamgauge_proto::v1 as pb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Fixed;

impl super::Control for Fixed {
    fn config(&self) -> String {
        "workers: 1\n".into()
    }

    fn reload(&self) -> Result<String, String> {
        Err("line 3 is wrong".into())
    }
}

pub async fn get(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    String::from_utf8(get_bytes(address, path, &format!("Accept: {accept}\r\n")).await).unwrap()
}

async fn get_bytes(address: std::net::SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (verb, path) = path.split_once(' ').unwrap_or(("GET", path));
    // HTTP/1.0: the body comes as it is, not in chunks.
    let request = format!("{verb} {path} HTTP/1.0\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

pub fn state(agent: &Agent, readiness: Readiness) -> HttpState {
    let publisher = Arc::new(Publisher::alone(agent.reader.clone()));
    let metrics = Arc::new(Metrics::new());
    let api = Api {
        group: publisher.group.clone(),
        metrics: metrics.clone(),
        readiness,
        notes: Arc::new(Vec::new),
        recent: Recent::of_nothing(),
        ingest: None,
    };
    let watches = Arc::new(Watches::new(api.clone(), 10));
    HttpState {
        live: Arc::new(Live::new(api.clone(), watches.clone())),
        watches,
        api,
        publisher,
        metrics,
        control: Arc::new(Fixed),
        cluster: Default::default(),
        cors_origins: vec!["https://dash.example.com".into()],
        histograms: Histograms::Both,
        created_series: true,
    }
}

#[tokio::test]
async fn pages_are_served_until_the_shutdown() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_ready = Arc::new(AtomicBool::new(false));
    let flag = is_ready.clone();
    let state = HttpState {
        control: Arc::new(Fixed),
        ..state(
            &agent,
            Arc::new(move || {
                if flag.load(Ordering::Relaxed) { Vec::new() } else { vec!["no assignment yet".into(), "b".into()] }
            }),
        )
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(Door::open(listener, Protocol::Http).unwrap(), state, async move {
        let _ = stopped.await;
    }));

    let page = get(address, "/metrics", "*/*").await;
    assert!(page.contains("text/plain; version=0.0.4") && page.contains("\nhttp_requests_total{"), "{page}");
    let page = get(address, "/metrics", "application/openmetrics-text").await;
    assert!(page.contains("application/openmetrics-text") && page.contains("# EOF"), "{page}");
    let plain = "Accept: application/openmetrics-text\r\n";
    let zipped = get_bytes(address, "/metrics", &format!("{plain}Accept-Encoding: gzip\r\n")).await;
    let body = zipped.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&zipped[..body]).contains("content-encoding: gzip"));
    let mut unzipped = String::new();
    flate2::read::GzDecoder::new(&zipped[body..]).read_to_string(&mut unzipped).unwrap();
    assert!(unzipped.starts_with("# HELP http_requests ") && unzipped.ends_with("# EOF\n"), "{unzipped}");
    let protobuf =
        "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
    let answer = get_bytes(address, "/metrics", protobuf).await;
    assert!(String::from_utf8_lossy(&answer).contains("encoding=delimited"), "the content type");
    let page = get(address, "/-/ready", "*/*").await;
    assert!(page.starts_with("HTTP/1.0 503") && page.ends_with("\r\n\r\nno assignment yet\nb\n"), "{page}");
    assert!(get(address, "/-/healthy", "*/*").await.starts_with("HTTP/1.0 200"), "it lives although it is not ready");
    is_ready.store(true, Ordering::Relaxed);
    assert!(get(address, "/-/ready", "*/*").await.starts_with("HTTP/1.0 200"));
    assert!(get(address, "/-/config", "*/*").await.ends_with("workers: 1\n"));
    let page = get(address, "POST /-/reload", "*/*").await;
    assert!(page.starts_with("HTTP/1.0 422") && page.ends_with("\r\n\r\nline 3 is wrong\n"), "{page}");
    assert!(get(address, "/-/reload", "*/*").await.starts_with("HTTP/1.0 405"));
    assert!(get(address, "/", "*/*").await.contains("href=\"/metrics\""));
    assert!(get(address, "/nothing", "*/*").await.starts_with("HTTP/1.0 404"));

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// A server on a free port, with a door that may have a lock.
pub async fn serving(state: HttpState) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(Door::open(listener, Protocol::Http).unwrap(), state, std::future::pending()));
    address
}

/// Status and JSON of an answer, which is one line.
fn parsed(answer: &str) -> (u16, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(body.ends_with('\n') && body.lines().count() == 1, "{body}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_query_in_a_url_is_answered_as_the_service_answers_it() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200), event(T0, "/b", 500), event(T0 + 1, "/b", 404)], 0);
    let state = state(&agent, Arc::new(Vec::new));
    let api = state.api.clone();
    let address = serving(state).await;

    let path = "/api/v1/query/http?last=5m&by=endpoint&order=-errors&limit=1&measure=errors&where=endpoint=~/.*";
    let (status, answer) = parsed(&get(address, path, "*/*").await);
    assert_eq!((status, answer["rows"].as_array().map(Vec::len)), (200, Some(1)), "{answer}");
    let row = &answer["rows"][0];
    assert_eq!((&row["labels"]["endpoint"], &row["values"][0]["count"]), (&"/b".into(), &"2".into()));
    let request = pb::QueryRequest {
        aggregate: "http".into(),
        matchers: vec![pb::LabelMatcher { label: "endpoint".into(), op: 2, value: "/.*".into() }],
        time: Some(pb::query_request::Time::Last(streamgauge_proto::types::Duration { seconds: 300, nanos: 0 })),
        group_by: Some(pb::GroupBy { labels: vec!["endpoint".into()] }),
        order_by: Some(pb::OrderBy { measure: "errors".into(), ..Default::default() }),
        limit: 1,
        measures: vec!["errors".into()],
        ..Default::default()
    };
    let same = crate::api::json("QueryResponse", &api.query(request).await.unwrap()).unwrap();
    assert_eq!(answer, serde_json::from_str::<serde_json::Value>(&same).unwrap());

    let (status, answer) = parsed(&get(address, "/api/v1/aggregates", "*/*").await);
    assert_eq!((status, &answer["aggregates"][0]["name"]), (200, &"http".into()));
    let (status, answer) = parsed(&get(address, "/api/v1/status", "*/*").await);
    assert_eq!((status, &answer["ready"]), (200, &true.into()));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_one_line_of_json() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200), event(T0, "/b", 500)], 0);
    Arc::get_mut(&mut agent.reader).unwrap().max_cells = 1;
    let address = serving(state(&agent, Arc::new(Vec::new))).await;
    for (path, status, code, words) in [
        ("/api/v1/query/nothing", 404, "not_found", "no aggregate `nothing`; there are: http"),
        ("/api/v1/query/http?windw=5m", 400, "invalid_argument", "there is no parameter `windw`"),
        ("/api/v1/query/http?window=7s", 400, "invalid_argument", "not a multiple of the pane"),
        ("/api/v1/query/http?where=x=y", 400, "invalid_argument", "has no label `x`"),
        ("/api/v1/query/http", 422, "resource_exhausted", "limits.query_cells"),
        ("/api/v1/status?x=y", 400, "invalid_argument", "there is no parameter `x`"),
        ("/api/v2/query", 404, "not_found", "/api/v1/openapi.json"),
        ("POST /api/v1/query/http", 405, "method_not_allowed", "GET"),
    ] {
        let (found, answer) = parsed(&get(address, path, "*/*").await);
        assert_eq!((found, answer["code"].as_str()), (status, Some(code)), "{path}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(words), "{path}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_answers_and_no_others_may() {
    let agent = Agent::new(1, 1);
    let address = serving(state(&agent, Arc::new(Vec::new))).await;
    let ask = async |path: &str, origin: &str, more: &str| {
        let answer = get_bytes(address, path, &format!("Origin: {origin}\r\n{more}")).await;
        String::from_utf8(answer).unwrap().to_lowercase()
    };
    let allowed = "access-control-allow-origin: https://dash.example.com\r\n";
    assert!(ask("/api/v1/status", "https://dash.example.com", "").await.contains(allowed));
    assert!(!ask("/api/v1/status", "https://evil.example.com", "").await.contains("access-control-allow-origin"));
    assert!(!ask("/metrics", "https://dash.example.com", "").await.contains("access-control-allow-origin"));
    let preflight = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    let answer = ask("OPTIONS /api/v1/status", "https://dash.example.com", preflight).await;
    assert!(answer.starts_with("http/1.0 200") && answer.contains(allowed), "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization"), "{answer}");
}

/// A question with each parameter of a path that shows single events.
fn parameters_of(item: &serde_json::Value) -> String {
    let names = item["get"]["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query");
    let value = |name: &str| match name {
        "where" => "status%3E=500",
        "page_token" => "",
        "sample" => "0.5",
        _ => "5",
    };
    names
        .map(|p| p["name"].as_str().unwrap())
        .map(|name| format!("{name}={}", value(name)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The document and the service are held to each other: each path answers, and takes each of its parameters.
#[tokio::test]
async fn the_service_takes_what_the_openapi_document_names() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    let address = serving(state(&agent, Arc::new(Vec::new))).await;
    let (_, document) = parsed(&get(address, "/api/v1/openapi.json", "*/*").await);
    assert_eq!(document, crate::api::openapi());
    for (path, item) in document["paths"].as_object().unwrap() {
        let bare = path.replace("{aggregate}", "http");
        if path.contains("{source}") {
            // Single events come from Kafka, which is not here; that there is no such source is said after all else.
            let question = format!("{bare}?{}", parameters_of(item));
            let (status, answer) = parsed(&get(address, &question, "*/*").await);
            assert_eq!((status, answer["code"].as_str()), (404, Some("not_found")), "{path}: {answer}");
            continue;
        }
        let contents = &item["get"]["responses"]["200"]["content"];
        let (answer, schema) = if contents["text/event-stream"].is_object() {
            (first_event(address, &bare).await, &contents["text/event-stream"]["schema"])
        } else {
            let (status, answer) = parsed(&get(address, &bare, "*/*").await);
            assert_eq!(status, 200, "{path}: {answer}");
            (answer, &contents["application/json"]["schema"])
        };
        assert_fits(&answer, schema, &document, path);
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let (_, answer) = parsed(&get(address, &format!("{bare}?{name}=~"), "*/*").await);
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(!message.contains("there is no parameter"), "{path}: {message}");
        }
        let (status, answer) = parsed(&get(address, &format!("{bare}?no_such=1"), "*/*").await);
        assert!(status == 400 || path.ends_with("openapi.json"), "{path}: {answer}");
    }
}

/// Of a stream that does not end.
async fn first_event(address: std::net::SocketAddr, path: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, rest)) = text.split_once("\r\n\r\n")
            && rest.contains("\n\n")
        {
            assert!(head.contains("content-type: text/event-stream"), "{head}");
            let data = rest.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            return serde_json::from_str(data).unwrap();
        }
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), stream.read(&mut piece)).await;
        let read = read.expect("an event in time").unwrap();
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

/// As far as the document's schemas go: types, words of enumerations, and no property that is not named.
fn assert_fits(value: &serde_json::Value, schema: &serde_json::Value, document: &serde_json::Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/components/schemas/");
        return assert_fits(value, &document["components"]["schemas"][name], document, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
            for (name, field) in fields.iter().filter(|_| schema["properties"].is_object()) {
                let known =
                    schema["properties"].get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the document"));
                assert_fits(field, known, document, &format!("{at}.{name}"));
            }
        }
        Some("array") => {
            for item in value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no array")) {
                assert_fits(item, &schema["items"], document, at);
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("integer") => assert!(value.is_i64(), "{at}: {value}"),
        _ => {}
    }
}
