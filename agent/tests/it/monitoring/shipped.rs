//! The shipped rules and dashboards are what the code says of the example. `STREAMGAUGE_BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;

use streamgauge::config;
use streamgauge::monitoring::{File, Options, dashboards, rules};

use crate::agent::repository;

/// As `streamgauge generate grafana|rules -c examples/http-requests.yaml --objective 95 -o .`: the generated stream fails
/// with 500 in 2 of 100 requests, which a stricter objective would page for at once.
fn expected() -> Vec<File> {
    let text = fs::read_to_string(repository().join("examples/http-requests.yaml")).expect("the example");
    let config = config::parse(&text, "http-requests.yaml", &|_| None).expect("a valid example");
    let options = Options { objective: 95.0, ..Options::default() };
    let mut files = rules(&config, &options);
    files.extend(dashboards(&config, &options));
    files
}

#[test]
fn the_shipped_files_are_made_by_generate_from_the_example() {
    let hint = "STREAMGAUGE_BLESS=1 cargo test -p streamgauge --test it monitoring::shipped";
    for file in expected() {
        let path = repository().join(&file.path);
        if std::env::var("STREAMGAUGE_BLESS").is_ok_and(|v| v == "1") {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
            fs::write(&path, &file.text).expect("it is written");
        } else {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == file.text, "{} is not up to date; {hint}", file.path);
        }
    }
}

#[test]
fn no_shipped_file_is_left_over() {
    let expected: BTreeSet<String> = expected().into_iter().map(|file| file.path).collect();
    for folder in ["prometheus/rules", "alerts", "grafana/dashboards"] {
        for entry in fs::read_dir(repository().join(folder)).expect("the folder") {
            let path = entry.expect("a readable folder").path();
            let name = format!("{folder}/{}", path.file_name().expect("a name").to_string_lossy());
            let made = name.ends_with(".yaml") || name.ends_with(".json");
            assert!(!path.is_file() || !made || expected.contains(&name), "{name} is made by nobody");
        }
    }
}
