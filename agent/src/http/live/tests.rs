//! The page over a real socket.

use crate::http::tests::{get, serving, state};
use crate::query::testing::{Agent, MINUTE, T0, event};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn the_page_shows_numbers_of_committed_state_and_lets_nothing_in_from_elsewhere() {
    let mut agent = Agent::new(1, 2);
    let evil = "</td><script>alert(1)</script>\r";
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + MINUTE, evil, 500), event(T0 + 3 * MINUTE, "/a", 200)], 7);
    let address = serving(state(&agent, Arc::new(|| vec!["still <restoring>".into()]))).await;
    let page = get(address, "/", "*/*").await;
    assert!(
        page.contains("content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'"),
        "{page}"
    );
    assert!(page.contains("cache-control: no-store") && page.contains("x-content-type-options: nosniff"));
    assert!(page.contains("<td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#13;</td>"), "{page}");
    assert!(!page.contains("<script>") && !page.contains(" style=") && !page.contains("http://"), "{page}");
    for shown in [
        "<td>/a</td><td>200</td><td class=\"right\" title=\"2\">2</td>",
        "<b class=\"bad\">not ready</b>",
        "still &lt;restoring&gt;",
        "<td class=\"right\" title=\"7\">7</td>",
        "log-events/1: ",
        "<td>1m</td>",
        "href=\"/metrics\"",
        "</path><path d=\"M",
    ] {
        assert!(page.contains(shown), "{shown}\n{page}");
    }
    assert!(get(address, "/-/page.css", "*/*").await.contains("text/css"));
    assert!(get(address, "/-/page.js", "*/*").await.contains("new EventSource(\"/-/live\")"));
}

#[tokio::test]
async fn what_is_committed_comes_to_the_page_by_itself() {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    let address = serving(state(&agent, Arc::new(Vec::new))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /-/live HTTP/1.0\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let mut until = async |words: &str| {
        let mut piece = [0; 4096];
        while !text.contains(words) {
            let read = timeout(Duration::from_secs(10), stream.read(&mut piece)).await.expect("in time").unwrap();
            assert!(read > 0, "it ended: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    until("event: main\ndata: <p class=\"state\">").await;
    until("title=\"1\">1</span> in all").await;
    agent.commit(0, &[event(T0, "/b", 200)], 0);
    until("title=\"2\">2</span> in all").await;
}
