//! Watching a group: over a kill of the agent that was asked, and of the agent that had the partitions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use streamgauge_proto::types::Duration as PbDuration;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{QueryRequest, QueryResponse, Row, WatchRequest, WatchResponse, query_request};
use tokio::time::timeout;
use tonic::Streaming;

use crate::agent::http_get;
use crate::kafka::block_on_io;
use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(60);

/// Windows by their ends, Unix seconds: what was counted for each endpoint.
type Windows = BTreeMap<i64, BTreeMap<String, u64>>;

fn query() -> QueryRequest {
    QueryRequest {
        aggregate: "http".into(),
        window: Some(PbDuration { seconds: 60, nanos: 0 }),
        closed_only: true,
        measures: vec!["requests".into()],
        ..Default::default()
    }
}

fn put(rows: &[Row], windows: &mut Windows) {
    for row in rows {
        assert!(row.closed, "{row:?}");
        let end = row.window_end.as_ref().expect("a window").seconds;
        let count = row.values[0].count.expect("a count");
        let before = windows.entry(end).or_default().insert(row.labels["endpoint"].clone(), count);
        assert!(before.is_none(), "the window that ends at {end} came twice: {row:?}");
    }
}

async fn watch(agent: SocketAddr, resume_token: &str) -> Streaming<WatchResponse> {
    let mut client = QueryServiceClient::connect(format!("http://{agent}")).await.expect("the agent answers");
    let request = WatchRequest { query: Some(query()), interval: None, resume_token: resume_token.to_owned() };
    client.watch(request).await.expect("a watch").into_inner()
}

async fn closed(agent: SocketAddr) -> QueryResponse {
    let mut client = QueryServiceClient::connect(format!("http://{agent}")).await.expect("the agent answers");
    let time = Some(query_request::Time::LastN(20));
    client.query(QueryRequest { time, ..query() }).await.expect("an answer").into_inner()
}

#[test]
fn closed_windows_come_once_and_whole_although_the_agent_that_was_asked_is_killed() {
    let scene = Scene::new("watching", 4).kafka_line("session_timeout: 6s");
    let (mut one, mut other) = (scene.agent(), scene.agent());
    one.wait_ready();
    other.wait_ready();
    // Seven minutes of event time.
    let producing = scene.produce(420_000, 11, &["--rate", "25000"]);
    let mut windows = Windows::new();
    let mut token = String::new();
    block_on_io(async {
        let mut stream = watch(one.grpc(), "").await;
        while windows.len() < 2 {
            let message =
                timeout(PATIENCE, stream.message()).await.expect("in time").expect("no error").expect("no end");
            assert_eq!((message.skipped, message.missed), (0, None));
            put(&message.answer.map(|answer| answer.rows).unwrap_or_default(), &mut windows);
            token = message.resume_token;
        }
    });
    one.kill9();
    block_on_io(async {
        let mut stream = watch(other.grpc(), &token).await;
        while windows.len() < 6 {
            let message =
                timeout(PATIENCE, stream.message()).await.expect("in time").expect("no error").expect("no end");
            assert_eq!(message.missed, None);
            if let Some(answer) = message.answer {
                assert!(answer.missing.is_empty(), "a window came without a partition: {:?}", answer.missing);
                put(&answer.rows, &mut windows);
            }
        }
    });
    producing.finish();
    let ends: Vec<_> = windows.keys().copied().collect();
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] == 60), "a window is missing: {ends:?}");
    scene.assert_equals_recount(&[&other]);
    let mut queried = Windows::new();
    put(&block_on_io(closed(other.grpc())).rows, &mut queried);
    for (end, counts) in &windows {
        assert_eq!(Some(counts), queried.get(end), "{end}");
    }
}

#[test]
fn server_sent_events_begin_with_the_answer_and_browsers_go_on_by_their_last_id() {
    let scene = Scene::new("watching", 1);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(1_000, 3);
    scene.assert_equals_recount(&[&agent]);
    let path = "/api/v1/watch/http?by=&measure=requests";
    let read = |path: &str| {
        // It never ends: what has come after a second.
        let output = std::process::Command::new("curl")
            .args(["-sN", "--max-time", "1", &format!("http://{}{path}", agent.http())])
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let events = read(path);
    assert!(events.contains("event: answer\n") && events.contains("\"count\":\"1000\""), "{events}");
    let id = events.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
    let again = read(&format!("{path}&resume_token={id}"));
    assert!(again.starts_with("event: heartbeat\n") && !again.contains("event: answer"), "{again}");
    let (status, body) = http_get(agent.http(), "/api/v1/watch/nothing", PATIENCE).expect("an answer");
    assert!(status == 404 && body.contains("no aggregate `nothing`"), "{status} {body}");
}
