//! Why Kafka cannot be used is said in one line that names the cause, wherever people look: each verb, and `/-/ready`.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::agent::{Agent, program};
use crate::heavy_tests;
use crate::kafka::{Kafka, wait_until};

/// For `/-/ready`, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cases that are tried at a time.
const AT_ONCE: usize = 3;

/// How a client comes to a broker, and what is said of it.
struct Case {
    servers: String,
    properties: Vec<(&'static str, String)>,
    said: &'static str,
}

fn cases(kafka: &Kafka) -> Vec<Case> {
    let (ssl, sasl) = (kafka.listener("SSL"), kafka.listener("SASL_SSL"));
    let ca = || ("ssl.ca.location", kafka.dir().join("tls/ca.crt").display().to_string());
    let protocol = |name: &str| ("security.protocol", name.to_owned());
    let login = |mechanism: &str, password: &str| {
        vec![
            protocol("SASL_SSL"),
            ca(),
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", "alice".to_owned()),
            ("sasl.password", password.to_owned()),
        ]
    };
    let case = |servers: &str, properties, said| Case { servers: servers.to_owned(), properties, said };
    vec![
        case(&sasl, login("PLAIN", "not-it"), "refused user `alice` by PLAIN: wrong user or password"),
        case(&sasl, login("SCRAM-SHA-256", "not-it"), "refused user `alice` by SCRAM-SHA-256: wrong user or password"),
        case(&sasl, login("SCRAM-SHA-512", "alice-secret"), "does not take sasl.mechanism SCRAM-SHA-512, only"),
        case(&ssl, vec![protocol("SSL")], "is not trusted: ssl.ca.location"),
        case(&ssl, vec![], "security.protocol is PLAINTEXT, and it may want TLS"),
        case(kafka.bootstrap(), vec![protocol("SSL"), ca()], "does not speak TLS there: security.protocol is SSL"),
        case("nohost.invalid:9092", vec![], "there is no host nohost.invalid"),
        case("127.0.0.1:1", vec![], "nothing listens at 127.0.0.1:1"),
    ]
}

fn config(properties: &[(&str, String)]) -> String {
    let properties: Vec<_> = properties.iter().map(|(name, value)| format!("{name}: '{value}'")).collect();
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: g\n  properties: {{ {} }}\n\
         sources: {{ s: {{ topics: [t], timestamp: {{ from: kafka }} }} }}\n\
         aggregates: {{ a: {{ source: s, windows: [1m], measures: {{ events: count }} }} }}\n",
        properties.join(", ")
    )
}

/// What a verb says on its standard error; it fails.
fn said_by(verb: &[&str], case: &Case, bootstrap: bool) -> String {
    let mut command = Command::new(program());
    command.args(verb).env("KAFKA_BOOTSTRAP_SERVERS", &case.servers);
    // What the config of the agent has variables for.
    command.envs([("STATE_DIR", "unused"), ("HTTP_LISTEN", "127.0.0.1:0"), ("GRPC_LISTEN", "127.0.0.1:0")]);
    if bootstrap {
        command.args(["--bootstrap-servers", &case.servers]);
        for (name, value) in &case.properties {
            command.arg("--property").arg(format!("{name}={value}"));
        }
    }
    let output = command.output().expect("the binary was built");
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(!output.status.success(), "{verb:?}: {text}");
    assert!(!text.contains("alice-secret") && !text.contains("not-it"), "{verb:?}: {text}");
    text
}

/// Whether the broker's users can log in.
fn lets_in(kafka: &Kafka) -> bool {
    let ca = format!("ssl.ca.location={}", kafka.dir().join("tls/ca.crt").display());
    let properties = [
        "security.protocol=SASL_SSL",
        &ca,
        "sasl.mechanism=PLAIN",
        "sasl.username=alice",
        "sasl.password=alice-secret",
    ];
    let mut command = Command::new(program());
    command.args(["topics", "list", "--bootstrap-servers", &kafka.listener("SASL_SSL")]);
    command.args(properties.iter().flat_map(|property| ["--property", property]));
    command.output().expect("the binary was built").status.success()
}

#[test]
fn each_verb_and_the_readiness_name_the_cause() {
    let kafka = Kafka::start_with(1, &["--tls"]);
    let cases = cases(&kafka);
    // The first login at a broker that has just started takes it longest.
    wait_until("the broker lets the right password in", || lets_in(&kafka));
    // A client is given up on after three seconds: on a busy machine it would not have heard why by then.
    let cases: Vec<_> = cases.into_iter().enumerate().collect();
    let tried = |cases: &[(usize, Case)]| -> Vec<String> {
        std::thread::scope(|scope| {
            let tries: Vec<_> = cases.iter().map(|(at, case)| scope.spawn(|| missing(*at, case))).collect();
            tries.into_iter().flat_map(|tried| tried.join().expect("no panic")).collect()
        })
    };
    let wrong: Vec<String> = cases.chunks(AT_ONCE).flat_map(tried).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the cause is not said. All verbs hear it in the same way, so that each case tries every third of them, and each
/// verb a third of the cases; the heavy run tries all.
fn missing(at: usize, case: &Case) -> Vec<String> {
    let mut agent = Agent::start_with(&case.servers, &config(&case.properties), &[]);
    let config = agent.config_path().display().to_string();
    let verbs: [(&[&str], bool); 8] = [
        (&["validate", "--connect", "-c", &config], false),
        (&["topics", "list"], true),
        (&["cluster", "health"], true),
        (&["cluster", "lag"], true),
        (&["produce", "--topic", "t", "--count", "1"], true),
        (&["loadtest", "--topic", "t", "--events", "1"], true),
        (&["init", "--topic", "t"], true),
        (&["dead-letters", "list", "--topic", "t", "-c", &config], false),
    ];
    let is_tried = |verb: usize| heavy_tests() || (at + verb).is_multiple_of(3);
    let verbs = verbs.iter().enumerate().filter(|(verb, _)| is_tried(*verb));
    let said: Vec<_> = verbs.map(|(_, (verb, bootstrap))| (verb.join(" "), said_by(verb, case, *bootstrap))).collect();
    let mut wrong: Vec<_> = (said.iter().filter(|(_, text)| !text.contains(case.said)))
        .map(|(verb, text)| format!("{verb} does not say `{}`: {text}", case.said))
        .collect();
    let grpc = agent.grpc().to_string();
    for verb in [["topics", "list"], ["cluster", "lag"]] {
        let output = agent.bare_verb(&[&verb[..], &["--agent", &grpc]].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !text.contains(case.said) {
            wrong.push(format!("the agent asked for {verb:?} does not say `{}`: {text}", case.said));
        }
    }
    let until = Instant::now() + PATIENCE;
    let mut page = String::new();
    while Instant::now() < until && !page.contains(case.said) {
        page = agent.try_get("/-/ready").map(|(_, body)| body).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(100));
    }
    if !page.contains(case.said) {
        wrong.push(format!("/-/ready does not say `{}`: {page}", case.said));
    }
    agent.kill9();
    wrong
}
