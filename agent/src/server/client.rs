//! The other side of a door: how this agent calls another's, and how a verb does.

use super::files::Files;
use super::identities::Hash;
use super::watched::Watched;
use crate::config::ClientAccess;
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// A channel whose calls say who is calling.
pub type Calls = InterceptedService<Channel, Token>;

/// What another agent's lock is opened with; the default opens none.
#[derive(Clone, Debug, Default)]
pub struct Access {
    tls: Option<ClientTlsConfig>,
    token: Token,
}

/// Adds a token to each call, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Access {
    /// Reads its files.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn read(config: &ClientAccess) -> Result<Access, String> {
        Access::read_with_fingerprint(config).map(|(access, _)| access)
    }

    fn read_with_fingerprint(config: &ClientAccess) -> Result<(Access, Hash), String> {
        let files = Files::default();
        let mut tls = match &config.ca {
            Some(ca) => Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(files.bytes(ca)?))),
            None => None,
        };
        if let Some((certificate, key)) = &config.certificate {
            let identity = Identity::from_pem(files.bytes(certificate)?, files.bytes(key)?);
            let with = tls.unwrap_or_else(|| ClientTlsConfig::new().with_native_roots());
            tls = Some(with.identity(identity));
        }
        let token = config.token_file.as_deref().map(|path| token(&files, path)).transpose()?;
        Ok((Access { tls, token: Token(token) }, files.fingerprint()))
    }

    /// Where to connect to: a URL, or `host:port`, which is spoken to with TLS if there is anything to do it with.
    ///
    /// # Errors
    /// If this is no address, or the certificates cannot be used.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, String> {
        let url = match (address.contains("://"), &self.tls) {
            (true, _) => address.to_owned(),
            (false, None) => format!("http://{address}"),
            (false, Some(_)) => format!("https://{address}"),
        };
        let is_plain = url.starts_with("http://");
        if is_plain && self.tls.is_some() {
            return Err(format!("there are certificates for TLS, but {address} is without; write https://"));
        }
        let endpoint = Endpoint::from_shared(url).map_err(|error| format!("`{address}` is not an address: {error}"))?;
        match is_plain {
            true => Ok(endpoint),
            false => {
                let tls = self.tls.clone().unwrap_or_else(|| ClientTlsConfig::new().with_native_roots());
                endpoint.tls_config(tls).map_err(|error| format!("these certificates cannot be used: {error}"))
            }
        }
    }

    /// Calls over this channel.
    pub fn calls(&self, channel: Channel) -> Calls {
        InterceptedService::new(channel, self.token.clone())
    }
}

/// What the group's other agents are opened with. Its clones are the same one.
#[derive(Clone)]
pub enum PeerKeys {
    /// They are open.
    None(Arc<Access>),
    /// Files that are read again when they change.
    Files(Arc<Watched<Access>>),
}

impl Default for PeerKeys {
    fn default() -> Self {
        PeerKeys::None(Arc::default())
    }
}

impl PeerKeys {
    /// Reads the files of `grpc.peer`.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn read(config: &ClientAccess, metrics: &Arc<Metrics>) -> Result<PeerKeys, String> {
        if *config == ClientAccess::default() {
            return Ok(PeerKeys::default());
        }
        let meant = config.clone();
        let files = Watched::new("grpc.peer", metrics.clone(), move || Access::read_with_fingerprint(&meant));
        Ok(PeerKeys::Files(Arc::new(files.map_err(|error| format!("grpc.peer: {error}"))?)))
    }

    /// What is in force: the same one, as long as no file has changed.
    pub fn now(&self) -> Arc<Access> {
        match self {
            PeerKeys::None(access) => access.clone(),
            PeerKeys::Files(files) => files.now(),
        }
    }

    /// Looks at the files until it is dropped.
    pub async fn watch(self) {
        match self {
            PeerKeys::None(_) => std::future::pending().await,
            PeerKeys::Files(files) => files.watch().await,
        }
    }
}

/// The first line is the token that is shown; others are for those who compare.
pub(super) fn token(files: &Files, path: &Path) -> Result<MetadataValue<Ascii>, String> {
    let text = files.text(path)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // Of a hash nobody can make the token.
    let sound = !line.is_empty() && !line.starts_with("sha256:");
    let value = sound.then(|| format!("Bearer {line}").parse::<MetadataValue<Ascii>>().ok()).flatten();
    value.ok_or_else(|| format!("{} holds no token to show", path.display()))
}
