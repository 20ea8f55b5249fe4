//! OTLP over gRPC: OpenTelemetry's `LogsService` on a listener of its own.

use super::accept::{Acceptor, Logs};
use super::body::{CALL_ENCODING, Content, Unusable, read_call};
use super::budget::Share;
use super::exported::{NotTaken, exported};
use super::http::taken_over;
use crate::config::Right;
use crate::server::{Caller, Door, Guard, Need, Refused, RequestSpans};
use bytes::Bytes;
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use prost::Message;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tower::Service;

/// How long one may take to arrive, beyond the time that its answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A client that does not answer a ping of this interval is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What metrics call its requests.
const ENDPOINT: &str = "otlp_grpc";
/// When to come again if too much is being read.
const BUSY: Duration = Duration::from_secs(1);
/// When to come again if there is no room.
const NO_ROOM: Duration = Duration::from_secs(5);

/// Serves until `shutdown` resolves, then lets open requests finish.
///
/// # Errors
/// If the server fails; a failing connection is not its failure.
pub async fn serve(door: Door, logs: Logs, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let (lock, acceptor) = (door.lock().clone(), logs.door.clone());
    let config = &logs.door.config;
    let patience = PATIENCE + 2 * config.delivery_timeout;
    let service = LogsServiceServer::new(Records { logs: logs.clone() }).max_decoding_message_size(config.body_bytes);
    let served = Server::builder()
        .layer(tower::layer::layer_fn(RequestSpans))
        .layer(tower::layer::layer_fn(move |inner| Guard::new(inner, lock.clone(), need, refuse)))
        .layer(tower::layer::layer_fn(move |inner| Whole { inner, door: acceptor.clone() }))
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .timeout(patience)
        .add_service(service)
        .serve_with_incoming_shutdown(door.connections()?, shutdown);
    served.await.map_err(io::Error::other)
}

fn need(_: &str) -> Need {
    Need::Right(Right::Ingest)
}

fn refuse(_: &str, refused: &Refused) -> http::Response<Body> {
    let code = match refused {
        Refused::Unknown | Refused::LockedOut => Code::Unauthenticated,
        Refused::Forbidden { .. } => Code::PermissionDenied,
    };
    Status::new(code, refused.to_string()).into_http()
}

/// Reads calls that the lock has let through as HTTP's bodies are read: within their limits, and in the memory that is theirs.
#[derive(Clone)]
struct Whole<S> {
    inner: S,
    door: Arc<Acceptor>,
}

impl<S> Service<http::Request<Body>> for Whole<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that is ready is used; its copy has to become so before the next call.
        let ready = self.inner.clone();
        let (mut inner, door) = (std::mem::replace(&mut self.inner, ready), self.door.clone());
        Box::pin(async move {
            let began = door.clock.boot_time();
            match whole(&door, request).await {
                Ok(request) => inner.call(request).await,
                Err((status, refused)) => {
                    door.answered(ENDPOINT, began, status);
                    Ok(refused.into_http())
                }
            }
        })
    }
}

/// The call with its message, unpacked, and its share of the memory; or the HTTP status that is like the answer, and this.
async fn whole(door: &Acceptor, request: http::Request<Body>) -> Result<http::Request<Body>, (u16, Status)> {
    let (mut head, body) = request.into_parts();
    let from = head.extensions.get::<Caller>().cloned().unwrap_or_default().address.ip();
    let too_often = |wait| (429, again(Code::ResourceExhausted, "too many requests from this address", wait));
    door.batches.take(from).map_err(too_often)?;
    let read = read_call(&head.headers, axum::body::Body::new(body), door.config.body_bytes, &door.bodies).await;
    let Content { bytes, share } = read.map_err(|Unusable(status, reason)| {
        let refused = match status.as_u16() {
            408 | 503 => again(Code::Unavailable, &reason, BUSY),
            415 => Status::unimplemented(reason),
            _ => Status::invalid_argument(reason),
        };
        (status.as_u16(), refused)
    })?;
    head.headers.remove(CALL_ENCODING);
    head.extensions.insert(Arc::new(share));
    Ok(http::Request::from_parts(head, Body::new(Full::from(bytes))))
}

struct Records {
    logs: Logs,
}

#[tonic::async_trait]
impl LogsService for Records {
    async fn export(
        &self,
        mut request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let door = &self.logs.door;
        let began = door.clock.boot_time();
        let headers = taken_over(&request.metadata().clone().into_headers());
        // It has been decoded, and its events take of the buffer from here on.
        drop(request.extensions_mut().remove::<Arc<Share>>());
        let answer = match exported(&self.logs, request.into_inner(), &headers).await {
            Ok(response) => Ok(response),
            Err(NotTaken::TooMany(reason)) => Err((413, Status::invalid_argument(reason))),
            Err(NotTaken::Later(reason)) => Err((503, again(Code::Unavailable, &reason, NO_ROOM))),
        };
        door.answered(ENDPOINT, began, answer.as_ref().err().map_or(200, |(status, _)| *status));
        answer.map(Response::new).map_err(|(_, status)| status)
    }
}

/// google.rpc.Status, with when to come again: without it a sender takes RESOURCE_EXHAUSTED for final.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.RetryInfo.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<streamgauge_proto::types::Duration>,
}

fn again(code: Code, message: &str, wait: Duration) -> Status {
    let retry = RetryInfo { retry_delay: streamgauge_proto::types::Duration::try_from(wait).ok() };
    let detail = Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: retry.encode_to_vec() };
    let details = Details { code: code as i32, message: message.to_owned(), details: vec![detail] };
    Status::with_details(code, message, Bytes::from(details.encode_to_vec()))
}
