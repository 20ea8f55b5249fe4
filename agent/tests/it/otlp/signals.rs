//! The agent's own spans and log lines at a receiver, and the request that they belong to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use streamgauge_proto::v1::QueryRequest;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;

use crate::agent::Agent;
use crate::kafka::{block_on_io, wait_until};
use crate::receiver::{Receiver, labels};
use crate::scene::Scene;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reloads the config as a caller that has a trace and a name for its request; the head of the answer.
fn reload(address: SocketAddr, request_id: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let head = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nx-request-id: {request_id}\r\nContent-Length: 0");
    write!(stream, "POST /-/reload HTTP/1.0\r\nHost: agent\r\n{head}\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split("\r\n\r\n").next().unwrap_or_default().to_owned()
}

/// A query that is refused; the request id that the agent gave it.
fn query(agent: &Agent) -> String {
    block_on_io(async {
        let mut client = QueryServiceClient::connect(format!("http://{}", agent.grpc())).await.expect("gRPC");
        let request = QueryRequest { aggregate: "nothing".into(), ..QueryRequest::default() };
        let refused = client.query(request).await.expect_err("there is no such aggregate");
        refused.metadata().get("x-request-id").expect("a request id").to_str().expect("text").to_owned()
    })
}

#[test]
fn spans_and_lines_arrive_over_either_protocol_with_the_trace_and_the_id_of_their_request() {
    let scene = Scene::new("signals", 2);
    let receivers = [Receiver::start(), Receiver::start()];
    let sections = [
        format!("otlp: {{ endpoint: \"{}\", traces: true, logs: true }}\n", receivers[0].http()),
        format!("otlp: {{ endpoint: \"{}\", protocol: grpc, traces: true, logs: true }}\n", receivers[1].grpc()),
    ];
    let start = |section: &String| Agent::start(scene.kafka.bootstrap(), &(scene.config() + section));
    let mut agents: Vec<Agent> = sections.iter().map(start).collect();
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_until("each has a partition", || {
        agents.iter().all(|agent| agent.scrape().contains("streamgauge_lease_held{"))
    });
    scene.produce_now(2_000, 5);
    for (agent, receiver) in agents.iter().zip(&receivers) {
        let answer = reload(agent.http(), "order-66");
        assert!(answer.contains("x-request-id: order-66"), "{answer}");
        let forged = reload(agent.http(), "a\tb ERROR forged");
        assert!(forged.contains(&format!("x-request-id: {TRACE}")), "{forged}");
        let queried = query(agent);
        let of = |path: &str| {
            let spans = receiver.spans().into_iter();
            spans.filter(|span| labels(&span.attributes).get("path").is_some_and(|p| p == path)).collect::<Vec<_>>()
        };
        let method = "/streamgauge.v1.QueryService/Query";
        wait_until("the requests' spans arrive", || of("/-/reload").len() == 2 && of(method).len() == 1);
        let span = &of("/-/reload")[0];
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), CALLER.into()));
        assert_eq!((labels(&span.attributes)["status"].as_str(), span.kind), ("200", 2));
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        let refused = labels(&of(method)[0].attributes);
        assert_eq!((refused["status"].as_str(), &refused["request_id"]), ("5", &queried));

        wait_until("a line of the request arrives", || {
            receiver.lines().iter().any(|line| line.trace_id == span.trace_id && line.span_id == span.span_id)
        });
        assert!(agent.log().lines().any(|line| line.contains("request_id=\"order-66\"")), "the log has the id");
        assert!(!agent.log().contains("forged"), "a caller writes no line of the log");
        wait_until("a commit's span arrives", || {
            let commit = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
                span.name == "commit" && labels(&span.attributes).get("result").is_some_and(|r| r == "committed")
            };
            receiver.spans().iter().any(commit)
        });
        assert!(!agent.scrape().contains("streamgauge_otlp_lost_records_total{"));
    }
}
