//! What panels, rules, alerts and runbooks talk about is there: metrics, dashboards, pages.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;
use serde_json::Value;
use streamgauge::config::{self, Aggregate};
use streamgauge::telemetry::Name;

use crate::agent::repository;

/// Not this agent's: Prometheus' own series, and a broker's JMX exporter.
const OTHERS: [&str; 3] = ["up", "ALERTS", "kafka_network_requestchannel_requestqueuesize"];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(repository().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {folder}");
    files
}

/// The files of a kind that are shipped for examples.
pub fn examples(kind: &str) -> Vec<String> {
    let entries = fs::read_dir(repository().join("examples/monitoring")).expect("the folder of the examples");
    let mut folders: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    folders.sort();
    let ending = if kind.starts_with("grafana") { ".json" } else { ".yaml" };
    let folders = folders.into_iter().map(|example| format!("examples/monitoring/{example}/{kind}"));
    folders.filter(|folder| repository().join(folder).exists()).flat_map(|folder| files(&folder, ending)).collect()
}

/// Every query of a dashboard: its panels', its variables' and its annotations'.
pub fn queries(board: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = Vec::new();
    for panel in list(&board["panels"]) {
        queries.extend(list(&panel["targets"]).iter().map(|t| (text(&panel["title"]), text(&t["expr"]))));
    }
    for variable in list(&board["templating"]["list"]).iter().filter(|v| v["type"] == "query") {
        queries.push((format!("${}", text(&variable["name"])), text(&variable["query"]["query"])));
    }
    let annotations = list(&board["annotations"]["list"]);
    queries.extend(annotations.iter().filter(|a| a["expr"].is_string()).map(|a| (text(&a["name"]), text(&a["expr"]))));
    queries
}

