//! Every config gets rules and dashboards that name only its own metrics.

use super::*;
use crate::config::{Config, parse};

fn config(text: &str) -> Config {
    parse(text, "test.yaml", &|_| None).unwrap()
}

fn options() -> Options {
    Options {
        job: "streamgauge".into(),
        grafana_url: "http://localhost:3000/".into(),
        runbooks_url: "https://docs.example/runbooks".into(),
        objective: 99.0,
    }
}

/// A config with every kind of measure, and none of the example's names.
const OTHER: &str = "
kafka: { bootstrap_servers: localhost:9092 }
sources:
  trades: { topics: [trades], timestamp: { from: kafka } }
  idle: { topics: [idle], timestamp: { from: kafka } }
aggregates:
  venue:
    source: trades
    by: { market: market, desk: desk }
    windows: [1m]
    measures:
      orders: count
      rejects: { count: { where: { accepted: false } } }
      volume: { sum: quantity }
      size: { avg: size, unit: bytes }
      largest: { max: size, unit: bytes }
      age: { histogram: age_us, unit: us }
      price: { buckets: { field: price, bounds: [1, 10, 100] } }
  bare:
    source: trades
    measures: { spread: { min: spread } }
";

#[test]
fn an_expression_of_another_config_names_its_metrics() {
    let text = rules_in_one(&config(OTHER), &options());
    for wanted in [
        "record: market_desk:venue_orders:rate5m\n",
        "record: market_desk:venue_rejects:ratio_rate5m\n",
        "record: market_desk:venue_volume:rate5m\n",
        "record: market_desk:venue_size_bytes:mean_rate5m\n",
        "max without (topic, partition, instance) (venue_largest_max_bytes)",
        "histogram_quantile(0.99, sum without (topic, partition, instance) (rate(venue_age_seconds_bucket[5m])))",
        "record: market_desk:venue_rejects:error_ratio_rate3d\n",
        "record: all:bare_spread_min:min\n",
        "{{ $labels.market }} {{ $labels.desk }}: the error budget burns 14.4 times too fast",
        "https://docs.example/runbooks/lag.md",
        "http://localhost:3000/d/streamgauge-slo",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    assert!(!text.contains("http_"), "{text}");
}

#[test]
fn without_anything_that_counts_errors_there_is_no_objective() {
    let plain = config(
        "kafka: { bootstrap_servers: localhost:9092 }\nsources:\n  s: { topics: [t], timestamp: { from: kafka } }\n\
         aggregates:\n  log: { source: s, windows: [1m], measures: { events: count } }\n",
    );
    assert!(rules(&plain, &options()).iter().all(|file| !file.path.contains("slo")));
    let paths: Vec<String> = dashboards(&plain, &options()).into_iter().map(|file| file.path).collect();
    assert_eq!(
        paths,
        ["s", "streamgauge-agent", "streamgauge-kafka", "streamgauge-load", "streamgauge-ingest"]
            .map(|n| format!("grafana/dashboards/{n}.json"))
    );
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    for file in dashboards(&config(OTHER), &options()) {
        let board: serde_json::Value = serde_json::from_str(&file.text).unwrap();
        for panel in board["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().unwrap();
            assert!(panel["description"].as_str().unwrap().len() > 15, "{}: {title}", file.path);
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{}: {title}", file.path);
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}: {title}", file.path);
        }
    }
}

#[test]
fn rates_in_panels_follow_the_zoom_and_panels_do_not_overlap() {
    for file in dashboards(&config(OTHER), &options()) {
        let board: serde_json::Value = serde_json::from_str(&file.text).unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                assert!(x < 24);
                (at("y")..at("y") + at("h")).for_each(|y| assert!(taken.insert((x, y)), "{} overlaps", panel["title"]));
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = target["expr"].as_str().unwrap();
                assert!(!expr.contains("rate(") || expr.contains("[$__rate_interval]"), "{expr}");
            }
        }
    }
}

#[test]
fn runbooks_are_looked_for_in_the_repository_that_is_named_and_in_no_invented_one() {
    assert_eq!(
        published_runbooks("https://git.example/team/sg/"),
        "https://git.example/team/sg/blob/main/docs/runbooks"
    );
    assert_eq!(published_runbooks(""), PLACEHOLDER);
}
