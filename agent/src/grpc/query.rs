//! `QueryService`: the answers are `api/`'s.

use crate::api::{Api, Watch, WatchMessage, Watches};
use std::pin::Pin;
use std::sync::Arc;
use streamgauge_proto::v1 as pb;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

pub struct Query {
    pub api: Api,
    pub watches: Arc<Watches>,
}

#[tonic::async_trait]
impl pb::query_service_server::QueryService for Query {
    async fn list_aggregates(
        &self,
        request: Request<pb::ListAggregatesRequest>,
    ) -> Result<Response<pb::ListAggregatesResponse>, Status> {
        self.api.list_aggregates(&request.into_inner()).map(Response::new)
    }

    async fn query(&self, request: Request<pb::QueryRequest>) -> Result<Response<pb::QueryResponse>, Status> {
        self.api.query(request.into_inner()).await.map(Response::new)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let Watch { first, rest } = self.watches.watch(request.into_inner()).await?;
        let all = tokio_stream::once(Ok(first)).chain(ReceiverStream::new(rest));
        Ok(Response::new(Box::pin(all.map(|message| message.map(|message: WatchMessage| message.proto())))))
    }

    async fn list_recent_events(
        &self,
        request: Request<pb::ListRecentEventsRequest>,
    ) -> Result<Response<pb::ListRecentEventsResponse>, Status> {
        self.api.list_recent_events(request.into_inner()).await.map(Response::new)
    }

    type TailEventsStream = Pin<Box<dyn Stream<Item = Result<pb::TailEventsResponse, Status>> + Send>>;

    async fn tail_events(
        &self,
        request: Request<pb::TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        Ok(Response::new(Box::pin(self.api.tail_events(request.into_inner()).await?)))
    }

    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Result<Response<pb::GetStatusResponse>, Status> {
        Ok(Response::new(self.api.status()))
    }
}
