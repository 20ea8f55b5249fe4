//! Several agents of one group: how long a take-over takes, and what asking all of them costs.

use std::time::{Duration, Instant};

use streamgauge_proto::v1::partition_status::State;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GetStatusRequest, GetStatusResponse};
use tonic::transport::Channel;

use crate::live;
use crate::process::{Agent, quantile};

/// Two agents, one partition. Its owner is killed; the other one's time from then on is cut in two where the group gives it
/// the partition: until there it is the group's detection, and after that the take-over. Then the dead one is started again,
/// and so on. `what`: for the line of the result.
pub fn takeover(binary: &str, configs: [&str; 2], events: u64, rounds: usize, what: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut agents = vec![Agent::start(binary, configs[0])];
    agents[0].wait_for("streamgauge_events_total{", events as f64, Duration::from_millis(50));
    agents.push(Agent::start(binary, configs[1]));
    let (mut detected, mut took, mut keys) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        // Until a standby, if there is one, has all of it, and the group has settled.
        std::thread::sleep(Duration::from_secs(15));
        let owner = agents.iter().position(|agent| runtime.block_on(owns(&agent.grpc))).expect("somebody owns it");
        let (detection, rest, held) = runtime.block_on(one(&mut agents, owner));
        detected.push(detection);
        took.push(rest);
        keys = held;
        agents[owner].start_again();
    }
    let (detection, median, worst) = (quantile(&mut detected, 0.5), quantile(&mut took, 0.5), quantile(&mut took, 1.0));
    println!(
        "{{\"what\": \"{what}\", \"keys\": {keys}, \"rounds\": {rounds}, \"detection_median_s\": {detection:.2}, \
         \"takeover_median_s\": {median:.3}, \"takeover_worst_s\": {worst:.3}, \"all_s\": {took:.3?}}}"
    );
}

/// Kills the owner; seconds until the other one is given the partition, seconds from there until it shows its totals, keys.
async fn one(agents: &mut [Agent], owner: usize) -> (f64, f64, u64) {
    let mut client = connect(&agents[1 - owner].grpc).await;
    agents[owner].child.kill().unwrap();
    let killed = Instant::now();
    agents[owner].child.wait().unwrap();
    let mut given = None;
    loop {
        let status = status(&mut client).await;
        let own = status.partitions.iter().find(|partition| partition.state() != State::Replica);
        if own.is_some() {
            given.get_or_insert_with(Instant::now);
        }
        if own.is_some_and(|partition| partition.state() == State::Running) {
            let given = given.unwrap();
            let keys = status.aggregates.iter().map(|aggregate| aggregate.keys).sum();
            return ((given - killed).as_secs_f64(), given.elapsed().as_secs_f64(), keys);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn owns(address: &str) -> bool {
    status(&mut connect(address).await).await.partitions.iter().any(|p| p.state() == State::Running)
}

async fn connect(address: &str) -> QueryServiceClient<Channel> {
    loop {
        match QueryServiceClient::connect(format!("http://{address}")).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn status(client: &mut QueryServiceClient<Channel>) -> GetStatusResponse {
    client.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// Three agents share the partitions; one of them is asked for all (somebody produces meanwhile).
pub fn cluster(binary: &str, configs: [&str; 3], calls: usize) {
    let agents = configs.map(|config| Agent::start(binary, config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Until every agent has its share.
    runtime.block_on(async {
        for agent in &agents {
            while !owns(&agent.grpc).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    std::thread::sleep(Duration::from_secs(10));
    let mut took = runtime.block_on(live::ask(&agents[0].grpc, calls));
    live::print_milliseconds("cluster query, 3 agents", &mut took);
}
