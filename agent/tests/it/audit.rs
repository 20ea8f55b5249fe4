//! `streamgauge audit` on a real Kafka: it agrees with an agent that was killed, while the stream goes on, and finds
//! whatever somebody changes in what the agent says.

use std::process::{Command, Output};

use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::query_service_server::{QueryService, QueryServiceServer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::agent::{Agent, program};
use crate::kafka::wait_until;
use crate::scene::{Scene, number};

/// Runs the verb on the scene's config; `address` is where it asks.
fn audit(scene: &Scene, address: &str, flags: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("config.yaml");
    std::fs::write(&config, scene.config()).expect("the config is written");
    let mut command = Command::new(program());
    command.args(["audit", "--address", address, "-c"]).arg(config).args(flags);
    command.env("KAFKA_BOOTSTRAP_SERVERS", scene.kafka.bootstrap()).env("STATE_DIR", home.path());
    command.env("HTTP_LISTEN", "127.0.0.1:1").env("GRPC_LISTEN", "127.0.0.1:2");
    command.output().expect("the binary was built")
}

fn assert_agrees(scene: &Scene, agent: &Agent, flags: &[&str]) -> String {
    let output = audit(scene, &format!("http://{}", agent.grpc()), flags);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_audit_agrees_with_an_agent_that_was_killed_while_the_stream_goes_on() {
    let scene = Scene::new("audit", 4);
    let mut agent = scene.agent();
    agent.wait_ready();
    let late = ["--late-fraction", "0.02", "--late-by", "3m", "--rate", "20000"];
    let stream = scene.produce(240_000, 1, &late);
    // There is something to agree on, whatever keeps the first commits waiting.
    wait_until("much is counted", || number(&agent.scrape(), "http_requests_total", &[]) > 40_000.0);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    let text = assert_agrees(&scene, &agent, &["--all"]);
    assert!(text.contains("http, totals: 8 rows") && !text.contains("not compared"), "{text}");
    stream.finish();
    scene.assert_equals_recount(&[&agent]);
    let text = assert_agrees(&scene, &agent, &["--all"]);
    assert!(text.contains("http, totals: 8 rows from 240,000 events: the same"), "{text}");
    // Four minutes of event time are in the stream; the last one is not over.
    let text = assert_agrees(&scene, &agent, &["--last", "3m"]);
    assert!(text.contains("http, windows of 1m: ") && !text.contains("windows of 1m: nothing"), "{text}");
    assert!(!text.contains("totals"), "{text}");
}

/// Answers what the agent answers, but for one number.
struct Liar {
    agent: QueryServiceClient<Channel>,
    lie: fn(&mut pb::QueryResponse),
}

#[tonic::async_trait]
impl QueryService for Liar {
    async fn list_aggregates(
        &self,
        request: Request<pb::ListAggregatesRequest>,
    ) -> Result<Response<pb::ListAggregatesResponse>, Status> {
        self.agent.clone().list_aggregates(request.into_inner()).await
    }

    async fn query(&self, request: Request<pb::QueryRequest>) -> Result<Response<pb::QueryResponse>, Status> {
        let mut answer = self.agent.clone().query(request.into_inner()).await?;
        (self.lie)(answer.get_mut());
        Ok(answer)
    }

    type WatchStream = tonic::Streaming<pb::WatchResponse>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.agent.clone().watch(request.into_inner()).await
    }

    async fn list_recent_events(
        &self,
        request: Request<pb::ListRecentEventsRequest>,
    ) -> Result<Response<pb::ListRecentEventsResponse>, Status> {
        self.agent.clone().list_recent_events(request.into_inner()).await
    }

    type TailEventsStream = tonic::Streaming<pb::TailEventsResponse>;

    async fn tail_events(
        &self,
        request: Request<pb::TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        self.agent.clone().tail_events(request.into_inner()).await
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        self.agent.clone().get_status(request.into_inner()).await
    }
}

/// Audits what a liar says in the agent's name.
fn audit_lies(scene: &Scene, agent: &Agent, lie: fn(&mut pb::QueryResponse)) -> Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let agent = format!("http://{}", agent.grpc());
    let agent = runtime.block_on(QueryServiceClient::connect(agent)).expect("the agent answers");
    let liar = QueryServiceServer::new(Liar { agent: agent.max_decoding_message_size(usize::MAX), lie });
    let serving = tonic::transport::Server::builder().add_service(liar);
    runtime.spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    let output = audit(scene, &address, &["--all"]);
    runtime.shutdown_background();
    output
}

fn row_of_users(answer: &mut pb::QueryResponse) -> Option<&mut pb::Row> {
    answer.rows.iter_mut().find(|row| row.labels.get("endpoint").is_some_and(|endpoint| endpoint == "/api/users"))
}

#[test]
fn the_audit_finds_a_number_that_was_changed() {
    let scene = Scene::new("audit-lies", 2);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(200_000, 3);
    scene.assert_equals_recount(&[&agent]);
    assert_agrees(&scene, &agent, &["--all"]);
    type Lie = fn(&mut pb::QueryResponse);
    let lies: [(Lie, &str); 3] = [
        (
            |answer| {
                if let Some(row) = row_of_users(answer) {
                    row.values[0].count = row.values[0].count.map(|count| count + 1);
                }
            },
            "requests count",
        ),
        (
            |answer| {
                if let Some(value) = row_of_users(answer).and_then(|row| row.values.get_mut(2)) {
                    value.sum = value.sum.map(|sum| sum + 0.05);
                }
            },
            "duration sum",
        ),
        (|answer| answer.rows.retain(|row| row.labels.get("region").is_none_or(|region| region != "us-east")), "row"),
    ];
    for (lie, expected) in lies {
        let output = audit_lies(&scene, &agent, lie);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(&format!(" {expected}: published ")) && text.contains("NOT"), "{text}");
    }
}
