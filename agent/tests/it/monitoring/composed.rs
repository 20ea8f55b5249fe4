//! `docker-compose.yml` without an engine: each service that can be had here is started by hand with the command, the
//! environment and the mounts that the file gives it. A service's name stands for a loopback address of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::servers::{Process, tool};
use crate::agent::{http_get, program, repository};
use crate::kafka::wait_until;

/// Names of services and their addresses; a name that begins with another one stands before it.
const ADDRESSES: [(&str, &str); 7] = [
    ("agent-2", "127.0.0.42"),
    ("agent-3", "127.0.0.43"),
    ("agent", "127.0.0.41"),
    ("kafka", "127.0.0.44"),
    ("prometheus", "127.0.0.45"),
    ("alertmanager", "127.0.0.46"),
    ("webhook", "127.0.0.47"),
];
/// The image of the agent starts this; a service's `command` stands for what is after the program.
const COMMAND: [&str; 3] = ["run", "-c", "/etc/streamgauge/config.yaml"];

fn address(service: &str) -> &'static str {
    ADDRESSES.iter().find(|(name, _)| *name == service).map_or("127.0.0.1", |(_, address)| address)
}

/// `NAME:PORT` of other services by their addresses, and of this one what it says of itself.
fn addressed(text: &str, own: &str) -> String {
    let text = text.replace("0.0.0.0:", &format!("{own}:")).replace("localhost:", &format!("{own}:"));
    ADDRESSES.iter().fold(text, |text, (name, address)| {
        ["//", "@", "\"", " ", ""].iter().fold(text, |text, before| match before.is_empty() {
            true if text.starts_with(&format!("{name}:")) => text.replacen(name, address, 1),
            true => text,
            false => text.replace(&format!("{before}{name}:9"), &format!("{before}{address}:9")),
        })
    })
}

/// `${NAME:-default}` is its default.
fn resolved(text: &str) -> String {
    match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.split_once(":-")) {
        Some((_, default)) => default.to_owned(),
        None => text.to_owned(),
    }
}

struct Compose(Value);

impl Compose {
    fn read() -> Compose {
        let text = fs::read_to_string(repository().join("docker-compose.yml")).expect("the compose file");
        Compose(serde_saphyr::from_str(&text).expect("YAML"))
    }

    fn strings(&self, service: &str, key: &str) -> Vec<String> {
        let list = self.0["services"][service][key].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| resolved(one.as_str().expect("text"))).collect()
    }

    fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let all = self.0["services"][service]["environment"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), resolved);
        all.iter().map(|(name, value)| (name.clone(), addressed(&text(value), address(service)))).collect()
    }

    /// Its mounts below `home`, files with the addresses of this machine. Gives where each stands.
    fn mounted(&self, service: &str, home: &Path) -> Vec<(String, PathBuf)> {
        let mut places: Vec<(String, PathBuf)> = Vec::new();
        for mount in self.strings(service, "volumes") {
            let mut parts = mount.split(':');
            let (from, to) = (parts.next().expect("a source"), parts.next().expect("a place"));
            let there = home.join(to.trim_start_matches('/'));
            match from.strip_prefix("./") {
                Some(from) => copy(&repository().join(from), &there, address(service)),
                None => fs::create_dir_all(&there).expect("a volume"),
            }
            places.push((to.to_owned(), there));
        }
        // The longest first, so that a file's place wins over its folder's.
        places.sort_by_key(|(to, _)| std::cmp::Reverse(to.len()));
        for (_, there) in places.iter().filter(|(_, there)| there.is_file()) {
            let text = fs::read_to_string(there).expect("a file");
            fs::write(there, placed(&text, &places)).expect("it is written");
        }
        places
    }

    /// Starts a service with its own command, or with that of its image.
    fn start(&self, service: &str, program: &Path, of_the_image: &[&str], more: &[String]) -> Process {
        let home = TempDir::with_prefix(format!("streamgauge-{service}-")).expect("a temporary directory");
        let places = self.mounted(service, home.path());
        let mut words = self.strings(service, "command");
        if words.is_empty() {
            words = of_the_image.iter().map(|word| (*word).to_owned()).collect();
        }
        let words = words.iter().chain(more).map(|word| placed(&addressed(word, address(service)), &places));
        Process::start(Command::new(program).args(words).envs(self.environment(service)), home)
    }

    /// Kafka of its environment, as the image's script makes a file of settings of it.
    fn kafka(&self) -> Process {
        let home = TempDir::with_prefix("streamgauge-kafka-").expect("a temporary directory");
        let own = address("kafka");
        let settings = self.environment("kafka").into_iter().filter_map(|(name, value)| {
            let key = name.strip_prefix("KAFKA_")?.to_lowercase().replace('_', ".");
            Some(format!("{key}={}\n", value.replace("://:", &format!("://{own}:"))))
        });
        let logs = format!("log.dirs={}\n", home.path().join("data").display());
        let file = home.path().join("server.properties");
        fs::write(&file, settings.collect::<String>() + &logs).expect("it is written");
        let script = repository().join("scripts/kafka");
        let id = &self.environment("kafka")["CLUSTER_ID"];
        let format = ["run", "kafka.tools.StorageTool", "format", "--cluster-id", id, "--config"];
        let done = Command::new(&script).args(format).arg(&file).stdin(Stdio::null()).output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&[done.stdout, done.stderr].concat()));
        Process::start(Command::new(script).args(["run", "kafka.Kafka"]).arg(&file), home)
    }
}

