//! The server over a real socket.

use super::{HttpState, serve};
use crate::query::testing::{Agent, T0, event};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn get(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
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
        reader: agent.reader.clone(),
        metrics: Arc::new(Metrics::new()),
        readiness: Arc::new(move || {
            if flag.load(Ordering::Relaxed) { Vec::new() } else { vec!["no assignment yet".into(), "b".into()] }
        }),
        cluster: Default::default(),
        config: "workers: 1\n".into(),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, state, async move {
        let _ = stopped.await;
    }));

    let page = get(address, "/metrics", "*/*").await;
    assert!(page.contains("text/plain; version=0.0.4") && page.contains("\nhttp_requests_total{"), "{page}");
    let page = get(address, "/metrics", "application/openmetrics-text").await;
    assert!(page.contains("application/openmetrics-text") && page.contains("# EOF"), "{page}");
    let page = get(address, "/-/ready", "*/*").await;
    assert!(page.starts_with("HTTP/1.1 503") && page.ends_with("\r\n\r\nno assignment yet\nb\n"), "{page}");
    assert!(get(address, "/-/healthy", "*/*").await.starts_with("HTTP/1.1 200"), "it lives although it is not ready");
    is_ready.store(true, Ordering::Relaxed);
    assert!(get(address, "/-/ready", "*/*").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/-/config", "*/*").await.ends_with("workers: 1\n"));
    assert!(get(address, "/", "*/*").await.contains("href=\"/metrics\""));
    assert!(get(address, "/nothing", "*/*").await.starts_with("HTTP/1.1 404"));

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
