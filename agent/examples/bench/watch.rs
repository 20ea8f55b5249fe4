//! Watches, and the page in a browser, under a stream that somebody else produces: how soon they show what was committed,
//! and what they cost.

#[allow(dead_code, reason = "the test of the page also takes pictures with it")]
#[path = "../../tests/it/page/browser.rs"]
mod browser;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use browser::Browser;
use streamgauge_proto::types;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GroupBy, QueryRequest, WatchRequest, query_request::Time};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::live::{Marker, REQUESTS, print_milliseconds};
use crate::process::Agent;

/// Until a new agent has caught up, and its watches are open.
const SETTLE: Duration = Duration::from_secs(10);

/// The last five minutes of each endpoint, again whenever they change.
fn request() -> WatchRequest {
    let seconds = |seconds| types::Duration { seconds, nanos: 0 };
    let query = QueryRequest {
        aggregate: "http".into(),
        window: Some(seconds(60)),
        time: Some(Time::Last(seconds(300))),
        group_by: Some(GroupBy { labels: vec!["endpoint".into()] }),
        ..Default::default()
    };
    WatchRequest { query: Some(query), ..Default::default() }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

/// Milliseconds from the newest commit in each answer to its arrival, for as long as that.
async fn watch(address: String, wait: Duration, long: Duration) -> Vec<f64> {
    let mut client = QueryServiceClient::connect(format!("http://{address}")).await.unwrap();
    let mut answers = client.watch(request()).await.unwrap().into_inner();
    let (began, mut took, mut newest) = (Instant::now(), Vec::new(), 0.0);
    while began.elapsed() < wait + long {
        let Ok(answer) = timeout(Duration::from_secs(30), answers.message()).await else { panic!("nothing comes") };
        let arrived = now();
        let Some(answer) = answer.unwrap().and_then(|message| message.answer) else { continue };
        let millis = |at: &types::Timestamp| at.seconds as f64 * 1e3 + f64::from(at.nanos) / 1e6;
        let committed = answer.as_of.iter().filter_map(|at| at.committed_at.as_ref().map(millis)).fold(0.0, f64::max);
        if committed > newest && began.elapsed() >= wait {
            took.push((arrived - committed).max(0.0));
        }
        newest = newest.max(committed);
    }
    took
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// So many watches for so many seconds: how soon they have what was committed, and the agent's share of a core.
pub fn watches(binary: &str, path: &str, seconds: u64, watchers: usize) {
    let mut agent = Agent::start(binary, path);
    agent.wait_for(REQUESTS, 1.0, Duration::from_millis(50));
    let (long, address) = (Duration::from_secs(seconds), agent.grpc.clone());
    let mut took = runtime().block_on(async {
        let mut all: JoinSet<Vec<f64>> = (0..watchers).map(|_| watch(address.clone(), SETTLE, long)).collect();
        sleep(SETTLE).await;
        let (began, before) = (Instant::now(), agent.cost());
        let events = agent.sum("streamgauge_events_total{").unwrap();
        sleep(long).await;
        let (cpu, spent) = (agent.cost().cpu_s - before.cpu_s, began.elapsed().as_secs_f64());
        let events = agent.sum("streamgauge_events_total{").unwrap() - events;
        println!(
            "{{\"what\": \"watched\", \"watchers\": {watchers}, \"events_per_s\": {:.0}, \"core_percent\": {:.1}, \
             \"lag_messages\": {}}}",
            events / spent,
            cpu / spent * 100.0,
            agent.sum("streamgauge_lag_messages{").unwrap()
        );
        let mut took = Vec::new();
        while let Some(one) = all.join_next().await {
            took.extend(one.unwrap());
        }
        took
    });
    if !took.is_empty() {
        print_milliseconds("commit to watcher", &mut took);
    }
}

/// Catches up with `events` events, first unwatched, then with so many watches; both from a state directory and a group of
/// their own.
pub fn watched(binary: &str, alone: &str, watched: &str, events: u64, watchers: usize) {
    let calm = Agent::start(binary, alone).catch_up(events, |_| std::thread::sleep(Duration::from_secs(1)));
    let mut agent = Agent::start(binary, watched);
    let address = agent.grpc.clone();
    let runtime = runtime();
    let mut started = false;
    let busy = agent.catch_up(events, |_| {
        if !std::mem::replace(&mut started, true) {
            for _ in 0..watchers {
                runtime.spawn(watch(address.clone(), Duration::ZERO, Duration::from_secs(3_600)));
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    });
    let ratio = (busy.events as f64 / busy.seconds) / (calm.events as f64 / calm.seconds);
    println!("{{\"what\": \"caught up watched\", \"watchers\": {watchers}, \"rate_of_unwatched\": {ratio:.3}}}");
    runtime.shutdown_background();
}

/// From the acknowledgement of an event to when the page in a browser shows it, `markers` times.
pub fn page(binary: &str, path: &str, markers: usize) {
    let (agent, marker, before) = Marker::beside(binary, path);
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", agent.address));
    browser.until("document.querySelector('#sign')?.dataset.state === 'live'");
    std::thread::sleep(SETTLE);
    let mut took = Vec::new();
    for number in 1..=markers {
        std::thread::sleep(Duration::from_millis(500 + (number as u64 * 37) % 500));
        marker.produce(number);
        let acknowledged = Instant::now();
        let shown = before + number as f64;
        let script = format!(
            "[...document.querySelectorAll('[data-aggregate=http] .keys tbody tr')]\
             .some(row => row.cells[0].innerText === '/marker' && Number(row.cells[1].title) >= {shown})"
        );
        while browser.eval(&script) != true {
            assert!(acknowledged.elapsed() < Duration::from_secs(60), "marker {number} is not shown");
            std::thread::sleep(Duration::from_millis(5));
        }
        took.push(acknowledged.elapsed().as_secs_f64() * 1e3);
    }
    print_milliseconds("event to page in a browser", &mut took);
}
