//! Dashboards, Alertmanager's config, compose file, Dockerfile and manifests, each held to its schema.

use std::process::Command;

use crate::agent::repository;

#[test]
fn what_other_programs_read_is_valid_to_their_validators() {
    let output = Command::new(repository().join("scripts/observability")).arg("validate").output().expect("it runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    for part in ["dashboards", "Alertmanager", "compose file", "Dockerfile", "manifests"] {
        assert!(text.contains(part), "{part} was not looked at:\n{text}");
    }
}
