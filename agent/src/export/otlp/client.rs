//! One request to the receiver, over gRPC or HTTP, and what its answer means.

use crate::config::{ClientCertificate, Otlp, OtlpProtocol};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

/// What a request is about; each has a service and a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Metrics,
    Traces,
    Logs,
}

/// Largest answer that is read. Bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver has it; so many of its points it refused for good, and says why.
    Taken { rejected: u64, message: String },
    /// Not now; `after` is what the receiver asks to wait.
    Later { after: Option<Duration>, why: String },
    /// It will never take this request.
    Never { why: String },
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("otlp.endpoint {endpoint}: {error}")]
    Endpoint { endpoint: String, error: tonic::transport::Error },
    #[error("otlp.{key} {path}: {error}")]
    File { key: &'static str, path: String, error: String },
    #[error("the system's certificates cannot be read: {0}; name a file in otlp.certificate")]
    SystemCertificates(std::io::Error),
}

/// A client of one receiver.
pub struct Client {
    transport: Transport,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

enum Transport {
    Grpc(Channel),
    Http(Box<HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>>, String),
}

impl Client {
    /// Connects when it is first used. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If a certificate is of no use.
    pub fn new(config: &Otlp) -> Result<Client, ClientError> {
        let headers = config.headers.0.iter().filter_map(|(name, value)| {
            // The config's check has refused what does not fit.
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        let transport = match config.protocol {
            OtlpProtocol::Grpc => Transport::Grpc(grpc(config)?),
            OtlpProtocol::Http => Transport::Http(Box::new(http(config)?), config.endpoint.clone()),
        };
        Ok(Client { transport, headers: headers.collect(), gzip: config.gzip, timeout: config.timeout })
    }

    /// Sends an encoded `ExportMetricsServiceRequest`.
    pub async fn send(&self, request: &[u8]) -> Answer {
        self.send_as(Kind::Metrics, request).await
    }

    /// Sends an encoded request of this kind.
    pub async fn send_as(&self, kind: Kind, request: &[u8]) -> Answer {
        let answer = async {
            match &self.transport {
                Transport::Grpc(channel) => self.send_grpc(channel.clone(), kind, request).await,
                Transport::Http(client, endpoint) => self.send_http(client, &path(endpoint, kind), request).await,
            }
        };
        let late = || Answer::Later { after: None, why: format!("no answer within {:?}", self.timeout) };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| late())
    }

    async fn send_grpc(&self, channel: Channel, kind: Kind, request: &[u8]) -> Answer {
        // The three services differ in their types alone; `taken` is what a partial success of metrics says.
        macro_rules! export {
            ($client:ident, $taken:expr) => {{
                let Ok(message) = Message::decode(request) else {
                    return Answer::Never { why: "what was to be sent is damaged".into() };
                };
                let client = $client::new(channel).max_decoding_message_size(MAX_ANSWER);
                let mut client = if self.gzip { client.send_compressed(CompressionEncoding::Gzip) } else { client };
                let metadata = MetadataMap::from_headers(self.headers.clone());
                match client.export(tonic::Request::from_parts(metadata, Default::default(), message)).await {
                    Ok(response) => $taken(response.into_inner()),
                    Err(status) => refused(&status),
                }
            }};
        }
        let wholly = || Answer::Taken { rejected: 0, message: String::new() };
        match kind {
            Kind::Metrics => export!(MetricsServiceClient, taken),
            Kind::Traces => export!(TraceServiceClient, |_| wholly()),
            Kind::Logs => export!(LogsServiceClient, |_| wholly()),
        }
    }

    async fn send_http(
        &self,
        client: &HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
        endpoint: &str,
        request: &[u8],
    ) -> Answer {
        let mut builder = Request::post(endpoint).header(header::CONTENT_TYPE, "application/x-protobuf");
        let agent = concat!("streamgauge/", env!("CARGO_PKG_VERSION"));
        builder = builder.header(header::USER_AGENT, agent);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let body = if self.gzip {
            builder = builder.header(header::CONTENT_ENCODING, "gzip");
            zipped(request)
        } else {
            request.to_vec()
        };
        let request = match builder.body(Full::new(Bytes::from(body))) {
            Ok(request) => request,
            Err(error) => return Answer::Never { why: error.to_string() },
        };
        match client.request(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body =
                    Limited::new(body, MAX_ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                http_answer(parts.status, &parts.headers, &body)
            }
            Err(error) => Answer::Later { after: None, why: causes(&error) },
        }
    }
}

/// Where a kind of request goes, by where metrics go. The config's check has seen to it that others are only asked for if
/// that ends like this.
fn path(metrics: &str, kind: Kind) -> Cow<'_, str> {
    let other = match kind {
        Kind::Metrics => return metrics.into(),
        Kind::Traces => "/v1/traces",
        Kind::Logs => "/v1/logs",
    };
    (metrics.trim_end_matches("/v1/metrics").to_owned() + other).into()
}

fn grpc(config: &Otlp) -> Result<Channel, ClientError> {
    let wrong = |error| ClientError::Endpoint { endpoint: config.endpoint.clone(), error };
    let mut endpoint = Endpoint::from_shared(config.endpoint.clone()).map_err(wrong)?.connect_timeout(config.timeout);
    if config.endpoint.starts_with("https://") {
        let mut tls = match authorities(config)? {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(client) = &config.client {
            let certificate = read("client_certificate", &client.certificate)?;
            tls = tls.identity(Identity::from_pem(certificate, read("client_key", &client.key)?));
        }
        endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    }
    Ok(endpoint.connect_lazy())
}

fn http(config: &Otlp) -> Result<HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>, ClientError> {
    let builder = rustls::ClientConfig::builder();
    let builder = match authorities(config)? {
        Some(pem) => builder.with_root_certificates(trusted(config, &pem)?),
        // Plain HTTP needs no certificates, and a machine may have none.
        None if config.endpoint.starts_with("http://") => {
            builder.with_root_certificates(rustls::RootCertStore::empty())
        }
        None => builder.with_native_roots().map_err(ClientError::SystemCertificates)?,
    };
    let tls = match &config.client {
        Some(client) => {
            let (certificates, key) = shown(client)?;
            let refused = |error| unusable("client_certificate", &client.certificate, &error);
            builder.with_client_auth_cert(certificates, key).map_err(refused)?
        }
        None => builder.with_no_client_auth(),
    };
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
    Ok(HyperClient::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build()))
}

fn shown(
    ClientCertificate { certificate, key }: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ClientError> {
    let certificates = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let private = PrivateKeyDer::from_pem_file(key);
    Ok((
        certificates.map_err(|error| unusable("client_certificate", certificate, &error))?,
        private.map_err(|error| unusable("client_key", key, &error))?,
    ))
}

fn trusted(config: &Otlp, pem: &[u8]) -> Result<rustls::RootCertStore, ClientError> {
    let bad =
        |error: &dyn Display| unusable("certificate", config.certificate.as_deref().unwrap_or(Path::new("")), error);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
    }
    Ok(roots)
}

/// Those named instead of the system's.
fn authorities(config: &Otlp) -> Result<Option<Vec<u8>>, ClientError> {
    config.certificate.as_ref().map(|path| read("certificate", path)).transpose()
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|error| unusable(key, path, &error))
}

