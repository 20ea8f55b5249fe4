//! The calls of `QueryService` that have one answer.

use super::error::name;
use super::translate::{self, page_size};
use super::unusual::{self, Told};
use super::{ingest, recent};
use crate::aggregate::AggregatePlan;
use crate::ingest::Acceptor;
use crate::query::{self, GroupReader, Inputs, Notes, PartitionStatus, Readiness, aggregates};
use crate::recent::Recent;
use crate::telemetry::Metrics;
use std::sync::Arc;
use streamgauge_proto::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// Aggregates in a page if the request does not say.
const ALL: usize = usize::MAX;

/// What the service answers from.
#[derive(Clone)]
pub struct Api {
    pub group: Arc<GroupReader>,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    /// What is said beside it.
    pub notes: Notes,
    pub recent: Arc<Recent>,
    /// `None`: this agent takes no events.
    pub ingest: Option<Arc<Acceptor>>,
}

impl Api {
    /// # Errors
    /// If the page asked for makes no sense.
    pub fn list_aggregates(&self, request: &pb::ListAggregatesRequest) -> Result<pb::ListAggregatesResponse, Status> {
        let reader = &self.group.reader;
        let page_size = match page_size(request.page_size)? {
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
        let info = all.into_iter().map(|(inputs, plan)| translate::aggregate_info(inputs, plan, &reader.registry));
        Ok(pb::ListAggregatesResponse { aggregates: info.collect(), next_page_token })
    }

    /// # Errors
    /// If the request asks for what there is not, makes no sense, or has too large an answer.
    pub async fn query(&self, request: pb::QueryRequest) -> Result<pb::QueryResponse, Status> {
        let clock = &self.group.reader.clock;
        let began = clock.boot_time();
        let answer = self.answer(request).await;
        let refused = answer.as_ref().err().map(|status| name(status.code()));
        self.metrics.queried(clock.boot_time().since(began), refused);
        answer
    }

    async fn answer(&self, request: pb::QueryRequest) -> Result<pb::QueryResponse, Status> {
        let scope = request.scope();
        let shown = translate::Shown::of(&request)?;
        let request = translate::request(request)?;
        let answer = match scope {
            pb::Scope::Unspecified | pb::Scope::Cluster => self.group.query(&request).await?,
            pb::Scope::Local => {
                let mut answer = self.group.reader.query(&request)?;
                answer.missing.clear();
                answer
            }
        };
        Ok(translate::answer(answer, &shown))
    }

    /// The newest events of a source that shows them.
    ///
    /// # Errors
    /// If it shows none, the request makes no sense, or Kafka does not answer.
    pub async fn list_recent_events(
        &self,
        request: pb::ListRecentEventsRequest,
    ) -> Result<pb::ListRecentEventsResponse, Status> {
        let page = self.recent.page(recent::page_request(request)?).await?;
        let told = Told::of(&self.group, &page.events).await;
        Ok(recent::page(page, &told))
    }

    /// Events of such a source as they are written.
    ///
    /// # Errors
    /// If it shows none, the request makes no sense, or there are too many tails.
    pub async fn tail_events(
        &self,
        request: pb::TailEventsRequest,
    ) -> Result<impl Stream<Item = Result<pb::TailEventsResponse, Status>> + Send + use<>, Status> {
        let heard = self.recent.tail(recent::tail_request(request)?).await?;
        let (sender, marked) = mpsc::channel(1);
        tokio::spawn(unusual::hand_on(self.group.clone(), heard, sender));
        Ok(ReceiverStream::new(marked).map(|heard| heard.map(recent::heard).map_err(Status::from)))
    }

    /// This agent: what it owns, how far it is, and whether it is ready.
    pub fn status(&self) -> pb::GetStatusResponse {
        let reader = &self.group.reader;
        let now = reader.clock.now();
        let reasons = (self.readiness)();
        let mut partitions = Vec::new();
        let sources = reader.sources.now();
        for source in &sources.sources {
            let tasks = reader.registry.tasks().into_iter().filter(|task| task.source == source.name);
            let timeout = source.plan.aggregates.iter().map(|plan| plan.config.idle_timeout).max().unwrap_or_default();
            let replicas = reader.registry.replicas().into_iter().filter(|replica| replica.source == source.name);
            let all = tasks.chain(replicas);
            partitions.extend(all.map(|task| PartitionStatus::of(&task, timeout, now)));
        }
        let size = |(inputs, plan): (&Arc<Inputs>, &Arc<AggregatePlan>)| {
            let mut status = pb::AggregateStatus { name: plan.config.name.clone(), keys: 0, entries: 0 };
            for task in inputs.tasks(&reader.registry) {
                let view = task.view.read();
                status.keys += view.aggregate(plan.id).map_or(0, |aggregate| aggregate.keys() as u64);
                status.entries += view.aggregate(plan.id).map_or(0, |aggregate| aggregate.entries());
            }
            status
        };
        pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: reasons.is_empty(),
            not_ready_reasons: reasons,
            notes: (self.notes)(),
            lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
            partitions: partitions.iter().map(query::status_to_proto).collect(),
            aggregates: aggregates(&sources).map(size).collect(),
            ingest: self.ingest.as_deref().map(ingest::status_of),
        }
    }
}
