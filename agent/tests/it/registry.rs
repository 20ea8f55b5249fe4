//! Avro, Protobuf and JSON by a schema registry that is away at first, and again later: nothing is lost, nothing counted
//! twice, and nothing becomes a dead letter but what the registry says is none.
//!
//! `scripts/test --all` asks a real registry (Apicurio); otherwise it is the small one in here, which knows no more of the API
//! than what is asked of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::{Value, json};

use crate::agent::{Agent, free_address, repository};
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::oracle::{Sample, parse_page};
use crate::proxy::Proxy;

const EVENTS: usize = 600;

fn sample(name: &str) -> String {
    std::fs::read_to_string(repository().join("agent/tests/it/logs/registered").join(name)).expect("a sample")
}

/// A registry that runs for this test.
struct Registry {
    address: SocketAddr,
    /// What comes before the API's own paths.
    path: &'static str,
    child: Option<Child>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }
}

impl Registry {
    fn start() -> Registry {
        let address = free_address();
        if !crate::heavy_tests() {
            small(TcpListener::bind(address).expect("the port is free"));
            return Registry { address, path: "", child: None };
        }
        let found = Command::new(repository().join("scripts/tools")).arg("registry").output().expect("scripts/tools");
        let house = String::from_utf8(found.stdout).expect("a path").trim().to_owned();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let jar = std::fs::read_dir(&house).expect(&house).filter_map(Result::ok).map(|entry| entry.path());
        let jar = jar.into_iter().find(|path| path.extension().is_some_and(|end| end == "jar")).expect("a jar");
        let child = Command::new("java")
            .args(["-Xmx300m", "-Dquarkus.http.host=127.0.0.1"])
            .arg(format!("-Dquarkus.http.port={}", address.port()))
            .arg("-jar")
            .arg(jar)
            .current_dir(&house)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java");
        let registry = Registry { address, path: "/apis/ccompat/v7", child: Some(child) };
        wait_until("the registry answers", || {
            registry.call("GET", "/subjects", "").is_some_and(|(code, _)| code == 200)
        });
        registry
    }

    fn call(&self, verb: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let head = format!(
            "{verb} {}{path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\r\n",
            self.path,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Registers a schema; gives its id.
    fn register(&self, subject: &str, kind: &str, schema: &str, references: Value) -> u32 {
        let body = json!({ "schema": schema, "schemaType": kind, "references": references }).to_string();
        let (code, answer) = self.call("POST", &format!("/subjects/{subject}/versions"), &body).expect("an answer");
        assert_eq!(code, 200, "{answer}");
        let json = answer.find('{').zip(answer.rfind('}')).map(|(start, end)| &answer[start..=end]).expect(&answer);
        let id = serde_json::from_str::<Value>(json).expect(&answer)["id"].as_u64().expect(&answer);
        u32::try_from(id).expect("four bytes")
    }
}

/// Not a real registry: it takes schemas, and gives them back by their ids and subjects.
fn small(listener: TcpListener) {
    let schemas: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let schemas = schemas.clone();
            std::thread::spawn(move || answer(stream, &schemas));
        }
    });
}

fn answer(mut stream: TcpStream, schemas: &Mutex<Vec<(String, Value)>>) -> Option<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let (body_at, wanted) = loop {
            if let Some(at) = request.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&request[..at]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                break (at + 4, at + 4 + length.unwrap_or(0));
            }
            match stream.read(&mut chunk).ok()? {
                0 => return None,
                count => request.extend_from_slice(&chunk[..count]),
            }
        };
        while request.len() < wanted {
            let count = stream.read(&mut chunk).ok()?;
            request.extend_from_slice(&chunk[..count]);
        }
        let head = String::from_utf8_lossy(&request[..body_at]).into_owned();
        let mut words = head.split(' ');
        let (verb, path) = (words.next()?, words.next()?.split('?').next()?);
        let mut schemas = schemas.lock().expect("nobody panics");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let found = match (verb, parts.as_slice()) {
            ("POST", ["subjects", subject, "versions"]) => {
                let schema = serde_json::from_slice(&request[body_at..wanted]).ok()?;
                schemas.push(((*subject).to_owned(), schema));
                Some(json!({ "id": schemas.len() }))
            }
            ("GET", ["schemas", "ids", id]) => {
                id.parse::<usize>().ok().and_then(|id| schemas.get(id - 1)).map(|(_, schema)| schema.clone())
            }
            ("GET", ["subjects", subject, "versions", "1"]) => {
                schemas.iter().find(|(known, _)| known == subject).map(|(_, schema)| schema.clone())
            }
            _ => None,
        };
        drop(schemas);
        let (code, body) = match found {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", json!({ "error_code": 40403, "message": "Schema not found" })),
        };
        let body = body.to_string();
        let close = head.contains("Connection: close");
        let answer = format!(
            "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).ok()?;
        if close {
            return Some(());
        }
        request.drain(..wanted);
    }
}

