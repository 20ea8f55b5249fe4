//! Brokers with a policy for new topics, as managed clusters have one: what it refuses is done without, or else said with
//! the commands that create the topics.

use std::path::Path;
use std::process::Command;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::agent::{Agent, repository};
use crate::kafka::{Kafka, block_on, wait_until};
use crate::scene::number;

/// Refuses settings that managed clusters refuse, and names that begin with another team's.
const POLICY: &str = r#"
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.server.policy.CreateTopicPolicy;

public class Managed implements CreateTopicPolicy {
    public void configure(Map<String, ?> configs) {}
    public void close() {}
    public void validate(RequestMetadata request) {
        if (request.topic().startsWith("__")) return; // Kafka's own
        for (String key : List.of("segment.bytes", "max.message.bytes", "min.cleanable.dirty.ratio"))
            if (request.configs().containsKey(key))
                throw new PolicyViolationException("setting '" + key + "' is not for you to choose");
        if (request.topic().contains("strangers"))
            throw new PolicyViolationException("topics of this cluster belong to a team");
    }
}
"#;

fn kafka_jars() -> String {
    let output =
        Command::new(repository().join("scripts/kafka")).arg("classpath").output().expect("scripts/kafka runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The policy as a class in a folder.
fn compiled(folder: &Path) {
    let source = folder.join("Managed.java");
    std::fs::write(&source, POLICY).expect("it is written");
    let output = Command::new("javac").args(["-cp", &kafka_jars(), "-d"]).arg(folder).arg(&source).output();
    let output = output.expect("javac runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn config(group: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n\
         sources:\n  s: {{ topics: [events], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, by: {{ user: user }}, measures: {{ events: count }} }}\n"
    )
}

fn setting(kafka: &Kafka, topic: &str, key: &str) -> Option<String> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().expect("an admin client");
    let described = block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()));
    let described = described.expect("the controller answers").remove(0).expect("it is there");
    described.get(key)?.value.clone()
}

#[test]
fn settings_that_a_policy_refuses_are_done_without_and_what_is_refused_for_good_comes_with_its_commands() {
    let folder = TempDir::with_prefix("streamgauge-policy-").expect("a temporary directory");
    compiled(folder.path());
    let folder = folder.path().to_str().expect("plain names");
    let policy = ["--classpath", folder, "--broker-config", "create.topic.policy.class.name=Managed"];
    let kafka = Kafka::start_with(1, &policy);
    kafka.create_topic("events", 2, &[]);

    let mut agent = Agent::start(kafka.bootstrap(), &config("team"));
    agent.wait_ready();
    kafka.produce("events", 0, [("", r#"{"user":"a"}"#), ("", "no json")]);
    kafka.produce("events", 1, [("", r#"{"user":"b"}"#)]);
    wait_until("all is counted", || {
        let page = agent.scrape();
        number(&page, "a_events_total", &[]) == 2.0 && number(&page, "streamgauge_decode_errors_total", &[]) == 1.0
    });
    let log = agent.log();
    for (topic, key) in [
        ("streamgauge-team-events-changelog", "segment.bytes"),
        ("streamgauge-team-events-changelog", "min.cleanable.dirty.ratio"),
        ("events-dlq", "max.message.bytes"),
    ] {
        let said = format!("setting '{key}' is not for you to choose");
        let line = log.lines().find(|line| line.contains(&said)).unwrap_or_else(|| panic!("{said}: {log}"));
        assert!(line.contains("trying without it") && line.contains(topic), "{line}");
    }
    assert_eq!(setting(&kafka, "streamgauge-team-events-changelog", "cleanup.policy").as_deref(), Some("compact"));

    let mut stranger = Agent::start(kafka.bootstrap(), &config("strangers"));
    let status = stranger.wait_exit();
    let log = stranger.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let words = [
        "topics of this cluster belong to a team",
        "kafka-topics.sh --create --topic streamgauge-strangers-events-changelog --partitions 2 --config cleanup.policy=compact",
    ];
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "no line has {words:?}: {log}");
}
