//! `QueryService`.

use super::translate;
use super::{GrpcState, error};
use crate::query::{self, PartitionStatus, aggregates};
use streamgauge_proto::v1 as pb;
use tonic::{Request, Response, Status};

pub struct Query {
    pub state: GrpcState,
}

/// Aggregates in a page if the request does not say.
const ALL: usize = usize::MAX;

#[tonic::async_trait]
impl pb::query_service_server::QueryService for Query {
    async fn list_aggregates(
        &self,
        request: Request<pb::ListAggregatesRequest>,
    ) -> Result<Response<pb::ListAggregatesResponse>, Status> {
        let request = request.into_inner();
        let reader = &self.state.group.reader;
        let page_size = match translate::page_size(request.page_size)? {
            0 => ALL,
            size => size,
        };
        let sources = reader.sources.now();
        let mut all: Vec<_> = aggregates(&sources).collect();
        all.sort_by(|a, b| a.1.config.name.cmp(&b.1.config.name));
        // A page begins after the name that the token is: names are unique, so that pages stay right when the config changes.
        all.retain(|(_, plan)| plan.config.name > request.page_token);
        let next_page_token = match all.get(page_size.saturating_sub(1)) {
            Some((_, last)) if all.len() > page_size => last.config.name.clone(),
            _ => String::new(),
        };
        all.truncate(page_size);
        let info = all.into_iter().map(|(source, plan)| translate::aggregate_info(source, plan, &reader.registry));
        Ok(Response::new(pb::ListAggregatesResponse { aggregates: info.collect(), next_page_token }))
    }

    async fn query(&self, request: Request<pb::QueryRequest>) -> Result<Response<pb::QueryResponse>, Status> {
        let clock = &self.state.group.reader.clock;
        let began = clock.boot_time();
        let answer = self.answer(request.into_inner()).await;
        let refused = answer.as_ref().err().map(|status| error::name(status.code()));
        self.state.metrics.queried(clock.boot_time().since(began), refused);
        answer.map(Response::new)
    }

    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Result<Response<pb::GetStatusResponse>, Status> {
        let reader = &self.state.group.reader;
        let now = reader.clock.now();
        let reasons = (self.state.readiness)();
        let mut partitions = Vec::new();
        let mut totals = Vec::new();
        for source in reader.sources.now().sources.iter() {
            let tasks = source.tasks(&reader.registry);
            let timeout = source.plan.aggregates.iter().map(|plan| plan.config.idle_timeout).max().unwrap_or_default();
            let replicas = reader.registry.replicas().into_iter().filter(|replica| replica.source == source.name);
            let all = tasks.iter().cloned().chain(replicas);
            partitions.extend(all.map(|task| PartitionStatus::of(&task, timeout, now)));
            for plan in &source.plan.aggregates {
                let mut status = pb::AggregateStatus { name: plan.config.name.clone(), keys: 0, entries: 0 };
                for task in &tasks {
                    let view = task.view.read();
                    status.keys += view.aggregate(plan.id).map_or(0, |aggregate| aggregate.keys() as u64);
                    status.entries += view.aggregate(plan.id).map_or(0, |aggregate| aggregate.entries());
                }
                totals.push(status);
            }
        }
        Ok(Response::new(pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: reasons.is_empty(),
            not_ready_reasons: reasons,
            lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
            partitions: partitions.iter().map(query::status_to_proto).collect(),
            aggregates: totals,
            ingest: self.state.ingest.as_deref().map(super::ingest::status_of),
        }))
    }
}

impl Query {
    async fn answer(&self, request: pb::QueryRequest) -> Result<pb::QueryResponse, Status> {
        let scope = request.scope();
        let shown = translate::Shown::of(&request)?;
        let request = translate::request(request)?;
        let answer = match scope {
            pb::Scope::Unspecified | pb::Scope::Cluster => self.state.group.query(&request).await?,
            pb::Scope::Local => {
                let mut answer = self.state.group.reader.query(&request)?;
                answer.missing.clear();
                answer
            }
        };
        Ok(translate::answer(answer, &shown))
    }
}
