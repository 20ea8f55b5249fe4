//! The cluster beside the agent, on three real brokers: what is said of it equals what Kafka's own tools say.

mod faults;
mod groups;
mod otel;
mod scene;
mod tools;

use std::collections::BTreeSet;
use std::time::Duration;

use streamgauge_proto::v1 as pb;
use tonic::Code;

use crate::kafka::{Kafka, wait_until};
use crate::monitoring::panels::{OF_BROKERS, unmoved};
use crate::monitoring::servers::Prometheus;
use scene::{Scene, command};

/// One cluster for all of it: starting three brokers takes longer than most of what is asked of them.
#[test]
fn health_and_lag_are_what_kafkas_own_tools_say_also_while_a_broker_is_down() {
    let kafka = Kafka::start(3);
    let scene = Scene::start(&kafka);
    scene.equals_the_tools();
    healthy_cluster(&scene);
    bad_questions(&scene);
    let watch = scene.watch();
    let prometheus = Prometheus::start(&[scene.agent.http()], None);
    kafka.create_topic_with("lonely", 3, 1, &[]);

    kafka.kill_broker(2);
    scene.wait_for("broker 2 is down", |health| health.brokers_up == 2 && health.under_replicated_partitions > 0);
    panels_move(&prometheus, &["Under-replicated", "Offline", "Leaders that are not the preferred ones"]);
    kafka.script(&["topics"], &["--delete", "--topic", "lonely"]);
    scene.wait_for_elections();
    scene.equals_the_tools();
    let (code, text) = command(&["cluster", "health", "--bootstrap-servers", kafka.bootstrap()]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("broker 2") && text.contains("under-replicated"), "{text}");
    assert!(scene.page().contains("\nkafka_cluster_brokers_healthy 2\n"));

    kafka.start_broker(2);
    scene.wait_for("all is well again", |health| health.status() == pb::HealthStatus::Healthy);
    scene.equals_the_tools();
    let changes = watch.join().expect("the watcher does not panic");
    assert!(
        changes.iter().any(|change| change == "broker 2 was up, is down" || change == "broker 2 was up, is silent"),
        "{changes:?}"
    );
    assert!(changes.iter().any(|change| change.ends_with("is healthy")), "{changes:?}");
    quota(&kafka, "--add-config", "consumer_byte_rate=100");
    kafka.produce("orders", 0, (0..100).map(|_| ("k", "{\"a\":1}")));
    panels_move(&prometheus, &["Throttled"]);
    quota(&kafka, "--delete-config", "consumer_byte_rate");
    what_is_gone_leaves_no_series(&scene);
}

/// Waits until each of these panels of the dashboard of the cluster has shown something other than zero.
fn panels_move(prometheus: &Prometheus, titles: &[&str]) {
    let panels: BTreeSet<String> = titles.iter().map(|title| format!("streamgauge-kafka: {title}")).collect();
    assert!(panels.iter().all(|panel| OF_BROKERS.contains(&panel.as_str())), "{panels:?}");
    wait_until(&format!("{panels:?} move"), || unmoved(prometheus).is_disjoint(&panels));
}

/// What a client that names no user may do.
fn quota(kafka: &Kafka, change: &str, what: &str) {
    kafka.script(&["configs"], &["--alter", change, what, "--entity-type", "clients", "--entity-default"]);
}

