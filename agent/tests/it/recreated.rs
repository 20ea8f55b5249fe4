//! A topic that was deleted and made again: its offsets begin anew, and state that goes on at the old ones would count
//! the new records not at all, or from the middle. The agent says so and ends, however the offsets happen to lie.

use crate::agent::Agent;
use crate::scene::Scene;

const PARTITIONS: i32 = 2;

fn ends_saying_so(agent: &mut Agent, topic: &str) {
    assert_eq!(agent.wait_exit().code(), Some(1), "{}", agent.log());
    let log = agent.log();
    let says = |line: &str| {
        [topic, "was deleted and made again", "streamgauge state reset"].iter().all(|words| line.contains(words))
    };
    assert!(log.lines().any(says), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_source_topic_that_was_made_again_is_refused_with_and_without_the_state_file() {
    let scene = Scene::new("recreated", PARTITIONS).kafka_line("on_shutdown: leave").kafka_line("session_timeout: 6s");
    scene.produce_now(2_000, 1);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    // The same topic is no other one.
    agent.restart();
    agent.wait_ready();
    scene.produce_now(1_000, 2);
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());

    scene.kafka.recreate_topic(&scene.topic, PARTITIONS);
    // More than before: by its offsets alone nothing would be noticed.
    scene.produce_now(9_000, 3);
    agent.restart();
    ends_saying_so(&mut agent, &scene.topic);
    // Another directory: the changelog's offset records know it too.
    ends_saying_so(&mut scene.agent(), &scene.topic);

    // What the line names helps: the new topic is counted under the same group.
    crate::state_verbs::reset(&agent);
    agent.restart();
    agent.wait_ready();
    scene.assert_equals_recount(&[&agent]);
}
