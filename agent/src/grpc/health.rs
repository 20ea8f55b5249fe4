//! `grpc.health.v1`: serving only while the agent is ready.

use crate::query::Readiness;
use std::pin::Pin;
use std::time::Duration;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watched status is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

pub struct Health {
    pub readiness: Readiness,
}

fn status(readiness: &Readiness) -> HealthCheckResponse {
    let status = if readiness().is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

/// The empty name is the server as a whole; what one service can do, all can.
fn known(service: &str) -> bool {
    service.is_empty() || service.starts_with("streamgauge.v1.")
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !known(&service) {
            return Err(Status::not_found(format!("no service `{service}`; the empty name is the whole server")));
        }
        Ok(Response::new(status(&self.readiness)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = known(&request.into_inner().service);
        let readiness = self.readiness.clone();
        let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
        let mut last = None;
        let stream = IntervalStream::new(tokio::time::interval(WATCH_INTERVAL)).filter_map(move |_| {
            let now = if known { status(&readiness) } else { unknown };
            (last.replace(now) != Some(now)).then_some(Ok(now))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
