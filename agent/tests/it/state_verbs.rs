//! `streamgauge state` on a real agent's directory: it shows what is there, finds a planted lie, and a reset counts the
//! whole topic again, to the last number.

use std::process::Output;
use std::time::Duration;

use prost::Message;
use streamgauge::state::{Changes, Store};
use streamgauge_proto::storage::v1::{Cell, measure_state::State};

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::scene::Scene;

const PARTITIONS: i32 = 2;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Resets the state of an agent's group, as soon as the group has let its members go.
pub fn reset(agent: &Agent) {
    wait_until("the group is empty and reset", || {
        let output = agent.verb(&["state", "reset", "--yes"]);
        let text = text(&output);
        assert!(output.status.success() || text.contains("members: stop all its agents"), "{text}");
        if !output.status.success() {
            std::thread::sleep(Duration::from_millis(500));
        }
        output.status.success()
    });
}

/// A scene whose agent has counted something and stopped.
fn stopped(what: &str) -> (Scene, Agent) {
    let scene = Scene::new(what, PARTITIONS).kafka_line("on_shutdown: leave").kafka_line("session_timeout: 6s");
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(20_000, 1);
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    (scene, agent)
}

#[test]
fn inspect_shows_what_is_stored_and_verify_finds_a_planted_lie() {
    let (scene, mut agent) = stopped("state-verify");
    let output = agent.verb(&["state", "inspect", "-o", "json"]);
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
    let offsets =
        json["partitions"].as_array().unwrap().iter().map(|p| p["checkpoint"]["input_offset"].as_i64().unwrap());
    assert_eq!(offsets.sum::<i64>(), 20_000, "{json}");
    let http = json["partitions"][0]["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == "http").unwrap();
    assert!(http["keys"] == 8 && http["panes"].as_u64() >= Some(8), "{json}");
    let table = text(&agent.verb(&["state", "inspect"]));
    assert!(table.contains(&format!("{}/1: ", scene.topic)) && table.contains("http_region"), "{table}");

    let output = agent.verb(&["state", "verify"]);
    assert!(output.status.success() && text(&output).contains("are what the changelog says"), "{}", text(&output));

    plant_a_lie(&agent, &scene.topic);
    let output = agent.verb(&["state", "verify"]);
    let found = text(&output);
    assert_eq!(output.status.code(), Some(2), "{found}");
    assert!(found.contains(&format!("{}/1: http{{endpoint=\"/", scene.topic)), "{found}");
    assert!(found.contains("the file has requests ") && found.contains("fingerprint"), "{found}");

    // The agent finds it too, and counts on from the truth.
    agent.restart();
    agent.wait_ready();
    scene.produce_now(5_000, 2);
    scene.assert_equals_recount(&[&agent]);
    let output = agent.verb(&["state", "inspect"]);
    assert!(text(&output).contains("an agent runs on ") && output.status.code() == Some(1), "{}", text(&output));
    assert_eq!(text(&output).lines().count(), 1, "{}", text(&output));
}

/// Adds one to the requests of some total of `http` in partition 1.
fn plant_a_lie(agent: &Agent, topic: &str) {
    let mut store = Store::open(&agent.state_dir().join("tasks").join(topic).join("1.redb"), 1 << 20).unwrap();
    let checkpoint = store.checkpoint().unwrap().unwrap();
    let http = checkpoint.offset_record.as_ref().unwrap().aggregates.iter().find(|a| a.name == "http").unwrap().id;
    let mut changes = Changes::default();
    store
        .entries(|key, value| {
            let is_total = key.starts_with(&http.to_be_bytes()) && key[8..16] == [0xff; 8];
            if is_total && changes.is_empty() {
                let mut cell = Cell::decode(value).unwrap();
                let Some(State::Count(count)) = &mut cell.measures[0].state else { panic!("requests are a count") };
                *count += 1;
                changes.insert(key.to_vec(), Some(cell.encode_to_vec()));
            }
        })
        .unwrap();
    assert_eq!(changes.len(), 1);
    store.write(changes, &checkpoint).unwrap();
}

#[test]
fn after_a_reset_everything_is_counted_again_exactly() {
    let (scene, mut agent) = stopped("state-reset");
    // Without an answer nothing happens.
    let output = agent.verb(&["state", "reset"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("reads up to 20,000 records again") && text(&output).contains("nothing was changed")
    );
    let older = std::env::temp_dir().join(crate::kafka::unique("older-state"));
    copy(&agent.state_dir(), &older);
    reset(&agent);
    assert!(!agent.state_dir().join("tasks").exists());
    // Another agent's files, of before the reset, know nothing of it.
    copy(&older.join("tasks"), &agent.state_dir().join("tasks"));
    std::fs::remove_dir_all(&older).unwrap();

    agent.restart();
    agent.wait_ready();
    scene.produce_now(3_000, 2);
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    // A directory without files comes to the same state from the changelog alone.
    std::fs::remove_dir_all(agent.state_dir().join("tasks")).unwrap();
    agent.restart();
    agent.wait_ready();
    scene.assert_equals_recount(&[&agent]);
    let output = agent.verb(&["state", "reset", "--yes"]);
    assert!(text(&output).contains("an agent runs on "), "{}", text(&output));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
