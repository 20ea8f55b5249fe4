//! `TopicService`: requests to calls of `topics/`, which block, and back.

use crate::api::page_size;
use crate::kafka::NewTopic;
use crate::topics::{SettingsChange, Topic, TopicError, Topics};
use regex::Regex;
use std::collections::HashMap;
use streamgauge_proto::v1 as pb;
use tonic::{Request, Response, Status};

/// Topics in a page, if the request does not say; also the most.
const PAGE: usize = 500;

/// The service; the command line calls it in its own process, too.
#[derive(Clone, Debug)]
pub struct TopicApi {
    pub topics: Topics,
}

impl TopicApi {
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Topics) -> Result<T, TopicError> + Send + 'static,
    ) -> Result<T, Status> {
        let topics = self.topics.clone();
        let span = tracing::Span::current();
        let answer = tokio::task::spawn_blocking(move || span.in_scope(|| call(&topics))).await;
        Ok(answer.map_err(|_| Status::internal("the call panicked; the agent's log says where"))??)
    }
}

#[tonic::async_trait]
impl pb::topic_service_server::TopicService for TopicApi {
    async fn list_topics(
        &self,
        request: Request<pb::ListTopicsRequest>,
    ) -> Result<Response<pb::ListTopicsResponse>, Status> {
        let request = request.into_inner();
        let size = match page_size(request.page_size)? {
            0 => PAGE,
            size => size.min(PAGE),
        };
        let pattern = match request.name_pattern.as_str() {
            "" => None,
            text => Some(Regex::new(text).map_err(|_| {
                Status::invalid_argument(format!("name_pattern `{text}` is not a regular expression; correct it"))
            })?),
        };
        let mut all = self.call(move |topics| topics.list(pattern.as_ref(), request.include_internal)).await?;
        // A page begins after the name that the token is, so that pages stay right when topics come and go.
        all.retain(|topic| *topic.description.name > *request.page_token);
        let next_page_token = match all.get(size - 1) {
            Some(last) if all.len() > size => last.description.name.to_string(),
            _ => String::new(),
        };
        all.truncate(size);
        let topics = all.into_iter().map(topic).collect();
        Ok(Response::new(pb::ListTopicsResponse { topics, next_page_token }))
    }

    async fn get_topic(&self, request: Request<pb::GetTopicRequest>) -> Result<Response<pb::Topic>, Status> {
        let name = request.into_inner().name;
        self.call(move |topics| topics.get(&name)).await.map(|found| Response::new(topic(found)))
    }

    async fn create_topic(&self, request: Request<pb::CreateTopicRequest>) -> Result<Response<pb::Topic>, Status> {
        let request = request.into_inner();
        let planned = pb::Topic {
            name: request.name.clone(),
            partition_count: request.partitions,
            replication_factor: request.replication_factor,
            ..Default::default()
        };
        let new = NewTopic {
            name: request.name,
            partitions: Some(request.partitions).filter(|count| *count != 0),
            replication: Some(request.replication_factor).filter(|count| *count != 0),
            configs: sorted(request.configs),
        };
        let made = self.call(move |topics| topics.create(&new, request.validate_only)).await?;
        Ok(Response::new(made.map_or(planned, topic)))
    }

    async fn update_topic(&self, request: Request<pb::UpdateTopicRequest>) -> Result<Response<pb::Topic>, Status> {
        let request = request.into_inner();
        let change = SettingsChange { set: sorted(request.set), reset: request.reset };
        let name = request.name;
        let changed = self
            .call(move |topics| match topics.update(&name, &change, request.validate_only)? {
                Some(topic) => Ok(topic),
                None => topics.get(&name),
            })
            .await?;
        Ok(Response::new(topic(changed)))
    }

    async fn create_partitions(
        &self,
        request: Request<pb::CreatePartitionsRequest>,
    ) -> Result<Response<pb::Topic>, Status> {
        let request = request.into_inner();
        let grown = self
            .call(move |topics| match topics.grow(&request.name, request.total, request.validate_only)? {
                Some(topic) => Ok(topic),
                None => topics.get(&request.name),
            })
            .await?;
        Ok(Response::new(topic(grown)))
    }

    async fn delete_topic(
        &self,
        request: Request<pb::DeleteTopicRequest>,
    ) -> Result<Response<pb::DeleteTopicResponse>, Status> {
        let request = request.into_inner();
        self.call(move |topics| topics.delete(&request.name, request.validate_only)).await?;
        Ok(Response::new(pb::DeleteTopicResponse {}))
    }
}

fn sorted(configs: HashMap<String, String>) -> Vec<(String, String)> {
    let mut configs: Vec<_> = configs.into_iter().collect();
    configs.sort();
    configs
}

fn topic(topic: Topic) -> pb::Topic {
    let partitions = &topic.description.partitions;
    let behind = partitions.iter().filter(|partition| partition.in_sync.len() < partition.replicas.len()).count();
    let offline = partitions.iter().filter(|partition| partition.leader.is_none()).count();
    let complete = !topic.ends.is_empty() && topic.ends.len() == partitions.len();
    pb::Topic {
        // As Kafka's own tools print it.
        id: topic.description.id.replace('+', "-").replace('/', "_"),
        partition_count: partitions.len() as i32,
        replication_factor: partitions.first().map_or(0, |first| first.replicas.len() as i32),
        internal: topic.description.internal,
        protected_by: topic.protected_by.unwrap_or_default(),
        under_replicated_partitions: behind as i32,
        offline_partitions: offline as i32,
        records: complete.then(|| topic.ends.values().map(|ends| ends.current - ends.oldest).sum()),
        partitions: partitions
            .iter()
            .map(|partition| pb::TopicPartition {
                partition: partition.id,
                leader: partition.leader,
                replicas: partition.replicas.to_vec(),
                in_sync_replicas: partition.in_sync.to_vec(),
                oldest_offset: topic.ends.get(&partition.id).map(|ends| ends.oldest),
                current_offset: topic.ends.get(&partition.id).map(|ends| ends.current),
            })
            .collect(),
        configs: topic
            .settings
            .into_iter()
            .map(|setting| pb::TopicConfig {
                name: setting.name,
                value: setting.value.unwrap_or_default(),
                is_default: setting.is_default,
                is_secret: setting.is_secret,
            })
            .collect(),
        name: topic.description.name.to_string(),
    }
}
