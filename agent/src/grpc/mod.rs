//! The gRPC server: thin. It translates requests, calls the read side, and translates back.

#![forbid(unsafe_code)]

mod cluster;
pub mod cluster_translate;
mod error;
mod health;
mod ingest;
mod loadtest;
mod peer;
mod query;
mod topic;

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;

use crate::api::{Api, Watches};
use crate::cluster::Monitor;
pub use loadtest::{LoadTestApi, request as load_test_request};
pub use topic::TopicApi;

use crate::config::Right;
use crate::loadtest::LoadTests;
use crate::server::{Door, Guard, Need, Refused, RequestSpans, cors};
use crate::topics::Topics;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::FILE_DESCRIPTOR_SET;
use streamgauge_proto::peer::v1::peer_service_server::PeerServiceServer;
use streamgauge_proto::v1::cluster_service_server::ClusterServiceServer;
use streamgauge_proto::v1::ingest_service_server::IngestServiceServer;
use streamgauge_proto::v1::load_test_service_server::LoadTestServiceServer;
use streamgauge_proto::v1::query_service_server::QueryServiceServer;
use streamgauge_proto::v1::topic_service_server::TopicServiceServer;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::{HeaderName, Method, Response};
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tonic_web::GrpcWebLayer;

/// Largest request, bytes. Answers are limited by the number of their cells.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Another agent may ask for every window that a query may be about. Bytes.
const MAX_PEER_REQUEST_BYTES: usize = 4 << 20;
/// A batch of events. Bytes.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Requests that one connection may have open at a time.
const MAX_REQUESTS_PER_CONNECTION: usize = 64;
/// A client that does not answer a ping of this interval is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Headers of gRPC-web in requests of browsers, and in answers to them.
const ASKED: [&str; 6] =
    ["authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-request-id", "x-user-agent"];
const ANSWERED: [&str; 4] = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"];

/// What the services need.
#[derive(Clone)]
pub struct GrpcState {
    pub api: Api,
    pub watches: Arc<Watches>,
    /// Origins whose pages may call from a browser.
    pub cors_origins: Vec<String>,
    /// `None`: the config switches it off.
    pub monitor: Option<Arc<Monitor>>,
    pub topics: Topics,
    pub load_tests: Arc<LoadTests>,
}

/// Serves until `shutdown` resolves, then lets open requests finish.
///
/// # Errors
/// If the server fails; a failing connection is not its failure.
pub async fn serve(door: Door, state: GrpcState, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let health = health::Health { readiness: state.api.readiness.clone() };
    let peer = PeerServiceServer::new(peer::Peer { reader: state.api.group.reader.clone() })
        .max_decoding_message_size(MAX_PEER_REQUEST_BYTES);
    let cluster = cluster::Cluster { monitor: state.monitor.clone() };
    let cluster = ClusterServiceServer::new(cluster).max_decoding_message_size(MAX_REQUEST_BYTES);
    let topics = TopicServiceServer::new(TopicApi { topics: state.topics.clone() });
    let load_tests = LoadTestServiceServer::new(LoadTestApi { tests: state.load_tests.clone() });
    let ingest =
        IngestServiceServer::new(ingest::IngestApi { logs: state.api.ingest.as_ref().and_then(|door| door.logs()) });
    let cors = cors(&state.cors_origins, |_| true)
        .allow_methods([Method::POST])
        .allow_headers(ASKED.map(HeaderName::from_static))
        .expose_headers(ANSWERED.map(HeaderName::from_static));
    let query = QueryServiceServer::new(query::Query { api: state.api, watches: state.watches })
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let lock = door.lock().clone();
    let mut router = Server::builder()
        // Browsers speak gRPC-web, over HTTP/1.1 where there is no TLS; they ask for leave without saying who they are.
        .accept_http1(true)
        .layer(cors)
        .layer(GrpcWebLayer::new())
        .layer(tower::layer::layer_fn(RequestSpans))
        .layer(tower::layer::layer_fn(move |inner| Guard::new(inner, lock.clone(), need, refuse)))
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .concurrency_limit_per_connection(MAX_REQUESTS_PER_CONNECTION)
        .add_service(query)
        .add_service(peer)
        .add_service(ingest.accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(MAX_BATCH_BYTES))
        .add_service(cluster)
        .add_service(topics.max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(load_tests.max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(HealthServer::new(health).max_decoding_message_size(MAX_REQUEST_BYTES));
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // The descriptors are part of the binary: if they cannot be read, reflection is left out and everything else works.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => router = router.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => tracing::error!("gRPC reflection is off: {error}"),
    }
    router.serve_with_incoming_shutdown(door.connections()?, shutdown).await?;
    Ok(())
}

/// What a method needs: one line for each service, or method of a service.
fn need(path: &str) -> Need {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    Need::Right(match (service, method) {
        ("grpc.health.v1.Health", _) => return Need::Health,
        ("streamgauge.v1.QueryService", "ListRecentEvents" | "TailEvents") => Right::Events,
        ("streamgauge.v1.ClusterService", _) => Right::ClusterRead,
        ("streamgauge.v1.TopicService", "ListTopics" | "GetTopic") => Right::ClusterRead,
        ("streamgauge.v1.TopicService", _) => Right::Topics,
        ("streamgauge.v1.LoadTestService", _) => Right::LoadTests,
        ("streamgauge.v1.IngestService", _) => Right::Ingest,
        ("streamgauge.peer.v1.PeerService", _) => Right::Peer,
        // Queries, reflection, and what there is not.
        _ => Right::Read,
    })
}

fn refuse(_: &str, refused: &Refused) -> Response<Body> {
    let code = match refused {
        // Not RESOURCE_EXHAUSTED: between agents, that is an answer that would be too large.
        Refused::Unknown | Refused::LockedOut => Code::Unauthenticated,
        Refused::Forbidden { .. } => Code::PermissionDenied,
    };
    Status::new(code, refused.to_string()).into_http()
}
