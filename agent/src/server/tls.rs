//! TLS of a door, from PEM texts: version 1.2 or later, with rustls' own choice of ciphers.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

use super::allowed_names::AllowedNames;

/// What a door's TLS is made of.
#[derive(Debug)]
pub struct Parts {
    /// PEM, each with the name that errors call it.
    pub certificate: (String, Vec<u8>),
    pub key: (String, Vec<u8>),
    pub client_ca: Option<ClientCa>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

/// Authorities of clients.
#[derive(Debug)]
pub struct ClientCa {
    /// What errors call it.
    pub name: String,
    pub pem: Vec<u8>,
    /// Whether a client needs a certificate.
    pub required: bool,
    /// If there are any, a client's certificate has to name one of them.
    pub allowed_names: Vec<String>,
}

/// # Errors
/// If a text is not what it should be, or key and certificate do not belong together.
pub fn server_config(parts: &Parts, alpn: &[u8]) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&parts.certificate.0, &parts.certificate.1)?;
    let (name, pem) = &parts.key;
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| format!("{name} holds no private key in PEM that can be used (a key with a passphrase cannot)"))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&parts.versions)
        .map_err(|error| format!("TLS: {error}"))?;
    let builder = match &parts.client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(verifier(authority, provider)?),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and {name} cannot be used together: {error}", parts.certificate.0))?;
    config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.to_vec()] };
    Ok(config)
}

fn verifier(
    authority: &ClientCa,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let ClientCa { name, pem, required, allowed_names } = authority;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(name, pem)? {
        roots.add(certificate).map_err(|error| format!("{name}: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if *required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| format!("{name}: {error}"))?;
    match allowed_names.as_slice() {
        [] => Ok(verifier),
        names => Ok(Arc::new(AllowedNames::new(verifier, names.to_vec()))),
    }
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{name} holds no certificate in PEM")),
    }
}
