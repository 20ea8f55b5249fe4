//! Topic administration through grpcurl and from the command line, on real brokers.

use serde_json::{Value, json};

use crate::agent::{Agent, repository};
use crate::calls::{answer, call, json as printed, refused, run};
use crate::kafka::{Kafka, shared, unique, wait_until};

/// An agent that reads `topic` and may change topics, but not those that begin with `keep-`.
pub fn agent(kafka: &Kafka, topic: &str, cluster: &str) -> Agent {
    let config = format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {}\n\
         sources:\n  s: {{ topics: [{topic}], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, windows: [1m], measures: {{ events: count }} }}\n\
         cluster: {cluster}\n",
        unique("group")
    );
    let mut agent = Agent::start(kafka.bootstrap(), &config);
    agent.wait_ready();
    agent
}

const ALLOWED: &str = "{ topics: { allow: [create, update, grow, delete], protected: [\"keep-.*\"], timeout: 4s } }";

fn value_of(topic: &Value, name: &str) -> (String, bool) {
    let configs = topic["configs"].as_array().expect("settings");
    let config = configs.iter().find(|config| config["name"] == name).unwrap_or_else(|| panic!("{name}: {topic}"));
    (config["value"].as_str().expect("a value").to_owned(), config["isDefault"] == true)
}

fn exists(agent: &Agent, name: &str) -> bool {
    let pattern = format!("^{name}$");
    let list = answer(agent, "TopicService/ListTopics", &json!({ "name_pattern": pattern }));
    list["topics"].as_array().is_some_and(|topics| !topics.is_empty())
}

#[test]
fn topics_are_made_changed_grown_and_deleted_and_nothing_happens_when_only_validated() {
    let kafka = shared();
    let (source, name) = (unique("source"), unique("made"));
    kafka.create_topic(&source, 1, &[]);
    let agent = agent(kafka, &source, ALLOWED);
    let create =
        json!({ "name": name, "partitions": 2, "replication_factor": 1, "configs": { "retention.ms": "60000" } });
    let mut only_look = create.clone();
    only_look["validate_only"] = true.into();
    answer(&agent, "TopicService/CreateTopic", &only_look);
    assert!(!exists(&agent, &name), "validate_only made it");

    let topic = answer(&agent, "TopicService/CreateTopic", &create);
    assert_eq!((&topic["partitionCount"], &topic["replicationFactor"]), (&json!(2), &json!(1)));
    assert_eq!(value_of(&topic, "retention.ms"), ("60000".into(), false));
    refused(&agent, "TopicService/CreateTopic", &create, "AlreadyExists", "already exists");

    // One setting is changed; the others stay.
    let update = |more: Value| {
        let mut request = json!({ "name": name, "set": { "max.message.bytes": "2000" } });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        answer(&agent, "TopicService/UpdateTopic", &request)
    };
    assert!(value_of(&update(json!({ "validate_only": true })), "max.message.bytes").1, "validate_only changed it");
    let topic = update(json!({}));
    assert_eq!(value_of(&topic, "max.message.bytes"), ("2000".into(), false));
    assert_eq!(value_of(&topic, "retention.ms"), ("60000".into(), false), "another setting was reset");
    let topic = update(json!({ "reset": ["retention.ms"] }));
    assert!(value_of(&topic, "retention.ms").1);

    let grow = |total: i32, validate_only: bool| {
        call(
            &agent,
            "TopicService/CreatePartitions",
            &json!({ "name": name, "total": total, "validate_only": validate_only }),
        )
    };
    assert_eq!(grow(5, true).unwrap()[0]["partitionCount"], 2);
    assert_eq!(grow(5, false).unwrap()[0]["partitionCount"], 5);
    let shrink = grow(3, false).unwrap_err();
    assert!(shrink.code == "InvalidArgument" && shrink.message.contains("can only grow"), "{shrink:?}");

    kafka.produce(&name, 0, [("k", "a"), ("k", "b")]);
    let topic = answer(&agent, "TopicService/GetTopic", &json!({ "name": name }));
    assert_eq!((&topic["records"], &topic["partitions"][0]["currentOffset"]), (&json!("2"), &json!("2")));
    assert!(topic["id"].as_str().is_some_and(|id| id.len() == 22), "{topic}");

    let delete = |validate_only: bool| {
        answer(&agent, "TopicService/DeleteTopic", &json!({ "name": name, "validate_only": validate_only }))
    };
    delete(true);
    assert!(exists(&agent, &name), "validate_only deleted it");
    delete(false);
    wait_until("the topic is gone", || !exists(&agent, &name));
    refused(&agent, "TopicService/DeleteTopic", &json!({ "name": name }), "NotFound", "there is no topic");
}

