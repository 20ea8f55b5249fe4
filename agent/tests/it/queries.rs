//! Questions as people with curl ask them: the lines of docs/queries.md, run as they stand there.

mod watching;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::agent::{Agent, repository};
use crate::calls::grpcurl;
use crate::docs::commands::commands;
use crate::scene::Scene;

/// A line of the document, run against this agent: what it prints.
fn run(agent: &Agent, line: &str) -> Value {
    let line = line.replace("127.0.0.1:9746", &agent.http().to_string());
    let line = line.replace("127.0.0.1:9747", &agent.grpc().to_string());
    let tools = grpcurl().parent().expect("a directory").display().to_string();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    let output = command.args(["-c", &line]).env("PATH", path).stdin(Stdio::null()).output().expect("bash runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// Without what changes from one call to the next where nothing is produced: when it was last committed, and how far the
/// end of the input was when it was last looked at.
fn without_times(mut answer: Value) -> Value {
    for list in ["asOf", "partitions"] {
        for partition in answer[list].as_array_mut().into_iter().flatten() {
            let fields = partition.as_object_mut().expect("an object");
            ["committedAt", "lag", "idle"].iter().for_each(|name| drop(fields.remove(*name)));
        }
    }
    answer
}

#[test]
fn the_five_questions_have_one_answer_by_curl_and_by_grpcurl() {
    let scene = Scene::new("queries", 3);
    let agent = scene.agent();
    scene.produce_now(20_000, 7);
    scene.assert_equals_recount(&[&agent]);
    let document = fs::read_to_string(repository().join("docs/queries.md")).expect("docs/queries.md");
    let section = document.split("## Five questions").nth(1).and_then(|rest| rest.split("\n## ").next());
    let blocks = section.expect("the section").split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> = blocks.flat_map(commands).collect();
    let (pairs, []) = lines.as_chunks::<2>() else {
        panic!("each question stands there by curl and grpcurl: {lines:?}")
    };
    assert_eq!(pairs.len(), 5, "{lines:?}");
    for [curl, grpcurl] in pairs {
        assert!(curl.starts_with("curl ") && grpcurl.starts_with("grpcurl "), "{curl}\n{grpcurl}");
        let answer = without_times(run(&agent, curl));
        assert_eq!(answer, without_times(run(&agent, grpcurl)), "{curl}");
        let rows = answer["rows"].as_array().map_or(0, Vec::len);
        assert!(rows > 0 || answer["ready"] == true, "{curl}: {answer}");
    }
    let busiest = run(&agent, &pairs[3][0]);
    let counts: Vec<u64> = busiest["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["values"][0]["count"].as_str().and_then(|text| text.parse().ok()).expect("a count"))
        .collect();
    assert!(counts.len() > 2 && counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
}
