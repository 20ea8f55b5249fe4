//! What a door of the agent asks of its callers: TLS, who they are, and what each of them may do.

use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

use super::network::Network;
use super::secret::MASK;

/// More than this, and one wrong password costs seconds of a processor.
const LARGEST_COST: u32 = 16;

/// The lock of one listener. The default is an open door.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    /// A file in the format of Prometheus' `--web.config.file`, which says all of it; then there is no `tls` and nobody in
    /// `identities`.
    pub web_config_file: Option<PathBuf>,
    pub tls: Option<TlsFiles>,
    /// If there are any, callers have to be one of them.
    pub identities: Vec<Identity>,
    /// Whether health and readiness are answered to everybody.
    pub open_health: bool,
    /// Proxies whose word is taken for where a call comes from.
    pub trusted_proxies: Vec<Network>,
    /// Whether their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Default for Lock {
    fn default() -> Self {
        Lock {
            web_config_file: None,
            tls: None,
            identities: Vec::new(),
            open_health: true,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        }
    }
}

/// What a listener shows its callers, and whom it asks to show theirs: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities that sign clients' certificates; `None`: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub client_required: bool,
}

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Its name in the log, and the user's name with a password.
    pub name: String,
    /// A file with a token on each line.
    pub token_file: Option<PathBuf>,
    /// The bcrypt hash of its password.
    pub password_hash: Option<Hidden>,
    /// The subject of its certificate.
    pub certificate_subject: Option<String>,
    pub may: Vec<Right>,
}

/// How another agent's door is opened: files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAccess {
    /// The authority that signed its certificate; with it, TLS is spoken.
    pub ca: Option<PathBuf>,
    /// The caller's own certificate, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Its first line is the token to show.
    pub token_file: Option<PathBuf>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What an identity may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Metrics, queries, the config in force.
    Read,
    /// Single events, as far as `recent_events` shows them.
    Events,
    /// The cluster's health, its consumer groups and topics.
    ClusterRead,
    /// Creates, changes and deletes topics, as far as the config allows.
    Topics,
    /// Runs load tests.
    LoadTests,
    /// Has the config read again.
    Reload,
    /// What the group's agents ask each other.
    Peer,
    /// Hands in events at the front door.
    Ingest,
}

impl Right {
    pub const ALL: [Right; 8] = [
        Right::Read,
        Right::Events,
        Right::ClusterRead,
        Right::Topics,
        Right::LoadTests,
        Right::Reload,
        Right::Peer,
        Right::Ingest,
    ];

    /// As the config spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Events => "events",
            Right::ClusterRead => "cluster_read",
            Right::Topics => "topics",
            Right::LoadTests => "load_tests",
            Right::Reload => "reload",
            Right::Peer => "peer",
            Right::Ingest => "ingest",
        }
    }

    /// Whether a call that needs it is noted in the audit log: it changes something, or shows single events.
    pub const fn is_noted(self) -> bool {
        matches!(self, Right::Events | Right::Topics | Right::LoadTests | Right::Reload)
    }
}

/// A line of the config as YAML: its depth, its key, and its value, if it has one.
pub type ShownLine = (usize, String, Option<String>);

impl Lock {
    /// The lines below its listener, secrets masked.
    pub fn shown(&self) -> Vec<ShownLine> {
        let file = |path: &PathBuf| Some(quoted(&path.display().to_string()));
        let mut lines = Vec::new();
        if let Some(path) = &self.web_config_file {
            lines.push((1, "web_config_file".to_owned(), file(path)));
        }
        if let Some(tls) = &self.tls {
            lines.push((1, "tls".to_owned(), None));
            lines.push((2, "certificate".to_owned(), file(&tls.certificate)));
            lines.push((2, "key".to_owned(), file(&tls.key)));
            if let Some(ca) = &tls.client_ca {
                lines.push((2, "client_ca".to_owned(), file(ca)));
                let asked = if tls.client_required { "required" } else { "optional" };
                lines.push((2, "client_certificates".to_owned(), Some(asked.to_owned())));
            }
        }
        if !self.identities.is_empty() {
            lines.push((1, "identities".to_owned(), None));
        }
        for identity in &self.identities {
            lines.push((2, quoted(&identity.name), None));
            if let Some(path) = &identity.token_file {
                lines.push((3, "token_file".to_owned(), file(path)));
            }
            if identity.password_hash.is_some() {
                lines.push((3, "password_hash".to_owned(), Some(quoted(MASK))));
            }
            if let Some(subject) = &identity.certificate_subject {
                lines.push((3, "certificate_subject".to_owned(), Some(quoted(subject))));
            }
            let may: Vec<_> = identity.may.iter().map(|right| right.name()).collect();
            lines.push((3, "may".to_owned(), Some(format!("[{}]", may.join(", ")))));
        }
        if *self != Lock::default() {
            lines.push((1, "open_health".to_owned(), Some(self.open_health.to_string())));
        }
        if !self.trusted_proxies.is_empty() {
            let all: Vec<_> = self.trusted_proxies.iter().map(|network| quoted(&network.to_string())).collect();
            lines.push((1, "trusted_proxies".to_owned(), Some(format!("[{}]", all.join(", ")))));
            lines.push((1, "proxy_protocol".to_owned(), Some(self.proxy_protocol.to_string())));
        }
        lines
    }
}

impl ClientAccess {
    /// The lines below `grpc`.
    pub fn shown(&self) -> Vec<ShownLine> {
        let certificate = self.certificate.as_ref();
        let files = [
            ("ca", self.ca.as_ref()),
            ("certificate", certificate.map(|(certificate, _)| certificate)),
            ("key", certificate.map(|(_, key)| key)),
            ("token_file", self.token_file.as_ref()),
        ];
        let mut lines = vec![(1, "peer".to_owned(), None)];
        for (key, path) in files {
            if let Some(path) = path {
                lines.push((2, key.to_owned(), Some(quoted(&path.display().to_string()))));
            }
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }
}

/// As YAML and JSON write a text.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether this is the hash of a password, of a cost that can be afforded.
pub fn is_bcrypt(hash: &str) -> bool {
    let parts: Vec<_> = hash.split('$').collect();
    let ["", "2a" | "2b" | "2x" | "2y", cost, rest] = parts[..] else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/');
    cost.len() == 2
        && cost.parse::<u32>().is_ok_and(|cost| (4..=LARGEST_COST).contains(&cost))
        && rest.len() == 53
        && rest.chars().all(plain)
}
