//! Users who may not do everything: what is missing is said in one line that names the operation and the resource, and what a
//! user may not see holds nothing up.

use std::process::Output;
use std::time::Duration;

use crate::agent::Agent;
use crate::kafka::{Kafka, wait_until};
use crate::scene::number;

/// Each user has all rights of docs/access.md but the one that it is called after; `whole` has all, `few` no transactions.
const USERS: [&str; 7] = ["whole", "notopic", "noread", "nogroup", "notransaction", "nochangelog", "nowrite"];

fn kafka() -> Kafka {
    let passwords = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let users: String = USERS.iter().map(|user| format!(" user_{user}=\"secret\"")).collect();
    let settings = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        "super.users=User:ANONYMOUS".to_owned(),
        format!("listener.name.sasl_ssl.plain.sasl.jaas.config={passwords} required{users};"),
    ];
    let options: Vec<&str> = settings.iter().flat_map(|setting| ["--broker-config", setting]).collect();
    let kafka = Kafka::start_with(1, &[&["--tls"][..], &options].concat());
    for topic in ["events", "theirs"] {
        kafka.create_topic(topic, 1, &[]);
    }
    kafka.create_topic("streamgauge-nowrite-events-changelog", 1, &[("cleanup.policy", "compact")]);
    let own = ["--topic", "streamgauge-", "--resource-pattern-type", "prefixed"];
    grant(&kafka, &["notopic"], &["Describe"], &["--topic", "events"]);
    grant(&kafka, &["notopic", "noread"], &["Read"], &["--topic", "events"]);
    grant(&kafka, &["nochangelog"], &["Create"], &own);
    grant(&kafka, &["nowrite"], &["Write"], &own);
    grant(&kafka, &[], &["Describe", "DescribeConfigs", "Alter", "Read"], &own);
    grant(&kafka, &[], &["Create", "Describe", "Write"], &["--topic", "events-dlq"]);
    let groups: Vec<_> = USERS.iter().flat_map(|user| ["--group", user]).collect();
    grant(&kafka, &["nogroup"], &["Read"], &groups);
    let ids: Vec<_> = USERS.iter().map(|user| format!("{user}-")).collect();
    let ids = ids.iter().flat_map(|id| ["--transactional-id", id]).chain(["--resource-pattern-type", "prefixed"]);
    grant(&kafka, &["notransaction"], &["Write", "Describe"], &ids.collect::<Vec<_>>());
    kafka
}

/// Grants operations on a resource to all users but some.
fn grant(kafka: &Kafka, but: &[&str], operations: &[&str], resource: &[&str]) {
    let users: Vec<_> = USERS.iter().filter(|user| !but.contains(user)).map(|user| format!("User:{user}")).collect();
    let users = users.iter().flat_map(|user| ["--allow-principal", user]);
    let operations = operations.iter().flat_map(|operation| ["--operation", operation]);
    let args: Vec<_> = ["--add"].into_iter().chain(users).chain(operations).chain(resource.iter().copied()).collect();
    kafka.script(&["acls"], &args);
}