#[test]
fn bad_input_has_the_status_that_fits_and_changes_nothing() {
    let kafka = shared();
    let source = unique("source");
    kafka.create_topic(&source, 1, &[]);
    let agent = agent(kafka, &source, ALLOWED);
    let name = unique("bad");
    let create = |more: Value| {
        let mut request = json!({ "name": name, "partitions": 1, "replication_factor": 1 });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    for (more, words) in [
        (json!({ "replication_factor": 3 }), "at most as many replicas as there are brokers"),
        (json!({ "replication_factor": -2 }), "use 1 or more"),
        (json!({ "partitions": -1 }), "use 1 or more"),
        (json!({ "name": "no/name" }), "is not a valid topic name"),
        (json!({ "name": "" }), "is not a valid topic name"),
        (json!({ "configs": { "retention.ms": "soon" } }), "retention.ms"),
        (json!({ "configs": { "no.such": "1" } }), "no.such"),
    ] {
        refused(&agent, "TopicService/CreateTopic", &create(more), "InvalidArgument", words);
    }
    assert!(!exists(&agent, &name));
    for (method, request) in [
        ("GetTopic", json!({ "name": name })),
        ("UpdateTopic", json!({ "name": name, "set": { "retention.ms": "1" } })),
        ("CreatePartitions", json!({ "name": name, "total": 2 })),
        ("DeleteTopic", json!({ "name": name })),
    ] {
        refused(&agent, &format!("TopicService/{method}"), &request, "NotFound", "there is no topic");
    }
    let update = |set: Value| json!({ "name": source, "set": set });
    refused(&agent, "TopicService/UpdateTopic", &update(json!({})), "InvalidArgument", "nothing to change");
    let half = update(json!({ "max.message.bytes": "7", "retention.ms": "soon" }));
    refused(&agent, "TopicService/UpdateTopic", &half, "InvalidArgument", "retention.ms");
    let topic = answer(&agent, "TopicService/GetTopic", &json!({ "name": source }));
    assert!(value_of(&topic, "max.message.bytes").1, "half of a refused change was done");
    refused(
        &agent,
        "TopicService/ListTopics",
        &json!({ "name_pattern": "(" }),
        "InvalidArgument",
        "regular expression",
    );
}

#[test]
fn what_the_config_does_not_allow_or_protects_is_denied() {
    let kafka = shared();
    let source = unique("source");
    kafka.create_topic(&source, 1, &[]);
    let open = agent(kafka, &source, ALLOWED);
    let list = answer(&open, "TopicService/ListTopics", &json!({ "name_pattern": format!("-{source}-changelog$") }));
    let changelog = list["topics"][0]["name"].as_str().expect("the agent's changelog").to_owned();
    assert!(list["topics"][0]["protectedBy"].as_str().is_some_and(|why| why.contains("state")), "{list}");
    for name in [&changelog, &format!("{source}-dlq"), "keep-this", "__consumer_offsets"] {
        refused(&open, "TopicService/DeleteTopic", &json!({ "name": name }), "PermissionDenied", "is protected");
        let create = json!({ "name": name, "partitions": 1 });
        refused(&open, "TopicService/CreateTopic", &create, "PermissionDenied", "is protected");
    }
    drop(open);
    let closed = agent(kafka, &source, "{}");
    for (method, request) in [
        ("CreateTopic", json!({ "name": "t", "partitions": 1 })),
        ("UpdateTopic", json!({ "name": source, "set": { "retention.ms": "1" } })),
        ("CreatePartitions", json!({ "name": source, "total": 2 })),
        ("DeleteTopic", json!({ "name": source, "validate_only": true })),
    ] {
        refused(&closed, &format!("TopicService/{method}"), &request, "PermissionDenied", "cluster.topics.allow");
    }
    answer(&closed, "TopicService/GetTopic", &json!({ "name": source }));
}

#[test]
fn lists_have_pages() {
    let kafka = shared();
    let (source, prefix) = (unique("source"), unique("page"));
    kafka.create_topic(&source, 1, &[]);
    let names: Vec<String> = (0..5).map(|n| format!("{prefix}-{n}")).collect();
    names.iter().for_each(|name| kafka.create_topic(name, 1, &[]));
    let agent = agent(kafka, &source, "{}");
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = json!({ "page_size": 2, "page_token": token, "name_pattern": format!("^{prefix}-") });
        let page = answer(&agent, "TopicService/ListTopics", &request);
        let topics = page["topics"].as_array().expect("topics");
        assert!(topics.len() <= 2);
        seen.extend(topics.iter().map(|topic| topic["name"].as_str().expect("a name").to_owned()));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names);
}

