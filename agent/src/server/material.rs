//! The files of a lock, read and made into what a door works with.

use super::files::Files;
use super::identities::{Hash, Known};
use super::tls::{self, ClientCa, Parts};
use super::web_config;
use crate::config::{Lock as Config, TlsFiles};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Passwords that were right and need not be hashed again.
const REMEMBERED: usize = 1_000;

/// What a lock asks for, as its files say now.
#[derive(Debug)]
pub struct Material {
    pub tls: Option<Arc<ServerConfig>>,
    pub identities: Vec<Arc<Known>>,
    /// Whether TLS lets nobody in without a certificate.
    pub client_required: bool,
    pub warnings: Vec<String>,
    /// Whose a header with a password is; never outlives the files it was compared with.
    remembered: Mutex<HashMap<Hash, Arc<Known>>>,
}

impl Material {
    /// Reads the files, and their fingerprint.
    ///
    /// # Errors
    /// One line: which file it is, and what is wrong with it.
    pub fn read(config: &Config, alpn: &[u8]) -> Result<(Material, Hash), String> {
        let files = Files::default();
        let mut warnings = Vec::new();
        let (parts, identities) = match &config.web_config_file {
            Some(path) => {
                let beside = path.parent().unwrap_or(Path::new(""));
                let text = files.text(path)?;
                let read = web_config::parse(&text, &mut |file| files.bytes(&beside.join(file)))
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                warnings.extend(read.warnings.into_iter().map(|line| format!("{}: {line}", path.display())));
                (read.tls, read.identities)
            }
            None => (config.tls.as_ref().map(|tls| parts(&files, tls)).transpose()?, config.identities.clone()),
        };
        let mut known = Vec::new();
        for identity in &identities {
            let tokens = identity.token_file.as_ref().map(|path| files.text(path)).transpose()?;
            let file = identity.token_file.clone().unwrap_or_default();
            let identity = Known::new(identity, tokens.as_deref());
            known.push(Arc::new(identity.map_err(|error| format!("{} {error}", file.display()))?));
        }
        let client_required =
            parts.as_ref().and_then(|parts| parts.client_ca.as_ref()).is_some_and(|authority| authority.required);
        let tls = parts.map(|parts| tls::server_config(&parts, alpn).map(Arc::new)).transpose()?;
        let remembered = Mutex::default();
        let material = Material { tls, identities: known, client_required, warnings, remembered };
        Ok((material, files.fingerprint()))
    }

    /// Whose header this was before.
    pub fn remembered(&self, header: &Hash) -> Option<Arc<Known>> {
        self.remembered.lock().get(header).cloned()
    }

    pub fn remember(&self, header: Hash, known: &Arc<Known>) {
        let mut remembered = self.remembered.lock();
        if remembered.len() < REMEMBERED {
            remembered.insert(header, known.clone());
        }
    }

    /// Whether anybody who can connect may do anything.
    pub fn is_open(&self) -> bool {
        self.identities.is_empty() && !self.client_required
    }
}

fn parts(files: &Files, tls: &TlsFiles) -> Result<Parts, String> {
    let part = |path: &Path| Ok::<_, String>((path.display().to_string(), files.bytes(path)?));
    let (required, allowed_names) = (tls.client_required, Vec::new());
    let client_ca = tls.client_ca.as_deref().map(part).transpose()?;
    Ok(Parts {
        certificate: part(&tls.certificate)?,
        key: part(&tls.key)?,
        client_ca: client_ca.map(|(name, pem)| ClientCa { name, pem, required, allowed_names }),
        versions: vec![&TLS13, &TLS12],
    })
}
