//! The alert rules under `promtool`: each fires just above its threshold and not at it, and its tests notice when the
//! threshold or its `for` moves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;

use super::names::examples;
use super::servers::promtools;
use crate::agent::repository;

/// Rules with their cases in the folder `tests` beside them.
const FILES: [&str; 5] = [
    "alerts/streamgauge.yaml",
    "alerts/kafka.yaml",
    "alerts/requests-slo.yaml",
    "examples/monitoring/http-visits/alerts/requests-anomalies.yaml",
    "examples/monitoring/user-actions/alerts/actions-statistics.yaml",
];

fn tests_of(file: &str) -> PathBuf {
    let (folder, name) = file.rsplit_once('/').expect("a folder");
    repository().join(folder).join("tests").join(name)
}

fn run(program: &Path, args: &[&str], file: &Path) -> Output {
    Command::new(program).args(args).arg(file).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()))
}

#[track_caller]
fn assert_passes(program: &Path, args: &[&str], file: &Path) {
    let output = run(program, args, file);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {args:?} {}:\n{text}", program.display(), file.display());
}

#[test]
fn each_alert_fires_above_its_threshold_and_not_at_it() {
    for promtool in promtools() {
        for file in FILES {
            assert_passes(&promtool, &["test", "rules"], &tests_of(file));
        }
        assert_passes(&promtool, &["test", "rules"], &repository().join("prometheus/tests/requests.yaml"));
    }
}

#[test]
fn rules_and_scrape_config_are_valid() {
    for promtool in promtools() {
        for file in FILES {
            assert_passes(&promtool, &["check", "rules"], &repository().join(file));
        }
        for file in examples("prometheus/rules").into_iter().chain(examples("alerts")) {
            assert_passes(&promtool, &["check", "rules"], &repository().join(file));
        }
        assert_passes(&promtool, &["check", "rules"], &repository().join("prometheus/rules/requests.yaml"));
        assert_passes(&promtool, &["check", "config"], &repository().join("prometheus/prometheus.yml"));
    }
}

#[test]
fn a_moved_threshold_or_wait_is_noticed() {
    let promtool = &promtools()[0];
    let home = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(home.path().join("tests")).expect("a folder");
    let mut unnoticed = Vec::new();
    for file in FILES {
        let tests = fs::read_to_string(tests_of(file)).expect("the tests");
        let name = Path::new(file).file_name().expect("a name");
        let path_of_tests = home.path().join("tests").join(name);
        let rules = fs::read_to_string(repository().join(file)).expect("the rules");
        let mutants = mutants(&rules);
        assert!(mutants.len() >= 8, "{file}: only {} places to change", mutants.len());
        // Each is a run of promtool; a few of every file do, where not all are asked for.
        let every = if crate::heavy_tests() { 1 } else { 4 };
        for Mutant { alert, what, rules } in mutants.into_iter().step_by(every) {
            let path: PathBuf = home.path().join(name);
            fs::write(&path, rules).expect("it is written");
            fs::write(&path_of_tests, cases_of(&tests, &alert)).expect("they are written");
            if run(promtool, &["test", "rules"], &path_of_tests).status.success() {
                unnoticed.push(format!("{file}: {what}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "changes that no test notices:\n{}", unnoticed.join("\n"));
}

/// The rule file with one comparison or one wait changed, and what was changed.
struct Mutant {
    alert: String,
    what: String,
    rules: String,
}

/// The test file with the cases of this alert alone, which are few, and all the others in vain.
fn cases_of(tests: &str, alert: &str) -> String {
    let (head, cases) = tests.split_once("\ntests:\n").expect("cases");
    let cases: Vec<&str> = cases.split("\n\n").filter(|case| case.contains(&format!("\"{alert}\""))).collect();
    assert!(!cases.is_empty(), "no case of {alert}");
    format!("{head}\ntests:\n{}\n", cases.join("\n\n"))
}

fn mutants(rules: &str) -> Vec<Mutant> {
    let comparison = Regex::new(r"(?:[<>]|==)(?: bool)? (-?[0-9.]+)").expect("a regex");
    let wait = Regex::new(r"^        for: ([0-9]+)([smh])$").expect("a regex");
    let mut found = Vec::new();
    let mut alert = "";
    let mut expression = false;
    for (at, line) in rules.lines().enumerate() {
        alert = line.trim().strip_prefix("- alert: ").unwrap_or(alert);
        expression = line.trim() == "expr: |-" || expression && line.starts_with("          ");
        let mut add = |range: std::ops::Range<usize>, new: String| {
            let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
            lines[at].replace_range(range, &new);
            let what = format!("{alert}, line {}: {}", at + 1, lines[at].trim());
            found.push(Mutant { alert: alert.to_owned(), what, rules: lines.join("\n") + "\n" });
        };
        if expression {
            for number in comparison.captures_iter(line).filter_map(|c| c.get(1)) {
                let value: f64 = number.as_str().parse().expect("a number");
                moved(value).into_iter().for_each(|new| add(number.range(), new.to_string()));
            }
        } else if let Some(found) = wait.captures(line) {
            let (number, value) = (found.get(1).expect("a number"), found[1].parse::<u32>().expect("a number"));
            [0, value * 2].into_iter().for_each(|new| add(number.range(), new.to_string()));
        }
    }
    found
}

/// A tenth up and down; small whole numbers by one.
fn moved(value: f64) -> [f64; 2] {
    if value.fract() == 0.0 && value < 10.0 { [value - 1.0, value + 1.0] } else { [value * 0.9, value * 1.1] }
}
