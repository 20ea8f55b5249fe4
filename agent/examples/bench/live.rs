//! The agent under a steady stream that somebody else produces: recovery, freshness, queries, scrapes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use streamgauge_proto::types;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{LabelMatcher, QueryRequest, query_request::Time};

use crate::process::{Agent, load, quantile, threads};

pub const REQUESTS: &str = "http_requests_total{";

/// Kills the agent again and again; each time measures from the SIGKILL to the first scrape that shows totals at least as high
/// as the last one before it.
pub fn recover(binary: &str, path: &str, kills: usize) {
    let mut agent = Agent::start(binary, path);
    let mut took = Vec::new();
    agent.wait_for(REQUESTS, 1.0, Duration::from_millis(5));
    for kill in 0..kills {
        // A different moment of the commit interval each time.
        std::thread::sleep(Duration::from_millis(2_000 + (kill as u64 * 37) % 100));
        let before = agent.sum(REQUESTS).unwrap();
        let killed = Instant::now();
        agent.kill_and_start();
        agent.wait_for(REQUESTS, before, Duration::from_millis(5));
        took.push(killed.elapsed().as_secs_f64());
    }
    let (median, worst) = (quantile(&mut took, 0.5), quantile(&mut took, 1.0));
    println!(
        "{{\"what\": \"recovery\", \"kills\": {kills}, \"median_s\": {median:.2}, \"worst_s\": {worst:.2}, \"all_s\": {took:.2?}}}"
    );
}

/// From the acknowledgement of an event to the scrape that counts it, `markers` times, each at another moment of the commit
/// interval. The markers are events of an endpoint of their own.
pub fn freshness(binary: &str, path: &str, markers: usize) {
    let (mut agent, producer, before) = Marker::beside(binary, path);
    let mut took = Vec::new();
    for marker in 1..=markers {
        std::thread::sleep(Duration::from_millis((marker as u64 * 37) % 100));
        producer.produce(marker);
        let acknowledged = Instant::now();
        agent.wait_for(Marker::SERIES, before + marker as f64, Duration::from_millis(2));
        took.push(acknowledged.elapsed().as_secs_f64() * 1e3);
    }
    print_milliseconds("freshness", &mut took);
}

/// A producer of marker events, one at a time.
pub struct Marker {
    producer: BaseProducer,
    topic: String,
}

impl Marker {
    pub const SERIES: &str = "http_requests_total{endpoint=\"/marker\"";

    /// An agent that has begun to count, a producer of its markers, and how many markers it has counted before.
    pub fn beside(binary: &str, path: &str) -> (Agent, Marker, f64) {
        let mut agent = Agent::start(binary, path);
        agent.wait_for(REQUESTS, 1.0, Duration::from_millis(50));
        let before = agent.sum(Marker::SERIES).unwrap_or(0.0);
        (agent, Marker::new(path), before)
    }

    /// To the first topic of that config.
    fn new(path: &str) -> Marker {
        let config = load(path);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &config.kafka.bootstrap_servers)
            .set("linger.ms", "0")
            .set("acks", "all")
            .create()
            .unwrap();
        Marker { producer, topic: config.sources[0].topics[0].to_string() }
    }

    /// Until it is acknowledged.
    pub fn produce(&self, number: usize) {
        let event = format!(
            "{{\"timestamp\": {}, \"endpoint\": \"/marker\", \"method\": \"GET\", \"status\": 200, \
             \"response_time_ms\": 1.0, \"region\": \"us-east\", \"user_id\": \"user_000000\", \"message\": \"marker\"}}",
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
        );
        let key = number.to_string();
        self.producer.send(BaseRecord::to(self.topic.as_str()).key(&key).payload(&event)).unwrap();
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
    }
}

