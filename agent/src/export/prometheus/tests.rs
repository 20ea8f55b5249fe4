//! The page, as a whole and by its properties.

use super::{Format, render};
use crate::query::testing::{Agent, MINUTE, Request, T0, event};
use crate::state::Phase;
use crate::telemetry::{Metrics, ProcessStats};

const CONFIG: &str = "
kafka: { bootstrap_servers: localhost:9092, group_id: streamgauge }
sources:
  requests: { topics: [log-events], format: json, timestamp: { field: timestamp, format: unix_ms } }
aggregates:
  http:
    source: requests
    by: { endpoint: endpoint }
    windows: [1m, 5m/1m]
    grace: 30s
    retention: 2h
    limit: 2
    measures:
      requests: count
      errors: { count: { where: { status: { gte: 400 } } } }
      duration: { histogram: response_time_ms, unit: ms }
  traffic:
    source: requests
    by: { status: status }
    retention: 2h
    measures:
      bytes: { sum: bytes, unit: bytes }
      slowest: { max: response_time_ms, unit: ms }
      latency: { avg: response_time_ms, unit: ms }
      sizes: { buckets: { field: bytes, bounds: [100, 1000] }, unit: bytes }
";

/// Two of two partitions: three endpoints of which one is over the limit, in three minutes.
fn agent() -> Agent {
    let mut agent = Agent::with_config(CONFIG, 2, 2);
    let at = |minute: i64, endpoint: &str, status: i64, millis: f64| Request {
        millis,
        ..event(T0 + minute * MINUTE, endpoint, status)
    };
    agent.commit(
        0,
        &[
            at(0, "/a", 200, 12.5),
            at(1, "/a", 500, 1_500.0),
            at(1, "/q\"uote\\", 200, 3.0),
            at(1, "/more", 200, 250.0),
            at(2, "/a", 200, 1.0),
            at(3, "/a", 200, 1.0),
        ],
        4,
    );
    agent.commit(1, &[at(1, "/a", 200, 80.0), at(3, "/a", 404, 2.0)], 0);
    agent.set_clock(T0 + 3 * MINUTE + 1_500);
    agent.renew();
    agent
}

fn page(agent: &Agent, format: Format) -> String {
    let process =
        ProcessStats { resident_bytes: 50_000_000, cpu_seconds: 1.25, start_seconds: 1_763_596_000.0, open_files: 20 };
    let metrics = Metrics::new();
    metrics.folded("requests", 8, 0);
    metrics.late("http", 0);
    render(&agent.reader, &metrics, &Default::default(), Some(&process), format)
}

fn series<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name)).collect()
}

#[test]
fn the_whole_page_in_openmetrics() {
    insta::assert_snapshot!(page(&agent(), Format::OpenMetrics));
}

#[test]
fn the_older_format_has_the_same_samples() {
    let agent = agent();
    let samples =
        |page: &str| page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let text = page(&agent, Format::Text);
    assert_eq!(samples(&text), samples(&page(&agent, Format::OpenMetrics)));
    for line in [
        "# TYPE http_requests_total counter",
        "# TYPE streamgauge_build_info gauge",
        "# TYPE streamgauge_events_total counter",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
}

/// In both formats: families stand together under one TYPE, and no series comes twice.
#[test]
fn families_stand_together_and_no_series_comes_twice() {
    for format in [Format::OpenMetrics, Format::Text] {
        let page = page(&agent(), format);
        let types: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut names: Vec<&str> = types.iter().map(|line| line.split(' ').next().unwrap()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let mut series: Vec<&str> =
            page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all);
    }
}

#[test]
fn without_a_lease_nothing_of_the_group_shows() {
    let agent = agent();
    agent.end_lease();
    let page = page(&agent, Format::Text);
    assert!(series(&page, "http_requests_total").is_empty() && series(&page, "http_window_requests").is_empty());
    assert!(series(&page, "http_window_complete").is_empty());
    assert_eq!(series(&page, "streamgauge_lease_held").len(), 2);
    assert!(series(&page, "streamgauge_lease_held").iter().all(|line| line.ends_with(" 0")));
    assert_eq!(series(&page, "streamgauge_keys").len(), 4);
}

#[test]
fn a_restoring_partition_shows_no_totals_and_leaves_windows_incomplete() {
    let agent = agent();
    agent.task(1).set_phase(Phase::Restoring { done: 3, of: 9 });
    let page = page(&agent, Format::Text);
    assert!(!series(&page, "http_requests_total").is_empty());
    assert!(series(&page, "http_requests_total").iter().all(|line| line.contains("partition=\"0\"")));
    assert_eq!(series(&page, "streamgauge_restore_target_records").len(), 1);
    assert!(series(&page, "streamgauge_lag_messages").iter().all(|line| line.contains("partition=\"0\"")));
    let complete = series(&page, "http_window_complete");
    assert!(complete.len() == 2 && complete.iter().all(|line| line.ends_with(" 0")));
}

#[test]
fn windows_from_before_the_first_event_do_not_show() {
    let mut agent = Agent::with_config(CONFIG, 1, 1);
    agent.commit(0, &[event(T0 + 1_000, "/a", 200)], 0);
    let early = page(&agent, Format::Text);
    assert!(!series(&early, "http_requests_total").is_empty());
    for name in ["http_window_complete", "http_window_end_timestamp_seconds", "http_window_requests"] {
        assert!(series(&early, name).is_empty(), "{name}");
    }
    agent.commit(0, &[event(T0 + 2 * MINUTE, "/a", 200)], 0);
    let later = page(&agent, Format::Text);
    let complete = series(&later, "http_window_complete");
    assert!(complete.len() == 2 && complete.iter().all(|line| line.ends_with(" 1")), "{complete:?}");
}

#[test]
fn only_the_owner_of_the_first_partition_publishes_windows() {
    let agent = agent();
    agent.reader.registry.remove(&agent.task(0).id.clone());
    let page = page(&agent, Format::Text);
    assert!(series(&page, "http_window_requests").is_empty());
    assert!(!series(&page, "http_requests_total").is_empty());
}

#[test]
fn merged_totals_show_only_while_every_partition_is_here() {
    let config = CONFIG.replace("    limit: 2\n", "    publish: merged\n");
    let whole = |here, of| {
        let mut agent = Agent::with_config(&config, here, of);
        (0..here as usize).for_each(|partition| agent.commit(partition, &[event(T0, "/a", 200)], 0));
        series(&page(&agent, Format::Text), "http_requests_total")
            .iter()
            .map(|line| line.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(whole(2, 2), ["http_requests_total{endpoint=\"/a\",instance=\"\"} 2"]);
    assert!(whole(2, 3).is_empty());
}
