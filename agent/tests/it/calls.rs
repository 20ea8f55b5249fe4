//! Calls as an operator makes them: `grpcurl` to an agent, and `streamgauge` itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::agent::{Agent, program, repository};

/// A status that is no OK: its name as grpcurl prints it, and its message.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

/// `grpcurl -d REQUEST AGENT streamgauge.v1.METHOD`: the answers.
pub fn call(agent: &Agent, method: &str, request: &Value) -> Result<Vec<Value>, Refused> {
    let output = Command::new(grpcurl())
        .args(["-plaintext", "-emit-defaults", "-d", &request.to_string(), &agent.grpc().to_string()])
        .arg(format!("streamgauge.v1.{method}"))
        .output()
        .expect("grpcurl runs");
    if output.status.success() {
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        return Ok(values.map(|value| value.expect("grpcurl prints JSON")).collect());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("grpcurl says no {name}: {text}")).trim().to_owned()
    };
    assert_eq!(text.trim().lines().count(), 3, "a message is one line: {text}");
    Err(Refused { code: field("Code:"), message: field("Message:") })
}

/// The only answer of a call that must work.
pub fn answer(agent: &Agent, method: &str, request: &Value) -> Value {
    let mut answers = call(agent, method, request).unwrap_or_else(|refused| panic!("{method} {request}: {refused:?}"));
    assert_eq!(answers.len(), 1, "{method}: {answers:?}");
    answers.remove(0)
}

/// Checks that a call is refused with this status and with a message that has these words.
#[track_caller]
pub fn refused(agent: &Agent, method: &str, request: &Value, code: &str, words: &str) {
    match call(agent, method, request) {
        Ok(answer) => panic!("{method} {request} was answered: {answer:?}"),
        Err(refused) => {
            assert!(refused.code == code && refused.message.contains(words), "{method} {request}: {refused:?}");
        }
    }
}

/// Exit code, standard output and standard error of `streamgauge ARGS`.
pub fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(args).output().expect("the binary was built");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// The output of a command that must work, as JSON.
pub fn json(args: &[&str]) -> Value {
    let (code, out, error) = run(args);
    assert_eq!(code, 0, "{args:?}: {out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
}

/// grpcurl: `STREAMGAUGE_GRPCURL`, or what `scripts/tools` has.
pub fn grpcurl() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        std::env::var_os("STREAMGAUGE_GRPCURL").map_or_else(
            || {
                let output = Command::new(repository().join("scripts/tools")).arg("grpcurl").output();
                let output = output.expect("scripts/tools runs");
                PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
            },
            PathBuf::from,
        )
    })
}