/// What the agent takes while it keeps up with whatever somebody produces, for so many seconds: the share of a core, of the
/// process and of each thread, and the CPU time of an event.
pub fn steady(binary: &str, path: &str, seconds: u64, name: &str) {
    let mut agent = Agent::start(binary, path);
    let counted = |agent: &Agent| agent.sum("streamgauge_events_total{").unwrap_or(0.0);
    // Until it has its partitions; then it has some seconds to catch up.
    agent.wait_for("streamgauge_lease_held{", 1.0, Duration::from_millis(50));
    std::thread::sleep(Duration::from_secs(10));
    let (began, events, cost, before) = (Instant::now(), counted(&agent), agent.cost(), threads(agent.child.id()));
    std::thread::sleep(Duration::from_secs(seconds));
    let (took, events) = (began.elapsed().as_secs_f64(), counted(&agent) - events);
    let (cpu, after) = (agent.cost().cpu_s - cost.cpu_s, threads(agent.child.id()));
    let earlier = |id| before.iter().find(|(other, ..)| *other == id).map_or(0.0, |(.., spent)| *spent);
    let shares = after.iter().map(|(id, name, spent)| (name, (spent - earlier(*id)) / took * 100.0));
    let shares: Vec<_> =
        shares.filter(|(_, share)| *share >= 0.2).map(|(n, share)| format!("[\"{n}\", {share:.1}]")).collect();
    let each = if events > 0.0 { format!("{:.2}", cpu / events * 1e6) } else { "null".into() };
    println!(
        "{{\"what\": \"steady\", \"name\": \"{name}\", \"events_per_s\": {:.0}, \"core_percent\": {:.1}, \"cpu_us_per_event\": {each}, \
         \"threads_percent\": [{}]}}",
        events / took,
        cpu / took * 100.0,
        shares.join(", ")
    );
}

/// `Query` over TCP for the last five minutes of one endpoint, one call after the other on one connection.
pub fn query(binary: &str, path: &str, calls: usize) {
    let mut agent = Agent::start(binary, path);
    agent.wait_for(REQUESTS, 1.0, Duration::from_millis(50));
    // Until it has caught up and every window of the answer has something in it.
    std::thread::sleep(Duration::from_secs(10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut took = runtime.block_on(ask(&agent.grpc, calls));
    print_milliseconds("query", &mut took);
}

/// Milliseconds of each call for the last five minutes of one endpoint.
pub async fn ask(address: &str, calls: usize) -> Vec<f64> {
    let endpoint = LabelMatcher { label: "endpoint".into(), value: "/api/users".into(), ..Default::default() };
    let request = QueryRequest {
        aggregate: "http".into(),
        matchers: vec![endpoint],
        window: Some(types::Duration { seconds: 60, nanos: 0 }),
        time: Some(Time::Last(types::Duration { seconds: 300, nanos: 0 })),
        quantiles: vec![0.5, 0.95, 0.99],
        ..Default::default()
    };
    let mut client = QueryServiceClient::connect(format!("http://{address}")).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..calls {
        let asked = Instant::now();
        let answer = client.query(request.clone()).await.unwrap().into_inner();
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        assert!(!answer.rows.is_empty() && answer.missing.is_empty(), "{answer:?}");
    }
    took
}

/// Catches up with `events` events, first undisturbed, then scraped all the time with `pause` between scrapes; both from a state
/// directory and a group of their own.
pub fn scrape(binary: &str, alone: &str, scraped: &str, events: u64, pause: Duration) {
    let calm = Agent::start(binary, alone).catch_up(events, |_| std::thread::sleep(Duration::from_secs(1)));
    let mut agent = Agent::start(binary, scraped);
    let (mut took, mut series) = (Vec::new(), 0);
    let busy = agent.catch_up(events, |agent| {
        std::thread::sleep(pause);
        let asked = Instant::now();
        let Some(page) = agent.page() else { return };
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        series = page.lines().filter(|line| !line.starts_with('#')).count();
    });
    // All series are there now, and input goes on in the first measurement only if the topic does.
    for _ in 0..20 {
        let asked = Instant::now();
        series = agent.page().unwrap().lines().filter(|line| !line.starts_with('#')).count();
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let ratio = (busy.events as f64 / busy.seconds) / (calm.events as f64 / calm.seconds);
    println!("{{\"what\": \"scraped\", \"series\": {series}, \"rate_of_unscraped\": {ratio:.3}}}");
    print_milliseconds("scrape", &mut took);
}

pub fn print_milliseconds(what: &str, took: &mut [f64]) {
    let [p50, p90, p99, worst] = [0.5, 0.9, 0.99, 1.0].map(|share| quantile(took, share));
    println!(
        "{{\"what\": \"{what}\", \"samples\": {}, \"p50_ms\": {p50:.2}, \"p90_ms\": {p90:.2}, \"p99_ms\": {p99:.2}, \"worst_ms\": {worst:.2}}}",
        took.len()
    );
}
