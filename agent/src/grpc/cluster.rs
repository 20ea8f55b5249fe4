//! `ClusterService`.

use super::cluster_translate as translate;
use crate::api::page_size;
use crate::cluster::{Health, Monitor, changes, whole};
use std::pin::Pin;
use std::sync::Arc;
use streamgauge_proto::v1 as pb;
use tokio_stream::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

pub struct Cluster {
    /// `None`: the config switches it off.
    pub monitor: Option<Arc<Monitor>>,
}

impl Cluster {
    #[allow(clippy::result_large_err, reason = "every call here returns a Status")]
    fn monitor(&self) -> Result<&Arc<Monitor>, Status> {
        self.monitor.as_ref().ok_or_else(|| {
            Status::failed_precondition("this agent does not look after the cluster; set cluster.enabled to true")
        })
    }
}

#[tonic::async_trait]
impl pb::cluster_service_server::ClusterService for Cluster {
    async fn get_health(&self, request: Request<pb::GetHealthRequest>) -> Result<Response<pb::ClusterHealth>, Status> {
        let request = request.into_inner();
        let monitor = self.monitor()?;
        let health = match request.check_now {
            true => monitor.check_now().await?,
            false => monitor.first_health().await?,
        };
        Ok(Response::new(translate::health(&health, request.view())))
    }

    type WatchHealthStream = Pin<Box<dyn Stream<Item = Result<pb::WatchHealthResponse, Status>> + Send>>;

    async fn watch_health(
        &self,
        request: Request<pb::WatchHealthRequest>,
    ) -> Result<Response<Self::WatchHealthStream>, Status> {
        let view = request.into_inner().view();
        let monitor = self.monitor()?;
        let mut last: Option<Arc<Health>> = None;
        let stream = WatchStream::new(monitor.verdicts()).filter_map(move |(number, health)| {
            if number == 0 {
                return None;
            }
            let changes = last.as_ref().map(|before| changes(before, &health));
            // A later verdict that changes nothing still is what the next one is compared with.
            last = Some(health.clone());
            let is_news = changes.as_ref().is_none_or(|changes: &Vec<String>| !changes.is_empty());
            let health = Some(translate::health(&health, view));
            is_news.then(|| Ok(pb::WatchHealthResponse { health, changes: changes.unwrap_or_default() }))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn list_consumer_groups(
        &self,
        request: Request<pb::ListConsumerGroupsRequest>,
    ) -> Result<Response<pb::ListConsumerGroupsResponse>, Status> {
        let request = request.into_inner();
        let page_size = page_size(request.page_size)?;
        let (groups, topics) = (whole(&request.group), whole(&request.topic));
        let groups = groups.map_err(|error| Status::invalid_argument(format!("group: {error}")))?;
        let topics = topics.map_err(|error| Status::invalid_argument(format!("topic: {error}")))?;
        let lag = self.monitor()?.collected(request.collect_now).await?;
        let Ok(found) = lag.as_ref() else { return Err(Status::unavailable("lag is not known")) };
        let fits = |regex: &Option<regex::Regex>, name: &str| regex.as_ref().is_none_or(|r| r.is_match(name));
        let mut answer = Vec::new();
        let mut next_page_token = String::new();
        // Names are unique, so that pages stay right when groups come and go.
        for group in found.groups.iter().filter(|group| group.name > request.page_token && fits(&groups, &group.name)) {
            let mut group = translate::group(group, false);
            group.topics.retain(|topic| fits(&topics, &topic.topic));
            if topics.is_some() && group.topics.is_empty() {
                continue;
            }
            if page_size > 0 && answer.len() == page_size {
                next_page_token = answer.last().map(|last: &pb::ConsumerGroup| last.name.clone()).unwrap_or_default();
                break;
            }
            answer.push(translate::with_sums(group));
        }
        Ok(Response::new(pb::ListConsumerGroupsResponse {
            groups: answer,
            next_page_token,
            collected_at: Some(translate::timestamp(found.at)),
            incomplete: found.incomplete || !found.refused.is_empty(),
        }))
    }

    async fn get_consumer_group(
        &self,
        request: Request<pb::GetConsumerGroupRequest>,
    ) -> Result<Response<pb::ConsumerGroup>, Status> {
        let name = request.into_inner().group;
        if name.is_empty() {
            return Err(Status::invalid_argument("group is missing; ListConsumerGroups names those there are"));
        }
        let (group, seen) = self.monitor()?.group(&name).await?;
        Ok(Response::new(translate::group_in_full(&group, &seen)))
    }
}
