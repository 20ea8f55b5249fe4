//! The files of a lock, read and made into what a door works with.

use super::identities::{Hash, Known, sha256};
use super::tls::{self, Parts};
use super::web_config;
use crate::config::Lock as Config;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Certificates, keys and tokens are small: a larger file is something else.
const LARGEST_FILE: u64 = 1 << 20;

/// What a lock asks for, as its files say now.
#[derive(Debug)]
pub struct Material {
    pub tls: Option<Arc<ServerConfig>>,
    pub identities: Vec<Arc<Known>>,
    /// Whether TLS lets nobody in without a certificate.
    pub client_required: bool,
    pub warnings: Vec<String>,
    /// Of all files that were read: whether anything has changed.
    pub fingerprint: Hash,
}

impl Material {
    /// # Errors
    /// One line: which file it is, and what is wrong with it.
    pub fn read(config: &Config, alpn: &[u8]) -> Result<Material, String> {
        let mut files = Files::default();
        let mut warnings = Vec::new();
        let (parts, identities) = match &config.web_config_file {
            Some(path) => {
                files.base = path.parent().map(Path::to_owned).unwrap_or_default();
                let text = files.text(path)?;
                let read = web_config::parse(&text, &mut |file| files.bytes(&files.base.join(file)))
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                warnings.extend(read.warnings.into_iter().map(|line| format!("{}: {line}", path.display())));
                (read.tls, read.identities)
            }
            None => (config.tls.as_ref().map(|tls| files.parts(tls)).transpose()?, config.identities.clone()),
        };
        let mut known = Vec::new();
        for identity in &identities {
            let tokens = identity.token_file.as_ref().map(|path| files.text(path)).transpose()?;
            let file = identity.token_file.clone().unwrap_or_default();
            let identity = Known::new(identity, tokens.as_deref());
            known.push(Arc::new(identity.map_err(|error| format!("{} {error}", file.display()))?));
        }
        let client_required =
            parts.as_ref().and_then(|parts| parts.client_ca.as_ref()).is_some_and(|(_, _, required)| *required);
        let tls = parts.map(|parts| tls::server_config(&parts, alpn).map(Arc::new)).transpose()?;
        Ok(Material { tls, identities: known, client_required, warnings, fingerprint: files.fingerprint() })
    }

    /// Whether anybody who can connect may do anything.
    pub fn is_open(&self) -> bool {
        self.identities.is_empty() && !self.client_required
    }
}

/// Reads files, and remembers what was in them.
#[derive(Default)]
struct Files {
    /// Where relative paths of a web config file begin.
    base: PathBuf,
    seen: std::cell::RefCell<Vec<u8>>,
}

impl Files {
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(format!("{} is larger than 1 MiB; is it the right file?", path.display()));
        }
        self.seen.borrow_mut().extend(sha256(&bytes));
        Ok(bytes)
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        String::from_utf8(self.bytes(path)?).map_err(|_| format!("{} is not UTF-8 text", path.display()))
    }

    fn parts(&self, tls: &crate::config::TlsFiles) -> Result<Parts, String> {
        let part = |path: &PathBuf| Ok::<_, String>((path.display().to_string(), self.bytes(path)?));
        let client_ca = tls.client_ca.as_ref().map(part).transpose()?;
        Ok(Parts {
            certificate: part(&tls.certificate)?,
            key: part(&tls.key)?,
            client_ca: client_ca.map(|(name, pem)| (name, pem, tls.client_required)),
            versions: vec![&TLS13, &TLS12],
        })
    }

    fn fingerprint(&self) -> Hash {
        sha256(&self.seen.borrow())
    }
}
