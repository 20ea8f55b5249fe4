//! What the demo runs on: a mock cluster inside this process, or a real Kafka, with the topics it needs.

use super::DemoArgs;
use crate::config::Config;
use crate::kafka::event_producer::EventProducer;
use crate::kafka::{Admin, MockKafka, Settings};
use crate::sources::{changelog_topic, dead_letter_topic};
use anyhow::Context;
use std::time::Duration;

pub const PARTITIONS: i32 = 12;
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

pub enum Cluster {
    Mock(MockKafka),
    Kafka { bootstrap_servers: String },
}

impl Cluster {
    /// Starts the mock, unless brokers are named.
    pub fn start(args: &DemoArgs) -> anyhow::Result<Cluster> {
        Ok(match &args.bootstrap_servers {
            Some(servers) => Cluster::Kafka { bootstrap_servers: servers.clone() },
            None => Cluster::Mock(MockKafka::start().context("the mock cluster does not start")?),
        })
    }

    pub fn bootstrap_servers(&self) -> String {
        match self {
            Cluster::Mock(mock) => mock.bootstrap_servers(),
            Cluster::Kafka { bootstrap_servers } => bootstrap_servers.clone(),
        }
    }

    pub fn is_mock(&self) -> bool {
        matches!(self, Cluster::Mock(_))
    }

    /// Makes the topics that the agent will not make itself. Returns the partitions of the input topic.
    pub async fn prepare(&self, config: &Config, topic: &str, producer: &EventProducer) -> anyhow::Result<usize> {
        match self {
            Cluster::Mock(mock) => {
                let changelog = changelog_topic(&config.kafka.group_id, topic);
                for name in [topic, &changelog, &dead_letter_topic(topic)] {
                    mock.create_topic(name, PARTITIONS).with_context(|| format!("topic {name} on the mock cluster"))?;
                }
            }
            Cluster::Kafka { .. } => producer.create_topic(topic, PARTITIONS).await?,
        }
        Ok(producer.partitions(topic)?)
    }

    /// Deletes the demo's own topics from a real Kafka.
    pub async fn clean(&self, config: &Config, topic: &str, is_ours: bool) {
        if self.is_mock() {
            return;
        }
        let changelog = changelog_topic(&config.kafka.group_id, topic);
        let dead_letters = dead_letter_topic(topic);
        let mut names = vec![changelog.as_str()];
        if is_ours {
            names.extend([topic, &dead_letters]);
        }
        let settings = Settings::new(config.kafka.clone(), "streamgauge-demo".into());
        let deleted = match Admin::create(&settings, CALL_TIMEOUT) {
            Ok(admin) => admin.delete_topics(&names).await,
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            eprintln!("these topics are left behind: {} ({error})", names.join(", "));
        }
    }
}
