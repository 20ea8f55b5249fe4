//! Asking the brokers themselves, or an agent.

use super::Target;
use crate::cli::Wrong;
use crate::cli::client;
use crate::cli::target::reaching;
use crate::clock::Clock;
use crate::cluster::{self, Filter, Health, Seen};
use crate::config;
use crate::grpc::cluster_translate as translate;
use crate::kafka::Settings;
use crate::kafka::cluster::{CallError, ClusterClient};
use crate::server::Calls;
use anyhow::anyhow;
use parking_lot::Mutex;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::cluster_service_client::ClusterServiceClient;

const TIMEOUT: Duration = Duration::from_secs(3);

pub enum Asker {
    Agent(Box<ClusterServiceClient<Calls>>),
    Kafka(Box<Direct>),
}

/// What it takes to ask brokers, and what has been seen of them so far.
pub struct Direct {
    client: ClusterClient,
    servers: String,
    clock: Clock,
    filter: Filter,
    timeout: Duration,
    health: Health,
    seen: Mutex<Seen>,
}

impl Asker {
    pub async fn new(target: &Target) -> anyhow::Result<Asker> {
        let (kafka, filter, timeout) = match (&target.bootstrap_servers, &target.config) {
            (Some(servers), _) => (reaching(servers, &target.properties)?, Filter::default(), TIMEOUT),
            (None, Some(file)) => {
                let config = config::load(file).map_err(|error| Wrong(error.to_string()))?;
                (config.kafka, Filter::of(&config.cluster.watch.lag), config.cluster.watch.timeout)
            }
            (None, None) => {
                let client = ClusterServiceClient::new(client::channel(&target.agent, &target.access).await?);
                // The server limits nothing of it: an answer is as large as the cluster is.
                return Ok(Asker::Agent(Box::new(client.max_decoding_message_size(usize::MAX))));
            }
        };
        let servers = kafka.bootstrap_servers.clone();
        let (settings, clock) = (Settings::new(kafka, "streamgauge-cluster".into()), Clock::System);
        let client = ClusterClient::create(&settings, "cluster")
            .map_err(|error| Wrong(format!("librdkafka refuses the properties: {error}")))?;
        Ok(Asker::Kafka(Box::new(Direct {
            client,
            servers,
            clock,
            filter,
            timeout: target.timeout.unwrap_or(timeout),
            health: Health::default(),
            seen: Mutex::default(),
        })))
    }

    /// A check that is made now.
    pub async fn health(&mut self) -> anyhow::Result<pb::ClusterHealth> {
        match self {
            Asker::Agent(agent) => {
                let request = pb::GetHealthRequest { view: pb::HealthView::Full.into(), check_now: true };
                Ok(agent.get_health(request).await.map_err(client::refused)?.into_inner())
            }
            Asker::Kafka(direct) => {
                direct.health = cluster::check(&direct.client, &direct.clock, &direct.health, direct.timeout);
                Ok(translate::health(&direct.health, pb::HealthView::Full))
            }
        }
    }

    /// All groups that match, without partitions.
    pub async fn groups(&mut self, group: &str, topic: &str) -> anyhow::Result<pb::ListConsumerGroupsResponse> {
        match self {
            Asker::Agent(agent) => {
                let request = pb::ListConsumerGroupsRequest {
                    group: group.to_owned(),
                    topic: topic.to_owned(),
                    collect_now: true,
                    ..Default::default()
                };
                let answer = agent.list_consumer_groups(request).await.map_err(client::refused)?.into_inner();
                if answer.incomplete {
                    warn_incomplete();
                }
                Ok(answer)
            }
            Asker::Kafka(direct) => direct.groups(group, topic, false),
        }
    }

    /// All groups that match, with the lag of each partition.
    pub async fn groups_in_full(&mut self, group: &str, topic: &str) -> anyhow::Result<pb::ListConsumerGroupsResponse> {
        if let Asker::Kafka(direct) = self {
            return direct.groups(group, topic, true);
        }
        let topics = cluster::whole(topic).map_err(Wrong)?;
        let mut answer = self.groups(group, topic).await?;
        let Asker::Agent(agent) = self else { return Ok(answer) };
        for group in &mut answer.groups {
            let request = pb::GetConsumerGroupRequest { group: group.name.clone() };
            let mut full = agent.get_consumer_group(request).await.map_err(client::refused)?.into_inner();
            full.topics.retain(|t| topics.as_ref().is_none_or(|regex| regex.is_match(&t.topic)));
            *group = translate::with_sums(full);
        }
        Ok(answer)
    }
}

impl Direct {
    fn groups(&mut self, group: &str, topic: &str, partitions: bool) -> anyhow::Result<pb::ListConsumerGroupsResponse> {
        let groups = cluster::whole(group).map_err(|error| Wrong(format!("--group: {error}")))?;
        let topics = cluster::whole(topic).map_err(|error| Wrong(format!("--topic: {error}")))?;
        let mut filter = self.filter.clone();
        if groups.is_some() {
            filter.groups.include = groups;
        }
        if topics.is_some() {
            filter.topics.include = topics.clone();
        }
        let found = cluster::collect(&self.client, &self.clock, &filter, &self.seen, self.timeout)
            .map_err(|error| self.explain(&error))?;
        for (group, why) in &found.refused {
            eprintln!("group {group}: {why}");
        }
        if found.incomplete {
            warn_incomplete();
        }
        let groups = found.groups.iter().map(|found| translate::group(found, partitions));
        Ok(pb::ListConsumerGroupsResponse {
            groups: groups.filter(|group| topics.is_none() || !group.topics.is_empty()).collect(),
            next_page_token: String::new(),
            collected_at: Some(translate::timestamp(found.at)),
            incomplete: found.incomplete || !found.refused.is_empty(),
        })
    }

    fn explain(&self, error: &CallError) -> anyhow::Error {
        self.client.serve(Duration::ZERO);
        let said = self.client.last_error().unwrap_or_else(|| error.to_string());
        match error.is_silence() {
            true => {
                anyhow!("Kafka at {} cannot be used: {said}", self.servers)
            }
            false => anyhow!("{error}"),
        }
    }
}

fn warn_incomplete() {
    eprintln!("not every broker answered: there may be more groups");
}
