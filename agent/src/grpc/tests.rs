//! The services over a real socket, as a client sees them.

use super::{GrpcState, serve};
use crate::api::{Api, Watches};
use crate::config::Kafka;
use crate::env::Environment;
use crate::kafka::Settings;
use crate::loadtest::{LoadTests, Sources};
use crate::query::testing::{Agent, MINUTE, T0, event};
use crate::query::{GroupReader, Readiness};
use crate::recent::Recent;
use crate::server::{Door, Protocol};
use crate::telemetry::Metrics;
use crate::topics::{Policy, Topics};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use streamgauge_proto::types::{Duration as PbDuration, Timestamp};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

struct Server {
    channel: Channel,
    is_ready: Arc<AtomicBool>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// What the services need, for an agent that knows of no others and of no Kafka.
pub fn state(agent: &Agent, readiness: Readiness) -> GrpcState {
    let kafka = Kafka::reaching("127.0.0.1:1", Default::default());
    let settings = Settings::new(kafka, "test".into());
    let topics = Topics::new(settings.clone(), &Default::default(), Policy::open());
    let clock = agent.reader.clock.clone();
    let env = Environment { clock, metrics: Arc::default(), kafka: settings };
    let tests = LoadTests::new(env, topics.clone(), Default::default(), Sources::default());
    let group = Arc::new(GroupReader::alone(agent.reader.clone()));
    let api = Api {
        group,
        metrics: Arc::new(Metrics::new()),
        readiness,
        notes: Arc::new(Vec::new),
        recent: Recent::of_nothing(),
        ingest: None,
    };
    GrpcState {
        watches: Arc::new(Watches::new(api.clone(), 10)),
        cors_origins: vec!["https://dash.example.com".into()],
        api,
        monitor: None,
        topics,
        load_tests: Arc::new(tests),
    }
}

impl Server {
    async fn start(agent: &Agent) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let is_ready = Arc::new(AtomicBool::new(true));
        let flag = is_ready.clone();
        let readiness: Readiness =
            Arc::new(move || if flag.load(Ordering::Relaxed) { vec![] } else { vec!["not yet".into()] });
        let state = state(agent, readiness);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(serve(Door::open(listener, Protocol::Grpc).unwrap(), state, async move {
            let _ = stopped.await;
        }));
        let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
        Server { channel, is_ready, stop, task }
    }

    fn query(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone())
    }

    async fn stop(self) {
        drop(self.channel);
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn agent() -> Agent {
    let mut agent = Agent::new(2, 3);
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + MINUTE, "/a", 500)], 0);
    agent.commit(1, &[event(T0 + 1, "/b", 200)], 5);
    agent
}

fn ask() -> pb::QueryRequest {
    pb::QueryRequest { aggregate: "http".into(), ..Default::default() }
}

fn time(millis: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: millis / 1_000, nanos: (millis % 1_000 * 1_000_000) as i32 })
}

#[tokio::test]
async fn a_query_answers_with_rows_and_what_they_are_as_of() {
    let server = Server::start(&agent()).await;
    let request = pb::QueryRequest {
        time: Some(pb::query_request::Time::Last(PbDuration { seconds: 300, nanos: 0 })),
        group_by: Some(pb::GroupBy { labels: vec!["endpoint".into()] }),
        quantiles: vec![0.5],
        buckets: true,
        ..ask()
    };
    let answer = server.query().query(request).await.unwrap().into_inner();
    assert_eq!(answer.rows.len(), 2);
    let row = &answer.rows[0];
    assert_eq!(row.labels.get("endpoint").map(String::as_str), Some("/a"));
    assert_eq!((row.window_start, row.window_end), (time(T0 - 3 * MINUTE), time(T0 + 2 * MINUTE)));
    assert!(!row.closed && !row.overflow);
    let duration = row.values.iter().find(|value| value.measure == "duration").unwrap();
    assert_eq!((duration.count, duration.sum, duration.avg), (Some(2), Some(0.2), Some(0.1)));
    assert_eq!(duration.quantiles.len(), 1);
    assert!(duration.quantile_relative_error.unwrap() < 0.022);
    assert_eq!(duration.buckets.last().map(|bucket| bucket.count), Some(2));
    let as_of = &answer.as_of[1];
    assert_eq!((as_of.next_offset, as_of.lag, as_of.stream_time), (1, Some(5), time(T0 + 1)));
    assert_eq!(as_of.state(), pb::partition_status::State::Running);
    let missing: Vec<_> = answer.missing.iter().map(|m| (m.topic.as_str(), m.partition)).collect();
    assert_eq!(missing, [("log-events", 2)]);
    let local = pb::QueryRequest { scope: pb::Scope::Local.into(), ..ask() };
    assert!(server.query().query(local).await.unwrap().into_inner().missing.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn refusals_have_a_fitting_status_and_say_what_to_do() {
    let mut agent = agent();
    Arc::get_mut(&mut agent.reader).unwrap().max_cells = 2;
    let server = Server::start(&agent).await;
    let refused = async |request| -> Status { server.query().query(request).await.unwrap_err() };
    let unknown = refused(pb::QueryRequest { aggregate: "htp".into(), ..ask() }).await;
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "no aggregate `htp`; there are: http"));
    let window = Some(PbDuration { seconds: 90, nanos: 0 });
    let odd = refused(pb::QueryRequest { window, ..ask() }).await;
    assert_eq!(odd.code(), Code::InvalidArgument);
    assert!(odd.message().contains("use a multiple of 1m"), "{}", odd.message());
    let large = refused(ask()).await;
    assert_eq!(large.code(), Code::ResourceExhausted);
    assert!(large.message().contains("narrow it"), "{}", large.message());
    for request in [
        pb::QueryRequest { quantiles: vec![99.0], ..ask() },
        pb::QueryRequest { quantiles: vec![f64::NAN], ..ask() },
        pb::QueryRequest { quantiles: vec![0.5; 33], ..ask() },
        pb::QueryRequest { page_size: -1, ..ask() },
        pb::QueryRequest { window: Some(PbDuration { seconds: -60, nanos: 0 }), ..ask() },
        pb::QueryRequest { window: Some(PbDuration { seconds: i64::MAX, nanos: 0 }), ..ask() },
        pb::QueryRequest { time: Some(pb::query_request::Time::Range(pb::TimeRange::default())), ..ask() },
        pb::QueryRequest {
            time: Some(pb::query_request::Time::Range(pb::TimeRange {
                start: Some(Timestamp { seconds: i64::MIN, nanos: 0 }),
                end: None,
            })),
            ..ask()
        },
        pb::QueryRequest { matchers: vec![pb::LabelMatcher { op: 9, ..Default::default() }], ..ask() },
    ] {
        let status = refused(request.clone()).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}: {}", status.message());
    }
    server.stop().await;
}