/// The metrics that an expression names.
fn metrics(expr: &str) -> BTreeSet<String> {
    let without = |text: &str, pattern: &str| Regex::new(pattern).expect("a regex").replace_all(text, " ").into_owned();
    let mut text = without(expr, r#""[^"]*""#);
    for pattern in [r"\{[^}]*\}", r"\[[^\]]*\]", r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"] {
        text = without(&text, pattern);
    }
    let text = without(&text, r"label_values\(");
    let text = Regex::new(r",\s*[a-z_]+\)\s*$").expect("a regex").replace(&text, " ").into_owned();
    let text = without(&text, r"\b(and|or|unless|offset|bool)\b");
    let text = without(&text, r"\b[0-9][0-9.]*[smhd]?\b");
    let word = Regex::new(r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?").expect("a regex");
    let words = word.find_iter(&text).map(|found| found.as_str().trim().to_owned());
    words.filter(|word| !word.ends_with('(')).collect()
}

#[test]
fn the_metrics_of_an_expression_are_found() {
    let expr = "histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x=\"up\"}[5m]))) > 0.1 and b offset 1h unless on (c) d:e:f5m";
    assert_eq!(metrics(expr).into_iter().collect::<Vec<_>>(), ["a_bucket", "b", "d:e:f5m"]);
    assert_eq!(
        metrics("label_values(http_requests_total, endpoint)").into_iter().collect::<Vec<_>>(),
        ["http_requests_total"]
    );
}

fn expressions_of_rules(text: &str) -> Vec<String> {
    let mut expressions: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim() == "expr: |-" {
            expressions.push(String::new());
            inside = true;
        } else if inside && line.starts_with("          ") {
            let last = expressions.last_mut().expect("one has begun");
            *last += line;
            *last += "\n";
        } else {
            inside = false;
        }
    }
    expressions
}

fn known() -> BTreeSet<String> {
    known_of("http-requests", files("prometheus/rules", ".yaml"))
}

/// What an agent with that example exposes, and what these rules record.
fn known_of(example: &str, rules: Vec<String>) -> BTreeSet<String> {
    let text = read(&format!("examples/{example}.yaml"));
    let config = config::parse(&text, example, &|_| None).expect("a valid example");
    let of_config = config.aggregates.iter().flat_map(Aggregate::families).flat_map(|family| family.sample_names());
    let own = Name::ALL.iter().flat_map(|name| name.samples());
    let recorded: Vec<String> = rules
        .iter()
        .flat_map(|path| {
            read(path).lines().filter_map(|l| Some(l.trim().strip_prefix("- record: ")?.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    of_config.chain(own).chain(recorded).chain(OTHERS.map(str::to_owned)).collect()
}

/// Expressions of dashboards and of rules, each with where it stands.
fn expressions(boards: Vec<String>, rules: Vec<String>) -> Vec<(String, String)> {
    let mut expressions = Vec::new();
    for path in boards {
        let board: Value = serde_json::from_str(&read(&path)).expect("JSON");
        expressions.extend(queries(&board).into_iter().map(|(what, expr)| (format!("{path}, {what}"), expr)));
    }
    for path in rules {
        expressions.extend(expressions_of_rules(&read(&path)).into_iter().map(|expr| (path.clone(), expr)));
    }
    expressions
}

#[test]
fn every_metric_of_a_panel_rule_or_alert_is_exposed() {
    let rules = [files("prometheus/rules", ".yaml"), files("alerts", ".yaml")].concat();
    let shipped = expressions(files("grafana/dashboards", ".json"), rules);
    assert!(shipped.len() > 100, "only {} expressions were found", shipped.len());
    assert_known(&shipped, &known());
}

#[test]
fn every_metric_of_the_examples_panels_rules_and_alerts_is_exposed() {
    for example in ["application-logs", "http-visits", "payments", "security", "user-actions"] {
        let of = |kind: &str| {
            let all = examples(kind).into_iter();
            all.filter(|path| path.starts_with(&format!("examples/monitoring/{example}/"))).collect::<Vec<_>>()
        };
        let rules = of("prometheus/rules");
        let shipped = expressions(of("grafana/dashboards"), [rules.clone(), of("alerts")].concat());
        assert!(shipped.len() > 10, "{example}: only {} expressions were found", shipped.len());
        assert_known(&shipped, &known_of(example, rules));
    }
}

#[track_caller]
fn assert_known(expressions: &[(String, String)], known: &BTreeSet<String>) {
    let unknown: BTreeSet<String> = expressions
        .iter()
        .flat_map(|(at, expr)| {
            metrics(expr).into_iter().filter(|m| !known.contains(m)).map(move |m| format!("{at}: {m}"))
        })
        .collect();
    assert!(unknown.is_empty(), "nobody exposes:\n{}", unknown.into_iter().collect::<Vec<_>>().join("\n"));
}

/// Alerts with one of their annotations.
fn annotations(key: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files("alerts", ".yaml").into_iter().chain(examples("alerts")) {
        let mut alert = String::new();
        for line in read(&path).lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("- alert: ") {
                alert = name.to_owned();
            } else if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) {
                found.push((alert.clone(), value.trim_matches('"').to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let urls = annotations("runbook_url");
    assert!(urls.len() > 15, "{urls:?}");
    let base = streamgauge::monitoring::Options::default().runbooks_url;
    let mut used = BTreeSet::new();
    for (alert, url) in urls {
        assert_eq!(url.rsplit_once('/').map(|(folder, _)| folder), Some(base.as_str()), "{alert}");
        let page = format!("docs/runbooks/{}", url.rsplit('/').next().expect("a last part"));
        let text = read(&page);
        assert!(text.contains(&format!("`{alert}`")), "{page} does not speak of {alert}");
        for part in ["## What it means", "## What to look at", "## What to do"] {
            assert!(text.contains(part), "{page} lacks {part:?}");
        }
        used.insert(page);
    }
    for page in files("docs/runbooks", ".md") {
        assert!(used.contains(&page), "no alert leads to {page}");
    }
}

#[test]
fn every_alert_says_what_is_wrong_how_bad_and_where_to_look() {
    let alerts = annotations("runbook_url").len();
    let uids: BTreeSet<String> = files("grafana/dashboards", ".json")
        .iter()
        .chain(&examples("grafana/dashboards"))
        .map(|path| {
            serde_json::from_str::<Value>(&read(path)).expect("JSON")["uid"].as_str().expect("a uid").to_owned()
        })
        .collect();
    for key in ["severity", "summary", "description", "dashboard_url"] {
        assert_eq!(annotations(key).len(), alerts, "{key}");
    }
    for (alert, url) in annotations("dashboard_url") {
        let uid = url.rsplit('/').next().expect("a last part");
        assert!(uids.contains(uid), "{alert} leads to dashboard {uid}, which is not there");
    }
}

#[test]
fn every_metric_of_a_runbook_is_exposed() {
    let known = known();
    let word = Regex::new(r"`((?:streamgauge|kafka|process)_[a-z0-9_]+)").expect("a regex");
    for page in files("docs/runbooks", ".md") {
        for found in word.captures_iter(&read(&page)) {
            assert!(known.contains(&found[1]), "{page} speaks of {}", &found[1]);
        }
    }
}
