//! Ways to log in at the brokers: tokens that live for seconds, however they are come by, on every client; certificates; and
//! secrets with signs that YAML, shells and Java know. One broker has them all.

mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::heavy_tests;
use crate::kafka::{Kafka, wait_until};
use crate::scene::number;
use tokens::{Endpoint, FileOfTokens, LIFE};

const PARTITIONS: i32 = 2;
/// Of the user `odd`.
const ODD_PASSWORD: &str = "pa$$w#rd: {x} $HOME ${HOME}";

fn kafka() -> Kafka {
    let login = "listener.name.sasl_ssl";
    let tokens = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let passwords = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let settings = [
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER".to_owned(),
        format!("{login}.oauthbearer.sasl.jaas.config={tokens} required unsecuredLoginStringClaim_sub=\"broker\";"),
        format!("{login}.plain.sasl.jaas.config={passwords} required user_odd=\"{ODD_PASSWORD}\";"),
        // A connection whose token has run out is closed, unless it has shown the next one.
        "connections.max.reauth.ms=600000".to_owned(),
        "listener.name.ssl.ssl.client.auth=required".to_owned(),
    ];
    let options: Vec<&str> = settings.iter().flat_map(|setting| ["--broker-config", setting]).collect();
    Kafka::start_with(1, &[&["--tls"][..], &options].concat())
}

/// A config whose agent counts `events`, looks at the cluster every second and probes it. Properties are YAML.
fn config(group: &str, properties: &[(&str, String)]) -> String {
    let properties: String = properties.iter().map(|(name, value)| format!("    {name}: {value}\n")).collect();
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n  properties:\n{properties}\
         sources:\n  s: {{ topics: [events], timestamp: {{ from: kafka }} }}\n\
         aggregates:\n  a: {{ source: s, by: {{ user: user }}, measures: {{ events: count }} }}\n\
         cluster: {{ interval: 1s, lag: {{ interval: 1s }}, probe: {{ enabled: true }}, topics: {{ allow: [create] }} }}\n\
         telemetry: {{ log_level: 'info,librdkafka=debug' }}\n"
    )
}

fn ca(kafka: &Kafka) -> (&'static str, String) {
    ("ssl.ca.location", kafka.dir().join("tls/ca.crt").display().to_string())
}

