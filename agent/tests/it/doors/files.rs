//! Certificates, keys and tokens that are replaced while agents run: what is new counts, and no connection is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use super::authority::{Authority, Files};
use super::clients::{Caller, Outcome, Shown, Transport};
use super::{READER, agent, files};
use crate::agent::{Agent, program};
use crate::calls::grpcurl;
use crate::kafka::wait_until;
use crate::scene::Scene;

/// OpenSSL's client; it trusts `ca.pem`.
fn openssl(address: SocketAddr, files: &Files, args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-verify_return_error", "-connect", &address.to_string()]);
    command.args(["-CAfile", &files.text("ca.pem")]).args(args);
    command
}

/// It connects, says nothing, and goes.
pub fn s_client(address: SocketAddr, files: &Files, args: &[&str]) -> Output {
    openssl(address, files, args).stdin(Stdio::null()).output().expect("openssl runs")
}

/// A connection that stays open.
struct Open {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Open {
    fn connect(address: SocketAddr, files: &Files) -> Open {
        // Quiet, it does not end with what is said to it.
        let mut command = openssl(address, files, &["-quiet"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl runs");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Open { child, input, output: BufReader::new(output) }
    }

    /// The status of a GET.
    fn get(&mut self, path: &str, token: &str) -> u16 {
        let head = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.input.write_all(head.as_bytes()).expect("the connection is there");
        self.input.flush().expect("the connection is there");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("text") > 0, "the connection was closed");
            let line = line.trim().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|status| status.parse().ok()).expect("a status");
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        std::io::Read::read_exact(&mut self.output, &mut vec![0; length]).expect("a body");
        status
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gRPC stream that stays open: the health of the server, watched.
struct Watching(Child);

impl Watching {
    fn start(address: SocketAddr, files: &Files) -> Watching {
        let mut command = Command::new(grpcurl());
        command.args(["-cacert", &files.text("ca.pem"), "-protoset", &files.text("health.binpb")]);
        command.arg(address.to_string()).arg("grpc.health.v1.Health/Watch");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("grpcurl runs");
        // The stream has begun.
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("text");
        assert_eq!(line.trim(), "{");
        Watching(child)
    }

    fn goes_on(&mut self) -> bool {
        self.0.try_wait().expect("its state is known").is_none()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const AGENTS: &str = "the-token-that-agents-share";

/// The keys of the two listeners: TLS, readers, and agents that open each other's.
fn keys(files: &Files) -> (String, String) {
    let (tls, token) = (super::tls(files, ""), |name: &str| files.text(&format!("{name}.token")));
    let identities = format!(
        "  identities:\n    agents: {{ token_file: {}, may: [peer] }}\n    reader: {{ token_file: {}, may: [read] }}\n",
        token("agents"),
        token("reader")
    );
    let peer = format!("  peer: {{ ca: {}, token_file: {} }}\n", files.text("ca.pem"), token("agents"));
    (format!("{tls}{identities}"), format!("{tls}{identities}{peer}"))
}

/// What `streamgauge query` says over TLS about the whole group; none if it cannot ask.
fn query(agent: &Agent, files: &Files) -> Option<Value> {
    let mut command = Command::new(program());
    command.args([
        "query",
        "--output",
        "json",
        "--address",
        &agent.grpc().to_string(),
        "--tls-ca",
        &files.text("ca.pem"),
    ]);
    command.args(["--token-file", &files.text("reader.token"), "http"]);
    let output = command.output().expect("the binary was built");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Both partitions, each read from its owner.
fn is_complete(answer: &Value) -> bool {
    let count = |key: &str| answer[key].as_array().map_or(0, Vec::len);
    (count("asOf"), count("missing")) == (2, 0) && count("rows") > 0
}

#[test]
fn files_that_are_replaced_are_in_force_and_no_connection_is_dropped() {
    let scene = Scene::new("doors", 2);
    let files = files(&Authority::new());
    files.write("agents.token", AGENTS);
    let (http, grpc) = keys(&files);
    let agents = [(); 2].map(|()| agent(&scene, "pair", &http, &grpc));
    let reader = Caller { files: &files, transport: Transport::Tls, shown: Shown::Token(READER), request: "r".into() };
    for agent in &agents {
        wait_until("an agent answers", || {
            std::net::TcpStream::connect(agent.http()).is_ok()
                && reader.curl(agent.http(), "GET", "/-/healthy") == Outcome::Answered
        });
    }
    scene.produce_now(2_000, 3);
    let complete = |agent: &Agent| query(agent, &files).is_some_and(|answer| is_complete(&answer));
    wait_until("each agent knows all of the group's partitions", || agents.iter().all(complete));

    let first = &agents[0];
    let mut open = Open::connect(first.http(), &files);
    let mut watching = Watching::start(first.grpc(), &files);
    assert_eq!(open.get("/-/config", READER), 200);

    // A key that does not belong to the certificate: what was read before stays in force, and an operator is told.
    let key = std::fs::read(files.path("server.key")).expect("the key");
    files.write("server.key", std::fs::read(files.path("reader.key")).expect("another key"));
    wait_until("the agent has looked", || first.log().contains("what was read before stays in force"));
    assert_eq!(reader.curl(first.http(), "GET", "/metrics"), Outcome::Answered);
    files.write("server.key", key);

    // Another authority, another certificate, other tokens.
    let renewed = Authority::new();
    files.authority("ca", &renewed);
    files.pair("server", &renewed, &["localhost", "127.0.0.1"]);
    let token = "the-next-token-of-the-reader";
    files.write("reader.token", token);
    files.write("agents.token", "the-next-token-that-agents-share");
    let next = Caller { files: &files, transport: Transport::Tls, shown: Shown::Token(token), request: "n".into() };
    for agent in &agents {
        // The client trusts the new authority alone.
        wait_until("the new certificate is shown", || {
            next.curl(agent.http(), "GET", "/-/healthy") == Outcome::Answered
        });
        wait_until("the new token is valid", || next.curl(agent.http(), "GET", "/metrics") == Outcome::Answered);
    }
    assert_eq!(
        reader.curl(first.http(), "GET", "/metrics"),
        Outcome::Unknown,
        "the token before is not valid any more"
    );
    assert_eq!((open.get("/-/config", READER), open.get("/-/config", token)), (401, 200), "on the open connection too");
    assert!(watching.goes_on(), "the gRPC stream was dropped");
    wait_until("agents open each other's doors with the new files", || agents.iter().all(complete));
}
