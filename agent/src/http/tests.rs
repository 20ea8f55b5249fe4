//! The server over a real socket.

use super::{HttpState, serve};
use crate::config::Histograms;
use crate::publish::Publisher;
use crate::query::testing::{Agent, T0, event};
use crate::server::{Door, Protocol};
use crate::telemetry::Metrics;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Fixed;

impl super::Control for Fixed {
    fn config(&self) -> String {
        "workers: 1\n".into()
    }

    fn reload(&self) -> Result<String, String> {
        Err("line 3 is wrong".into())
    }
}

async fn get(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    String::from_utf8(get_bytes(address, path, &format!("Accept: {accept}\r\n")).await).unwrap()
}

async fn get_bytes(address: std::net::SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (verb, path) = path.split_once(' ').unwrap_or(("GET", path));
    // HTTP/1.0: the body comes as it is, not in chunks.
    let request = format!("{verb} {path} HTTP/1.0\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn pages_are_served_until_the_shutdown() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_ready = Arc::new(AtomicBool::new(false));
    let flag = is_ready.clone();
    let state = HttpState {
        publisher: Arc::new(Publisher::alone(agent.reader.clone())),
        metrics: Arc::new(Metrics::new()),
        readiness: Arc::new(move || {
            if flag.load(Ordering::Relaxed) { Vec::new() } else { vec!["no assignment yet".into(), "b".into()] }
        }),
        control: Arc::new(Fixed),
        cluster: Default::default(),
        histograms: Histograms::Both,
        created_series: true,
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(Door::open(listener, Protocol::Http).unwrap(), state, async move {
        let _ = stopped.await;
    }));

    let page = get(address, "/metrics", "*/*").await;
    assert!(page.contains("text/plain; version=0.0.4") && page.contains("\nhttp_requests_total{"), "{page}");
    let page = get(address, "/metrics", "application/openmetrics-text").await;
    assert!(page.contains("application/openmetrics-text") && page.contains("# EOF"), "{page}");
    let plain = "Accept: application/openmetrics-text\r\n";
    let zipped = get_bytes(address, "/metrics", &format!("{plain}Accept-Encoding: gzip\r\n")).await;
    let body = zipped.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&zipped[..body]).contains("content-encoding: gzip"));
    let mut unzipped = String::new();
    flate2::read::GzDecoder::new(&zipped[body..]).read_to_string(&mut unzipped).unwrap();
    assert!(unzipped.starts_with("# HELP http_requests ") && unzipped.ends_with("# EOF\n"), "{unzipped}");
    let protobuf =
        "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
    let answer = get_bytes(address, "/metrics", protobuf).await;
    assert!(String::from_utf8_lossy(&answer).contains("encoding=delimited"), "the content type");
    let page = get(address, "/-/ready", "*/*").await;
    assert!(page.starts_with("HTTP/1.0 503") && page.ends_with("\r\n\r\nno assignment yet\nb\n"), "{page}");
    assert!(get(address, "/-/healthy", "*/*").await.starts_with("HTTP/1.0 200"), "it lives although it is not ready");
    is_ready.store(true, Ordering::Relaxed);
    assert!(get(address, "/-/ready", "*/*").await.starts_with("HTTP/1.0 200"));
    assert!(get(address, "/-/config", "*/*").await.ends_with("workers: 1\n"));
    let page = get(address, "POST /-/reload", "*/*").await;
    assert!(page.starts_with("HTTP/1.0 422") && page.ends_with("\r\n\r\nline 3 is wrong\n"), "{page}");
    assert!(get(address, "/-/reload", "*/*").await.starts_with("HTTP/1.0 405"));
    assert!(get(address, "/", "*/*").await.contains("href=\"/metrics\""));
    assert!(get(address, "/nothing", "*/*").await.starts_with("HTTP/1.0 404"));

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
