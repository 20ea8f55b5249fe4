//! The shipped rules and dashboards are what the code says of the example. `STREAMGAUGE_BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;

use streamgauge::config;
use streamgauge::monitoring::{File, Options, dashboards, rules};

use crate::agent::repository;

/// Examples that have their files in `examples/monitoring`, without those that are the same for every config.
const EXAMPLES: [&str; 5] = ["application-logs", "http-visits", "payments", "security", "user-actions"];

fn config(example: &str) -> config::Config {
    let text = fs::read_to_string(repository().join(format!("examples/{example}.yaml"))).expect("the example");
    config::parse(&text, example, &|_| None).expect("a valid example")
}

fn of_example(example: &str, shared: &BTreeSet<String>) -> Vec<File> {
    let config = config(example);
    let mut files = rules(&config, &Options::default());
    files.extend(dashboards(&config, &Options::default()));
    files.retain(|file| !shared.contains(&file.path));
    for file in &mut files {
        file.path = format!("examples/monitoring/{example}/{}", file.path);
    }
    files
}

/// As `streamgauge generate grafana|rules -c examples/http-requests.yaml --objective 95 -o .`: the generated stream fails
/// with 500 in 2 of 100 requests, which a stricter objective would page for at once.
fn expected() -> Vec<File> {
    let config = config("http-requests");
    let options = Options { objective: 95.0, ..Options::default() };
    let mut files = rules(&config, &options);
    files.extend(dashboards(&config, &options));
    let of_every_config = ["streamgauge-agent", "streamgauge-kafka", "streamgauge-load", "streamgauge-ingest"];
    let of_every_config = of_every_config.map(|name| format!("grafana/dashboards/{name}.json"));
    let shared = of_every_config.into_iter().chain(["streamgauge", "kafka"].map(|name| format!("alerts/{name}.yaml")));
    let shared = shared.collect();
    files.extend(EXAMPLES.iter().flat_map(|example| of_example(example, &shared)));
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
    let kinds = ["prometheus/rules", "alerts", "grafana/dashboards"].map(str::to_owned);
    let of_examples = EXAMPLES.iter().flat_map(|example| {
        kinds.iter().map(move |kind| format!("examples/monitoring/{example}/{kind}")).collect::<Vec<_>>()
    });
    let folders: Vec<String> =
        of_examples.filter(|folder| repository().join(folder).exists()).chain(kinds.clone()).collect();
    for folder in folders {
        for entry in fs::read_dir(repository().join(&folder)).expect("the folder") {
            let path = entry.expect("a readable folder").path();
            let name = format!("{folder}/{}", path.file_name().expect("a name").to_string_lossy());
            let made = name.ends_with(".yaml") || name.ends_with(".json");
            assert!(!path.is_file() || !made || expected.contains(&name), "{name} is made by nobody");
        }
    }
}
