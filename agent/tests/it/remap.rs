//! A source with a program in VRL (feature `vrl`): what it leaves is counted exactly once though the agent is killed, what it
//! fails on is a dead letter, and what does not compile is told.

use std::collections::BTreeMap;
use std::process::Command;

use crate::agent::{Agent, program};
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::oracle::parse_page;

const LINES: usize = 20_000;
const PARTITIONS: i32 = 2;

/// A line of an application's own format; some are comments, some are none, and some hold two requests.
fn line(n: usize) -> String {
    let ms = n % 90;
    match n % 50 {
        7 => "# a comment".to_owned(),
        13 => format!("2025-11-20T16:57:52Z INFO ms={ms}.x path=/broken"),
        _ => format!(
            "2025-11-20T16:57:52Z {} ms={ms} path=/{} and={}",
            ["INFO", "Warn"][n % 2],
            n % 3,
            if n.is_multiple_of(10) { "twice" } else { "once" }
        ),
    }
}

/// What the lines come to, without VRL: requests and milliseconds by level and path; and how many are dead letters.
fn recount() -> (BTreeMap<(String, String), (f64, f64)>, usize) {
    let (mut all, mut letters) = (BTreeMap::<_, (f64, f64)>::new(), 0);
    for text in (0..LINES).map(line) {
        let words: Vec<&str> = text.split(' ').collect();
        let [_, level, ms, path, and @ ..] = words.as_slice() else { continue };
        let Ok(ms) = ms.trim_start_matches("ms=").parse::<f64>() else {
            letters += 1;
            continue;
        };
        let key = (level.to_lowercase(), path.trim_start_matches("path=").to_owned());
        let times = if and == ["and=twice"] { 2.0 } else { 1.0 };
        let cell = all.entry(key).or_default();
        *cell = (cell.0 + times, cell.1 + times * ms);
    }
    (all, letters)
}

fn config(topic: &str, remap: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n\
         state:\n  dir: ${{STATE_DIR}}\nhttp:\n  listen: ${{HTTP_LISTEN}}\ngrpc:\n  listen: ${{GRPC_LISTEN}}\n\
         sources:\n  s:\n    topics: [{topic}]\n    format: raw\n    max_future: 3650d\n\
         \x20   timestamp: {{ field: timestamp, format: rfc3339 }}\n    remap: |\n{remap}\
         aggregates:\n  app: {{ source: s, by: {{ level: level, path: path }}, measures: {{ requests: count, took: {{ sum: ms, unit: ms }} }} }}\n"
    )
}

const PROGRAM: &str = r"      if starts_with(string!(.message), `#`) { abort }
      . = parse_regex!(.message, r'^(?P<timestamp>\S+) (?P<level>\w+) (?P<rest>.*)$')
      .level = downcase(.level)
      . |= parse_key_value!(.rest)
      .ms = to_int!(.ms)
      if .and == `twice` { . = [., .] }
";

fn produce(kafka: &Kafka, topic: &str, numbers: std::ops::Range<usize>) {
    for partition in 0..PARTITIONS {
        let lines: Vec<String> =
            numbers.clone().filter(|n| (*n as i32) / 2 % PARTITIONS == partition).map(line).collect();
        kafka.produce(topic, partition, lines.iter().map(|line| ("k", line.as_str())));
    }
}

#[test]
fn what_a_program_leaves_is_counted_once_though_the_agent_is_killed() {
    let kafka = shared();
    let topic = unique("remap");
    kafka.create_topic(&topic, PARTITIONS, &[]);
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topic, &PROGRAM.replace('`', "\"")));
    agent.wait_ready();
    let (wanted, broken) = recount();
    let counted = |page: &str| {
        let mut found = BTreeMap::<(String, String), (f64, f64)>::new();
        for sample in parse_page(page).expect("a sound page") {
            let label = |name: &str| {
                sample
                    .labels
                    .iter()
                    .find(|(label, _)| label.as_str() == name)
                    .map(|(_, value)| value.clone())
                    .unwrap_or_default()
            };
            let key = (label("level"), label("path"));
            match sample.name.as_str() {
                "app_requests_total" => found.entry(key).or_default().0 += sample.value,
                // Exposed in seconds.
                "app_took_seconds_total" => found.entry(key).or_default().1 += (sample.value * 1e3).round(),
                _ => {}
            }
        }
        found
    };
    produce(kafka, &topic, 0..LINES / 2);
    wait_until("something is counted", || !counted(&agent.scrape()).is_empty());
    agent.kill9();
    produce(kafka, &topic, LINES / 2..LINES);
    agent.restart();
    agent.wait_ready();
    let mut still = (0.0, 0);
    wait_until("all is counted", || {
        let found = counted(&agent.scrape());
        let sum = found.values().map(|(requests, _)| requests).sum();
        still = if still.0 == sum { (sum, still.1 + 1) } else { (sum, 0) };
        assert!(still.1 < 200 || found == wanted, "{found:?} for {wanted:?}\n{}", agent.log());
        found == wanted
    });
    let letters = kafka.read(&format!("{topic}-dlq"));
    assert_eq!(letters.len(), broken);
    let first = &letters[0];
    let header = |name: &str| {
        let found = first.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        String::from_utf8(found.unwrap_or_default()).expect("text")
    };
    assert_eq!(header("streamgauge.reason"), "remap_failed");
    assert!(header("streamgauge.detail").contains("to_int"), "{}", header("streamgauge.detail"));
    assert!(first.value.as_deref().is_some_and(|payload| payload.ends_with(b"path=/broken")));
    let page = agent.scrape();
    let aborted = parse_page(&page).expect("a sound page").into_iter().filter(|sample| {
        sample.name == "streamgauge_passed_by_events_total" && sample.labels.iter().any(|(_, value)| value == "abort")
    });
    // Records that were read and not committed when the agent died are counted by it once more.
    assert!(aborted.map(|sample| sample.value).sum::<f64>() > 0.0, "{page}");
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let said = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(said.contains("source s: left out: nothing but the agent runs its `remap`"), "{said}");
}

#[test]
fn validate_names_the_place_of_what_does_not_compile() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("agent.yaml");
    std::fs::write(&path, config("t", "      .a = 1\n      .b = now()\n")).expect("the config is written");
    let mut validate = Command::new(program());
    for (name, value) in [("STATE_DIR", "/tmp"), ("HTTP_LISTEN", "127.0.0.1:1"), ("GRPC_LISTEN", "127.0.0.1:2")] {
        validate.env(name, value);
    }
    let output = validate.args(["validate", "-c"]).arg(&path).output().expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    let place = format!("{}:16:12: `remap`, line 2, column 6 of the program: `now` asks the clock", path.display());
    assert!(said.contains(&place), "{said}");
}
