//! `streamgauge query` in the hands of people and of scripts, and what an agent says of events that it cannot count.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::agent::{Agent, program};
use crate::calls;
use crate::kafka::wait_until;
use crate::scene::Scene;

/// Exit code, standard output, standard error of `streamgauge query …` at this agent.
fn query(agent: &Agent, arguments: &[&str]) -> (i32, String, String) {
    calls::run(&[&["query"], arguments, &["--grpc", &agent.grpc().to_string()]].concat())
}

#[test]
fn an_answer_that_is_empty_short_or_partial_says_why() {
    let scene = Scene::new("query-verb", 2).kafka_line("session_timeout: 20s");
    let agent = scene.agent();
    scene.kafka.produce(&scene.topic, 0, [("", "no json"); 30]);
    wait_until("the agent says that it cannot use them", || {
        let (status, ready) = agent.get("/-/ready");
        status == 200 && ready.contains("note: source requests: 30 of the last 30 events became dead letters")
    });
    let (code, answer, _) = query(&agent, &["http"]);
    assert_eq!(code, 0);
    assert!(answer.starts_with("nothing yet\nnote: source requests: 30 of the last 30 events"), "{answer}");
    assert!(answer.contains("(not_json 30); `streamgauge dead-letters list -c FILE` shows them"), "{answer}");
    let said = agent.log().lines().filter(|line| line.contains("became dead letters")).count();
    assert_eq!(said, 1, "once a minute: {}", agent.log());

    scene.produce_now(70_000, 3);
    wait_until("they are counted", || query(&agent, &["http", "--group-by", ""]).1.contains("70,000"));
    let (code, answer, problems) = query(&agent, &["http_region", "--last-n", "2", "--group-by", ""]);
    assert_eq!((code, answer.lines().count()), (0, 3), "a heading and two windows: {answer}{problems}");
    let (code, _, problems) = query(&agent, &["http", "--last-n", "2"]);
    assert_eq!(code, 1);
    assert!(problems.contains("http has windows of 1m, 5m: say which, as in --window 1m"), "{problems}");

    let (_, printed, _) = query(&agent, &["http", "endpoint=/api/users", "--group-by", "", "-o", "json"]);
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    let (_, answer) = agent.get("/api/v1/query/http?where=endpoint=/api/users&by=");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer["rows"][0]["values"].as_array().is_some_and(|values| values.len() == 3), "{answer}");
    assert_eq!(printed["rows"], answer["rows"], "one JSON, whoever is asked");

    watched(&agent);
    partial(&scene, &agent);
}

/// It asks again until nobody reads any more.
fn watched(agent: &Agent) {
    let mut watching = Command::new(program())
        .args(["query", "http", "--group-by", "", "--watch", "100ms", "--grpc", &agent.grpc().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let printed = BufReader::new(watching.stdout.take().expect("it is piped")).lines().take(4);
    let printed: Vec<String> = printed.map(|line| line.expect("text")).collect();
    assert_eq!((&printed[0], &printed[1]), (&printed[2], &printed[3]), "two tables of one row");
    let ended = watching.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

/// Another agent has half of the partitions, and is gone without a word.
fn partial(scene: &Scene, agent: &Agent) {
    let mut other = scene.agent();
    other.wait_ready();
    let has_one = |agent: &Agent| agent.scrape().matches("\nstreamgauge_lag_messages{").count() == 1;
    wait_until("each has a partition", || has_one(agent) && has_one(&other));
    let (code, answer, problems) = query(agent, &["http", "--group-by", ""]);
    assert_eq!((code, answer.lines().count()), (0, 2), "{answer}{problems}");
    other.kill9();
    let (code, answer, _) = query(agent, &["http", "--group-by", ""]);
    assert_eq!(code, 2, "{answer}");
    assert!(answer.contains("is not in the answer: "), "it is said beside the numbers: {answer}");
    let (code, _, _) = query(agent, &["http", "--group-by", "", "--allow-partial"]);
    assert_eq!(code, 0);
    let (code, printed, problems) = query(agent, &["http", "--group-by", "", "-o", "json"]);
    let printed: Value = serde_json::from_str(&printed).expect("JSON alone");
    assert_eq!((code, printed["missing"].as_array().map(Vec::len)), (2, Some(1)), "{printed}");
    assert!(problems.contains("is not in the answer: "), "{problems}");
}
