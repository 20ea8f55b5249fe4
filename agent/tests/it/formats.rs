//! State of another version: a file of an older layout is rebuilt from the changelog; what a newer one has written is
//! refused with a line that says so, and nothing is changed.

use prost::Message;
use rdkafka::producer::{BaseRecord, Producer};
use streamgauge::state::{Changes, Store};
use streamgauge_proto::storage::v1::{Checkpoint, OffsetRecord};

use crate::agent::Agent;
use crate::scene::{Scene, number};

fn rewrite(agent: &Agent, scene: &Scene, version: u32) {
    let mut store = Store::open(&agent.state_dir().join("tasks").join(&scene.topic).join("0.redb"), 1 << 20).unwrap();
    let checkpoint = store.checkpoint().unwrap().unwrap();
    store.write(Changes::default(), &Checkpoint { format_version: version, ..checkpoint }).unwrap();
}

fn refuses(agent: &mut Agent, words: &[&str]) {
    assert_eq!(agent.wait_exit().code(), Some(1), "{}", agent.log());
    let log = agent.log();
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}\n{log}");
}

#[test]
fn an_older_file_is_rebuilt_and_what_a_newer_version_wrote_is_refused() {
    let scene = Scene::new("formats", 1).kafka_line("on_shutdown: leave").kafka_line("session_timeout: 6s");
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(5_000, 1);
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());

    rewrite(&agent, &scene, 0);
    agent.restart();
    agent.wait_ready();
    scene.assert_equals_recount(&[&agent]);
    assert_eq!(number(&agent.scrape(), "streamgauge_state_rebuilds_total", &[("reason", "format")]), 1.0);
    assert!(agent.terminate().success());

    rewrite(&agent, &scene, 99);
    agent.restart();
    refuses(&mut agent, &["state file", "has format 99, newer than this version's"]);
    std::fs::remove_dir_all(agent.state_dir().join("tasks")).unwrap();

    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    let newer = OffsetRecord { format_version: 99, ..OffsetRecord::default() }.encode_to_vec();
    let producer = scene.kafka.producer();
    producer.send(BaseRecord::to(&changelog).partition(0).key("offset").payload(&newer)).map_err(|(e, _)| e).unwrap();
    producer.flush(std::time::Duration::from_secs(30)).unwrap();
    agent.restart();
    refuses(&mut agent, &["its changelog has format 99, newer than this version's", "run the newer version"]);
}
