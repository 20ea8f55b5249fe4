//! Single events, as far as the config shows them: the newest, page by page, across a restart; those that come; who asked.

mod away;
mod unusual;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, program};
use crate::calls::{answer, refused, run};
use crate::kafka::wait_until;
use crate::scene::{Scene, number};

const SHOWN: &str = "format: json\n    recent_events:\n      fields:\n        endpoint: endpoint\n        status: status\n        \
                     user: { field: user_id, show: hashed }\n        region: { field: region, show: masked }";

fn scene() -> Scene {
    Scene::new("recent", 3).replacing("format: json", SHOWN)
}

/// A record by its place.
type At = (i64, i64);

fn place(event: &Value) -> At {
    let number =
        |value: &Value| value.as_str().map_or(value.as_i64().unwrap_or(0), |text| text.parse().expect("a number"));
    (number(&event["partition"]), number(&event["offset"]))
}

fn get(agent: &Agent, path: &str) -> Value {
    let (status, text) = agent.get(path);
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// All pages of a question: the events in the order they came in, and how many pages there were.
fn pages(agent: &Agent, question: &str) -> (Vec<Value>, usize) {
    let (mut events, mut token, mut count) = (Vec::new(), String::new(), 0);
    loop {
        let page = get(agent, &format!("/api/v1/events/requests?{question}&page_token={token}"));
        events.extend(page["events"].as_array().cloned().unwrap_or_default());
        count += 1;
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return (events, count);
        }
    }
}

#[test]
fn the_newest_events_are_what_is_in_kafka_each_once_and_no_more_of_them_than_the_config_shows() {
    let scene = scene();
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(2_500, 5);
    let written: Vec<(At, Value)> = scene
        .kafka
        .read(&scene.topic)
        .iter()
        .filter_map(|record| {
            let event = serde_json::from_slice(record.value.as_deref()?).ok()?;
            Some(((record.partition.into(), record.offset), event))
        })
        .collect();
    assert_eq!(written.len(), 2_500);

    let page = get(&agent, "/api/v1/events");
    let newest = page["events"].as_array().expect("events");
    assert_eq!(newest.len(), 50);
    for event in newest {
        let (_, raw) = written.iter().find(|(at, _)| *at == place(event)).expect("it is in the topic");
        let fields = event["fields"].as_object().expect("fields");
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["endpoint", "region", "status", "user"], "{event}");
        assert_eq!(
            (&fields["endpoint"], fields["status"].as_str()),
            (&raw["endpoint"], Some(&*raw["status"].to_string()))
        );
        let (user, region) = (raw["user_id"].as_str().expect("a user"), raw["region"].as_str().expect("a region"));
        assert!(!event.to_string().contains(user), "{event}");
        let masked = if region.len() < 8 { "***".to_owned() } else { format!("{}***", &region[..2]) };
        assert_eq!(fields["region"], masked.as_str(), "{region}");
    }
    let times: Vec<_> = newest.iter().map(|event| event["writtenAt"].as_str().expect("a time")).collect();
    assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "the newest first: {times:?}");

    // Every event once, whatever the size of a page, and with conditions those that fit.
    let all: BTreeSet<At> = written.iter().map(|(at, _)| *at).collect();
    for size in [300, 1_000] {
        let (events, count) = pages(&agent, &format!("page_size={size}"));
        assert_eq!(events.len(), 2_500);
        assert_eq!(events.iter().map(place).collect::<BTreeSet<_>>(), all);
        assert!(count >= 2_500 / size, "{count} pages");
    }
    let (events, _) = pages(&agent, "where=status%3E=500&where=endpoint=~/api/.*&page_size=7");
    let fits = |event: &Value| {
        event["status"].as_i64() >= Some(500) && event["endpoint"].as_str().is_some_and(|e| e.starts_with("/api/"))
    };
    let expected: BTreeSet<At> = written.iter().filter(|(_, event)| fits(event)).map(|(at, _)| *at).collect();
    assert_eq!(events.len(), expected.len());
    assert_eq!(events.iter().map(place).collect::<BTreeSet<_>>(), expected);

    // gRPC says the same, and so does an agent that has been killed.
    let by_grpc = answer(&agent, "QueryService/ListRecentEvents", &serde_json::json!({ "source": "requests" }));
    let places = |events: &Value| events.as_array().expect("events").iter().map(place).collect::<Vec<_>>();
    assert_eq!(places(&by_grpc["events"]), places(&page["events"]));
    assert_eq!(by_grpc["read"]["events"], "2500");
    let audits = |agent: &Agent| agent.log().lines().filter(|line| line.contains("audit: called")).count();
    let noted = audits(&agent);
    assert!(noted > 10, "who saw events stands in the log: {noted}");
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    assert_eq!(places(&get(&agent, "/api/v1/events")["events"]), places(&page["events"]));

    // What makes no sense gets one line.
    refused(
        &agent,
        "QueryService/ListRecentEvents",
        &serde_json::json!({ "conditions": [{ "field": "user_id", "value": "x" }] }),
        "InvalidArgument",
        "there is no field `user_id`; those that are shown are: endpoint, status, user, region",
    );
    let (status, text) = agent.get("/api/v1/events/nothing");
    assert!(
        status == 404 && text.contains("there is no source `nothing`; those with recent events are: requests"),
        "{text}"
    );
    let address = format!("http://{}", agent.grpc());
    let last = run(&["tap", "--once", "--last", "3", "-o", "json", "--address", &address]);
    let printed: Vec<Value> = last.1.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut newest: Vec<At> = places(&page["events"]).into_iter().take(3).collect();
    newest.reverse();
    assert_eq!((last.0, printed.iter().map(place).collect::<Vec<_>>()), (0, newest), "{}", last.2);
}

