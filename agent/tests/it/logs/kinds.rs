//! The kinds of logs in `examples/logs`: their sample lines, counted by one agent that has all of these configs, equal what a
//! script in another language reads off them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};

use super::{Numbers, add};
use crate::agent::{Agent, repository};
use crate::kafka::{shared, unique, wait_until};
use crate::oracle::{Sample, parse_page};

/// A kind: its name, its topic, and the sources and aggregates of its example.
struct Kind {
    name: String,
    topic: String,
    sources: String,
    aggregates: String,
}

impl Kind {
    /// Reads `examples/logs/NAME.yaml`.
    fn read(name: &str) -> Kind {
        let file = repository().join(format!("examples/logs/{name}.yaml"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (_, rest) = text.split_once("\nsources:\n").expect("an example has sources");
        let (sources, aggregates) = rest.split_once("\naggregates:\n").expect("an example has aggregates");
        let (topic, own) = (unique(name), format!("topics: [{name}]"));
        assert!(sources.contains(&own), "{name}: its source reads the topic of its name");
        let sources = sources.replace(&own, &format!("topics: [{topic}]"));
        Kind { name: name.to_owned(), topic, sources, aggregates: aggregates.to_owned() }
    }

    /// Its source's name.
    fn source(&self) -> &str {
        self.sources.trim_start().split(':').next().expect("a name")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(samples().join(format!("{}.jsonl", self.name))).expect("sample lines");
        text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

fn samples() -> PathBuf {
    repository().join("agent/tests/it/logs/samples")
}

/// Every kind of which there are lines.
fn kinds() -> Vec<Kind> {
    let files = fs::read_dir(samples()).expect("samples");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.iter().map(|name| Kind::read(name)).collect()
}

fn config(kinds: &[Kind]) -> String {
    let sources: Vec<_> = kinds.iter().map(|kind| kind.sources.trim_end()).collect();
    let aggregates: Vec<_> = kinds.iter().map(|kind| kind.aggregates.trim_end()).collect();
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{}\nstate:\n  dir: ${{STATE_DIR}}\n\
         http:\n  listen: ${{HTTP_LISTEN}}\ngrpc:\n  listen: ${{GRPC_LISTEN}}\nsources:\n{}\naggregates:\n{}\n",
        kinds[0].topic,
        sources.join("\n"),
        aggregates.join("\n"),
    )
}

/// A metric, its labels and its value.
type Counted = (String, BTreeMap<String, String>, f64);

/// What the script reads off the lines.
fn recount(kinds: &[Kind]) -> Numbers {
    let script = repository().join("agent/tests/it/logs/recount.py");
    let output = Command::new("python3").arg(script).arg(samples()).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: BTreeMap<String, Vec<Counted>> =
        serde_json::from_slice(&output.stdout).expect("what the script prints");
    let mut numbers = Numbers::new();
    for kind in kinds {
        for (metric, labels, value) in counts.get(&kind.name).expect("the script knows the kind") {
            let mut labels: Vec<(&str, &str)> = labels.iter().map(|(l, v)| (l.as_str(), v.as_str())).collect();
            match metric.as_str() {
                "dead" => {
                    labels.push(("source", kind.source()));
                    add(&mut numbers, "streamgauge_decode_errors_total", &labels, *value);
                }
                metric => add(&mut numbers, metric, &labels, *value),
            }
        }
    }
    numbers
}

/// The same series of a page, all partitions together, without those that are 0.
fn shown(page: &str, wanted: &Numbers) -> Numbers {
    let mut numbers = Numbers::new();
    for Sample { name, labels, value, .. } in parse_page(page).expect("a sound page") {
        if wanted.keys().any(|(known, _)| *known == name) {
            let own = labels.iter().filter(|(label, _)| !["topic", "partition", "instance"].contains(&label.as_str()));
            let own: Vec<_> = own.map(|(label, value)| (label.as_str(), value.as_str())).collect();
            add(&mut numbers, &name, &own, value);
        }
    }
    numbers.retain(|_, value| *value != 0.0);
    numbers
}

/// Where the two differ, as lines.
fn differences(shown: &Numbers, wanted: &Numbers) -> Vec<String> {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
    let missing = wanted.iter().filter(|(key, value)| !shown.get(*key).is_some_and(|found| close(*found, **value)));
    let wrong = missing.map(|(key, value)| format!("{key:?}: {:?}, and the script says {value}", shown.get(key)));
    let more = shown.iter().filter(|(key, _)| !wanted.contains_key(*key));
    wrong.chain(more.map(|(key, value)| format!("{key:?}: {value}, of which the script knows nothing"))).collect()
}

#[test]
fn every_kind_of_log_is_counted_as_a_script_reads_it() {
    let kafka = shared();
    let kinds = kinds();
    let producer = kafka.producer();
    for (number, kind) in kinds.iter().enumerate() {
        // Every other kind has one partition, whose first event that is later closes the windows before it.
        let partitions = 1 + number % 2;
        kafka.create_topic(&kind.topic, partitions as i32, &[]);
        for (at, line) in kind.lines().iter().enumerate() {
            let partition = (at % partitions) as i32;
            let record = BaseRecord::<str, str>::to(&kind.topic).partition(partition).payload(line);
            producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
        }
    }
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
    let wanted = recount(&kinds);
    let mut agent = Agent::start(kafka.bootstrap(), &config(&kinds));
    agent.wait_ready();
    let lines: usize = kinds.iter().map(|kind| kind.lines().len()).sum();
    let folded = |page: &str| {
        let samples = parse_page(page).expect("a sound page");
        let names = ["streamgauge_events_total", "streamgauge_decode_errors_total"];
        samples.iter().filter(|sample| names.contains(&sample.name.as_str())).map(|sample| sample.value).sum::<f64>()
    };
    wait_until("all is read", || folded(&agent.scrape()) >= lines as f64);
    // What has been read is shown once it is committed.
    let mut left = differences(&shown(&agent.scrape(), &wanted), &wanted);
    for _ in 0..100 {
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        left = differences(&shown(&agent.scrape(), &wanted), &wanted);
    }
    assert!(left.is_empty(), "{} differences:\n{}", left.len(), left.join("\n"));
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = format!("{}{}", String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert!(audit.status.success(), "{text}");
    let windows = text.lines().filter(|line| line.contains("closed windows") && line.ends_with("the same")).count();
    assert!(windows >= 8, "the windows of {windows} kinds only:\n{text}");
}

#[test]
fn every_example_of_a_log_is_a_config_by_itself_and_has_sample_lines() {
    let examples = fs::read_dir(repository().join("examples/logs")).expect("examples");
    let names: Vec<_> = examples.map(|file| file.expect("a file").path()).collect();
    for file in &names {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(file).expect("an example");
        streamgauge::config::parse(&text, &name, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let lines = Kind::read(&name).lines();
        assert!(!lines.is_empty(), "{name}");
    }
    assert_eq!(names.len(), kinds().len());
}