fn healthy_cluster(scene: &Scene) {
    let (code, text) = command(&["cluster", "health", "--bootstrap-servers", scene.kafka.bootstrap()]);
    assert_eq!(code, Some(0), "{text}");
    let (code, json) = command(&["cluster", "health", "--agent", &scene.agent.grpc().to_string(), "-o", "json"]);
    let health: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &health["brokersUp"]), (Some(0), &3.into()), "{json}");
    assert_eq!(health["status"], "HEALTH_STATUS_HEALTHY", "the message as gRPC's JSON has it");
    let page = scene.page();
    for expected in ["kafka_cluster_brokers_healthy 3", "kafka_brokers 3", "streamgauge_cluster_reachable 1"] {
        assert!(page.lines().any(|line| line == expected), "{expected}");
    }
    // The probe came back from each of the three.
    wait_until("the probe is back from each broker", || {
        let page = scene.page();
        (1..=3).all(|id| page.contains(&format!("streamgauge_probe_roundtrip_seconds_count{{broker=\"{id}\"}}")))
    });
    assert!(!scene.page().contains("streamgauge_probe_lost_total{"), "nothing is lost while all is well");
    for family in ["streamgauge_kafka_request_latency_mean_seconds", "streamgauge_kafka_requests_in_flight"] {
        assert!(page.contains(&format!("\n{family}{{client=\"consumer\"")), "{family}\n{page}");
    }
    let (code, text) = command(&["cluster", "lag", "--agent", &scene.agent.grpc().to_string(), "--max-lag", "5"]);
    assert_eq!(code, Some(2), "a group is further behind than 5\n{text}");
    let (code, _) = command(&[
        "cluster",
        "lag",
        "--agent",
        &scene.agent.grpc().to_string(),
        "--group",
        "caught-up",
        "--max-lag",
        "5",
    ]);
    assert_eq!(code, Some(0));
}

fn bad_questions(scene: &Scene) {
    let refused = |answer: Result<(), tonic::Status>, code: Code, hint: &str| {
        let status = answer.expect_err("it is refused");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(hint) && !status.message().contains('\n'), "{status:?}");
    };
    refused(scene.group("nobody").map(drop), Code::NotFound, "`nobody`");
    refused(scene.group("").map(drop), Code::InvalidArgument, "group is missing");
    let listing =
        |group: &str, page_size| pb::ListConsumerGroupsRequest { group: group.into(), page_size, ..Default::default() };
    refused(scene.groups(listing("a(", 0)).map(drop), Code::InvalidArgument, "`a(` is not a regular expression");
    refused(scene.groups(listing("", -1)).map(drop), Code::InvalidArgument, "page_size");
    let mut request = listing("", 1);
    let mut names = Vec::new();
    loop {
        let page = scene.groups(request.clone()).expect("a page");
        assert!(page.groups.len() <= 1);
        names.extend(page.groups.into_iter().map(|group| group.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(names, ["behind", "caught-up", "sg"]);
    let (code, text) = command(&["cluster", "lag", "--bootstrap-servers", scene.kafka.bootstrap(), "--group", "a("]);
    assert_eq!((code, text.contains("`a(`")), (Some(64), true), "{text}");
}

fn what_is_gone_leaves_no_series(scene: &Scene) {
    scene.kafka.script(&["groups"], &["--delete", "--group", "behind"]);
    scene.kafka.script(&["topics"], &["--delete", "--topic", "spare"]);
    wait_until("group and topic are gone", || {
        let page = scene.page();
        !page.contains("consumergroup=\"behind\"")
            && !page.contains("topic=\"spare\"")
            && !page.contains("{group=\"behind\"}")
    });
    let page = scene.page();
    assert!(page.contains("kafka_consumergroup_lag{consumergroup=\"caught-up\""), "the others stay");
    assert!(!page.lines().any(|line| line.starts_with("kafka_") && line.contains(" -")), "nothing is negative");
}

#[test]
fn a_kafka_that_is_not_there_is_unhealthy_and_said_where() {
    let at = std::time::Instant::now();
    let (code, text) = command(&["cluster", "health", "--bootstrap-servers", "127.0.0.1:1", "--timeout", "500ms"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no broker answers") && text.contains("127.0.0.1:1"), "{text}");
    let (code, text) = command(&["cluster", "lag", "--bootstrap-servers", "127.0.0.1:1", "--timeout", "500ms"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Kafka at 127.0.0.1:1 cannot be used: nothing listens at 127.0.0.1:1"), "{text}");
    assert!(at.elapsed() < Duration::from_secs(20), "deadlines bound it: {:?}", at.elapsed());
}
