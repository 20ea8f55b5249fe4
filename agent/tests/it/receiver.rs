//! An OTLP receiver for tests, over HTTP and gRPC on one address each: it keeps what it takes, says no when it is told to,
//! and can be gone for a while and come back at the same address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::runtime::Runtime;

/// What the receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Take,
    /// An HTTP status; over gRPC 400 is INVALID_ARGUMENT and everything else UNAVAILABLE.
    Refuse(u16),
}

/// One data point that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub name: String,
    pub unit: String,
    pub labels: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
    /// Unix milliseconds.
    pub start: i64,
    pub time: i64,
    /// The number; of a histogram or summary its count.
    pub value: f64,
    pub data: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Gauge,
    /// Monotonic and cumulative.
    Counter,
    Summary {
        sum: f64,
    },
    Histogram {
        sum: f64,
    },
    /// Scale, zeros, and all buckets by their index.
    Exponential {
        sum: f64,
        scale: i32,
        zeros: u64,
        positive: Vec<(i32, u64)>,
    },
}

#[derive(Debug)]
struct Shared {
    reply: Mutex<Reply>,
    attempts: Mutex<u64>,
    headers: Mutex<HeaderMap>,
    taken: Mutex<Vec<ExportMetricsServiceRequest>>,
    spans: Mutex<Vec<ExportTraceServiceRequest>>,
    lines: Mutex<Vec<ExportLogsServiceRequest>>,
}

