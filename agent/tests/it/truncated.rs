//! An unclean leader election cuts off the end of a partition, and the partition grows beyond the old end before the
//! agent looks: the offsets alone say nothing. The agent notices all the same, says so, and ends.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::agent::Agent;
use crate::kafka::{Kafka, block_on, wait_until};

const TOPIC: &str = "cut";
const TIMEOUT: Duration = Duration::from_secs(30);
const CONFIG: &str = "\
kafka:
  bootstrap_servers: ${KAFKA_BOOTSTRAP_SERVERS}
  group_id: cut
  on_shutdown: leave
  session_timeout: 6s
sources:
  s: { topics: [cut], timestamp: { field: timestamp, format: unix_ms } }
aggregates:
  u: { source: s, by: { user: user }, measures: { requests: count } }
";

/// One partition on brokers 1 and 2, the first of which leads; the third broker is there for the quorum.
fn create_topic(kafka: &Kafka) {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().expect("an admin client");
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Variable(&[&[1, 2]]));
    let topic = topic.set("unclean.leader.election.enable", "true").set("min.insync.replicas", "1");
    let results = block_on(admin.create_topics(&[topic], &AdminOptions::new())).expect("the controller answers");
    results.into_iter().for_each(|result| drop(result.expect("the topic is created")));
    wait_until("broker 1 leads", || leader(kafka) == Some(1));
}

fn leader(kafka: &Kafka) -> Option<i32> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().expect("an admin client");
    let metadata = admin.inner().fetch_metadata(Some(TOPIC), TIMEOUT).ok()?;
    metadata.topics()[0].partitions().first().map(|partition| partition.leader()).filter(|leader| *leader >= 0)
}

fn produce(kafka: &Kafka, user: &str, events: u64) {
    let event = format!("{{\"timestamp\": 1760000000000, \"user\": \"{user}\"}}");
    kafka.produce(TOPIC, 0, (0..events).map(|_| (user, event.as_str())));
}

fn has_counted(agent: &Agent, user: &str, events: u64) -> bool {
    let series = format!("u_requests_total{{user=\"{user}\"");
    let page = agent.scrape();
    page.lines().any(|line| line.starts_with(&series) && line.ends_with(&format!(" {events}")))
}

#[test]
fn a_log_that_was_cut_and_has_grown_again_is_noticed_and_said() {
    let kafka = Kafka::start(3);
    create_topic(&kafka);
    produce(&kafka, "kept", 1_000);
    let mut agent = Agent::start(kafka.bootstrap(), CONFIG);
    agent.wait_ready();
    wait_until("the first are counted", || has_counted(&agent, "kept", 1_000));

    // These are on broker 1 alone; an election that loses nothing has been no reason to end.
    kafka.stop_broker(2);
    produce(&kafka, "cut-off", 500);
    wait_until("the next are counted", || has_counted(&agent, "cut-off", 500));
    assert!(agent.terminate().success(), "{}", agent.log());

    kafka.kill_broker(1);
    kafka.start_broker(2);
    wait_until("broker 2 leads without them", || leader(&kafka) == Some(2));
    produce(&kafka, "new", 2_000);
    kafka.start_broker(1);
    kafka.wait_in_sync();
    assert_eq!(kafka.read(TOPIC).len(), 3_000, "the log was not cut: the test shows nothing");

    agent.restart();
    assert_eq!(agent.wait_exit().code(), Some(1), "{}", agent.log());
    let says = |line: &str| {
        ["cut/0", "offset 1500", "unclean leader election", "streamgauge state reset"].iter().all(|w| line.contains(w))
    };
    assert!(agent.log().lines().any(says), "{}", agent.log());

    // What the line names helps: what there is, is counted.
    crate::state_verbs::reset(&agent);
    agent.restart();
    agent.wait_ready();
    wait_until("all there is has been counted", || {
        has_counted(&agent, "kept", 1_000) && has_counted(&agent, "new", 2_000)
    });
    assert!(!agent.scrape().contains("user=\"cut-off\""), "{}", agent.scrape());
}
