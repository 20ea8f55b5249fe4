//! Three brokers, topics, groups that are behind and caught up, and an agent that looks after them.

use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::cluster_service_client::ClusterServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use super::tools;
use crate::agent::{Agent, program};
use crate::kafka::{Kafka, block_on_io, wait_until};

pub const PARTITIONS: i32 = 6;
const CONFIG: &str = "
kafka:
  bootstrap_servers: ${KAFKA_BOOTSTRAP_SERVERS}
  group_id: sg
sources: { s: { topics: [orders], timestamp: { from: kafka } } }
aggregates: { a: { source: s, windows: [1m], measures: { events: count } } }
cluster: { interval: 2s, lag: { interval: 2s }, probe: { enabled: true } }
";

pub struct Scene<'a> {
    pub kafka: &'a Kafka,
    pub agent: Agent,
    /// Where the agent and the command line reach the brokers.
    pub servers: String,
}

impl<'a> Scene<'a> {
    pub fn start(kafka: &'a Kafka) -> Scene<'a> {
        Scene::through(kafka, kafka.bootstrap())
    }

    /// The agent and the command line come by these addresses, which may be proxies.
    pub fn through(kafka: &'a Kafka, servers: &str) -> Scene<'a> {
        kafka.create_topic("orders", PARTITIONS, &[("min.insync.replicas", "2")]);
        kafka.create_topic("spare", 1, &[]);
        for partition in 0..PARTITIONS {
            let count = 10 + partition as usize;
            kafka.produce("orders", partition, (0..count).map(|_| ("k", "{\"a\":1}")));
        }
        commit(kafka, "behind", "orders", &(0..PARTITIONS).map(|p| (p, i64::from(p))).collect::<Vec<_>>());
        commit(kafka, "behind", "spare", &[(0, 0)]);
        commit(kafka, "caught-up", "orders", &(0..PARTITIONS).map(|p| (p, i64::from(10 + p))).collect::<Vec<_>>());
        let mut agent = Agent::start(servers, CONFIG);
        agent.wait_ready();
        let scene = Scene { kafka, agent, servers: servers.to_owned() };
        wait_until("everything has been counted and collected", || {
            let page = scene.page();
            page.contains("kafka_consumergroup_lag_sum{consumergroup=\"sg\",topic=\"orders\"} 0\n")
        });
        scene
    }

    pub fn page(&self) -> String {
        self.agent.scrape()
    }

    /// What the agent found last, not asked for now.
    pub fn health(&self) -> pb::ClusterHealth {
        let request = pb::GetHealthRequest::default();
        self.call(async |mut client| client.get_health(request).await).expect("the agent answers")
    }

    pub fn group(&self, group: &str) -> Result<pb::ConsumerGroup, Status> {
        let request = pb::GetConsumerGroupRequest { group: group.into() };
        self.call(async |mut client| client.get_consumer_group(request).await)
    }

    pub fn groups(&self, request: pb::ListConsumerGroupsRequest) -> Result<pb::ListConsumerGroupsResponse, Status> {
        self.call(async |mut client| client.list_consumer_groups(request).await)
    }

    fn call<T>(
        &self,
        call: impl AsyncFnOnce(ClusterServiceClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, Status> {
        let address = format!("http://{}", self.agent.grpc());
        block_on_io(async {
            let channel = Channel::from_shared(address).expect("a URL").connect().await.expect("the agent listens");
            call(ClusterServiceClient::new(channel)).await.map(tonic::Response::into_inner)
        })
    }

    /// Waits until the agent's verdict is so; how long that took.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&pb::ClusterHealth) -> bool) -> Duration {
        let began = Instant::now();
        wait_until(what, || {
            std::thread::sleep(Duration::from_millis(80));
            holds(&self.health())
        });
        began.elapsed()
    }

    /// Until every partition has a leader that answers.
    pub fn wait_for_elections(&self) {
        self.wait_for("leaders are elected", |health| health.offline_partitions + health.silent_partitions == 0);
    }

    /// Collects changes until the cluster has been unwell and is healthy again.
    pub fn watch(&self) -> JoinHandle<Vec<String>> {
        let address = format!("http://{}", self.agent.grpc());
        std::thread::spawn(move || {
            block_on_io(async {
                let channel = Channel::from_shared(address).expect("a URL").connect().await.expect("it listens");
                let mut client = ClusterServiceClient::new(channel);
                let stream = client.watch_health(pb::WatchHealthRequest::default()).await.expect("a stream");
                let (mut stream, mut changes) = (stream.into_inner(), Vec::new());
                while let Some(news) = stream.message().await.expect("the stream goes on") {
                    changes.extend(news.changes);
                    if changes.iter().any(|change: &String| change.ends_with("is healthy")) {
                        break;
                    }
                }
                changes
            })
        })
    }

    /// The agent's metrics and the command line against Kafka's own tools. Brokers settle: the tools and the agent must
    /// agree within the time of `wait_until`, all at once.
    pub fn equals_the_tools(&self) {
        let mut last = String::new();
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            match self.compare() {
                Ok(()) => return,
                Err(difference) if Instant::now() > until => panic!("{difference}\nbefore: {last}"),
                Err(difference) => last = difference,
            }
        }
    }

    fn compare(&self) -> Result<(), String> {
        let partitions = tools::partitions(self.kafka);
        let names = ["behind", "caught-up"];
        let groups = names.into_iter().zip(tools::lags(self.kafka, names));
        // One more collection and check than there was before the tools ran.
        std::thread::sleep(Duration::from_millis(4_500));
        let page = self.page();
        tools::same_partitions(&page, &partitions)?;
        for (group, expected) in groups {
            tools::same_lag(&page, group, &expected)?;
            let answer = self.group(group).map_err(|status| status.to_string())?;
            tools::same_answer(&answer, &expected)?;
        }
        let under = tools::under_replicated(&partitions);
        let found = self.health().under_replicated_partitions as usize;
        if under == found { Ok(()) } else { Err(format!("under-replicated: the tool says {under}, the agent {found}")) }
    }
}

/// Commits offsets for a group without members.
pub fn commit(kafka: &Kafka, group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let mut config = kafka.client();
    config.set("group.id", group).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("an offset");
    }
    wait_until("the coordinator takes the offsets", || consumer.commit(&list, CommitMode::Sync).is_ok());
}

/// Runs the binary; its exit code and what it said, on both streams.
pub fn command(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program()).args(args).output().expect("the binary was built");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
