//! `streamgauge VERB | head -1`: a reader that has had enough is no failure.

use std::process::{Command, Stdio};

use crate::agent::{program, repository};

#[test]
fn every_verb_that_prints_ends_quietly_when_nobody_reads_on() {
    let config = repository().join("examples/http-requests.yaml");
    let config = config.to_str().expect("a path");
    let verbs: [&[&str]; 8] = [
        &["--help"],
        &["completions", "bash"],
        &["man"],
        &["schema"],
        &["init"],
        &["validate", "-c", config],
        &["generate", "rules", "-c", config],
        &["demo", "--duration", "3s"],
    ];
    for verb in verbs {
        let mut child = Command::new(program())
            .args(verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{verb:?}: {error}"));
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{verb:?}: {}: {said}", ended.status);
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{verb:?}: {said}");
    }
}