#[tokio::test]
async fn aggregates_are_listed_with_all_that_can_be_asked() {
    let server = Server::start(&agent()).await;
    let list = server.query().list_aggregates(pb::ListAggregatesRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.next_page_token, "");
    let [http] = list.aggregates.as_slice() else { panic!("{list:?}") };
    assert_eq!((http.name.as_str(), &http.labels[..]), ("http", &["endpoint".into(), "status".into()][..]));
    assert_eq!(http.pane.unwrap().seconds, 60);
    assert_eq!(http.windows.len(), 2);
    assert_eq!((http.measures[2].kind.as_str(), http.measures[2].unit.as_str()), ("histogram", "seconds"));
    assert!(http.metrics.contains(&"http_requests_total".to_owned()));
    let after = pb::ListAggregatesRequest { page_size: 1, page_token: "http".into() };
    assert!(server.query().list_aggregates(after).await.unwrap().into_inner().aggregates.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn status_and_health_follow_readiness() {
    let server = Server::start(&agent()).await;
    let mut health = HealthClient::new(server.channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.into() };
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    let not_serving = HealthCheckResponse { status: ServingStatus::NotServing.into() };
    assert_eq!(health.check(check("")).await.unwrap().into_inner(), serving);
    let mut watched = health.watch(check("streamgauge.v1.QueryService")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap(), Some(serving));
    server.is_ready.store(false, Ordering::Relaxed);
    assert_eq!(health.check(check("streamgauge.v1.QueryService")).await.unwrap().into_inner(), not_serving);
    let changed = tokio::time::timeout(Duration::from_secs(20), watched.message()).await.unwrap().unwrap();
    assert_eq!(changed, Some(not_serving));
    assert_eq!(health.check(check("other")).await.unwrap_err().code(), Code::NotFound);
    let status = server.query().get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(!status.ready && status.not_ready_reasons == ["not yet"]);
    assert_eq!((status.lag, status.partitions.len()), (5, 2));
    assert_eq!((status.aggregates[0].keys, status.aggregates[0].entries), (3, 6));
    drop((watched, health));
    server.stop().await;
}

/// What `grpcurl list` and `describe` need.
#[tokio::test]
async fn reflection_knows_the_services_in_both_versions() {
    let server = Server::start(&agent()).await;
    macro_rules! check {
        ($version:ident) => {{
            use pb::server_reflection_request::MessageRequest;
            use pb::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version as pb;
            let ask = |message| pb::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let questions = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol("streamgauge.v1.QueryService".into())),
            ];
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(server.channel.clone());
            let stream = client.server_reflection_info(tokio_stream::iter(questions)).await.unwrap();
            let mut stream = stream.into_inner();
            let list = stream.message().await.unwrap().unwrap().message_response.unwrap();
            let MessageResponse::ListServicesResponse(list) = list else { panic!("{list:?}") };
            for name in ["streamgauge.v1.QueryService", "grpc.health.v1.Health"] {
                assert!(list.service.iter().any(|service| service.name == name), "{name}");
            }
            let file = stream.message().await.unwrap().unwrap().message_response.unwrap();
            assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
        }};
    }
    check!(v1);
    check!(v1alpha);
    server.stop().await;
}

/// One call as browsers make it: over HTTP/1.1, and with the trailers behind the messages.
#[tokio::test]
async fn browsers_of_listed_origins_speak_grpc_web() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = state(&agent(), Arc::new(Vec::new));
    tokio::spawn(serve(Door::open(listener, Protocol::Grpc).unwrap(), state, std::future::pending()));
    let ask = async |head: &str, origin: &str, body: &[u8]| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n");
        let head = format!("{head}Content-Type: application/grpc-web+proto\r\nContent-Length: {}\r\n", body.len());
        let preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-grpc-web\r\n\r\n";
        stream.write_all(format!("{head}{preflight}").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).to_lowercase()
    };
    let path = "/streamgauge.v1.QueryService/ListAggregates";
    let allowed = "access-control-allow-origin: https://dash.example.com\r\n";
    let answer = ask(&format!("POST {path}"), "https://dash.example.com", &[0; 5]).await;
    assert!(answer.starts_with("http/1.1 200") && answer.contains(allowed), "{answer}");
    assert!(answer.contains("http_requests_total") && answer.contains("grpc-status:0"), "{answer}");
    assert!(answer.contains("access-control-expose-headers: grpc-status"), "{answer}");
    let answer = ask(&format!("OPTIONS {path}"), "https://dash.example.com", &[]).await;
    assert!(answer.contains(allowed) && answer.contains("x-grpc-web"), "{answer}");
    let answer = ask(&format!("POST {path}"), "https://evil.example.com", &[0; 5]).await;
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");
}
