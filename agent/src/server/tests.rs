//! Doors over real sockets, with TLS, tokens and passwords.

use super::{Door, Guard, Lock, Need, Protocol, Refused};
use crate::clock::Clock;
use crate::config::{Hidden, Identity, Lock as Config, Right, TlsFiles};
use crate::telemetry::Metrics;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const TOKEN: &str = "a-token-of-some-length";

struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// Certificate and key in PEM.
    fn issue(&self, common_name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn identity(name: &str, may: &[Right]) -> Identity {
    Identity { name: name.into(), token_file: None, password_hash: None, certificate_subject: None, may: may.to_vec() }
}

fn write_pair(dir: &Path, (certificate, key): &(String, String)) {
    std::fs::write(dir.join("a.key"), key).unwrap();
    std::fs::write(dir.join("a.pem"), certificate).unwrap();
}

/// TLS with clients' certificates as far as they have one, a token, a password and a subject.
fn locked(dir: &Path, authority: &Authority) -> Config {
    std::fs::write(dir.join("ca.pem"), authority.certificate.pem()).unwrap();
    std::fs::write(dir.join("token"), TOKEN).unwrap();
    write_pair(dir, &authority.issue("server"));
    let token = Identity { token_file: Some(dir.join("token")), ..identity("ci", &[Right::Read]) };
    let hash = Hidden(bcrypt::hash("secret", 4).unwrap());
    let password = Identity { password_hash: Some(hash), ..identity("alice", &[Right::Read, Right::Reload]) };
    let subject = Identity { certificate_subject: Some("ops".into()), ..identity("operator", &[Right::Reload]) };
    let tls = TlsFiles {
        certificate: dir.join("a.pem"),
        key: dir.join("a.key"),
        client_ca: Some(dir.join("ca.pem")),
        client_required: false,
    };
    Config { tls: Some(tls), identities: vec![token, password, subject], ..Config::default() }
}

fn need(path: &str) -> Need {
    match path {
        "/health" => Need::Health,
        "/reload" => Need::Right(Right::Reload),
        _ => Need::Right(Right::Read),
    }
}

fn refuse(_: &str, refused: &Refused) -> Response {
    refused.http().0.into_response()
}

struct Server {
    address: SocketAddr,
    lock: Arc<Lock>,
    metrics: Arc<Metrics>,
    trusted: CertificateDer<'static>,
}

impl Server {
    async fn start(config: &Config, authority: &Authority) -> Server {
        let metrics = Arc::new(Metrics::new());
        let lock = Arc::new(Lock::read(Protocol::Http, config, Clock::default(), metrics.clone()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guarded = lock.clone();
        let router = Router::new()
            .fallback(get(|| async { "well" }))
            .layer(tower::layer::layer_fn(move |inner| Guard::new(inner, guarded.clone(), need, refuse)));
        let connections = Door::new(listener, lock.clone()).connections().unwrap();
        let service = router.into_make_service_with_connect_info::<super::Caller>();
        tokio::spawn(async move { axum::serve(connections, service).await });
        Server { address, lock, metrics, trusted: authority.certificate.der().clone() }
    }

    async fn greet(&self, client: Option<(String, String)>) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    async fn status(&self, client: Option<(String, String)>, path: &str, header: &str) -> u16 {
        let mut stream = self.greet(client).await.unwrap();
        ask(&mut stream, path, header).await
    }

    fn counted(&self, outcome: &'static str) -> u64 {
        self.metrics.door_calls.get_or_create(&crate::telemetry::DoorLabels { door: "http", outcome }).get()
    }
}

/// One request on a connection that stays.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str, header: &str) -> u16 {
    let header = if header.is_empty() { String::new() } else { format!("Authorization: {header}\r\n") };
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).split(' ').nth(1).expect("an answer").parse().unwrap()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn callers_are_known_by_token_password_or_certificate_and_do_what_they_may() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Server::start(&locked(dir.path(), &authority), &authority).await;
    let bearer = format!("Bearer {TOKEN}");
    for (path, header, expected) in [
        ("/health", "", 200),
        ("/", "", 401),
        ("/", &bearer, 200),
        ("/reload", &bearer, 403),
        ("/", "Bearer another-token-of-length", 401),
        ("/", &basic("alice", "secret"), 200),
        ("/reload", &basic("alice", "secret"), 200),
        ("/reload", &basic("alice", "Secret"), 401),
        ("/", &basic("bob", "secret"), 401),
        ("/", "Digest x", 401),
    ] {
        assert_eq!(server.status(None, path, header).await, expected, "{path} {header}");
    }
    let ops = authority.issue("ops");
    assert_eq!(server.status(Some(ops.clone()), "/reload", "").await, 200);
    assert_eq!(server.status(Some(ops.clone()), "/", "").await, 403);
    assert_eq!(
        server.status(Some(ops), "/reload", "Bearer wrong-token-wrong-token").await,
        401,
        "a wrong token is wrong"
    );
    assert_eq!(server.status(Some(authority.issue("other")), "/reload", "").await, 401);
    let stranger = Authority::new().issue("ops");
    // In TLS 1.3 the client learns it when it first reads.
    let mut stream = server.greet(Some(stranger)).await.unwrap();
    assert!(stream.read(&mut [0; 1]).await.is_err(), "a certificate of another authority");
    assert_eq!((server.counted("handshake_failed"), server.counted("forbidden")), (1, 2));
}

#[tokio::test]
async fn files_that_change_are_in_force_and_open_connections_stay() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Server::start(&locked(dir.path(), &authority), &authority).await;
    let bearer = format!("Bearer {TOKEN}");
    let mut open = server.greet(None).await.unwrap();
    assert_eq!(ask(&mut open, "/", &bearer).await, 200);
    let mut last = None;

    std::fs::write(dir.path().join("a.key"), "no key").unwrap();
    server.lock.files.look(&mut last);
    assert!(last.as_ref().is_some_and(|error| error.contains("a.key holds no private key")), "{last:?}");
    assert_eq!(server.status(None, "/", &bearer).await, 200, "what was read before stays in force");

    let renewed = authority.issue("renewed");
    write_pair(dir.path(), &renewed);
    std::fs::write(dir.path().join("token"), format!("{TOKEN}-2")).unwrap();
    server.lock.files.look(&mut last);
    assert_eq!(last, None);
    assert_eq!(ask(&mut open, "/", &bearer).await, 401, "the connection is there, its token is not valid any more");
    assert_eq!(ask(&mut open, "/", &format!("{bearer}-2")).await, 200);
    assert_eq!(server.status(None, "/", &format!("{bearer}-2")).await, 200);
}