const KINDS: [(&str, &str); 3] = [
    ("avro", "format: avro, timestamp: { field: at, format: unix_us }"),
    ("protobuf", "format: protobuf, timestamp: { field: at, format: rfc3339 }"),
    ("json", "format: json_schema, timestamp: { field: at, format: unix_ms }"),
];

fn config(topics: &BTreeMap<&str, String>, registry: &str) -> String {
    let mut text = format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{}\nschema_registry: {{ url: '{registry}', timeout: 300ms }}\nsources:\n",
        topics["avro"]
    );
    for (kind, source) in KINDS {
        text += &format!("  {kind}: {{ topics: [{}], max_future: 3650d, {source} }}\n", topics[kind]);
    }
    text += "aggregates:\n";
    for (kind, _) in KINDS {
        text += &format!(
            "  {kind}:\n    source: {kind}\n    by: {{ method: method, status: status, plan: user.plan, region: tags.region }}\n    \
             measures: {{ requests: count, took: {{ sum: took, unit: ms }}, sent: {{ sum: bytes, unit: bytes }}, paid: {{ sum: price }}, \
             last: {{ sum: 'hops[-1].ms' }}, at_b: {{ sum: 'hops[host=b].ms' }} }}\n"
        );
    }
    text
}

type Numbers = BTreeMap<(String, Vec<(String, String)>), f64>;

fn shown(page: &str, wanted: &Numbers) -> Numbers {
    let mut numbers = Numbers::new();
    for Sample { name, labels, value, .. } in parse_page(page).expect("a sound page") {
        if wanted.keys().any(|(known, _)| *known == name) {
            let own = labels.into_iter().filter(|(label, value)| {
                !["topic", "partition", "instance"].contains(&label.as_str()) && !value.is_empty()
            });
            *numbers.entry((name, own.collect())).or_default() += value;
        }
    }
    numbers
}

fn wrong(shown: &Numbers, wanted: &Numbers) -> Vec<String> {
    let differs = |key: &&(String, Vec<_>)| match (shown.get(*key), wanted.get(*key)) {
        (Some(shown), Some(wanted)) => (shown - wanted).abs() > 1e-6 * wanted.abs().max(1.0),
        _ => true,
    };
    let keys = shown.keys().chain(wanted.keys()).filter(differs);
    keys.map(|key| format!("{key:?}: {:?} for {:?}", shown.get(key), wanted.get(key))).collect()
}