#[test]
fn the_command_line_does_the_same_against_kafka_and_through_an_agent() {
    let kafka = shared();
    let (source, name) = (unique("source"), unique("cli"));
    kafka.create_topic(&source, 1, &[]);
    let agent = agent(kafka, &source, ALLOWED);
    let address = agent.grpc().to_string();
    for target in [["--bootstrap-servers", kafka.bootstrap()], ["--agent", &address]] {
        let topics = |args: &[&str]| run(&[&["topics"], args, &target[..]].concat());
        let create = ["create", &name, "--partitions", "3", "--config", "retention.ms=86400000"];
        let (code, out, error) = topics(&create);
        assert!(code == 0 && out.contains("created"), "{out}{error}");
        let (code, _, error) = topics(&create);
        assert!(code == 1 && error.contains("already exists") && error.lines().count() == 1, "{error}");
        let (_, table, _) = topics(&["list", "--name", &name]);
        assert!(table.starts_with("TOPIC") && table.contains(&name), "{table}");
        let (_, table, _) = topics(&["describe", &name]);
        assert!(table.contains("86400000 (1d)") && table.contains("IN SYNC"), "{table}");
        let all = printed(&[&["topics", "describe", &name, "-o", "json"][..], &target[..]].concat());
        assert_eq!((&all["partition_count"], &all["records"]), (&json!(3), &json!(0)));
        let (code, _, error) = topics(&["delete", &name]);
        assert!(code == 2 && error.contains("--yes"), "nobody was there to agree: {error}");
        assert_eq!(topics(&["delete", &name, "--yes"]).0, 0);
        wait_until("the topic is gone", || topics(&["describe", &name]).0 == 1);
    }
    let (code, _, error) = run(&["topics", "list", "--bootstrap-servers", "127.0.0.1:1", "--timeout", "5s"]);
    assert!(code == 1 && error.contains("Kafka cannot be used") && error.lines().count() == 1, "{error}");
}