/// A file or a folder; texts with the addresses of this machine.
fn copy(from: &Path, to: &Path, own: &str) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()), own);
        }
        return;
    }
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    let text = fs::read_to_string(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    fs::write(to, addressed(&text, own)).expect("it is written");
}

/// Paths inside the container by where they are here.
fn placed(text: &str, places: &[(String, PathBuf)]) -> String {
    places.iter().fold(text.to_owned(), |text, (to, there)| {
        [" ", "=", "\"", ""].iter().fold(text, |text, before| match before.is_empty() {
            true if text.starts_with(to) => text.replacen(to, &there.display().to_string(), 1),
            true => text,
            false => text.replace(&format!("{before}{to}"), &format!("{before}{}", there.display())),
        })
    })
}

fn asked(service: &str, port: u16, path: &str) -> Option<Value> {
    let address = format!("{}:{port}", address(service)).parse().expect("an address");
    let (status, body) = http_get(address, path, Duration::from_secs(10))?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// The numbers that a query of Prometheus gives.
fn numbers(query: &str) -> Vec<f64> {
    let answer = asked("prometheus", 9090, &format!("/api/v1/query?query={query}")).unwrap_or_default();
    let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    found.iter().filter_map(|one| one["value"][1].as_str()?.parse().ok()).collect()
}

#[test]
fn the_services_of_the_compose_file_do_their_work_as_it_starts_them() {
    if !crate::heavy_tests() {
        return;
    }
    let compose = Compose::read();
    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).expect("the Dockerfile");
    let words = COMMAND.map(|word| format!("\"{word}\"")).join(", ");
    assert!(dockerfile.contains(&format!("CMD [{words}]")), "the image starts something else");

    let _kafka = compose.kafka();
    let agents = ["agent", "agent-2", "agent-3"];
    let _agents = agents.map(|agent| compose.start(agent, &program(), &COMMAND, &[]));
    wait_until("the topics are made", || {
        compose.start("topics", &program(), &[], &[]).child.wait().is_ok_and(|status| status.success())
    });
    let _producers = ["producer", "application"].map(|one| compose.start(one, &program(), &[], &[]));
    let _webhook = compose.start("webhook", Path::new("/usr/bin/env"), &[], &[]);
    let listen = |service: &str, port: u16| vec![format!("--web.listen-address={}:{port}", address(service))];
    let alone = [listen("alertmanager", 9093), vec!["--cluster.listen-address=".to_owned()]].concat();
    let _alertmanager = compose.start("alertmanager", &tool("tools", "alertmanager"), &[], &alone);
    let _prometheus = compose.start("prometheus", &tool("tools", "prometheus3"), &[], &listen("prometheus", 9090));

    for agent in agents {
        wait_until("an agent is ready", || asked(agent, 9746, "/-/ready").is_some());
    }
    wait_until("Prometheus reaches all three, and each has partitions", || {
        numbers("sum%20by%20(instance)(streamgauge_lease_held)").iter().filter(|held| **held > 0.0).count() == 3
    });
    wait_until("requests are counted", || numbers("sum(http_requests_total)").iter().any(|all| *all > 1_000.0));
    wait_until("log events are in Kafka", || {
        numbers("sum(streamgauge_ingest_delivered_events_total)").iter().any(|all| *all > 10.0)
    });
    let rules = asked("prometheus", 9090, "/api/v1/rules").expect("rules");
    assert!(rules["data"]["groups"].as_array().is_some_and(|groups| groups.len() > 5), "{rules}");
    wait_until("Prometheus has found Alertmanager", || {
        let found = asked("prometheus", 9090, "/api/v1/alertmanagers").unwrap_or_default();
        found["data"]["activeAlertmanagers"].as_array().is_some_and(|all| all.len() == 1)
    });
    let status = asked("alertmanager", 9093, "/api/v2/status").expect("Alertmanager answers");
    assert!(status["config"]["original"].as_str().is_some_and(|text| text.contains("webhook")), "{status}");
}
