//! Documents that are made from the code: one that no longer says what the code does is a failure.
//! `STREAMGAUGE_BLESS=1` writes it again.

pub mod commands;
mod reference;

use std::fmt::Write;
use std::fs;

use streamgauge::config;
use streamgauge::telemetry::{Kind, Name};

use crate::agent::repository;
use crate::tidy::documents::documents;
use crate::tidy::files;

const HINT: &str = "to write it again: STREAMGAUGE_BLESS=1 cargo test -p streamgauge --test it docs";

fn is_blessed() -> bool {
    std::env::var("STREAMGAUGE_BLESS").is_ok_and(|v| v == "1")
}

/// What stands in a document between the line `made from SOURCE` and the end is `expected`.
fn assert_made(document: &str, source: &str, expected: &str) {
    let path = repository().join(document);
    let text = fs::read_to_string(&path).expect(document);
    let begin = format!("<!-- made from {source}: begin -->\n");
    let (before, rest) = text.split_once(&begin).expect("the place where the table begins");
    let (found, after) = rest.split_once("<!-- end -->").expect("the place where the table ends");
    if is_blessed() {
        fs::write(&path, format!("{before}{begin}{expected}<!-- end -->{after}")).expect("it is written");
    } else {
        assert_eq!(found, expected, "{document} is not up to date; {HINT}");
    }
}

#[test]
fn the_table_of_metrics_is_the_one_in_the_code() {
    assert_made("docs/metrics.md", "telemetry/names.rs", &metrics());
}

#[test]
fn the_table_of_parameters_is_what_the_service_reads() {
    let mut table = String::from("| parameter | value | meaning |\n|---|---|---|\n");
    let document = streamgauge::api::openapi();
    for parameter in document["paths"]["/api/v1/query/{aggregate}"]["get"]["parameters"].as_array().expect("a list") {
        let text = |key: &str| parameter[key].as_str().expect("a text");
        if text("in") == "query" {
            let several = parameter["schema"]["items"].is_object();
            let schema = if several { &parameter["schema"]["items"] } else { &parameter["schema"] };
            let value = match (schema["enum"].as_array(), schema["examples"][0].as_str(), schema["type"].as_str()) {
                (Some(words), ..) => words
                    .iter()
                    .map(|word| format!("`{}`", word.as_str().expect("a word")))
                    .collect::<Vec<_>>()
                    .join(" or "),
                (None, Some(example), _) => format!("such as `{example}`"),
                (None, None, Some("boolean")) => "`true`, or nothing".to_owned(),
                (None, None, Some("string")) if schema["format"] == "date-time" => "RFC 3339".to_owned(),
                (None, None, Some("string")) => "text".to_owned(),
                (None, None, kind) => kind.unwrap_or_default().to_owned(),
            };
            let commas = parameter["explode"] == false;
            let value = value
                + if commas {
                    ", or several with commas"
                } else if several {
                    "; may be repeated"
                } else {
                    ""
                };
            let _ = writeln!(table, "| `{}` | {value} | {} |", text("name"), text("description").replace('|', "\\|"));
        }
    }
    assert_made("docs/queries.md", "api/params.rs", &table);
}

#[test]
fn the_openapi_file_is_the_document_that_agents_serve() {
    let path = repository().join("docs/openapi.json");
    let expected = format!("{:#}\n", streamgauge::api::openapi());
    if is_blessed() {
        fs::write(&path, expected).expect("docs/openapi.json is written");
    } else {
        assert!(
            fs::read_to_string(&path).is_ok_and(|text| text == expected),
            "docs/openapi.json is not up to date; {HINT}"
        );
    }
}

/// Blocks of YAML in README and docs, with the page that each is on.
fn blocks_of_yaml() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for (page, text) in documents() {
        let parts = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        blocks.extend(parts.map(|(block, _)| (page.clone(), block.to_owned())));
    }
    blocks
}

#[test]
fn whole_configs_of_the_pages_are_valid() {
    let has = |block: &str, key: &str| block.lines().any(|line| line.starts_with(key));
    let mut configs = 0;
    for (page, block) in blocks_of_yaml() {
        if has(&block, "sources:") && has(&block, "aggregates:") {
            let kafka = if has(&block, "kafka:") { "" } else { "kafka: { bootstrap_servers: k }\n" };
            config::parse(&format!("{kafka}{block}"), &page, &|_| None).unwrap_or_else(|error| panic!("{error}"));
            configs += 1;
        }
    }
    assert!(configs > 15, "only {configs} configs were found");
}

#[test]
fn each_test_that_the_page_of_features_names_is_there() {
    let page = fs::read_to_string(repository().join("docs/by-hand.md")).expect("the page");
    let sources: String = files(&repository().join("agent/tests/it"), 3)
        .into_iter()
        .map(|path| fs::read_to_string(path).expect("a readable source"))
        .collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what is wanted "));
    let tests = rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or(row).trim_matches('`'));
    let missing: Vec<&str> = tests.clone().filter(|test| !sources.contains(&format!("fn {test}()"))).collect();
    assert!(tests.count() > 40 && missing.is_empty(), "{missing:?}");
}

/// One row for each of the agent's own metrics, in the order of the list.
fn metrics() -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for &name in Name::ALL {
        let (shown, kind) = match name.kind() {
            Kind::Counter => (format!("{}_total", name.family()), "counter"),
            Kind::Gauge => (name.family().to_owned(), "gauge"),
            Kind::Histogram => (name.family().to_owned(), "histogram"),
            Kind::Info => (format!("{}_info", name.family()), "info"),
        };
        let labels: Vec<_> = name.labels().iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{shown}` | {kind} | {} | {} |", labels.join(" "), name.help());
    }
    table
}