fn sasl(kafka: &Kafka, mechanism: &str, more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let all = [("security.protocol", "SASL_SSL".to_owned()), ca(kafka), ("sasl.mechanism", mechanism.to_owned())];
    all.into_iter().chain(more.iter().cloned()).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The verbs that speak to Kafka with an agent's config.
fn assert_verbs_work(agent: &Agent, way: &str) {
    let verbs: [&[&str]; 6] = [
        &["validate", "--connect"],
        &["topics", "list"],
        &["cluster", "health"],
        &["cluster", "lag"],
        &["produce", "--topic", "others", "--count", "10"],
        &["loadtest", "--topic", "others", "--events", "10"],
    ];
    for verb in verbs {
        let output = agent.verb(verb);
        assert!(output.status.success(), "{way}, {verb:?}: {}", text(&output));
    }
    let address = format!("http://{}", agent.grpc());
    let output = agent.verb(&["audit", "--all", "--address", &address]);
    assert!(output.status.success() && text(&output).contains("the same"), "{way}, audit: {}", text(&output));
}

fn events(page: &str) -> f64 {
    number(page, "a_events_total", &[])
}

#[test]
fn clients_stay_logged_in_while_their_tokens_run_out_and_say_why_they_cannot() {
    let kafka = kafka();
    kafka.create_topic("events", PARTITIONS, &[]);
    kafka.create_topic("others", 1, &[]);
    // It mostly waits for tokens to run out.
    std::thread::scope(|scope| {
        let lives = scope.spawn(|| short_lives(&kafka));
        no_tokens(&kafka);
        certificates(&kafka);
        odd_passwords(&kafka);
        lives.join().expect("no panic");
    });
}

/// Tokens that live for seconds, and agents that live longer.
fn short_lives(kafka: &Kafka) {
    let (endpoint, file) = (Endpoint::start(), FileOfTokens::start());
    let unsecured = [
        ("enable.sasl.oauthbearer.unsecure.jwt", "true".to_owned()),
        ("sasl.oauthbearer.config", format!("principal=ada lifeSeconds={}", LIFE.as_secs())),
    ];
    let oidc = [
        ("sasl.oauthbearer.method", "oidc".to_owned()),
        ("sasl.oauthbearer.client.id", "me".to_owned()),
        ("sasl.oauthbearer.client.secret", "hush".to_owned()),
        ("sasl.oauthbearer.token.endpoint.url", endpoint.url()),
    ];
    let of_file = [("sasl.oauthbearer.token.endpoint.url", format!("file://{}", file.path().display()))];
    let ways: [(&str, &[_]); 3] = [("unsecured", &unsecured), ("oidc", &oidc), ("file", &of_file)];
    let servers = kafka.listener("SASL_SSL");
    let mut agents: Vec<_> = ways
        .iter()
        .map(|(way, more)| (*way, Agent::start(&servers, &config(way, &sasl(kafka, "OAUTHBEARER", more)))))
        .collect();
    agents.iter_mut().for_each(|(_, agent)| agent.wait_ready());
    let lives = if heavy_tests() { 30 } else { 3 };
    let (until, mut sent) = (Instant::now() + lives * LIFE, 0);
    let closed = |agent: &Agent| agent.log().lines().filter(|line| line.contains("Disconnected")).count();
    let at_first: BTreeMap<_, _> = agents.iter().map(|(way, agent)| (*way, closed(agent))).collect();
    // The verbs' clients are short-lived: meanwhile.
    std::thread::scope(|scope| {
        let verbs = scope.spawn(|| agents.iter().for_each(|(way, agent)| assert_verbs_work(agent, way)));
        while Instant::now() < until {
            kafka.produce("events", sent % PARTITIONS, [("", r#"{"user":"a"}"#)]);
            sent += 1;
            std::thread::sleep(Duration::from_millis(500));
        }
        verbs.join().expect("no panic");
    });
    for (way, agent) in &agents {
        wait_until(&format!("{way}: all is counted"), || events(&agent.scrape()) == f64::from(sent));
        let page = agent.scrape();
        assert!(number(&page, "streamgauge_probe_sent_total", &[]) > f64::from(lives), "{way}: {page}");
        let log = agent.log();
        assert!(!log.contains("invalid_token"), "{way}: a token that had run out was shown: {log}");
        // Without a new token each would be closed in each life. A machine that stands still may miss one.
        let closed = closed(agent) - at_first[way];
        assert!(closed <= lives as usize, "{way}: brokers have closed {closed} connections: {log}");
    }
    assert!(endpoint.asked() > lives, "each client asks for a token in each life of one");
}

/// Why there is no token is said by verbs, and by an agent.
fn no_tokens(kafka: &Kafka) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (path, url) = (home.path().join("token"), |path: &Path| format!("file://{}", path.display()));
    fs::write(&path, tokens::token("ada", Duration::ZERO)).expect("it is written");
    let refusing = Endpoint::refusing();
    let oidc = [
        ("sasl.oauthbearer.method", "oidc".to_owned()),
        ("sasl.oauthbearer.client.id", "me".to_owned()),
        ("sasl.oauthbearer.client.secret", "hush".to_owned()),
        ("sasl.oauthbearer.token.endpoint.url", refusing.url()),
    ];
    let expired = [("sasl.oauthbearer.token.endpoint.url", url(&path))];
    let cases: [(&[_], &str); 2] =
        [(&oidc, "no token to log in with by OAUTHBEARER: "), (&expired, "has expired, and nobody has renewed it")];
    let check = |more: &[_], said: &str| {
        let mut agent = Agent::start(&kafka.listener("SASL_SSL"), &config("none", &sasl(kafka, "OAUTHBEARER", more)));
        for verb in [&["validate", "--connect"][..], &["topics", "list"], &["cluster", "health"]] {
            let output = agent.verb(verb);
            let text = text(&output);
            assert!(!output.status.success() && text.contains(said), "{verb:?} does not say `{said}`: {text}");
            assert!(!text.contains("hush"), "{text}");
        }
        wait_until("the agent says it", || agent.try_get("/-/ready").is_some_and(|(_, page)| page.contains(said)));
        agent.kill9();
    };
    std::thread::scope(|scope| {
        let check = &check;
        let tries = cases.map(|(more, said)| scope.spawn(move || check(more, said)));
        tries.into_iter().for_each(|tried| tried.join().expect("no panic"));
    });
}

/// Mutual TLS, and files that change under an agent.
fn certificates(kafka: &Kafka) {
    let home = tempfile::tempdir().expect("a temporary directory");
    for name in ["client.crt", "client.key"] {
        fs::copy(kafka.dir().join("tls").join(name), home.path().join(name)).expect("it is copied");
    }
    let own = |name: &str| home.path().join(name).display().to_string();
    let plain = [("security.protocol", "SSL".to_owned()), ca(kafka)];
    let mutual = [("ssl.certificate.location", own("client.crt")), ("ssl.key.location", own("client.key"))];
    let servers = kafka.listener("SSL");
    let anonymous = Agent::at_rest(&servers, &config("tls", &plain), &[]);
    for verb in [&["validate", "--connect"][..], &["topics", "list"]] {
        let text = text(&anonymous.verb(verb));
        let said = "refused this client's certificate (ssl.certificate.location, ssl.key.location)";
        assert!(text.contains(said), "{verb:?} does not say `{said}`: {text}");
    }
    let mut agent = Agent::start(&servers, &config("tls", &[&plain[..], &mutual].concat()));
    agent.wait_ready();
    wait_until("all is counted", || events(&agent.scrape()) > 0.0);
    assert_verbs_work(&agent, "mutual TLS");
    assert_eq!(agent.get("/-/ready").1, "ready\n");
    let changed = || number(&agent.scrape(), "streamgauge_kafka_credentials_changed", &[]);
    assert_eq!(changed(), 0.0);
    let before = fs::read(own("client.crt")).expect("it is there");
    fs::write(own("client.crt"), "another one").expect("it is written");
    wait_until("the change is noticed", || changed() == 1.0);
    let (status, page) = agent.get("/-/ready");
    let note = format!("note: {} (ssl.certificate.location) has changed since it was read: restart", own("client.crt"));
    assert!(status == 200 && page.starts_with("ready\n") && page.contains(&note), "{status} {page}");
    fs::write(own("client.crt"), before).expect("it is written");
    wait_until("the certificate is what it was", || changed() == 0.0);
}

/// Passwords with signs that YAML, shells and templates give a meaning.
fn odd_passwords(kafka: &Kafka) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("password");
    fs::write(&path, format!("{ODD_PASSWORD}\n")).expect("it is written");
    // In quotes a reference is refused, not taken for text: that password has to come from elsewhere.
    for (value, variables) in [
        ("${PASSWORD}".to_owned(), vec![("PASSWORD", ODD_PASSWORD)]),
        (format!("{{ file: {} }}", path.display()), vec![]),
    ] {
        let user = [("sasl.username", "odd".to_owned()), ("sasl.password", value)];
        let config = config("odd", &sasl(kafka, "PLAIN", &user));
        let agent = Agent::at_rest(&kafka.listener("SASL_SSL"), &config, &variables);
        let output = agent.verb(&["topics", "list"]);
        assert!(output.status.success(), "{:?}: {}", user[1], text(&output));
    }
}