fn unusable(key: &'static str, path: &Path, error: &dyn Display) -> ClientError {
    ClientError::File { key, path: path.display().to_string(), error: error.to_string() }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn taken(response: ExportMetricsServiceResponse) -> Answer {
    let partial = response.partial_success.unwrap_or_default();
    Answer::Taken { rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0), message: partial.error_message }
}

/// By OTLP's table of codes. What an operator can put right (no such service, no permission) is worth waiting for as well:
/// the windows would be lost otherwise.
fn refused(status: &Status) -> Answer {
    let why = format!("{}: {}", status.code(), status.message());
    let pushback = status.metadata().get("grpc-retry-pushback-ms").and_then(|value| value.to_str().ok()?.parse().ok());
    match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists => Answer::Never { why },
        _ => Answer::Later { after: pushback.map(Duration::from_millis), why },
    }
}

fn http_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status.is_success() {
        return taken(ExportMetricsServiceResponse::decode(body).unwrap_or_default());
    }
    let text: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(300).collect();
    let why = format!("{status}: {text}");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Answer::Never { why }
        }
        _ => {
            let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Answer::Later { after: seconds.map(Duration::from_secs), why }
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_request_itself_is_given_up() {
        let answer = |status: u16, retry: Option<&str>| {
            let headers = retry.map(|after| (header::RETRY_AFTER, HeaderValue::from_str(after).unwrap()));
            http_answer(StatusCode::from_u16(status).unwrap(), &headers.into_iter().collect(), b"why\n")
        };
        assert_eq!(answer(200, None), Answer::Taken { rejected: 0, message: String::new() });
        for status in [400, 413, 422] {
            assert!(matches!(answer(status, None), Answer::Never { .. }), "{status}");
        }
        for status in [401, 404, 429, 500, 502, 503, 504] {
            assert!(matches!(answer(status, None), Answer::Later { after: None, .. }), "{status}");
        }
        let Answer::Later { after, why } = answer(503, Some("7")) else { panic!("it is to be sent again") };
        assert_eq!((after, why.as_str()), (Some(Duration::from_secs(7)), "503 Service Unavailable: why"));
        assert!(matches!(refused(&Status::unavailable("x")), Answer::Later { .. }));
        assert!(matches!(refused(&Status::invalid_argument("x")), Answer::Never { .. }));
    }
}
