//! The push against a receiver in this process: state made by hand, real sockets, a backlog on a real disk.

#[path = "../../../tests/it/receiver.rs"]
#[allow(dead_code, reason = "the tests of the whole agent use the rest")]
pub mod receiver;

use super::{Sender, start};
use crate::aggregate::WindowGrid;
use crate::cluster::View;
use crate::config::{Otlp, OtlpProtocol, Secrets};
use crate::export::prometheus::{Format, Style, render};
use crate::publish::Publisher;
use crate::query::testing::{Agent, MINUTE, T0, event};
use crate::state::WindowKind;
use crate::telemetry::Metrics;
use receiver::{Kind, Point, Receiver, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const CONFIG: &str = "
kafka: { bootstrap_servers: localhost:9092, group_id: the-group }
sources:
  requests: { topics: [log-events], format: json, timestamp: { field: timestamp, format: unix_ms } }
aggregates:
  http:
    source: requests
    by: { endpoint: endpoint }
    windows: [1m, 5m/1m]
    grace: 30s
    idle_timeout: 1m
    measures:
      requests: count
      duration: { histogram: response_time_ms, unit: ms }
      bytes: { sum: bytes, unit: bytes }
      slowest: { max: response_time_ms, unit: ms }
      latency: { avg: response_time_ms, unit: ms }
      sizes: { buckets: { field: bytes, bounds: [100, 1000] }, unit: bytes }
      load: { min: bytes, unit: percent }
";

pub fn config(receiver: &Receiver, protocol: OtlpProtocol) -> Otlp {
    Otlp {
        endpoint: match protocol {
            OtlpProtocol::Grpc => receiver.grpc(),
            OtlpProtocol::Http => format!("{}/v1/metrics", receiver.http()),
        },
        protocol,
        headers: Secrets([("authorization".to_owned(), "Bearer x".to_owned())].into()),
        gzip: protocol == OtlpProtocol::Http,
        timeout: Duration::from_secs(5),
        interval: Duration::from_millis(200),
        certificate: None,
        client: None,
        resource: [("service.name".to_owned(), "shop".to_owned())].into(),
        traces: false,
        logs: false,
        backlog_bytes: 1 << 20,
        backlog_age: Duration::from_secs(3600),
    }
}

/// A running push; it ends when this is dropped.
struct Pushing {
    metrics: Arc<Metrics>,
    _stop: watch::Sender<()>,
}

fn push(agent: &Agent, config: Otlp, dir: &Path) -> Pushing {
    let (stop, stopped) = watch::channel(());
    let metrics = Arc::new(Metrics::new());
    let sender = Sender { group_id: "the-group", instance: "sg-1" };
    let publisher = Arc::new(Publisher::alone(agent.reader.clone()));
    let running = stopped.clone();
    let pushing = start(config, sender, publisher.clone(), metrics.clone(), View::default(), dir, stopped).unwrap();
    tokio::spawn(async move {
        tokio::select! {
            () = publisher.run(Some(pushing.outlet)) => {}
            () = super::ended(running) => {}
        }
    });
    Pushing { metrics, _stop: stop }
}

impl Pushing {
    /// A number of the agent's own, by its whole line's beginning.
    fn number(&self, series: &str) -> f64 {
        let page = self.metrics.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// Both partitions here, with an event of 100 ms in each of five minutes; the first four are closed.
fn agent() -> Agent {
    let mut agent = Agent::with_config(CONFIG, 2, 2);
    for partition in 0..2 {
        let events: Vec<_> = (0..5).map(|minute| event(T0 + minute * MINUTE + 40_000, "/a", 200)).collect();
        agent.commit(partition, &events, 0);
    }
    agent.renew();
    agent
}

async fn wait(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited for nothing: {what}");
}

fn windows(receiver: &Receiver, window: &str) -> Vec<(i64, i64, f64)> {
    let points = receiver.named("http_window_requests").into_iter();
    points
        .filter(|point| point.labels["window"] == window)
        .map(|point| (point.start, point.time, point.value))
        .collect()
}

/// What must have arrived for 1-minute windows: each of the first `count` minutes once.
fn minutes(count: i64) -> Vec<(i64, i64, f64)> {
    (0..count).map(|minute| (T0 + minute * MINUTE, T0 + (minute + 1) * MINUTE, 2.0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_closed_window_arrives_once_with_its_own_start_end_and_value() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
        let mut agent = agent();
        let pushing = push(&agent, config(&receiver, protocol), dir.path());
        wait("four minutes", || windows(&receiver, "1m").len() >= 4 && windows(&receiver, "5m").len() >= 4).await;
        for partition in 0..2 {
            agent.commit(partition, &[event(T0 + 6 * MINUTE, "/b", 200)], 0);
        }
        agent.renew();
        wait("the fifth minute", || windows(&receiver, "1m").len() >= 5 && windows(&receiver, "5m").len() >= 5).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(windows(&receiver, "1m"), minutes(5), "{protocol:?}");
        let five: Vec<_> = (1..=5).map(|n| (T0 + (n - 5) * MINUTE, T0 + n * MINUTE, 2.0 * n as f64)).collect();
        assert_eq!(windows(&receiver, "5m"), five);
        let ends = receiver.named("http_window_end_timestamp_seconds");
        assert!(ends.len() == 10 && ends.iter().all(|end| end.value * 1_000.0 == end.time as f64), "{ends:?}");
        assert!(receiver.named("http_window_complete").iter().all(|point| point.value == 1.0));
        assert_eq!(receiver.headers()["authorization"], "Bearer x");
        assert_eq!(pushing.number("streamgauge_otlp_queued_windows"), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_receiver_and_a_restart_of_the_agent_lose_and_repeat_no_window() {
    let (mut receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.reply(Reply::Refuse(503));
    let agent = agent();
    let pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    wait("eight windows wait", || pushing.number("streamgauge_otlp_queued_windows") == 8.0).await;
    wait("an attempt", || receiver.attempts() > 0).await;
    receiver.go_away();
    drop(pushing);
    tokio::time::sleep(Duration::from_millis(300)).await;

    // The state is gone as far as the windows go: what waits is on disk.
    let empty = Agent::with_config(CONFIG, 2, 2);
    let pushing = push(&empty, config(&receiver, OtlpProtocol::Http), dir.path());
    tokio::time::sleep(Duration::from_millis(700)).await;
    receiver.reply(Reply::Take);
    receiver.come_back();
    wait("the backlog is sent", || pushing.number("streamgauge_otlp_queued_windows") == 0.0).await;
    assert_eq!(windows(&receiver, "1m"), minutes(4));
    drop(pushing);
    tokio::time::sleep(Duration::from_millis(300)).await;

    let again = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(windows(&receiver, "1m"), minutes(4), "what was pushed is not pushed again");
    assert_eq!(again.number("streamgauge_otlp_dropped_windows_total{reason=\"expired\"}"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_for_good_is_counted_and_the_next_ones_go() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.reply(Reply::Refuse(400));
    let mut agent = agent();
    let pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    let refused = "streamgauge_otlp_dropped_windows_total{reason=\"refused\"}";
    wait("eight are refused", || pushing.number(refused) == 8.0).await;
    receiver.reply(Reply::Take);
    for partition in 0..2 {
        agent.commit(partition, &[event(T0 + 6 * MINUTE, "/b", 200)], 0);
    }
    agent.renew();
    wait("the fifth minute", || !windows(&receiver, "1m").is_empty()).await;
    assert_eq!(windows(&receiver, "1m"), minutes(5)[4..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backlog_drops_the_oldest_windows_and_counts_them() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.reply(Reply::Refuse(503));
    let agent = agent();
    let pushing = push(&agent, Otlp { backlog_bytes: 6_000, ..config(&receiver, OtlpProtocol::Grpc) }, dir.path());
    let dropped = "streamgauge_otlp_dropped_windows_total{reason=\"size\"}";
    wait("some are dropped", || pushing.number(dropped) > 0.0).await;
    wait("and some wait", || pushing.number(dropped) + pushing.number("streamgauge_otlp_queued_windows") == 8.0).await;
    assert!(pushing.number("streamgauge_otlp_queued_bytes") <= 6_000.0);
    receiver.reply(Reply::Take);
    wait("the rest is sent", || pushing.number("streamgauge_otlp_queued_windows") == 0.0).await;
    let ends: Vec<i64> = receiver.named("http_window_end_timestamp_seconds").iter().map(|point| point.time).collect();
    assert_eq!(ends.len() as f64, 8.0 - pushing.number(dropped));
    assert!(ends.contains(&(T0 + 4 * MINUTE)), "the newest are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_waits_for_a_missing_partition_until_the_idle_timeout() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    let agent = agent();
    let away = agent.task(1).clone();
    agent.reader.registry.remove(&away);
    let _pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(windows(&receiver, "1m").is_empty(), "half a window passes for a whole one");
    agent.reader.registry.insert(away.clone());
    wait("it came back", || windows(&receiver, "1m").len() >= 4).await;
    assert_eq!(windows(&receiver, "1m"), minutes(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_another_owner_has_pushed_is_not_pushed_again() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    let agent = agent();
    let grid = WindowGrid { size_ms: MINUTE, hop_ms: MINUTE };
    let kind = WindowKind::new(agent.task(0).plan.aggregates[0].id, grid);
    let pushed = |agent: &Agent| agent.task(0).publication.wanted(kind).pushed;
    let pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    wait("it is noted for the next commit", || pushed(&agent) == Some(T0 + 4 * MINUTE)).await;
    drop(pushing);
    let other = Receiver::start();
    {
        let mut view = agent.task(0).view.write();
        let mut record = view.record().clone();
        record.aggregates.iter_mut().for_each(|progress| progress.pushed_through = Some(T0 + 3 * MINUTE));
        view.apply([], &[], record, T0);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let _pushing = push(&agent, config(&other, OtlpProtocol::Http), elsewhere.path());
    wait("the fourth minute", || !windows(&other, "1m").is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(windows(&other, "1m"), minutes(4)[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_cumulative_since_the_state_began() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    let agent = agent();
    let _pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    wait("totals and own metrics", || !receiver.named("streamgauge_otlp_pushes_total").is_empty()).await;
    let find = |name: &str| -> Point {
        let points = receiver.named(name);
        let zero = points.into_iter().find(|p| p.labels.get("partition").is_some_and(|partition| partition == "0"));
        zero.unwrap_or_else(|| panic!("{name} of partition 0"))
    };
    let requests = find("http_requests_total");
    let labels: BTreeMap<String, String> =
        [("endpoint", "/a"), ("topic", "log-events"), ("partition", "0")].map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!((&requests.labels, requests.value, requests.start, &requests.data), (&labels, 5.0, T0, &Kind::Counter));
    assert_eq!(
        (requests.resource["service.name"].as_str(), requests.resource["service.instance.id"].as_str()),
        ("shop", "the-group")
    );
    let own = &receiver.named("streamgauge_build_info")[0];
    assert_eq!(own.resource["service.instance.id"], "sg-1");
    let Kind::Exponential { sum, scale, zeros, positive } = find("http_duration_seconds").data else {
        panic!("a histogram")
    };
    assert!((sum - 0.5).abs() < 1e-9 && scale == 8 && zeros == 0, "{sum} {scale}");
    let [(index, 5)] = positive[..] else { panic!("{positive:?}") };
    let base = (2f64).powf(1.0 / 256.0);
    assert!(base.powi(index) < 0.1 && 0.1 <= base.powi(index + 1), "the bucket of 0.1 s");
    assert_eq!(find("http_latency_seconds").data, Kind::Summary { sum: 0.5 });
    assert_eq!(find("http_sizes_bytes").data, Kind::Histogram { sum: 2_500.0 });
    assert_eq!(find("http_bytes_total").value, 2_500.0);
    assert_eq!(find("http_slowest_max_seconds").value, 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_has_a_start_of_its_own_that_is_not_after_its_time() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    let mut agent = agent();
    agent.set_clock(T0 + 90_000);
    agent.commit(0, &[event(T0 + 5 * MINUTE, "/new", 200)], 0);
    // Set back after the commit.
    agent.set_clock(T0 + 80_000);
    agent.renew();
    let _pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    let start = |endpoint: &str| {
        let points = receiver.named("http_requests_total").into_iter();
        points.filter(|point| point.labels["endpoint"] == endpoint).map(|point| (point.start, point.time)).next_back()
    };
    wait("totals", || start("/new").is_some()).await;
    assert_eq!(start("/a").map(|(start, _)| start), Some(T0));
    assert_eq!(start("/new"), Some((T0 + 80_000, T0 + 80_000)));
    agent.set_clock(T0 + 100_000);
    agent.renew();
    wait("totals of later", || start("/new").is_some_and(|(_, time)| time > T0 + 80_000)).await;
    assert_eq!(start("/new"), Some((T0 + 90_000, T0 + 100_000)));
}

/// As Prometheus' receiver does it (UnderscoreEscapingWithSuffixes): the unit, then `_total` or `_ratio`, each once.
fn as_prometheus_names_it(point: &Point) -> String {
    let mut words: Vec<&str> = point.name.split('_').filter(|word| !word.is_empty()).collect();
    let unit = match point.unit.as_str() {
        "s" => "seconds",
        "By" => "bytes",
        _ => "",
    };
    if !unit.is_empty() && !words.contains(&unit) {
        words.push(unit);
    }
    for (word, applies) in
        [("total", point.data == Kind::Counter), ("ratio", point.data == Kind::Gauge && point.unit == "1")]
    {
        if applies {
            words.retain(|known| *known != word);
            words.push(word);
        }
    }
    words.join("_")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_quantity_has_the_same_name_scraped_and_pushed() {
    let (receiver, dir) = (Receiver::start(), tempfile::tempdir().unwrap());
    let agent = agent();
    let pushing = push(&agent, config(&receiver, OtlpProtocol::Http), dir.path());
    wait("all kinds", || {
        !windows(&receiver, "5m").is_empty() && !receiver.named("streamgauge_otlp_pushes_total").is_empty()
    })
    .await;
    let mut page = Vec::new();
    let style = Style { format: Format::Text, histograms: crate::config::Histograms::Both, created: true };
    let process = crate::telemetry::ProcessStats::read();
    render(&agent.published(), &pushing.metrics, &Default::default(), process.as_ref(), style, &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    let scraped: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let points = receiver.points();
    for point in &points {
        assert!(scraped.contains(as_prometheus_names_it(point).as_str()), "{}", point.name);
    }
    let pushed: BTreeSet<String> = points.iter().map(as_prometheus_names_it).collect();
    let missing: Vec<_> = scraped.iter().filter(|name| name.starts_with("http_") && !pushed.contains(**name)).collect();
    assert!(missing.is_empty(), "scraped, but not pushed: {missing:?}");
}