#[tokio::test]
async fn somebody_who_guesses_is_not_listened_to_and_whoever_knows_is() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Server::start(&locked(dir.path(), &authority), &authority).await;
    assert_eq!(server.status(None, "/", &basic("alice", "secret")).await, 200);
    let mut open = server.greet(None).await.unwrap();
    for _ in 0..super::attempts::MOST {
        assert_eq!(ask(&mut open, "/", "Bearer a-guess-a-guess-a-guess").await, 401);
    }
    assert_eq!(ask(&mut open, "/", "Bearer a-guess-a-guess-a-guess").await, 429);
    assert_eq!(ask(&mut open, "/", &basic("alice", "guess")).await, 429);
    assert_eq!(ask(&mut open, "/", &format!("Bearer {TOKEN}")).await, 200);
    assert_eq!(ask(&mut open, "/", &basic("alice", "secret")).await, 200, "this password was right before");
    assert_eq!(server.counted("locked_out"), 2);
}

#[tokio::test]
async fn a_client_that_does_not_greet_holds_up_nobody() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Server::start(&locked(dir.path(), &authority), &authority).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let answer = server.status(None, "/health", "");
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap(), 200);
}

#[test]
fn prometheus_own_file_is_a_lock_with_paths_beside_it() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    write_pair(dir.path(), &authority.issue("server"));
    let file = dir.path().join("web.yml");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let config = Config { web_config_file: Some(file.clone()), ..Config::default() };
        Lock::read(Protocol::Http, &config, Clock::default(), Arc::default())
    };
    let hash = bcrypt::hash("secret", 4).unwrap();
    let users = format!("basic_auth_users: {{ a: '{hash}' }}\n");
    let tls = "tls_server_config: { cert_file: a.pem, key_file: a.key }\n";
    assert_eq!(read(&format!("{users}{tls}")).unwrap().weakness(), None);
    assert!(read(&users).unwrap().weakness().unwrap().contains("TLS"));
    assert!(read(tls).unwrap().weakness().unwrap().contains("asks for no password"));
    let error = read("tls_server_config: { cert_file: b.pem, key_file: a.key }").err().unwrap();
    assert!(error.contains("b.pem"), "{error}");
}
