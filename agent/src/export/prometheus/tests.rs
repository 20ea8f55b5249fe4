//! The page, as a whole and by its properties.

use super::{Format, Style, render};
use crate::config::Histograms;
use crate::query::testing::{Agent, MINUTE, Request, T0, event};
use crate::state::Phase;
use crate::telemetry::{Metrics, ProcessStats};
use prost::Message;
use streamgauge_proto::prometheus::MetricFamily;

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
    String::from_utf8(bytes(agent, Style { format, histograms: Histograms::Both, created: true })).unwrap()
}

fn bytes(agent: &Agent, style: Style) -> Vec<u8> {
    let process =
        ProcessStats { resident_bytes: 50_000_000, cpu_seconds: 1.25, start_seconds: 1_763_596_000.0, open_files: 20 };
    let metrics = Metrics::new();
    metrics.folded("requests", 8, 0);
    metrics.late("http", 0);
    let mut page = Vec::new();
    render(&agent.published(), &metrics, &Default::default(), Some(&process), style, &mut page).unwrap();
    page
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
    let openmetrics = page(&agent, Format::OpenMetrics);
    let mut without_starts = samples(&openmetrics);
    without_starts.retain(|line| !line.split('{').next().is_some_and(|name| name.ends_with("_created")));
    assert_eq!(samples(&text), without_starts);
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
fn a_restoring_partition_shows_no_totals_and_holds_windows_back() {
    let agent = agent();
    agent.task(1).set_phase(Phase::Restoring { done: 3, of: 9 });
    let page = page(&agent, Format::Text);
    assert!(!series(&page, "http_requests_total").is_empty());
    assert!(series(&page, "http_requests_total").iter().all(|line| line.contains("partition=\"0\"")));
    assert_eq!(series(&page, "streamgauge_restore_target_records").len(), 1);
    assert!(series(&page, "streamgauge_lag_messages").iter().all(|line| line.contains("partition=\"0\"")));
    assert!(series(&page, "http_window_complete").is_empty());
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
    agent.reader.registry.remove(agent.task(0));
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

/// The page in protobuf, as Prometheus reads it.
fn families(agent: &Agent, histograms: Histograms) -> Vec<MetricFamily> {
    let bytes = bytes(agent, Style { format: Format::Protobuf, histograms, created: true });
    let mut rest = bytes.as_slice();
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

/// A metric's samples as the text has them, without its labels' order mattering.
fn samples(family: &MetricFamily) -> Vec<(String, f64)> {
    let mut samples = Vec::new();
    for metric in &family.metric {
        let pairs: Vec<_> = metric.label.iter().map(|pair| format!("{}={:?}", pair.name, pair.value)).collect();
        let mut add = |suffix: &str, le: Option<f64>, value: f64| {
            let le = le.map(|le| format!("le=\"{}\"", if le.is_finite() { format!("{le:?}") } else { "+Inf".into() }));
            let labels: Vec<_> = pairs.iter().cloned().chain(le).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            samples.push((format!("{}{suffix}{labels}", family.name), value));
        };
        if let Some(counter) = &metric.counter {
            add("", None, counter.value);
        } else if let Some(gauge) = &metric.gauge {
            add("", None, gauge.value);
        } else if let Some(summary) = &metric.summary {
            add("_sum", None, summary.sample_sum);
            add("_count", None, summary.sample_count as f64);
        } else {
            let histogram = metric.histogram.as_ref().unwrap();
            for bucket in &histogram.bucket {
                add("_bucket", Some(bucket.upper_bound), bucket.cumulative_count as f64);
            }
            add("_sum", None, histogram.sample_sum);
            add("_count", None, histogram.sample_count as f64);
        }
    }
    samples
}

/// A bound as `{:?}` writes it, however the text does.
fn same_le(series: &str) -> String {
    let Some((head, rest)) = series.split_once("le=\"") else { return series.to_owned() };
    let (bound, tail) = rest.split_once('"').unwrap();
    match bound.parse::<f64>() {
        Ok(number) if number.is_finite() => format!("{head}le=\"{number:?}\"{tail}"),
        _ => series.to_owned(),
    }
}

#[test]
fn protobuf_has_the_samples_of_the_text() {
    let agent = agent();
    let mut from_protobuf: Vec<_> = families(&agent, Histograms::Both).iter().flat_map(samples).collect();
    let text = page(&agent, Format::Text);
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    let mut from_text: Vec<_> = lines.map(|(series, value)| (same_le(series), value.parse::<f64>().unwrap())).collect();
    from_protobuf.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    from_text.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(from_protobuf, from_text);
    let head = |line: &str| text.lines().any(|other| other == line);
    for family in families(&agent, Histograms::Both) {
        let kind = family.r#type().as_str_name().to_lowercase();
        assert!(head(&format!("# TYPE {} {kind}", family.name)), "{}", family.name);
        assert!(!family.help.is_empty() && family.name.trim_end_matches("_total").ends_with(&family.unit));
    }
}

#[test]
fn one_key_chooses_the_buckets_of_protobuf_and_buckets_of_ones_own_stay_classic() {
    let agent = agent();
    for (histograms, classic, native) in
        [(Histograms::Classic, true, false), (Histograms::Native, false, true), (Histograms::Both, true, true)]
    {
        let families = families(&agent, histograms);
        let find = |name: &str| families.iter().find(|family| family.name == name).unwrap();
        for metric in &find("http_duration_seconds").metric {
            let histogram = metric.histogram.as_ref().unwrap();
            let spans = histogram.positive_span.len() + histogram.negative_span.len();
            assert_eq!((!histogram.bucket.is_empty(), spans > 0), (classic, native), "{histograms:?}");
        }
        for metric in &find("traffic_sizes_bytes").metric {
            let histogram = metric.histogram.as_ref().unwrap();
            assert!(histogram.bucket.len() == 3 && histogram.positive_span.is_empty());
        }
    }
}

/// Two partitions: the second has `/b` first. What `/a` and `/b` of each say in protobuf, in seconds after T0.
fn starts(agent: &Agent) -> Vec<(String, Option<i64>)> {
    let families = families(agent, Histograms::Both);
    let family = families.iter().find(|family| family.name == "http_requests_total").unwrap();
    let one = |metric: &streamgauge_proto::prometheus::Metric| {
        let value = |name: &str| metric.label.iter().find(|pair| pair.name == name).map(|pair| pair.value.clone());
        let since = metric.counter.as_ref().unwrap().created_timestamp.map(|at| at.seconds - T0 / 1_000);
        ([value("endpoint"), value("partition")].into_iter().flatten().collect::<Vec<_>>().join(" "), since)
    };
    family.metric.iter().map(one).collect()
}

fn two_partitions(config: &str) -> Agent {
    let mut agent = Agent::with_config(config, 2, 2);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    agent.set_clock(T0 + 60_000);
    agent.commit(1, &[event(T0, "/b", 200)], 0);
    agent.set_clock(T0 + 90_000);
    agent.commit(0, &[event(T0, "/a", 200), event(T0, "/b", 200)], 0);
    agent.renew();
    agent
}

#[test]
fn each_key_says_since_when_it_counts_and_merged_ones_take_the_earliest() {
    let agent = two_partitions(CONFIG);
    let at = |name: &str, since| (name.to_owned(), Some(since));
    assert_eq!(starts(&agent), [at("/a 0", 0), at("/b 0", 90), at("/b 1", 60)]);
    let text = page(&agent, Format::OpenMetrics);
    let created = "http_requests_created{endpoint=\"/b\",topic=\"log-events\",partition=\"0\",instance=\"\"}";
    let line = format!("{created} {}", T0 / 1_000 + 90);
    assert!(text.lines().any(|other| other == line), "{line}");
    // Right after the series that it is of, as the format asks for.
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("_created{")) {
        let (family, rest) = line.split_once("_created{").unwrap();
        let labels = rest.split_once('}').unwrap().0;
        assert!(lines[at - 1].starts_with(family) && lines[at - 1].contains(labels), "{}", lines[at - 1]);
    }
    for family in
        ["http_errors", "http_duration_seconds", "traffic_latency_seconds", "traffic_bytes", "traffic_sizes_bytes"]
    {
        assert!(!series(&text, &format!("{family}_created")).is_empty(), "{family}");
    }
    assert!(series(&text, "traffic_slowest_max_seconds_created").is_empty(), "a gauge has no beginning");

    let merged = two_partitions(&CONFIG.replace("    limit: 2\n", "    publish: merged\n"));
    assert_eq!(starts(&merged), [at("/a", 0), at("/b", 60)]);
}

#[test]
fn a_start_that_the_clock_has_not_come_to_is_not_told() {
    let agent = two_partitions(CONFIG);
    agent.set_clock(T0 + 70_000);
    agent.renew();
    let told: Vec<_> = starts(&agent).into_iter().map(|(_, since)| since).collect();
    assert_eq!(told, [Some(0), None, Some(60)]);
}

#[test]
fn the_series_of_starts_can_be_left_out() {
    let style = Style { format: Format::OpenMetrics, histograms: Histograms::Both, created: false };
    let page = String::from_utf8(bytes(&agent(), style)).unwrap();
    assert!(!page.contains("_created"));
}

#[test]
fn totals_and_own_counters_say_since_when_they_count_and_gauges_do_not() {
    let families = families(&agent(), Histograms::Both);
    let since = |name: &str| {
        let metric = &families.iter().find(|family| family.name == name).unwrap().metric[0];
        let counter = metric.counter.as_ref().and_then(|counter| counter.created_timestamp);
        let histogram = metric.histogram.as_ref().and_then(|histogram| histogram.created_timestamp);
        counter.or(histogram).map(|timestamp| timestamp.seconds)
    };
    assert_eq!(since("http_requests_total"), Some(T0 / 1_000));
    assert_eq!(since("http_duration_seconds"), Some(T0 / 1_000));
    assert_eq!(since("streamgauge_events_total"), Some(1_763_596_000));
    assert_eq!(since("http_window_requests"), None);
}
