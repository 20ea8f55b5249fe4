//! curl and grpcurl as somebody with or without credentials calls them.

use std::net::SocketAddr;
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::authority::Files;
use crate::calls::grpcurl;

/// How a listener is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
    /// With the certificate of this name, if there is one.
    Mtls(Option<&'static str>),
}

/// What a caller shows beside its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Token(&'static str),
    Password(&'static str, &'static str),
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// Who is calling is not known.
    Unknown,
    /// Who is calling may not do this.
    Forbidden,
    /// TLS does not come about.
    NoTls,
}

pub struct Caller<'a> {
    pub files: &'a Files,
    pub transport: Transport,
    pub shown: Shown,
    /// The id that the request has.
    pub request: String,
}

impl Caller<'_> {
    fn request_id(&self) -> String {
        format!("x-request-id: {}", self.request)
    }

    /// `curl -X METHOD …PATH`.
    pub fn curl(&self, address: SocketAddr, method: &str, path: &str) -> Outcome {
        let scheme = if self.transport == Transport::Plain { "http" } else { "https" };
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "30", "--dump-header", "-", "--output", "/dev/null"]);
        command.args(["--request", method, "--header", &self.request_id()]);
        if self.transport != Transport::Plain {
            command.args(["--cacert", &self.files.text("ca.pem")]);
        }
        if let Transport::Mtls(Some(name)) = self.transport {
            command.args(["--cert", &self.files.text(&format!("{name}.pem"))]);
            command.args(["--key", &self.files.text(&format!("{name}.key"))]);
        }
        command.args(match self.shown {
            Shown::Nothing => Vec::new(),
            Shown::Token(token) => vec!["--header".to_owned(), format!("Authorization: Bearer {token}")],
            Shown::Password(user, password) => vec!["--user".to_owned(), format!("{user}:{password}")],
        });
        let output = command.arg(format!("{scheme}://{address}{path}")).output().expect("curl runs");
        let head = String::from_utf8_lossy(&output.stdout);
        let status = head.split(' ').nth(1).filter(|_| output.status.success());
        if status.is_some() {
            assert!(head.contains(&self.request_id()), "the answer does not name its request: {head}");
        }
        match status {
            Some("200") => Outcome::Answered,
            Some("401") => Outcome::Unknown,
            Some("403") => Outcome::Forbidden,
            // 1: an answer in TLS where none was expected; 35: the handshake failed; 60: nobody knows the server's authority; 52, 55, 56: the server closed the
            // connection, which is how TLS 1.3 refuses a client.
            None if matches!(output.status.code(), Some(1 | 35 | 52 | 55 | 56 | 60)) => Outcome::NoTls,
            _ => panic!("curl {path}: {head}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// The same for a job of Prometheus: its lines below `scrape_configs`.
    pub fn scrape(&self) -> String {
        let mut lines = match self.transport {
            Transport::Plain => "    scheme: http\n".to_owned(),
            Transport::Tls | Transport::Mtls(None) => {
                format!("    scheme: https\n    tls_config: {{ ca_file: {} }}\n", self.files.text("ca.pem"))
            }
            Transport::Mtls(Some(name)) => format!(
                "    scheme: https\n    tls_config: {{ ca_file: {}, cert_file: {}, key_file: {} }}\n",
                self.files.text("ca.pem"),
                self.files.text(&format!("{name}.pem")),
                self.files.text(&format!("{name}.key")),
            ),
        };
        lines += &match self.shown {
            Shown::Nothing => String::new(),
            Shown::Token(token) => format!("    authorization: {{ credentials: {token} }}\n"),
            Shown::Password(user, password) => {
                format!("    basic_auth: {{ username: {user}, password: {password} }}\n")
            }
        };
        lines
    }

    /// `grpcurl … METHOD`, with descriptors from a file: without the right to read there is no reflection.
    pub fn grpcurl(&self, address: SocketAddr, method: &str, request: &str) -> Outcome {
        let output = self.grpcurl_output(address, method, request);
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        if !text.contains("Failed to dial") {
            assert!(text.contains(&self.request_id()), "the answer does not name its request: {text}");
        }
        match output.status.success() {
            true => Outcome::Answered,
            false if text.contains("Code: Unauthenticated") => Outcome::Unknown,
            false if text.contains("Code: PermissionDenied") && text.contains("does not have the right") => {
                Outcome::Forbidden
            }
            // The service itself answers: the config allows no topic to be changed.
            false if text.contains("cluster.topics.allow") => Outcome::Answered,
            false if text.contains("Failed to dial") => Outcome::NoTls,
            false => panic!("grpcurl {method}: {text}"),
        }
    }

    fn grpcurl_output(&self, address: SocketAddr, method: &str, request: &str) -> Output {
        let mut command = Command::new(grpcurl());
        command.args(["-v", "-max-time", "30", "-d", request]);
        command.args(["-protoset", &self.files.text("api.binpb"), "-protoset", &self.files.text("health.binpb")]);
        command.args(["-H", &self.request_id()]);
        command.args(match self.transport {
            Transport::Plain => vec!["-plaintext".to_owned()],
            Transport::Tls | Transport::Mtls(_) => vec!["-cacert".to_owned(), self.files.text("ca.pem")],
        });
        if let Transport::Mtls(Some(name)) = self.transport {
            command.args(["-cert", &self.files.text(&format!("{name}.pem"))]);
            command.args(["-key", &self.files.text(&format!("{name}.key"))]);
        }
        command.args(match self.shown {
            Shown::Nothing => Vec::new(),
            Shown::Token(token) => vec!["-H".to_owned(), format!("authorization: Bearer {token}")],
            Shown::Password(user, password) => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
                vec!["-H".to_owned(), format!("authorization: Basic {pair}")]
            }
        });
        command.arg(address.to_string()).arg(method).output().expect("grpcurl runs")
    }
}
