//! The state directory is a cache, and an orderly end is a short one: what is gone, damaged or old is made good from the
//! changelog.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::Agent;
use crate::scene::{Scene, number};

/// The redb files of a state directory.
fn files(state: &Path) -> Vec<PathBuf> {
    let topics = fs::read_dir(state.join("tasks")).expect("a directory of tasks");
    let files = topics.flat_map(|topic| fs::read_dir(topic.expect("an entry").path()).expect("a topic's directory"));
    let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The example over four partitions, with half of the events counted, the agent stopped, and the other half waiting.
fn halfway(what: &str) -> (Scene, Agent) {
    let scene = Scene::new(what, 4).kafka_line("session_timeout: 6s");
    let mut agent = scene.agent();
    scene.produce_now(20_000, 1);
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    assert_eq!(files(&agent.state_dir()).len(), 4);
    scene.produce_now(20_000, 2);
    (scene, agent)
}

/// Starts the agent on what `damage` left of its files; gives how many were rebuilt, and why.
fn rebuilt_after(what: &str, reason: &str, damage: impl FnOnce(&[PathBuf])) -> f64 {
    let (scene, mut agent) = halfway(what);
    damage(&files(&agent.state_dir()));
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
    let page = agent.scrape();
    let all = number(&page, "streamgauge_state_rebuilds_total", &[]);
    let named = number(&page, "streamgauge_state_rebuilds_total", &[("reason", reason)]);
    assert_eq!(all, named, "rebuilt for other reasons too: {page}");
    named
}

#[test]
fn a_deleted_state_directory_is_rebuilt_from_the_changelog() {
    let (scene, mut agent) = halfway("deleted");
    fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
    agent.kill9();
    fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
    scene.produce_now(10_000, 3);
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
}

#[test]
fn truncated_state_files_are_rebuilt() {
    let rebuilt = rebuilt_after("truncated", "corrupt", |files| {
        for (file, keep) in files.iter().zip([1, 4_096, 100_000, 0]) {
            fs::File::options().write(true).open(file).expect("a file").set_len(keep).expect("truncated");
        }
    });
    // An empty file is what a new one is: it is filled, not thrown away.
    assert_eq!(rebuilt, 3.0);
}

#[test]
fn state_files_of_garbage_are_rebuilt() {
    let rebuilt = rebuilt_after("garbage", "corrupt", |files| {
        for file in files {
            let bytes = fs::read(file).expect("a file").len();
            fs::write(file, vec![0x5a; bytes]).expect("overwritten");
        }
    });
    assert_eq!(rebuilt, 4.0);
}

#[test]
fn a_state_file_in_anothers_place_is_rebuilt() {
    let rebuilt = rebuilt_after("swapped", "identity", |files| {
        let aside = files[0].with_extension("aside");
        fs::rename(&files[0], &aside).expect("renamed");
        fs::rename(&files[1], &files[0]).expect("renamed");
        fs::rename(&aside, &files[1]).expect("renamed");
    });
    assert_eq!(rebuilt, 2.0);
}

#[test]
fn an_older_copy_of_the_state_files_is_caught_up_not_counted_again() {
    let (scene, mut agent) = halfway("older");
    let copies: Vec<_> = files(&agent.state_dir()).into_iter().map(|f| (fs::read(&f).expect("a file"), f)).collect();
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    for (bytes, file) in &copies {
        fs::write(file, bytes).expect("put back");
    }
    scene.produce_now(10_000, 3);
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
    assert_eq!(number(&agent.scrape(), "streamgauge_state_rebuilds_total", &[]), 0.0);
}

#[test]
fn flipped_bits_inside_state_files_never_reach_a_number() {
    let (scene, mut agent) = halfway("flipped");
    for (nth, file) in files(&agent.state_dir()).iter().enumerate() {
        let mut bytes = fs::read(file).expect("a file");
        // Another place and density in each file; the header stays.
        for at in (8_192 + nth * 1_000..bytes.len()).step_by(1_000 * (nth + 1)) {
            bytes[at] ^= 0x10;
        }
        fs::write(file, bytes).expect("overwritten");
    }
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
    assert!(agent.terminate().success());
    agent.restart();
    scene.assert_equals_recount(&[&agent]);
}

#[test]
fn sigterm_in_mid_stream_commits_what_was_folded_and_a_restart_goes_on() {
    let scene = Scene::new("sigterm", 12);
    let mut agent = scene.agent();
    agent.wait_ready();
    let stream = scene.produce(120_000, 5, &["--rate", "20000"]);
    for pause in [1_700, 900] {
        std::thread::sleep(Duration::from_millis(pause));
        let status = agent.terminate();
        assert_eq!(status.code(), Some(0), "{status}");
        agent.restart();
        agent.wait_ready();
        // The files were written and closed with the last commit: there was nothing to read back.
        assert_eq!(number(&agent.scrape(), "streamgauge_restore_records_total", &[]), 0.0);
    }
    stream.finish();
    scene.assert_equals_recount(&[&agent]);
}
