//! Dead letters after the config was mended: listed, replayed and counted, each once, though the replay is killed.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::agent::{Agent, program};
use crate::kafka::{shared, unique, wait_until};
use crate::scene::unix_millis;

const PARTITIONS: i32 = 3;
const EVENTS: usize = 6_000;
const USERS: usize = 7;

fn config(topic: &str, format: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n\
         sources:\n  s: {{ topics: [{topic}], timestamp: {{ field: time, format: {format} }} }}\n\
         aggregates:\n  u: {{ source: s, by: {{ user: user }}, measures: {{ requests: count }} }}\n"
    )
}

fn dead_letters(verb: &[&str], bootstrap: &str, config: &std::path::Path) -> Command {
    let mut command = Command::new(program());
    command.arg("dead-letters").args(verb).arg("-c").arg(config).env("KAFKA_BOOTSTRAP_SERVERS", bootstrap);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn letters_are_replayed_once_though_the_replay_is_killed_and_are_counted_by_the_mended_config() {
    let kafka = shared();
    let topic = unique("mended");
    let letters = format!("{topic}-dlq");
    kafka.create_topic(&topic, PARTITIONS, &[]);
    let time = jiff::Timestamp::from_millisecond(unix_millis()).expect("a time");
    for partition in 0..PARTITIONS {
        let of_partition = (partition as usize..EVENTS).step_by(PARTITIONS as usize);
        let events: Vec<_> =
            of_partition.map(|n| format!(r#"{{"time": "{time}", "user": "user-{}"}}"#, n % USERS)).collect();
        kafka.produce(&topic, partition, events.iter().map(|event| ("k", event.as_str())));
    }
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topic, "unix_ms"));
    wait_until("all are dead letters", || {
        agent
            .status()
            .is_some_and(|status| status.partitions.iter().map(|p| p.next_offset).sum::<i64>() == EVENTS as i64)
    });
    assert!(agent.terminate().success());
    assert_eq!(kafka.read(&letters).len(), EVENTS);

    let home = tempfile::tempdir().expect("a temporary directory");
    let mended = home.path().join("mended.yaml");
    std::fs::write(&mended, config(&topic, "rfc3339")).expect("the config is written");
    let run = |verb: &[&str]| dead_letters(verb, kafka.bootstrap(), &mended).output().expect("the binary was built");
    let listed = run(&["list", "--last", "3", "-o", "json"]);
    assert_eq!(text(&listed).lines().count(), 3, "{}", text(&listed));
    assert!(text(&listed).lines().all(|line| line.contains(&format!("\"origin\":\"{topic}/"))), "{}", text(&listed));
    let planned = text(&run(&["replay"]));
    assert!(planned.contains("letters of") && planned.contains("--yes"), "{planned}");
    assert_eq!(kafka.read(&topic).len(), EVENTS, "without --yes nothing is written");

    let mut killed = dead_letters(&["replay", "--yes"], kafka.bootstrap(), &mended).spawn().expect("it starts");
    let consumer: BaseConsumer = kafka.client().create().expect("a consumer");
    let end =
        |partition| consumer.fetch_watermarks(&topic, partition, Duration::from_secs(10)).map_or(0, |(_, end)| end);
    let until = Instant::now() + Duration::from_secs(60);
    while (0..PARTITIONS).map(end).sum::<i64>() <= EVENTS as i64 + 1_000 {
        assert!(Instant::now() < until, "nothing is replayed");
    }
    killed.kill().expect("it is killed");
    killed.wait().expect("it has ended");
    let some = kafka.read(&topic).len();
    assert!(some > EVENTS && some < 2 * EVENTS, "it was killed in the middle: {some}");
    let again = run(&["replay", "--yes"]);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(kafka.read(&topic).len(), 2 * EVENTS, "each letter once: {}", text(&again));
    assert!(text(&run(&["replay", "--yes"])).contains("replayed 0 of 0"));

    let text = std::fs::read_to_string(agent.config_path()).expect("its config");
    std::fs::write(agent.config_path(), text.replace("format: unix_ms", "format: rfc3339")).expect("it is mended");
    agent.restart();
    agent.wait_ready();
    let wanted = |user: usize| (user..EVENTS).step_by(USERS).count();
    wait_until("they are counted", || {
        let page = agent.scrape();
        (0..USERS).all(|user| {
            let series = format!("user=\"user-{user}\"");
            let lines = page.lines().filter(|line| line.starts_with("u_requests_total{") && line.contains(&series));
            let sum: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            assert!(sum <= wanted(user) as f64, "user {user} is counted {sum} times");
            sum == wanted(user) as f64
        })
    });
}

#[test]
fn letters_of_another_format_are_counted_once_the_source_says_which() {
    let kafka = shared();
    let topic = unique("format");
    kafka.create_topic(&topic, 1, &[]);
    let config = |format: &str| {
        let source = format!("topics: [{topic}], timestamp: {{ from: kafka }}, {format}");
        format!(
            "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n\
             sources:\n  s: {{ {source} }}\n\
             aggregates:\n  u: {{ source: s, by: {{ level: level }}, measures: {{ lines: count }} }}\n"
        )
    };
    let lines: Vec<String> = (0..30).map(|n| format!("level={} n={n}", ["info", "error"][n % 2])).collect();
    kafka.produce(&topic, 0, lines.iter().map(|line| ("k", line.as_str())));
    // Two lines in a record: not even the letters are alike.
    kafka.produce(&topic, 0, [("k", "level=info\nlevel=warn")]);
    let read = lines.len() + 1;
    let mut agent = Agent::start(kafka.bootstrap(), &config("format: json"));
    let offset =
        |agent: &Agent| agent.status().map_or(0, |status| status.partitions.iter().map(|p| p.next_offset).sum::<i64>());
    wait_until("all are dead letters", || offset(&agent) == read as i64);
    let letters = kafka.read(&format!("{topic}-dlq"));
    assert_eq!(letters.len(), read);
    let reason = ("streamgauge.reason".to_owned(), b"not_json".to_vec());
    assert!(letters.iter().all(|letter| letter.headers.contains(&reason)), "{:?}", letters[0].headers);

    let home = tempfile::tempdir().expect("a temporary directory");
    let mended = home.path().join("mended.yaml");
    let logfmt = config("format: { logfmt: { lines: true } }");
    std::fs::write(&mended, &logfmt).expect("the config is written");
    // What the mended config would make of the letters, before they are replayed.
    let tried = Command::new(program())
        .args(["validate", "-c"])
        .arg(&mended)
        .args(["--topic", &format!("{topic}-dlq"), "--source", "s", "--last", "100"])
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .output()
        .expect("the binary was built");
    assert!(text(&tried).contains("32 events"), "{}", text(&tried));
    assert!(agent.terminate().success());
    let own = std::fs::read_to_string(agent.config_path()).expect("its config");
    let own = own.replace("format: json", "format: { logfmt: { lines: true } }");
    std::fs::write(agent.config_path(), own).expect("it is mended");
    agent.restart();
    agent.wait_ready();
    let replay = dead_letters(&["replay", "--yes"], kafka.bootstrap(), &mended).output().expect("the binary was built");
    assert!(replay.status.success(), "{}", text(&replay));
    wait_until("the letters are read again", || offset(&agent) == 2 * read as i64);
    let page = agent.scrape();
    let counted = |level: &str| {
        crate::oracle::parse_page(&page)
            .expect("a sound page")
            .iter()
            .filter(|sample| sample.name == "u_lines_total" && sample.labels.iter().any(|(_, value)| value == level))
            .map(|sample| sample.value)
            .sum::<f64>()
    };
    assert_eq!((counted("info"), counted("error"), counted("warn")), (16.0, 15.0, 1.0), "{page}");
    assert_eq!(kafka.read(&format!("{topic}-dlq")).len(), read, "no new letter");
}