fn produce(kafka: &Kafka, topic: &str, records: &[Vec<u8>]) {
    let producer = kafka.producer();
    for (at, record) in records.iter().enumerate() {
        let record = BaseRecord::<str, [u8]>::to(topic).partition((at % 2) as i32).payload(record);
        producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    }
    producer.flush(Duration::from_secs(30)).expect("all is acknowledged");
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

#[test]
fn records_with_schemas_wait_for_a_registry_that_is_away_and_are_counted_as_another_language_counts_them() {
    let kafka = shared();
    let topics: BTreeMap<&str, String> = KINDS.iter().map(|(kind, _)| (*kind, unique(kind))).collect();
    topics.values().for_each(|topic| kafka.create_topic(topic, 2, &[]));
    let registry = Registry::start();
    registry.register("user", "AVRO", &sample("user.avsc"), json!([]));
    registry.register("user-proto", "PROTOBUF", &sample("user.proto"), json!([]));
    let refers = |name: &str, subject: &str| json!([{ "name": name, "subject": subject, "version": 1 }]);
    let ids = [
        registry.register("avro", "AVRO", &sample("request.avsc"), refers("people.User", "user")),
        registry.register("protobuf", "PROTOBUF", &sample("request.proto"), refers("user.proto", "user-proto")),
        registry.register("json", "JSON", &sample("request.json"), json!([])),
    ];
    let made = Command::new("python3")
        .arg(repository().join("agent/tests/it/logs/registered/events.py"))
        .args(ids.map(|id| id.to_string()))
        .arg(EVENTS.to_string())
        .output()
        .expect("python3");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let wanted: Vec<(String, BTreeMap<String, String>, f64)> =
        serde_json::from_value(made["numbers"].clone()).expect("numbers");
    let wanted: Numbers =
        wanted.into_iter().map(|(metric, labels, number)| ((metric, labels.into_iter().collect()), number)).collect();
    let records: BTreeMap<&str, Vec<Vec<u8>>> = KINDS
        .iter()
        .map(|(kind, _)| {
            let all = made["records"][kind].as_array().expect("records").iter();
            (*kind, all.map(|record| bytes(record.as_str().expect("text"))).collect())
        })
        .collect();

    // Away: whoever calls gets no answer.
    let link = Proxy::start();
    link.lead_to(&registry.address.to_string());
    link.cut();
    let url = format!("http://127.0.0.1:{}{}", link.port(), registry.path);
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topics, &url));
    agent.wait_ready();
    for (kind, records) in &records {
        produce(kafka, &topics[kind], &records[..EVENTS / 2]);
    }
    let waits = |agent: &Agent| {
        let ready = agent.try_get("/-/ready").map(|(_, text)| text).unwrap_or_default();
        ["avro", "protobuf"].iter().all(|kind| {
            (0..2).all(|p| {
                ready.lines().any(|line| line.contains(&format!("{}/{p}", topics[kind])) && line.contains("for schema"))
            })
        })
    };
    wait_until("the partitions that wait are named", || waits(&agent));
    assert!(agent.scrape().contains("streamgauge_schema_waiting_seconds{"), "{}", agent.scrape());
    agent.kill9();
    for (kind, records) in &records {
        produce(kafka, &topics[kind], &records[EVENTS / 2..EVENTS * 3 / 4]);
    }
    agent.restart();
    wait_until("they wait again", || waits(&agent));
    let json_only = |numbers: &Numbers| numbers.keys().all(|(metric, _)| metric.starts_with("json_"));
    assert!(json_only(&shown(&agent.scrape(), &wanted)), "nothing of the others is counted");
    link.mend();
    wait_until("it goes on", || !json_only(&shown(&agent.scrape(), &wanted)));
    agent.wait_ready();

    // What the registry has said is remembered while it is away again; what is wrong with a record is the record's.
    link.cut();
    let bad =
        [&[0, 0x7f, 0, 0, 1][..], b"plain", &[&[0][..], &ids[0].to_be_bytes(), &[0x02]].concat()].map(<[u8]>::to_vec);
    for (kind, records) in &records {
        produce(kafka, &topics[kind], &records[EVENTS * 3 / 4..EVENTS * 7 / 8]);
    }
    let requests = |numbers: &Numbers| -> f64 {
        numbers.iter().filter(|((metric, _), _)| metric == "avro_requests_total").map(|(_, number)| *number).sum()
    };
    wait_until("known schemas need no registry", || {
        requests(&shown(&agent.scrape(), &wanted)) == (EVENTS * 7 / 8) as f64
    });
    agent.kill9();
    produce(kafka, &topics["avro"], &bad);
    for (kind, records) in &records {
        produce(kafka, &topics[kind], &records[EVENTS * 7 / 8..]);
    }
    agent.restart();
    wait_until("the new process knows nothing", || waits(&agent));
    link.mend();
    let mut seen = Vec::new();
    wait_until("all is counted", || {
        seen = wrong(&shown(&agent.scrape(), &wanted), &wanted);
        seen.is_empty()
    });
    agent.wait_ready();

    let mut reasons: Vec<String> = kafka
        .read(&format!("{}-dlq", topics["avro"]))
        .into_iter()
        .flat_map(|letter| letter.headers)
        .filter(|(name, _)| name == "streamgauge.reason")
        .map(|(_, reason)| String::from_utf8_lossy(&reason).into_owned())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["no_schema_id", "not_of_schema", "unknown_schema"]);
    for kind in ["protobuf", "json"] {
        assert_eq!(kafka.read(&format!("{}-dlq", topics[kind])).len(), 0, "letters of {kind}");
    }

    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = format!("{}{}", String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert!(audit.status.success() && text.contains("no difference"), "{text}");
    let rehearsed = agent.verb(&["validate", "--topic", &topics["protobuf"], "--last", "20", "-o", "json"]);
    let text = String::from_utf8_lossy(&rehearsed.stdout);
    let said: Value = serde_json::from_str(text.lines().next_back().unwrap_or_default()).expect(&text);
    assert_eq!(
        said["lines"].as_array().map(Vec::len),
        Some(20),
        "{text}{}",
        String::from_utf8_lossy(&rehearsed.stderr)
    );
    assert!(said["lines"].as_array().expect("lines").iter().all(|line| line["became"] == "event"), "{text}");
    link.cut();
    let away = agent.verb(&["validate", "--topic", &topics["protobuf"], "--last", "20"]);
    let text = String::from_utf8_lossy(&away.stderr);
    assert!(away.status.code() == Some(2) && text.contains("the schema registry does not answer"), "{text}");
}