/// A receiver on its own threads.
pub struct Receiver {
    http: SocketAddr,
    grpc: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let shared = Arc::new(Shared {
            reply: Mutex::new(Reply::Take),
            attempts: Mutex::new(0),
            headers: Mutex::default(),
            taken: Mutex::default(),
            spans: Mutex::default(),
            lines: Mutex::default(),
        });
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut receiver = Receiver { http: nobody, grpc: nobody, shared, runtime: None };
        receiver.come_back();
        receiver
    }

    /// Address of the HTTP side, as `otlp.endpoint` has it.
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Address of the gRPC side.
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    pub fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// Requests that came, taken or not.
    pub fn attempts(&self) -> u64 {
        *self.shared.attempts.lock().unwrap()
    }

    /// Headers (or metadata) of the last request.
    pub fn headers(&self) -> HeaderMap {
        self.shared.headers.lock().unwrap().clone()
    }

    /// Nobody listens any more; connections that are open end.
    pub fn go_away(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own: tests are asynchronous too, and those must not wait for a runtime's end.
            let end = || runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            std::thread::scope(|scope| scope.spawn(end).join().unwrap());
        }
    }

    /// Listens again, at the same addresses.
    pub fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bind = |address: SocketAddr| {
            let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (http, grpc) = (bind(self.http), bind(self.grpc));
        (self.http, self.grpc) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
        let shared = self.shared.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(http).unwrap();
            let router = axum::Router::new().fallback(export).with_state(shared);
            axum::serve(listener, router).await.unwrap();
        });
        let service = MetricsServiceServer::new(Grpc(self.shared.clone()))
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        let traces = TraceServiceServer::new(Grpc(self.shared.clone()));
        let logs = LogsServiceServer::new(Grpc(self.shared.clone()));
        runtime.spawn(async move {
            let incoming =
                tokio_stream::wrappers::TcpListenerStream::new(tokio::net::TcpListener::from_std(grpc).unwrap());
            let server = tonic::transport::Server::builder().add_service(service).add_service(traces).add_service(logs);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Every point taken so far, in the order of arrival.
    pub fn points(&self) -> Vec<Point> {
        self.shared.taken.lock().unwrap().iter().flat_map(points).collect()
    }

    /// Every span taken so far.
    pub fn spans(&self) -> Vec<Span> {
        let taken = self.shared.spans.lock().unwrap();
        let scopes = taken.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Every log line taken so far.
    pub fn lines(&self) -> Vec<LogRecord> {
        let taken = self.shared.lines.lock().unwrap();
        let scopes = taken.iter().flat_map(|r| &r.resource_logs).flat_map(|r| &r.scope_logs);
        scopes.flat_map(|scope| scope.log_records.clone()).collect()
    }

    /// The points of this metric.
    pub fn named(&self, name: &str) -> Vec<Point> {
        self.points().into_iter().filter(|point| point.name == name).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Notes an attempt; whether it is to be taken.
    fn attempt(&self, headers: &HeaderMap) -> Reply {
        *self.attempts.lock().unwrap() += 1;
        *self.headers.lock().unwrap() = headers.clone();
        *self.reply.lock().unwrap()
    }
}

async fn export(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Reply::Refuse(status) = shared.attempt(&parts.headers) {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let zipped = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let bytes = if zipped {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body.as_ref()), &mut bytes).unwrap();
        bytes
    } else {
        body.to_vec()
    };
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/x-protobuf");
    match parts.uri.path().rsplit('/').next() {
        Some("metrics") => shared.taken.lock().unwrap().push(Message::decode(bytes.as_slice()).unwrap()),
        Some("traces") => shared.spans.lock().unwrap().push(Message::decode(bytes.as_slice()).unwrap()),
        Some("logs") => shared.lines.lock().unwrap().push(Message::decode(bytes.as_slice()).unwrap()),
        _ => panic!("{}", parts.uri),
    }
    ExportMetricsServiceResponse::default().encode_to_vec().into_response()
}

struct Grpc(Arc<Shared>);

#[tonic::async_trait]
impl MetricsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let (metadata, _, message) = request.into_parts();
        match self.0.attempt(&metadata.into_headers()) {
            Reply::Take => {}
            Reply::Refuse(400) => return Err(tonic::Status::invalid_argument("told to")),
            Reply::Refuse(_) => return Err(tonic::Status::unavailable("told to")),
        }
        self.0.taken.lock().unwrap().push(message);
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.spans.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.0.lines.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

fn points(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let mut found = Vec::new();
    for resource_metrics in &request.resource_metrics {
        let resource = labels(&resource_metrics.resource.as_ref().unwrap().attributes);
        for metric in resource_metrics.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let mut add = |attributes: &[KeyValue], start: u64, time: u64, value: f64, data: Kind| {
                found.push(Point {
                    name: metric.name.clone(),
                    unit: metric.unit.clone(),
                    labels: labels(attributes),
                    resource: resource.clone(),
                    start: (start / 1_000_000) as i64,
                    time: (time / 1_000_000) as i64,
                    value,
                    data,
                });
            };
            let number = |value: &Option<number_data_point::Value>| match value {
                Some(number_data_point::Value::AsInt(value)) => *value as f64,
                Some(number_data_point::Value::AsDouble(value)) => *value,
                None => f64::NAN,
            };
            match metric.data.as_ref().unwrap() {
                Data::Gauge(data) => data.data_points.iter().for_each(|p| {
                    add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, number(&p.value), Kind::Gauge)
                }),
                Data::Sum(data) => {
                    assert!(data.is_monotonic && data.aggregation_temporality == 2, "{}", metric.name);
                    data.data_points.iter().for_each(|p| {
                        add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, number(&p.value), Kind::Counter)
                    });
                }
                Data::Summary(data) => data.data_points.iter().for_each(|p| {
                    let data = Kind::Summary { sum: p.sum };
                    add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.count as f64, data)
                }),
                Data::Histogram(data) => data.data_points.iter().for_each(|p| {
                    assert_eq!(p.bucket_counts.iter().sum::<u64>(), p.count, "{}", metric.name);
                    assert_eq!(p.bucket_counts.len(), p.explicit_bounds.len() + 1, "{}", metric.name);
                    let data = Kind::Histogram { sum: p.sum.unwrap() };
                    add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.count as f64, data)
                }),
                Data::ExponentialHistogram(data) => data.data_points.iter().for_each(|p| {
                    let buckets = p.positive.clone().unwrap_or_default();
                    let indexed = buckets.bucket_counts.iter().enumerate();
                    let data = Kind::Exponential {
                        sum: p.sum.unwrap(),
                        scale: p.scale,
                        zeros: p.zero_count,
                        positive: indexed.map(|(i, &count)| (buckets.offset + i as i32, count)).collect(),
                    };
                    add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.count as f64, data)
                }),
            }
        }
    }
    found
}

pub fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{}: {other:?} is no string", attribute.key),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}
