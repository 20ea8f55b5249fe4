//! A receiver behind TLS that takes only clients whose certificate its own authority has signed.

use super::client::{Answer, Client};
use super::tests::config;
use super::tests::receiver::Receiver;
use crate::config::{ClientCertificate, OtlpProtocol};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use std::path::Path;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Makes an authority; its certificate, and one with its key for a client, are written to `dir`. What a server on loopback
/// needs is returned.
fn certificates(dir: &Path) -> rustls::ServerConfig {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca.self_signed(&ca_key).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca, &ca_key).unwrap(), key)
    };
    let (client, client_key) = signed("agent");
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.join("client.pem"), client.pem()).unwrap();
    std::fs::write(dir.join("client.key"), client_key.serialize_pem()).unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let (server, key) = signed("127.0.0.1");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
    let mut server = builder.with_single_cert(vec![server.der().clone()], key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server
}

/// Unwraps TLS in front of `to`, an address that begins with `http://`; its own address.
async fn guard(server: rustls::ServerConfig, to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(server));
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.trim_start_matches("http://").to_owned());
            tokio::spawn(async move {
                if let (Ok(mut open), Ok(mut plain)) = (acceptor.accept(stream).await, TcpStream::connect(to).await) {
                    let _ = copy_bidirectional(&mut open, &mut plain).await;
                }
            });
        }
    });
    format!("https://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_certificate_is_shown_it() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
        let server = certificates(dir.path());
        let endpoint = match protocol {
            OtlpProtocol::Grpc => guard(server, receiver.grpc()).await,
            OtlpProtocol::Http => guard(server, receiver.http()).await + "/v1/metrics",
        };
        let mut config = config(&receiver, protocol);
        config.endpoint = endpoint;
        config.certificate = Some(dir.path().join("ca.pem"));
        let without = Client::new(&config).unwrap().send(&[]).await;
        assert!(matches!(without, Answer::Later { .. }), "{protocol:?}: {without:?}");
        assert_eq!(receiver.attempts(), 0);

        let [certificate, key] = ["client.pem", "client.key"].map(|name| dir.path().join(name));
        config.client = Some(ClientCertificate { certificate, key });
        let with = Client::new(&config).unwrap().send(&[]).await;
        assert_eq!(with, Answer::Taken { rejected: 0, message: String::new() }, "{protocol:?}");
        assert_eq!(receiver.attempts(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_is_of_no_use_is_named() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    certificates(dir.path());
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let mut config = config(&receiver, protocol);
        config.endpoint = "https://127.0.0.1:1".to_owned();
        config.certificate = Some(dir.path().join("ca.pem"));
        let [certificate, key] = ["client.pem", "nowhere.key"].map(|name| dir.path().join(name));
        config.client = Some(ClientCertificate { certificate, key });
        let error = Client::new(&config).err().expect("there is no such key").to_string();
        assert!(error.starts_with("otlp.client_key ") && error.contains("nowhere.key"), "{protocol:?}: {error}");
    }
}
