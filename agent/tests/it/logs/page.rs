//! The page *Counting your logs*: each of its configs is one, and counts the line that stands under it.

use streamgauge::config;
use streamgauge::sample::{Became, Record, Rehearsal};

/// 2025-11-20T17:00:00Z: when the lines are read that do not say their year.
const READ_AT: i64 = 1_763_658_000_000;

/// The programs of the page, each with its config and its line.
fn programs() -> Vec<(&'static str, &'static str, &'static str)> {
    let page = include_str!("../../../../docs/logs.md");
    let (_, programs) = page.split_once("\n## By program\n").expect("the section");
    let section = |text: &'static str| {
        let (name, rest) = text.split_once('\n').expect("a heading");
        let (_, rest) = rest.split_once("```yaml\n").expect("a config");
        let (config, rest) = rest.split_once("```\n").expect("its end");
        let (_, rest) = rest.split_once("```\n").expect("a line");
        let (line, _) = rest.split_once("\n```").expect("its end");
        (name, config, line)
    };
    programs.split("\n### ").skip(1).map(section).collect()
}

#[test]
fn each_config_of_the_page_counts_the_line_under_it() {
    let programs = programs();
    let known = ["nginx", "HAProxy", "Envoy", "Traefik", "Caddy", "Kubernetes audit", "AWS CloudTrail", "GitHub"];
    let more = [
        "PostgreSQL",
        "MongoDB",
        "systemd",
        "OpenTelemetry",
        "ingress-nginx",
        "AWS CloudFront",
        "Heroku",
        "Linux audit",
    ];
    for name in known.into_iter().chain(more) {
        assert!(programs.iter().any(|(program, _, _)| *program == name), "{name}");
    }
    for (name, text, line) in programs {
        let text = format!("kafka: {{ bootstrap_servers: \"127.0.0.1:1\" }}\n{text}");
        let config = config::parse(&text, name, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
        let mut rehearsal = Rehearsal::new(&config, &config.sources[0]);
        let record = Record { payload: Some(line.into()), read_at: Some(READ_AT), ..Record::default() };
        let became = rehearsal.record(&record);
        assert!(!became.is_empty(), "{name}");
        for line in became {
            let Became::Event { time, aggregates } = &line.became else { panic!("{name}: {line}") };
            assert!(time.starts_with("2025-11-20T16:57:5"), "{name}: {line}");
            for taken in aggregates {
                assert!(taken.taken, "{name}: {line}");
                assert!(taken.labels.values().any(|value| !value.is_empty()), "{name}: {line}");
            }
        }
        let summary = rehearsal.finish();
        for measure in summary.aggregates.iter().flat_map(|aggregate| &aggregate.measures) {
            let refused = measure.skipped.keys().any(|reason| reason != "missing_value");
            assert!(!refused, "{name}: {summary}");
        }
    }
}