fn agent(kafka: &Kafka, user: &str, more: &str) -> Agent {
    let ca = kafka.dir().join("tls/ca.crt");
    let config = format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {user}\n  properties: {{ security.protocol: SASL_SSL, \
         ssl.ca.location: '{}', sasl.mechanism: PLAIN, sasl.username: {user}, sasl.password: secret }}\n\
         sources:\n  s: {{ topics: [events], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, by: {{ user: user }}, measures: {{ events: count }} }}\n\
         cluster: {{ interval: 1s, lag: {{ interval: 1s }}, topics: {{ allow: [create] }}, load_tests: {{ allow: true }} }}\n{more}",
        ca.display()
    );
    Agent::start(&kafka.listener("SASL_SSL"), &config)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_missing_right_is_named_and_what_a_user_may_not_see_holds_nothing_up() {
    let kafka = kafka();
    kafka.produce("events", 0, [("", r#"{"user":"a"}"#)]);
    kafka.commit("others", "theirs", &[(0, 0)].into());
    missing_rights(&kafka);
    few_to_see(&kafka);
}

fn missing_rights(kafka: &Kafka) {
    let changelog = "--topic streamgauge-nowrite-events-changelog";
    let tried = |user: &str, said: &str, by_validate: bool| {
        let agent = agent(kafka, user, "");
        let is_said = |agent: &Agent| {
            let ready = agent.try_get("/-/ready").is_some_and(|(_, page)| page.lines().any(|line| line.contains(said)));
            // One that cannot run at all says it as it ends.
            ready || agent.has_ended() && agent.log().lines().any(|line| line.contains(said))
        };
        wait_until(&format!("{user}: `{said}` is said"), || is_said(&agent));
        if by_validate {
            let output = agent.verb(&["validate", "--connect"]);
            let text = text(&output);
            assert_eq!(output.status.code(), Some(2), "{user}: {text}");
            assert!(text.lines().any(|line| line.contains(said)), "{user}: validate does not say `{said}`: {text}");
        }
    };
    let needs = |acl: &str| format!("this user needs the ACL {acl}");
    std::thread::scope(|scope| {
        let tried = &tried;
        let cases = [
            ("notopic", needs("Describe and Read on --topic events "), false),
            ("noread", needs("Read on --topic events "), true),
            ("nogroup", needs("Read on --group nogroup "), true),
            ("notransaction", needs("Write and Describe on --transactional-id notransaction- "), true),
            ("nochangelog", needs("Create on --topic streamgauge-nochangelog-events-changelog "), false),
            ("nowrite", needs(&format!("Write on {changelog} ")), false),
        ];
        let tries = cases.map(|(user, said, by_validate)| scope.spawn(move || tried(user, &said, by_validate)));
        tries.into_iter().for_each(|tried| tried.join().expect("no panic"));
    });
    // At least once it does without transactions.
    let at_least_once = "state:\n  dir: ${STATE_DIR}\n  processing_guarantee: at_least_once\n";
    let mut agent = agent(kafka, "notransaction", at_least_once);
    agent.wait_ready();
    wait_until("it counts", || number(&agent.scrape(), "a_events_total", &[]) == 1.0);
}

/// A user who may see its own topics and group, and not those of others.
fn few_to_see(kafka: &Kafka) {
    let mut agent = agent(kafka, "whole", "");
    agent.wait_ready();
    wait_until("its lag is known", || {
        let page = agent.scrape();
        page.contains("kafka_consumergroup_lag{") && number(&page, "a_events_total", &[]) == 1.0
    });
    // A few more looks at the cluster: what is said of it is said once.
    std::thread::sleep(Duration::from_secs(4));
    let (page, log) = (agent.scrape(), agent.log());
    assert!(!page.contains("theirs") && !page.contains("\"others\""), "{page}");
    let mut said: Vec<_> = log.lines().filter_map(|line| line.split_once(" WARN ")).map(|(_, words)| words).collect();
    let all = said.len();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), all, "the same is said again: {log}");
    for (verb, seen) in [
        (&["validate", "--connect"][..], "group whole: can be used"),
        (&["topics", "list"], "events"),
        (&["cluster", "health"], "healthy"),
        (&["cluster", "lag"], "whole"),
    ] {
        let output = agent.verb(verb);
        let text = text(&output);
        assert!(output.status.success() && text.contains(seen) && !text.contains("theirs"), "{verb:?}: {text}");
    }
    said_by_each_verb(&agent);
}

/// What verbs say of a missing right, and an agent over gRPC, is one sentence.
fn said_by_each_verb(agent: &Agent) {
    let grpc = agent.grpc().to_string();
    let cases: [(&[&str], &str); 9] = [
        (&["topics", "describe", "theirs"], "Describe on --topic theirs"),
        (&["topics", "describe", "theirs", "--agent", &grpc], "Describe on --topic theirs"),
        (&["topics", "create", "new"], "Create on --topic new"),
        (&["topics", "create", "new", "--agent", &grpc], "Create on --topic new"),
        (&["topics", "delete", "events", "--yes"], "Delete on --topic events"),
        (&["loadtest", "--topic", "events", "--events", "1"], "Describe and Write on --topic events"),
        (&["loadtest", "--topic", "theirs", "--events", "1", "--agent", &grpc], "Describe on --topic theirs"),
        (&["produce", "--topic", "events", "--count", "1"], "Describe and Write on --topic events"),
        (&["init", "--topic", "theirs"], "Describe and Read on --topic theirs"),
    ];
    let tried = |verb: &[&str], acl: &str| {
        let output = if verb.contains(&"--agent") { agent.bare_verb(verb) } else { agent.verb(verb) };
        let (text, said) = (text(&output), format!("this user needs the ACL {acl} "));
        assert!(!output.status.success() && text.contains(&said), "{verb:?} does not say `{said}`: {text}");
    };
    std::thread::scope(|scope| {
        let tried = &tried;
        let tries: Vec<_> = cases.iter().map(|(verb, acl)| scope.spawn(move || tried(verb, acl))).collect();
        tries.into_iter().for_each(|tried| tried.join().expect("no panic"));
    });
}
