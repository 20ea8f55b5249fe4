//! One `Query` for the whole group, whichever agent is asked.

use std::time::{Duration, Instant};

use serde_json::Value;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GroupBy, QueryRequest, QueryResponse};

use crate::agent::Agent;
use crate::kafka::{block_on_io, wait_until};
use crate::oracle::Recount;
use crate::scene::Scene;

/// Totals of everything in one row, as this agent tells them for the whole group.
pub fn everything(agent: &Agent) -> QueryResponse {
    let request = QueryRequest {
        aggregate: "http".to_owned(),
        group_by: Some(GroupBy::default()),
        quantiles: vec![0.5, 0.99],
        ..QueryRequest::default()
    };
    block_on_io(async {
        let mut client =
            QueryServiceClient::connect(format!("http://{}", agent.grpc())).await.expect("the agent answers");
        client.query(request).await.expect("an answer").into_inner()
    })
}

pub fn missing(answer: &QueryResponse) -> Vec<i32> {
    answer.missing.iter().map(|missing| missing.partition).collect()
}

pub fn requests(answer: &QueryResponse) -> u64 {
    answer.rows.first().and_then(|row| row.values[0].count).unwrap_or_default()
}

/// Response times of all events in seconds, ascending.
fn durations(scene: &Scene) -> Vec<f64> {
    let seconds = |payload: Vec<u8>| {
        let event: Value = serde_json::from_slice(&payload).expect("an event");
        event["response_time_ms"].as_f64().expect("a response time") / 1_000.0
    };
    let mut all: Vec<f64> = scene.kafka.read(&scene.topic).into_iter().filter_map(|r| r.value).map(seconds).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn assert_quantiles(answer: &QueryResponse, exact: &[f64]) {
    let duration = answer.rows[0].values.iter().find(|value| value.measure == "duration").expect("durations");
    let error = duration.quantile_relative_error.expect("a known error");
    assert!(error < 0.1, "{error}");
    for quantile in &duration.quantiles {
        let rank = ((exact.len() as f64 * quantile.quantile).ceil() as usize).clamp(1, exact.len()) - 1;
        let (low, high) =
            (exact[rank.saturating_sub(1)] * (1.0 - error), exact[(rank + 1).min(exact.len() - 1)] * (1.0 + error));
        assert!((low..=high).contains(&quantile.value), "{quantile:?} is not within {low} and {high}");
    }
}

#[test]
fn three_agents_answer_as_one_and_name_what_is_missing_when_one_dies() {
    let scene = Scene::new("one-answer", 6).kafka_line("session_timeout: 6s");
    let mut agents = [scene.agent(), scene.agent(), scene.agent()];
    scene.produce_now(60_000, 21);
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_until("each agent has a share", || agents.iter().all(|agent| missing_here(agent) < 6));
    let recount = scene.assert_equals_recount(&[&agents[0], &agents[1], &agents[2]]);
    let exact = durations(&scene);
    for agent in &agents {
        wait_until("the group is whole", || missing(&everything(agent)).is_empty());
        let answer = everything(agent);
        assert_eq!(requests(&answer), recount.events());
        assert_eq!(answer.as_of.len(), 6);
        assert_quantiles(&answer, &exact);
        scene.assert_cluster_equals_recount(agent, &recount);
    }
    one_dies(&scene, &mut agents, &recount);
}

/// The others' answers say what is missing, at once, and are whole again when the group has noticed.
fn one_dies(scene: &Scene, agents: &mut [Agent; 3], recount: &Recount) {
    let [first, _, third] = agents;
    let had: Vec<i32> = everything(first)
        .as_of
        .iter()
        .filter(|partition| partition.agent == third.grpc().to_string())
        .map(|partition| partition.partition)
        .collect();
    assert!(!had.is_empty(), "the third agent has a share");
    third.kill9();
    let asked = Instant::now();
    let answer = everything(first);
    assert!(asked.elapsed() < Duration::from_secs(3), "answered after {:?}", asked.elapsed());
    assert_eq!(missing(&answer), had);
    assert!(answer.missing.iter().all(|missing| missing.reason.contains("cannot be reached")), "{:?}", answer.missing);
    assert!(requests(&answer) < recount.events());
    wait_until("the others have taken over", || missing(&everything(first)).is_empty());
    wait_until("all is restored", || requests(&everything(first)) == recount.events());
    scene.assert_cluster_equals_recount(first, recount);
}

/// How many partitions another agent would have to be asked for.
fn missing_here(agent: &Agent) -> usize {
    everything(agent).as_of.iter().filter(|partition| !partition.agent.is_empty()).count()
        + everything(agent).missing.len()
}