#[test]
fn without_a_word_in_the_config_nobody_sees_single_events() {
    let scene = Scene::new("recent", 1);
    let mut agent = scene.agent();
    agent.wait_ready();
    let (status, text) = agent.get("/api/v1/events");
    assert!(status == 404 && text.contains("no source has `recent_events` in the config"), "{status} {text}");
    let (status, text) = agent.get("/api/v1/tail/requests");
    assert!(status == 404 && text.contains("source `requests` has no `recent_events`"), "{status} {text}");
    let (code, _, error) = run(&["tap", "--address", &format!("http://{}", agent.grpc())]);
    assert!(code == 1 && error.contains("no source has `recent_events`"), "{code} {error}");
}

/// `streamgauge tap`, and the lines it prints.
struct Tapping {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
}

impl Tapping {
    fn start(agent: &Agent, flags: &[&str]) -> Tapping {
        let mut command = Command::new(program());
        command.args(["tap", "-o", "json", "--address", &format!("http://{}", agent.grpc())]).args(flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary was built");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Ok(()) = sender.send(serde_json::from_str(&line).expect("JSON")) else { return };
            }
        });
        Tapping { child, lines }
    }

    /// The first line: from then on, whatever comes is told.
    fn first(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a line")
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_that_come_are_told_each_once_with_what_was_there_before_them_and_again_after_a_crash() {
    let scene = scene();
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(500, 5);
    let all = Tapping::start(&agent, &["--last", "20", "--rate", "1000"]);
    let errors = Tapping::start(&agent, &["--last", "1", "--rate", "1000", "--where", "status>=500"]);
    let mut before = Vec::new();
    wait_until("the newest are told", || {
        before.extend(all.lines.try_iter());
        before.len() == 20
    });
    // What comes after the ends that these stand before is told.
    errors.first();
    scene.produce_now(600, 6);
    let written = scene.kafka.read(&scene.topic);
    let fits = |event: &Value| event["fields"]["status"].as_str().is_some_and(|status| status >= "500");
    let (mut told, mut wrong) = (Vec::new(), Vec::new());
    wait_until("all that came is told", || {
        told.extend(all.lines.try_iter());
        told.len() >= 600
    });
    let places: BTreeSet<At> = before.iter().chain(&told).map(place).collect();
    assert_eq!((told.len(), places.len()), (600, 620), "each once");
    let wanted = told.iter().filter(|event| fits(event)).count();
    assert!(wanted > 10);
    wait_until("the errors are told", || {
        wrong.extend(errors.lines.try_iter());
        wrong.len() >= wanted
    });
    assert!(wrong.len() == wanted && wrong.iter().all(fits), "{} of {wanted}", wrong.len());
    assert_eq!(written.len(), 1_100);

    // A feed goes on at the agent that has started again.
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    let mut seed = 100;
    wait_until("it listens again", || {
        seed += 1;
        scene.produce_now(1, seed);
        all.lines.try_iter().count() > 0
    });
    scene.produce_now(300, 7);
    let mut after = 0;
    wait_until("what came after is told", || {
        after += all.lines.try_iter().count();
        after >= 300
    });

    // A share is the same share for everybody, and what is too fast is said.
    let half = ["--last", "1", "--sample", "0.5", "--rate", "1000"];
    let (one, other) = (Tapping::start(&agent, &half), Tapping::start(&agent, &half));
    one.first();
    other.first();
    scene.produce_now(400, 8);
    let (mut of_one, mut of_other) = (BTreeSet::new(), BTreeSet::new());
    wait_until("both have the same", || {
        of_one.extend(one.lines.try_iter().map(|event| place(&event)));
        of_other.extend(other.lines.try_iter().map(|event| place(&event)));
        of_one.len() > 150 && of_one == of_other
    });
    assert!(of_one.len() < 250, "{}", of_one.len());
    drop((all, errors, one, other));
    wait_until("their places are free", || number(&agent.scrape(), "streamgauge_tails", &[]) == 0.0);
    let stopped = agent.terminate();
    assert!(stopped.success(), "{stopped}");
}
