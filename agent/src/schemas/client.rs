//! One question to the registry, and what its answer means.

use crate::config::{Credentials, SchemaRegistry};
use axum::http::{HeaderValue, Request, StatusCode, header};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

/// Largest answer that is read. Bytes.
const MAX_ANSWER: usize = 4 << 20;

/// What the registry said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Found(Bytes),
    /// It has no such thing, and says so in its own words.
    None {
        why: String,
    },
    /// Nothing that would tell; it has to be asked again.
    Later {
        why: String,
    },
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("schema_registry.certificate {path}: {error}")]
    File { path: String, error: String },
    #[error("the system's certificates cannot be read: {0}; name a file in schema_registry.certificate")]
    SystemCertificates(std::io::Error),
    #[error("no thread to ask the schema registry with: {0}")]
    Thread(std::io::Error),
}

pub struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl Client {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// If a certificate is of no use.
    pub fn new(config: &SchemaRegistry) -> Result<Client, ClientError> {
        let said = match &config.credentials {
            Credentials::None => None,
            Credentials::Token(token) => Some(format!("Bearer {token}")),
            Credentials::Password { username, password } => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
                Some(format!("Basic {pair}"))
            }
        };
        // The config's check has refused what does not fit.
        let authorization = said.and_then(|text| HeaderValue::from_str(&text).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(config)?);
        let http = HyperClient::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
        Ok(Client { http, url: config.url.clone(), authorization, timeout: config.timeout })
    }

    /// Asks for what is at `path`, which begins with a slash.
    pub async fn get(&self, path: &str) -> Answer {
        let late = || Answer::Later { why: format!("no answer within {:?}", self.timeout) };
        tokio::time::timeout(self.timeout, self.ask(path)).await.unwrap_or_else(|_| late())
    }

    async fn ask(&self, path: &str) -> Answer {
        let mut builder = Request::get(format!("{}{path}", self.url));
        builder = builder.header(header::ACCEPT, "application/vnd.schemaregistry.v1+json, application/json");
        builder = builder.header(header::USER_AGENT, concat!("streamgauge/", env!("CARGO_PKG_VERSION")));
        if let Some(value) = &self.authorization {
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let request = match builder.body(Empty::new()) {
            Ok(request) => request,
            Err(error) => return Answer::Later { why: error.to_string() },
        };
        match self.http.request(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                match Limited::new(body, MAX_ANSWER).collect().await {
                    Ok(body) => said(parts.status, body.to_bytes()),
                    Err(error) => Answer::Later { why: format!("its answer cannot be read: {error}") },
                }
            }
            Err(error) => Answer::Later { why: causes(&error) },
        }
    }
}

/// Pure: what an answer means. That there is no such thing is only believed in the registry's own words: any server says
/// 404 to an address that is none of its own.
fn said(status: StatusCode, body: Bytes) -> Answer {
    if status.is_success() {
        return Answer::Found(body);
    }
    let text: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(300).collect();
    let why = format!("{status}: {text}");
    let code =
        serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|json| json.get("error_code")?.as_u64());
    match (status, code) {
        (StatusCode::NOT_FOUND, Some(40_400..=40_499)) => Answer::None { why },
        _ => Answer::Later { why },
    }
}

fn tls(config: &SchemaRegistry) -> Result<rustls::ClientConfig, ClientError> {
    let builder = rustls::ClientConfig::builder();
    let Some(path) = &config.certificate else {
        // Plain HTTP needs no certificates, and a machine may have none.
        let builder = match config.url.starts_with("http://") {
            true => builder.with_root_certificates(rustls::RootCertStore::empty()),
            false => builder.with_native_roots().map_err(ClientError::SystemCertificates)?,
        };
        return Ok(builder.with_no_client_auth());
    };
    let unusable = |error: &dyn std::fmt::Display| ClientError::File {
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registrys_own_word_that_there_is_none_is_believed() {
        let said = |status: u16, body: &'static str| said(StatusCode::from_u16(status).unwrap(), body.into());
        assert_eq!(said(200, "{}"), Answer::Found("{}".into()));
        assert!(matches!(said(404, r#"{"error_code":40403,"message":"Schema not found"}"#), Answer::None { .. }));
        for (status, body) in [
            (404, "<html>nginx</html>"),
            (404, ""),
            (404, r#"{"message":"HTTP 404 Not Found","error_code":404}"#),
            (401, r#"{"error_code":40101}"#),
            (403, ""),
            (500, r#"{"error_code":50001}"#),
            (503, r#"{"error_code":40403}"#),
        ] {
            assert!(matches!(said(status, body), Answer::Later { .. }), "{status} {body}");
        }
    }
}
