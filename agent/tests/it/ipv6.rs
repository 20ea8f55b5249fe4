//! IPv6: brokers, listeners, the addresses that agents of a group tell each other, and those that verbs are given.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use crate::agent::{Agent, free_address, http_get, program};
use crate::kafka::{Kafka, wait_until};

const PARTITIONS: i32 = 4;

/// An agent that listens on `[::1]`, and where.
fn start(kafka: &Kafka) -> (Agent, SocketAddr, SocketAddr) {
    let [http, grpc] =
        [free_address(), free_address()].map(|address| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port())));
    let config = format!(
        "kafka: {{ bootstrap_servers: '{}', group_id: six, properties: {{ client.id: team-a }} }}\n\
         sources:\n  s: {{ topics: [events], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, by: {{ user: user }}, measures: {{ events: count }} }}\n\
         http:\n  listen: '{http}'\n\
         grpc:\n  listen: '{grpc}'\n",
        kafka.bootstrap(),
    );
    (Agent::start(kafka.bootstrap(), &config), http, grpc)
}

fn output(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().expect("the binary was built")
}

fn verb(args: &[&str]) -> String {
    let output = output(args);
    let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{args:?}: {said}{error}");
    said
}

#[test]
fn a_group_on_ipv6_answers_as_one_and_verbs_take_its_addresses() {
    let kafka = Kafka::start_with(1, &["--ipv6"]);
    assert!(kafka.bootstrap().starts_with("[::1]:"), "{}", kafka.bootstrap());
    kafka.create_topic("events", PARTITIONS, &[]);
    let agents = [start(&kafka), start(&kafka)];
    for partition in 0..PARTITIONS {
        kafka.produce("events", partition, [("", r#"{"user":"a"}"#)]);
    }
    let page = |http, path| http_get(http, path, Duration::from_secs(30)).map(|(_, body)| body).unwrap_or_default();
    let here = |http| page(http, "/metrics").lines().filter(|line| line.starts_with("streamgauge_lease_held{")).count();
    wait_until("each has a share", || agents.iter().all(|(_, http, _)| here(*http) == 2));
    for (_, http, grpc) in &agents {
        let (http, grpc) = (http.to_string(), grpc.to_string());
        wait_until("any agent answers for both", || {
            // It fails while partitions are missing.
            let answer = output(&["query", "a", "--grpc", &grpc, "-o", "json"]).stdout;
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
            answer["rows"][0]["values"][0]["count"] == "4" && answer["missing"].is_null()
        });
        verb(&["health", "--http", &http]);
        verb(&["cluster", "health", "--agent", &grpc]);
        assert!(verb(&["topics", "list", "--agent", &grpc]).contains("events"));
    }
    assert!(verb(&["topics", "list", "--bootstrap-servers", kafka.bootstrap()]).contains("events"));
}