/// What needs three brokers, on one cluster: starting it takes longer than all of it.
#[test]
fn presets_are_applied_once_and_brokers_that_are_silent_or_gone_have_their_status() {
    let kafka = Kafka::start(3);
    let file = repository().join("examples/topics.yaml");
    let file = file.to_str().expect("a plain path");
    let apply = |more: &[&str]| {
        run(&[&["topics", "apply", "-f", file, "--bootstrap-servers", kafka.bootstrap()], more].concat())
    };
    let (code, plan, error) = apply(&[]);
    assert!(code == 2 && plan.contains("+ audit-logs: create; partitions 6, replicas 3"), "{plan}{error}");
    let (code, done, error) = apply(&["--yes"]);
    assert!(code == 0 && done.ends_with("done\n"), "{done}{error}");
    let (code, again, error) = apply(&["--yes"]);
    assert!(code == 0 && again == "3 topics: nothing to change\n", "{again}{error}");
    for (name, partitions, settings) in [
        ("log-events", 12, &[("retention.ms", "604800000"), ("compression.type", "snappy")][..]),
        ("critical-logs", 4, &[("retention.ms", "1209600000")]),
        ("audit-logs", 6, &[("retention.ms", "2592000000"), ("cleanup.policy", "compact,delete")]),
    ] {
        let topic = printed(&["topics", "describe", name, "-o", "json", "--bootstrap-servers", kafka.bootstrap()]);
        assert_eq!(
            (&topic["partition_count"], &topic["replication_factor"]),
            (&json!(partitions), &json!(3)),
            "{name}"
        );
        for (key, value) in settings.iter().chain(&[("min.insync.replicas", "2")]) {
            let mut parts: Vec<&str> = topic["configs"][key]["value"].as_str().unwrap().split(',').collect();
            parts.sort_unstable();
            assert_eq!(parts.join(","), *value, "{name} {key}");
        }
    }
    let theirs = kafka.script(&["topics"], &["--describe", "--topic", "audit-logs"]);
    assert!(theirs.contains("PartitionCount: 6") && theirs.contains("ReplicationFactor: 3"), "{theirs}");

    // Somebody changed a setting by hand: one line of plan, and only that is changed back.
    let servers = ["--bootstrap-servers", kafka.bootstrap()];
    kafka.create_topic("mine", 1, &[]);
    let agent = agent(&kafka, "mine", ALLOWED);
    let drift = json!({ "name": "critical-logs", "set": { "retention.ms": "1000" } });
    answer(&agent, "TopicService/UpdateTopic", &drift);
    let (_, plan, _) = apply(&["--dry-run"]);
    assert!(plan.starts_with("~ critical-logs: retention.ms 1000 (1s) -> 1209600000 (14d)\n"), "{plan}");
    assert_eq!(apply(&["--yes"]).0, 0);
    // What is so by the brokers' default alone is no change of the value.
    let reset = json!({ "name": "log-events", "reset": ["retention.ms"] });
    answer(&agent, "TopicService/UpdateTopic", &reset);
    let (_, plan, _) = apply(&["--dry-run"]);
    let line = "~ log-events: retention.ms = 604800000 (7d), so far only as the brokers' default\n";
    assert!(plan.starts_with(line), "{plan}");
    assert_eq!(apply(&["--yes"]).0, 0);

    (1..=3).for_each(|broker| kafka.pause_broker(broker));
    let request = json!({ "name": "late", "partitions": 1 });
    refused(&agent, "TopicService/CreateTopic", &request, "DeadlineExceeded", "look before you try it again");
    refused(&agent, "TopicService/ListTopics", &json!({}), "DeadlineExceeded", "no broker answered within 4 s");
    (1..=3).for_each(|broker| kafka.resume_broker(broker));
    wait_until("the cluster answers again", || run(&[&["topics", "list"], &servers[..]].concat()).0 == 0);
    (1..=3).for_each(|broker| kafka.kill_broker(broker));
    refused(&agent, "TopicService/CreateTopic", &request, "Unavailable", "Kafka cannot be used");
    refused(&agent, "TopicService/GetTopic", &json!({ "name": "log-events" }), "Unavailable", "Kafka cannot be used");
}

#[test]
fn what_kafka_itself_does_not_allow_is_denied() {
    let authorizer = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let kafka = Kafka::start_with(
        1,
        &["--tls", "--broker-config", authorizer, "--broker-config", "super.users=User:ANONYMOUS"],
    );
    kafka.create_topic("theirs", 1, &[]);
    let servers = kafka.listener("SASL_SSL");
    let ca = format!("ssl.ca.location={}", kafka.dir().join("tls/ca.crt").display());
    let alice = [
        "--bootstrap-servers",
        &servers,
        "--property",
        "security.protocol=SASL_SSL",
        "--property",
        "sasl.mechanism=PLAIN",
        "--property",
        "sasl.username=alice",
        "--property",
        "sasl.password=alice-secret",
        "--property",
        &ca,
    ];
    for (verb, acl) in [
        (&["create", "mine"][..], "Create on --topic mine "),
        (&["delete", "theirs", "--yes"], "Describe on --topic theirs "),
        (&["describe", "theirs"], "Describe on --topic theirs "),
    ] {
        let (code, _, error) = run(&[&["topics"], verb, &alice[..]].concat());
        assert!(
            code == 1 && error.contains(&format!("needs the ACL {acl}")) && error.lines().count() == 1,
            "{verb:?}: {error}"
        );
        assert!(!error.contains("alice-secret"), "{error}");
    }
    assert_eq!(kafka.script(&["topics"], &["--list"]).trim(), "theirs");
}
