//! Requests over HTTP to another's door, for verbs: who is calling, and TLS, as over gRPC.

use super::client::token;
use super::files::Files;
use crate::config::ClientAccess;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::time::Duration;

/// Largest answer that is read. Bytes.
const LARGEST: usize = 8 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one door. Its clones are the same one.
#[derive(Clone)]
pub struct Posts {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    authorization: Option<HeaderValue>,
}

/// What was answered.
pub struct Posted {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Posts {
    /// Connects when it is first used. `address`: a URL, or `host:port`, which is spoken to with TLS if there is anything to
    /// do it with.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn new(config: &ClientAccess, address: &str) -> Result<Posts, String> {
        let has_tls = config.ca.is_some() || config.certificate.is_some();
        let url = match address.contains("://") {
            true => address.to_owned(),
            false if has_tls => format!("https://{address}"),
            false => format!("http://{address}"),
        };
        let is_plain = url.starts_with("http://");
        if is_plain && has_tls {
            return Err(format!("there are certificates for TLS, but {address} is without; write https://"));
        }
        let files = Files::default();
        let shown = config.token_file.as_deref().map(|path| token(&files, path)).transpose()?;
        let authorization = shown.and_then(|shown| HeaderValue::from_bytes(shown.as_bytes()).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(config, &files, is_plain)?);
        let client = Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
        Ok(Posts { client, url: url.trim_end_matches('/').to_owned(), authorization })
    }

    /// Posts a body to `path`, which begins with a slash.
    ///
    /// # Errors
    /// One line: no answer came.
    pub async fn post(&self, path: &str, headers: &[(&'static str, &str)], body: Bytes) -> Result<Posted, String> {
        let mut builder = Request::post(format!("{}{path}", self.url));
        builder = builder.header(USER_AGENT, concat!("streamgauge/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        if let Some(value) = &self.authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        let request = builder.body(Full::new(body)).map_err(|error| format!("`{}`: {error}", self.url))?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| causes(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?;
            Ok(Posted { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| late())
    }
}

fn tls(config: &ClientAccess, files: &Files, is_plain: bool) -> Result<rustls::ClientConfig, String> {
    let builder = rustls::ClientConfig::builder();
    let builder = match &config.ca {
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&files.bytes(path)?) {
                roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
            }
            builder.with_root_certificates(roots)
        }
        // Plain HTTP needs no certificates, and a machine may have none.
        None if is_plain => builder.with_root_certificates(rustls::RootCertStore::empty()),
        None => {
            let unreadable =
                |error| format!("the system's certificates cannot be read: {error}; name a file (--tls-ca)");
            builder.with_native_roots().map_err(unreadable)?
        }
    };
    let Some((certificate, key)) = &config.certificate else { return Ok(builder.with_no_client_auth()) };
    let unusable = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", certificate.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.bytes(certificate)?).collect();
    let private = PrivateKeyDer::from_pem_slice(&files.bytes(key)?);
    let private = private.map_err(|error| format!("{} cannot be used: {error}", key.display()))?;
    builder.with_client_auth_cert(chain.map_err(|error| unusable(&error))?, private).map_err(|error| unusable(&error))
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
