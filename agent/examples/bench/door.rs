//! The front door: an empty handler on its stack to compare with, and batches over gRPC, which load generators for HTTP do not
//! speak.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use streamgauge::server::{Caller, Door, Protocol};
use streamgauge_proto::v1::ingest_service_client::IngestServiceClient;
use streamgauge_proto::v1::{IngestStreamRequest, LogEvent, LogLevel};
use tokio_stream::StreamExt;

/// What the handler answers, as long as the front door's answer to one event.
const ACCEPTED: &str =
    r#"{"eventId":"00000000-0000-4000-8000-000000000000","status":"Accepted","timestamp":"2026-01-01T00:00:00.000Z"}"#;
/// Calls that are under way on each connection.
const UNDER_WAY: usize = 4;

/// Reads each body and answers 202, until it is killed.
pub fn empty(address: &str) {
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let door = Door::open(listener, Protocol::Ingest).unwrap();
        let handler = async |_: Bytes| (StatusCode::ACCEPTED, [("content-type", "application/json")], ACCEPTED);
        let router = axum::Router::new().route("/api/logs", post(handler));
        let service = router.into_make_service_with_connect_info::<Caller>();
        axum::serve(door.connections().unwrap(), service).await.unwrap();
    });
}

/// Batches as fast as they are accepted, over so many connections; prints how many events were accepted, and their rate.
pub fn send(way: &str, address: &str, seconds: u64, connections: u64, batch: u64) {
    let (begun, ends) = (Instant::now(), Instant::now() + Duration::from_secs(seconds));
    let accepted = AtomicU64::new(0);
    runtime().block_on(async {
        let all = (0..connections).map(async |connection| match way {
            "stream" => stream(address, ends, connection, batch, &accepted).await,
            "otlp" => {
                let calls = (0..UNDER_WAY).map(|_| otlp(address, ends, connection, batch, &accepted));
                futures(calls).await;
            }
            other => panic!("{other} is neither stream nor otlp"),
        });
        futures(all).await;
    });
    let events = accepted.load(Ordering::Relaxed);
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    println!("{{\"name\": \"{way}\", \"events\": {events}, \"events_per_second\": {rate:.0}}}");
}

async fn stream(address: &str, ends: Instant, connection: u64, batch: u64, accepted: &AtomicU64) {
    let mut client = IngestServiceClient::connect(format!("http://{address}")).await.unwrap();
    let event = |number| LogEvent {
        source: format!("app-{connection}"),
        level: LogLevel::Info.into(),
        message: message(number),
        ..LogEvent::default()
    };
    let request = IngestStreamRequest { events: (0..batch).map(event).collect() };
    let requests = tokio_stream::iter(std::iter::repeat(request)).take_while(move |_| Instant::now() < ends);
    let mut answers = client.ingest_stream(requests).await.unwrap().into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        // Without room in the buffer, some may be sent again.
        assert!(answer.errors.iter().all(|error| error.retry), "{:?}", answer.errors);
        accepted.fetch_add(u64::from(answer.accepted), Ordering::Relaxed);
    }
}

async fn otlp(address: &str, ends: Instant, connection: u64, batch: u64, accepted: &AtomicU64) {
    let mut client = LogsServiceClient::connect(format!("http://{address}")).await.unwrap();
    let text = |text: String| Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
    let record = |number| LogRecord { severity_number: 9, body: text(message(number)), ..LogRecord::default() };
    let name = KeyValue { key: "service.name".into(), value: text(format!("app-{connection}")), ..KeyValue::default() };
    let scope_logs = ScopeLogs { log_records: (0..batch).map(record).collect(), ..ScopeLogs::default() };
    let resource = Resource { attributes: vec![name], ..Resource::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope_logs], ..ResourceLogs::default() };
    let request = ExportLogsServiceRequest { resource_logs: vec![logs] };
    while Instant::now() < ends {
        match client.export(request.clone()).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().partial_success, None);
                accepted.fetch_add(batch, Ordering::Relaxed);
            }
            Err(full) => assert_eq!(full.code(), tonic::Code::Unavailable, "{full}"),
        }
    }
}

/// Of the length that `bench/ingest` gives the events that it sends over HTTP.
fn message(number: u64) -> String {
    format!("GET /api/items/{number:06} answered 200 in 12 ms for user 000123 of tenant 42, cache hit, 1532 bytes")
}

/// Waits for all of them at once.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
