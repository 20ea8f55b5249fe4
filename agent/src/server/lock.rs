//! The lock of a door: who gets in, and who may do what. Its files are read again when they change.

use super::attempts::{Attempts, PERIOD};
use super::caller::Caller;
use super::identities::{self, Credentials, Known, sha256};
use super::material::Material;
use super::refused::Refused;
use super::watched::Watched;
use crate::clock::Clock;
use crate::config::{Lock as Config, Network, Right};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Passwords that are compared at a time: each costs tens of milliseconds of a processor.
const PASSWORDS_AT_A_TIME: usize = 2;

/// What a door speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
    /// HTTP for those who hand in events.
    Ingest,
    /// gRPC for OpenTelemetry's log records.
    OtlpGrpc,
    /// Syslog over TCP.
    Syslog,
}

impl Protocol {
    /// The door's name in the log and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
            Protocol::Ingest => "ingest",
            Protocol::OtlpGrpc => "otlp_grpc",
            Protocol::Syslog => "syslog",
        }
    }

    /// The key of the config that says where it listens.
    pub const fn key(self) -> &'static str {
        match self {
            Protocol::Http => "http.listen",
            Protocol::Grpc => "grpc.listen",
            Protocol::Ingest => "ingest.listen",
            Protocol::OtlpGrpc => "ingest.otlp_grpc",
            Protocol::Syslog => "ingest.syslog",
        }
    }

    /// Whether connections are kept although nothing comes for long. gRPC's are looked after by pings; a sender of syslog
    /// loses what it writes into one that was closed.
    pub const fn may_be_silent(self) -> bool {
        matches!(self, Protocol::Grpc | Protocol::OtlpGrpc | Protocol::Syslog)
    }

    /// Empty: none is agreed upon.
    const fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Http | Protocol::Ingest => b"http/1.1",
            Protocol::Grpc | Protocol::OtlpGrpc => b"h2",
            Protocol::Syslog => b"",
        }
    }
}

/// What a path asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Health and readiness: nothing, unless the config says so; then whoever may read.
    Health,
    Right(Right),
}

/// One door's.
pub struct Lock {
    protocol: Protocol,
    config: Config,
    clock: Clock,
    metrics: Arc<Metrics>,
    pub(super) files: Arc<Watched<Material>>,
    attempts: Mutex<Attempts>,
    hashing: Semaphore,
}

impl Lock {
    /// Reads the lock's files.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn read(protocol: Protocol, config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Lock, String> {
        let door = protocol.name();
        let meant = config.clone();
        let files = Watched::new(door, metrics.clone(), move || Material::read(&meant, protocol.alpn()));
        Ok(Lock {
            protocol,
            config: config.clone(),
            clock,
            metrics,
            files: Arc::new(files.map_err(|error| format!("{door}: {error}"))?),
            attempts: Mutex::default(),
            hashing: Semaphore::new(PASSWORDS_AT_A_TIME),
        })
    }

    pub fn door(&self) -> &'static str {
        self.protocol.name()
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whose word is taken for where a call comes from.
    pub(super) fn trusted_proxies(&self) -> &[Network] {
        &self.config.trusted_proxies
    }

    /// Whether connections from there begin with a header of the PROXY protocol.
    pub(super) fn is_told_by(&self, peer: SocketAddr) -> bool {
        self.config.proxy_protocol && self.trusted_proxies().iter().any(|proxy| proxy.contains(peer.ip()))
    }

    /// What of the files has no effect.
    pub fn warnings(&self) -> Vec<String> {
        self.material().warnings.iter().map(|line| format!("{}: {line}", self.door())).collect()
    }

    /// What the files leave to be wished for, if others than this machine reach the door.
    pub fn weakness(&self) -> Option<&'static str> {
        let now = self.material();
        match (now.is_open(), &now.tls) {
            (true, _) => {
                Some("anyone who can reach this machine can use it: it asks for no password, token or certificate")
            }
            (false, None) => Some("tokens and passwords can be read on the way: it has no TLS"),
            (false, Some(_)) => None,
        }
    }

    /// What new connections are greeted with.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.material().tls.clone()
    }

    fn material(&self) -> Arc<Material> {
        self.files.now()
    }

    /// Counts what became of a call or a connection.
    pub fn count(&self, outcome: &'static str) {
        self.metrics.door_call(self.door(), outcome);
    }

    /// Who is calling; nobody where nobody is asked for.
    ///
    /// # Errors
    /// If it is not known who, or somebody who may not do this.
    pub async fn admit(
        self: &Arc<Self>,
        caller: &Caller,
        authorization: Option<&str>,
        need: Need,
    ) -> Result<Option<Arc<str>>, Refused> {
        let right = match need {
            Need::Health if self.config.open_health => return Ok(None),
            Need::Health => Right::Read,
            Need::Right(right) => right,
        };
        let now = self.material();
        if now.identities.is_empty() {
            // TLS has let in nobody without a certificate, if there is one to have.
            return Ok(caller.subject.as_ref().map(|subject| subject.to_string().into()));
        }
        let known = match authorization {
            Some(header) => self.by_header(&now, caller, header).await?,
            None => {
                caller.subject.as_ref().and_then(|subject| identities::by_subject(&now.identities, subject)).cloned()
            }
        };
        match known {
            Some(known) if known.may(right) => Ok(Some(known.name.clone())),
            Some(known) => Err(Refused::Forbidden { who: known.name.clone(), right }),
            None => Err(Refused::Unknown),
        }
    }

    async fn by_header(
        self: &Arc<Self>,
        now: &Arc<Material>,
        caller: &Caller,
        header: &str,
    ) -> Result<Option<Arc<Known>>, Refused> {
        let key = sha256(header.as_bytes());
        let credentials = Credentials::parse(header);
        let found = match &credentials {
            Credentials::Token(token) => identities::by_token(&now.identities, token).cloned(),
            Credentials::Password { .. } => now.remembered(&key),
            Credentials::Unknown => None,
        };
        if found.is_some() {
            return Ok(found);
        }
        let (from, at) = (caller.address.ip(), self.clock.boot_time());
        if self.attempts.lock().is_locked_out(from, at) {
            return Err(Refused::LockedOut);
        }
        if let Credentials::Password { user, password } = credentials {
            // It is closed by nobody.
            let Ok(_permit) = self.hashing.acquire().await else { return Err(Refused::LockedOut) };
            let all = now.clone();
            let compared = spawn_blocking(move || identities::by_password(&all.identities, &user, &password).cloned());
            if let Some(known) = compared.await.ok().flatten() {
                now.remember(key, &known);
                return Ok(Some(known));
            }
        }
        if self.attempts.lock().failed(from, self.clock.boot_time()) {
            tracing::warn!(
                target: "audit", door = self.door(), %from,
                "audit: too many failed attempts: not listened to for {} s", PERIOD.as_secs()
            );
        }
        Ok(None)
    }

    /// Whether there are files to look at.
    pub(super) fn has_files(&self) -> bool {
        let Config { web_config_file, tls, identities, .. } = &self.config;
        web_config_file.is_some() || tls.is_some() || identities.iter().any(|each| each.token_file.is_some())
    }
}
