//! `streamgauge demo`, as in a fresh clone: nothing configured, nothing installed.

use std::process::{Command, Stdio};

#[test]
fn what_the_demo_produces_is_counted_to_the_event() {
    let mut command = Command::new(crate::agent::program());
    command.args(["demo", "--duration", "5s", "--rate", "5000"]).stdin(Stdio::null());
    let output = command.output().expect("the binary was built with this test");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let verdict = text.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    assert!(verdict.starts_with("produced ") && verdict.ends_with(": exact"), "{text}{errors}");
    assert!(!verdict.contains("produced 0,"), "{text}{errors}");
    assert!(text.lines().filter(|line| line.contains("  lag ")).count() >= 3, "a line a second: {text}");
    let page = text.lines().nth(1).unwrap_or_default();
    assert!(page.starts_with("page:     http://127.0.0.1:"), "what to look at comes first: {text}");
    assert!(text.contains("/metrics") && text.contains("grpcurl"), "{text}");
}
