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

/// Measures of all kinds, of an aggregate with labels and of one with nothing but totals.
const EVERYTHING: &str = "
kafka: { bootstrap_servers: localhost:9092 }
sources:
  requests: { topics: [log-events], format: json, timestamp: { field: timestamp, format: unix_ms } }
aggregates:
  kinds:
    source: requests
    by: { endpoint: endpoint }
    windows: [10s, 1m/10s]
    measures:
      events: count
      errors: { count: { where: { status: { gte: 400 } } } }
      size: { sum: bytes, unit: bytes }
      least: { min: response_time_ms, unit: ms }
      most: { max: response_time_ms, unit: ms }
      mean: { avg: response_time_ms, unit: ms }
      took: { histogram: response_time_ms, unit: ms }
      sizes: { buckets: { field: bytes, bounds: [100, 1000] } }
      newest: { last: bytes }
      seen: last_seen
      different: { distinct: status }
      statuses: { top: { of: status, k: 3 } }
      part: { ratio: { part: errors, of: events } }
      odd: { anomaly: { of: response_time_ms, sigma: 3 } }
  bare: { source: requests, measures: { n: count } }
  visits: { source: requests, by: { endpoint: endpoint }, windows: [{ session: 50s, max: 10m }], measures: { hits: count } }
";

#[tokio::test]
async fn every_kind_of_measure_has_its_place_on_the_page_whatever_the_config() {
    let mut agent = Agent::with_config(EVERYTHING, 1, 1);
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + MINUTE, "/b", 503), event(T0 + MINUTE + 40_000, "/a", 200)], 0);
    let address = serving(state(&agent, Arc::new(Vec::new))).await;
    let page = get(address, "/", "*/*").await;
    assert!(!page.contains("Not shown"), "{page}");
    for measure in
        ["events", "size", "least", "mean", "took", "sizes", "newest", "seen", "different", "part", "odd", "n"]
    {
        assert!(page.contains(&format!("<article data-measure=\"{measure}\">")), "{measure}: {page}");
    }
    assert!(page.contains("<caption>statuses, the last 15 min"), "{page}");
    assert!(page.contains("<td>200</td><td class=\"right\" title=\"2\">2</td>"), "{page}");
    assert!(page.contains("<td>503</td><td class=\"right\" title=\"1\">1</td>"), "{page}");
    assert!(page.contains("<tr data-window=\"1m/10s\">"), "{page}");
    // The newest first; the first one of /a has ended.
    let visits = page.split_once("<caption>The newest sessions</caption>").expect("a table of them").1;
    let rows: Vec<&str> = visits.split("</table>").next().unwrap().split("<tr><td>").skip(1).collect();
    let row = |at: usize, begins: &str, ends: &str| rows[at].starts_with(begins) && rows[at].contains(ends);
    assert!(
        rows.len() == 3 && row(0, "/a</td>", "open") && row(1, "/b</td>", "open") && row(2, "/a</td>", "closed"),
        "{rows:?}"
    );
}
