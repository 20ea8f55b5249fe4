//! A start that cannot work: one clear line that says what and what to do, soon, and the right exit code.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::agent::{Agent, free_address};
use crate::kafka::wait_until;
use crate::scene::Scene;

/// Starts an agent that has to end by itself with `code`, having said all of `words` in one line.
fn ends_with(scene: &Scene, config: &str, variables: &[(&str, &str)], code: i32, words: &[&str]) {
    let began = Instant::now();
    let mut agent = Agent::start_with(scene.kafka.bootstrap(), config, variables);
    let status = agent.wait_exit();
    let log = agent.log();
    assert_eq!(status.code(), Some(code), "{log}");
    assert!(began.elapsed() < Duration::from_secs(15), "it took {:?} to say: {log}", began.elapsed());
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "no line has {words:?}: {log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_config_that_cannot_be_used_is_refused_with_its_place() {
    let scene = Scene::new("config", 1);
    let config = scene.config();
    let unknown = config.replace("grace: 30s", "grase: 30s");
    ends_with(&scene, &unknown, &[], 64, &["grase"]);
    ends_with(&scene, &config.replace("endpoint: endpoint }", "endpoint: endpoint"), &[], 64, &["config.yaml"]);
    ends_with(&scene, &config.replace("source: requests\n", "source: request\n"), &[], 64, &["request"]);
    ends_with(&scene, "kafka: [", &[], 64, &["config.yaml"]);
    ends_with(&scene, &config, &[("STREAMGAUGE_FAILPOINTS", "nowhere=kill")], 64, &["nowhere"]);
}

#[test]
fn a_topic_that_does_not_exist_is_named() {
    let scene = Scene::new("no-topic", 1);
    let config = scene.config().replace(&scene.topic, "there-is-no-such-topic");
    ends_with(&scene, &config, &[], 1, &["there-is-no-such-topic", "does not exist"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let scene = Scene::new("port", 1);
    for (variable, key) in [("HTTP_LISTEN", "http.listen"), ("GRPC_LISTEN", "grpc.listen")] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        ends_with(&scene, &scene.config(), &[(variable, &address)], 1, &[&address, key]);
    }
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let scene = Scene::new("state-dir", 1);
    let mut agent = scene.agent();
    agent.wait_ready();
    let taken = agent.state_dir().display().to_string();
    ends_with(
        &scene,
        &scene.config(),
        &[("STATE_DIR", &taken)],
        1,
        &[&taken, "in use by another process", "state.dir"],
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    ends_with(&scene, &scene.config(), &[("STATE_DIR", &path)], 1, &[&path, "state.dir"]);
    assert!(agent.get("/-/ready").0 == 200, "the first agent is not disturbed");
}

#[test]
fn of_two_processes_with_a_copied_identity_one_stops_and_says_why() {
    let scene = Scene::new("copied", 4);
    scene.produce_now(10_000, 1);
    let mut first = scene.agent();
    first.wait_ready();
    let copy = tempfile::tempdir().expect("a directory");
    copy_dir(&first.state_dir(), copy.path());
    let copied = copy.path().display().to_string();
    let second = scene.agent_with(&[("STATE_DIR", &copied)]);
    wait_until("one of them has ended", || first.has_ended() || second.has_ended());
    let (mut ended, other) = if first.has_ended() { (first, second) } else { (second, first) };
    assert_eq!(ended.wait_exit().code(), Some(1));
    let log = ended.log();
    let says = |line: &str| line.contains("another process has the identity") && line.contains("instance-id");
    assert!(log.lines().any(says), "{log}");
    scene.produce_now(10_000, 2);
    scene.assert_equals_recount(&[&other]);
    assert!(!other.has_ended());
}

/// Copies what is there now; redb files come over as after a crash.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn without_a_broker_the_agent_is_alive_not_ready_says_where_it_tries_and_can_be_ended() {
    let scene = Scene::new("no-broker", 1);
    let nobody = free_address().to_string();
    let mut agent = Agent::start(&nobody, &scene.config());
    wait_until("it answers", || agent.try_get("/-/healthy").is_some_and(|(status, _)| status == 200));
    let (status, reason) = agent.get("/-/ready");
    assert_eq!(status, 503);
    assert!(reason.contains("waiting for the group's first assignment"), "{reason}");
    wait_until("the log says where it tries", || agent.log().lines().any(|line| line.contains(&nobody)));
    assert_eq!(agent.get("/metrics").0, 200);
    let began = Instant::now();
    assert!(agent.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
