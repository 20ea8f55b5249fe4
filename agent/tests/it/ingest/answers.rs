//! What each request is answered with.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Client, Door, assert_found, curl, found, read_answer};
use crate::agent::program;
use crate::kafka::{shared, wait_until};

const ONE: &str = r#"curl -X POST http://127.0.0.1:9748/api/logs -H "Content-Type: application/json" -d '{"source":"my-app","level":"INFO","message":"User login successful","metadata":{"userId":"12345","ip":"192.168.1.1"}}'"#;
const MANY: &str = r#"curl -X POST http://127.0.0.1:9748/api/logs/batch -H "Content-Type: application/json" -d '[{"source":"app-1","level":"INFO","message":"Log 1"},{"source":"app-2","level":"ERROR","message":"Log 2","stackTrace":"Exception: error"}]'"#;
const HEALTH: &str = "curl http://127.0.0.1:9748/api/logs/health";

#[test]
fn the_lines_of_the_docs_work_as_written_from_curl_to_the_metrics() {
    let (kafka, door) = (shared(), Door::open(shared(), "ingest-curl", ""));
    let (one, code) =
        curl(door.address, ONE).rsplit_once('\n').map(|(body, code)| (body.to_owned(), code.to_owned())).unwrap();
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((code.as_str(), &one["status"]), ("202", &json!("Accepted")));
    assert_eq!(one.as_object().unwrap().keys().collect::<Vec<_>>(), ["eventId", "status", "timestamp"]);
    let many = curl(door.address, MANY);
    let (many, code) = many.rsplit_once('\n').unwrap();
    let many: Value = serde_json::from_str(many).expect("JSON");
    assert_eq!((code, &many["accepted"], &many["failed"], &many["errors"]), ("202", &json!(2), &json!(0), &json!([])));
    wait_until("three events in Kafka", || kafka.read(&door.topic).len() == 3);
    for record in kafka.read(&door.topic) {
        let event: Value = serde_json::from_slice(&record.value.clone().unwrap()).unwrap();
        let source = event["source"].as_str().unwrap();
        assert_eq!(record.key.as_deref(), Some(source.as_bytes()));
        match source {
            "my-app" => {
                assert_eq!((&event["eventId"], &event["metadata"]["ip"]), (&one["eventId"], &json!("192.168.1.1")));
            }
            "app-1" => assert_eq!(event["message"], "Log 1"),
            "app-2" => {
                assert_eq!((record.partition, &event["stackTrace"]), (0, &json!("Exception: error")));
            }
            other => panic!("{other}"),
        }
    }
    wait_until("the health page to have counted them", || curl(door.address, HEALTH).contains("\"messagesSent\":3"));
    let health = curl(door.address, HEALTH);
    assert!(health.ends_with("\n200"), "{health}");
    assert!(
        health.starts_with(
            "{\"status\":\"UP\",\"metrics\":{\"messagesSent\":3,\"messagesFailed\":0,\"avgSendDuration\":"
        )
    );
    wait_until("the events on /metrics", || {
        let page = door.agent.scrape();
        let counted = |level: &str| {
            page.lines().filter(|line| line.contains("log_events_events_total{") && line.contains(level)).count()
        };
        counted("level=\"INFO\"") > 0 && counted("level=\"ERROR\"") > 0
    });
    let page = door.agent.scrape();
    let delivered = format!("streamgauge_ingest_delivered_events_total{{topic=\"{}\"}} 3", door.topic);
    assert!(page.contains(&delivered) && page.contains("streamgauge_ingest_circuit_state 0"), "{page}");
}

#[test]
fn good_events_of_a_batch_are_accepted_although_others_are_not() {
    let (kafka, door) = (shared(), Door::open(shared(), "ingest-batch", "  event_size: 2KiB\n"));
    let large = "x".repeat(3_000);
    let body = json!([
        { "source": "a", "level": "INFO", "message": "0" },
        { "source": "a", "level": "LOUD", "message": "1" },
        { "source": "a", "level": "FATAL", "message": "2" },
        { "source": "a", "level": "INFO", "message": large },
        "no object",
    ]);
    let answer = door.post_json("/api/logs/batch", &body.to_string());
    let (status, answer) = (answer.status, answer.json());
    let indexes: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!((status, &answer["accepted"], &answer["failed"], indexes), (202, &json!(2), &json!(3), vec![1, 3, 4]));
    let lines = "{\"source\":\"b\",\"level\":\"ERROR\",\"message\":\"5\"}\n\n{\"source\":\r\n{\"source\":\"b\",\"level\":\"WARN\",\"message\":\"6\"}";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines.as_bytes()).unwrap();
    let headers = [("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip")];
    let answer = door.post("/api/logs/batch", &headers, &gzip.finish().unwrap());
    assert_eq!(
        (answer.status, &answer.json()["accepted"], &answer.json()["errors"][0]["index"]),
        (202, &json!(2), &json!(1))
    );
    let zstd = zstd::encode_all(body.to_string().as_bytes(), 3).unwrap();
    let answer = door.post("/api/logs/batch", &[("Content-Encoding", "zstd")], &zstd);
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)));
    wait_until("six events in Kafka", || kafka.read(&door.topic).len() == 6);
    let answer = door.post_json("/api/logs/batch", r#"[{"source":"a"},5]"#);
    assert_eq!((answer.status, &answer.json()["failed"]), (400, &json!(2)), "none is good");
    assert_eq!(door.post_json("/api/logs/batch", "[]").json()["accepted"], 0);
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_status_and_one_line() {
    let lines =
        "  body_size: 4KiB\n  event_size: 1KiB\n  batch_events: 3\n  requests_per_second: 0\n  batches_per_second: 0\n";
    let door = Door::open(shared(), "ingest-refused", lines);
    let good = r#"{"source":"a","level":"INFO","message":"m"}"#;
    let long = format!(r#"{{"source":"a","level":"INFO","message":"{}"}}"#, "m".repeat(1_100));
    let bomb = {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
        gzip.finish().unwrap()
    };
    let json_type = ("Content-Type", "application/json");
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16, &'a str);
    let cases: Vec<Case> = vec![
        ("/api/logs", vec![json_type], b"{".to_vec(), 400, "not valid JSON"),
        ("/api/logs", vec![json_type], b"".to_vec(), 400, "not valid JSON"),
        ("/api/logs", vec![json_type], b"[]".to_vec(), 400, "expected a JSON object"),
        ("/api/logs", vec![json_type], b"\xff".to_vec(), 400, ""),
        ("/api/logs", vec![json_type], good.replace("\"m\"", "7").into_bytes(), 400, "`message` is not a string"),
        ("/api/logs", vec![json_type], "[".repeat(4_000).into_bytes(), 400, ""),
        ("/api/logs", vec![json_type], long.clone().into_bytes(), 413, "1024 are allowed"),
        ("/api/logs", vec![json_type], vec![b' '; 5_000], 413, "more than 4096 bytes"),
        ("/api/logs", vec![("Content-Encoding", "gzip")], bomb.clone(), 413, "more than 4096 bytes"),
        ("/api/logs", vec![("Content-Encoding", "gzip")], good.as_bytes().to_vec(), 400, "cannot be unpacked"),
        ("/api/logs", vec![("Content-Encoding", "br")], good.as_bytes().to_vec(), 415, "Content-Encoding"),
        ("/api/logs", vec![("Content-Type", "text/plain")], good.as_bytes().to_vec(), 415, "Content-Type"),
        ("/api/logs/batch", vec![json_type], b"[1".to_vec(), 400, "not valid JSON"),
        ("/api/logs/batch", vec![json_type], b" ".to_vec(), 400, "empty"),
        ("/api/logs/batch", vec![json_type], b"[1,2,3,4]".to_vec(), 413, "more than 3 events"),
        ("/api/logs/batch", vec![], [good; 4].join("\n").into_bytes(), 413, "more than 3 events"),
        ("/api/logs/batch", vec![json_type], format!("[{long}]").into_bytes(), 413, "1024 are allowed"),
        ("/api/nothing", vec![json_type], good.as_bytes().to_vec(), 404, ""),
    ];
    for (path, headers, body, status, words) in cases {
        let answer = door.post(path, &headers, &body);
        assert_eq!(answer.status, status, "{path} {headers:?} {}: {answer:?}", String::from_utf8_lossy(&body));
        assert!(answer.body.contains(words) && !answer.body.contains('\n'), "{path}: {words}: {answer:?}");
    }
    // Requests that two readers may understand differently: whatever is read of them, no event comes of what is hidden inside.
    let hidden = r#"{"source":"a","level":"INFO","message":"smuggled"}"#;
    let inside = format!("POST /api/logs HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
    let chunks = format!("0\r\n\r\n{inside}");
    for (head, body) in [
        ("Content-Length: 5\r\nContent-Length: 6", &inside),
        ("Content-Length: 5, 6", &inside),
        ("Content-Length: +5", &inside),
        ("Content-Length: 0x5", &inside),
        ("Content-Length : 5", &inside),
        ("X: a\nContent-Length: 0\r\nContent-Length: 5", &inside),
        ("X: a\rContent-Length: 5", &inside),
        ("X: a\r\n Content-Length: 5", &inside),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", &chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", &chunks),
        ("Transfer-Encoding: identity, chunked, identity", &chunks),
        ("Transfer-Encoding: xchunked", &chunks),
        ("Transfer-Encoding : chunked", &chunks),
        ("Transfer-Encoding: chunked", &format!("5 \n{inside}")),
        ("Transfer-Encoding: chunked", &format!("-1\r\n{inside}")),
        ("Transfer-Encoding: chunked", &format!("ffffffffffffffffff\r\n{inside}")),
    ] {
        let mut stream = TcpStream::connect(door.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(format!("POST /api/logs HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let answers: Vec<_> = std::iter::from_fn(|| read_answer(&mut stream)).map(|answer| answer.status).collect();
        println!("{head:?}: {answers:?}");
        assert!(answers.iter().all(|status| *status >= 400), "{head:?}: {answers:?}");
    }
    // A body that never ends.
    let mut stream = TcpStream::connect(door.address).unwrap();
    stream.write_all(b"POST /api/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"source\"").unwrap();
    drop(stream);
    assert_eq!(door.post_json("/api/logs", good).status, 202, "and it goes on");
    assert_eq!(kafka_counts(&door), 1);
}

/// Events in the topic, once the one that is on its way has arrived.
fn kafka_counts(door: &Door) -> usize {
    wait_until("an event in Kafka", || !found(shared(), &door.topic).is_empty());
    found(shared(), &door.topic).len()
}

#[test]
fn who_calls_too_often_is_told_when_to_come_again() {
    let lines = "  requests_per_second: 5\n  batches_per_second: 2\n";
    let door = Door::open(shared(), "ingest-rate", &format!("{lines}  trusted_proxies: [127.0.0.0/8]\n"));
    let good = r#"{"source":"a","level":"INFO","message":"m"}"#;
    let statuses: Vec<_> = (0..8).map(|_| door.post_json("/api/logs", good)).collect();
    let refused: Vec<_> = statuses.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && refused.len() <= 3, "{statuses:?}");
    assert!(refused.iter().all(|answer| answer.headers["retry-after"] == "1"), "{refused:?}");
    let batches: Vec<_> = (0..4).map(|_| door.post_json("/api/logs/batch", &format!("[{good}]")).status).collect();
    assert!(batches.contains(&202) && batches.contains(&429), "{batches:?}");
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_requests_total{endpoint=\"logs\",code=\"429\"}"), "{page}");
    // Behind a proxy each caller has an address of its own, and cannot choose another one.
    let from = |chain: &str| door.post("/api/logs", &[("X-Forwarded-For", chain)], good.as_bytes()).status;
    assert!((0..20).all(|number| from(&format!("203.0.113.{number}")) == 202));
    let statuses: Vec<_> = (0..8).map(|number| from(&format!("198.51.100.{number}, 203.0.113.99"))).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_proxy_that_passes_connections_on_names_the_caller_by_its_protocol() {
    let syslog = crate::agent::free_address();
    let lines = "  requests_per_second: 1\n  trusted_proxies: [127.0.0.1]\n  proxy_protocol: true\n";
    let door = Door::open(shared(), "ingest-proxied", &format!("{lines}  syslog: \"{syslog}\"\n"));
    let good = r#"{"source":"a","level":"INFO","message":"m"}"#;
    let rest = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{good}", good.len());
    let request = format!("POST /api/logs HTTP/1.1\r\nHost: x\r\n{rest}");
    let from = |header: &[u8]| {
        let mut stream = TcpStream::connect(door.address).expect("it connects");
        stream.write_all(&[header, request.as_bytes()].concat()).expect("it is read");
        read_answer(&mut BufReader::new(stream)).map(|answer| answer.status)
    };
    // Each caller has a limit of its own, in either version.
    let line = |last: u8| format!("PROXY TCP4 203.0.113.{last} 10.0.0.1 4711 9748\r\n").into_bytes();
    let binary = |last: u8| {
        let fixed = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, 0x11, 0, 12]].concat();
        [&fixed[..], &[203, 0, 113, last, 10, 0, 0, 1, 0x12, 0x67, 0x26, 0x14]].concat()
    };
    for last in 0..5 {
        assert_eq!((from(&line(last)), from(&binary(last + 100))), (Some(202), Some(202)), "{last}");
    }
    let statuses: Vec<_> = (0..4).map(|_| from(&binary(0))).collect();
    assert!(statuses.contains(&Some(429)), "{statuses:?}");
    // A real client of it.
    let health = format!("http://{}/api/logs/health", door.address);
    let health = Command::new("curl").args(["-s", "--haproxy-protocol", &health]).output().expect("curl runs");
    assert!(String::from_utf8_lossy(&health.stdout).contains("\"UP\""), "{health:?}");
    // Without the header, and with one that is none, the connection is closed.
    assert_eq!((from(b""), from(b"PROXY TCP4 here there 1 2\r\n")), (None, None));
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_door_calls_total{door=\"ingest\",outcome=\"handshake_failed\"} 2\n"), "{page}");
    // Syslog tells the sender's address where the message names nobody.
    let mut stream = TcpStream::connect(syslog).expect("it connects");
    stream.write_all(&[&line(77)[..], b"<11>from behind the proxy\n"].concat()).expect("it is read");
    drop(stream);
    wait_until("the message in Kafka", || {
        let values = shared().read(&door.topic).into_iter().filter_map(|record| record.value);
        let events = values.map(|value| serde_json::from_slice::<Value>(&value).expect("JSON"));
        events
            .filter(|event| event["message"] == "from behind the proxy")
            .any(|event| event["source"] == "203.0.113.77")
    });
}

#[test]
fn ids_of_the_caller_go_to_kafka_and_come_back() {
    let (kafka, door) = (shared(), Door::open(shared(), "ingest-ids", ""));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("X-Correlation-Id", "order-17"), ("traceparent", trace)];
    let answer = door.post("/api/logs", &headers, br#"{"source":"a","level":"ERROR","message":"m"}"#);
    assert_eq!((answer.status, answer.headers["x-correlation-id"].as_str()), (202, "order-17"));
    assert_eq!(answer.headers["x-request-id"], "order-17");
    let records = kafka.read(&door.topic);
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(records.len(), 1, "an ERROR is in Kafka when it is answered");
    assert_eq!(records[0].headers, [header("x-correlation-id", "order-17"), header("traceparent", trace)]);
}

#[test]
fn a_locked_door_asks_for_the_right_and_tells_its_health() {
    let dir = tempfile::tempdir().unwrap();
    let (app, reader) = (dir.path().join("app"), dir.path().join("reader"));
    std::fs::write(&app, "the-token-of-an-app\n").unwrap();
    std::fs::write(&reader, "the-token-of-a-reader\n").unwrap();
    let lines = format!(
        "  trusted_proxies: [127.0.0.1]\n  identities:\n    app: {{ token_file: {} }}\n    reader: {{ token_file: {}, may: [read] }}\n",
        app.display(),
        reader.display()
    );
    let door = Door::open(shared(), "ingest-locked", &lines);
    let good = br#"{"source":"a","level":"INFO","message":"m"}"#;
    let with = |token: &str| door.post("/api/logs", &[("Authorization", &format!("Bearer {token}"))], good).status;
    let statuses = (with("the-token-of-an-app"), with("the-token-of-a-reader"), with("some-other-token"));
    assert_eq!((statuses, door.post("/api/logs", &[], good).status), ((202, 403, 401), 401));
    assert!(curl(door.address, HEALTH).ends_with("200"));
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_door_calls_total{door=\"ingest\",outcome=\"forbidden\"} 1"), "{page}");
    door.post("/api/logs", &[("Forwarded", "for=\"[2001:db8::7]:4711\"")], good);
    assert!(door.agent.log().contains("[2001:db8::7]:4711"), "the audit log names the caller: {}", door.agent.log());
}

#[test]
fn a_full_buffer_is_told_and_empties_itself() {
    // The brokers stand still, and so does what is accepted.
    let kafka = crate::kafka::Kafka::start(1);
    let syslog = crate::agent::free_address();
    let lines = "  requests_per_second: 0\n  batches_per_second: 0\n  delivery_timeout: 1m\n  buffer_size: 1MiB\n  event_size: 64KiB\n  spool_size: 1MiB\n";
    let door = Door::open(&kafka, "ingest-full", &format!("{lines}  syslog: \"{syslog}\"\n"));
    kafka.pause_broker(1);
    let body = format!(r#"{{"source":"a","level":"INFO","message":"{}"}}"#, "m".repeat(50_000));
    let mut client = Client::new(door.address);
    let mut acknowledged = BTreeSet::new();
    let refused = (0..100).find_map(|_| {
        let answer = client.post("/api/logs", &[], body.as_bytes()).expect("an answer");
        match answer.status {
            202 => {
                acknowledged.insert(answer.json()["eventId"].as_str().unwrap().to_owned());
                None
            }
            _ => Some(answer),
        }
    });
    let refused = refused.expect("it gets full");
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "5"));
    assert!(refused.body.contains("the buffer is full"), "{refused:?}");
    assert!(acknowledged.len() >= 15, "{} found room", acknowledged.len());
    assert!(curl(door.address, HEALTH).starts_with("{\"status\":\"DOWN\""));
    // Who cannot be answered is not read from, and loses nothing.
    let sending = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(syslog).expect("it connects");
        for number in 0..300 {
            let line = format!("<14>1 - - syslog - - - {number} {}\n", "m".repeat(30_000));
            stream.write_all(line.as_bytes()).expect("it is taken in the end");
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(!sending.is_finished(), "9 MB find no room");
    kafka.resume_broker(1);
    assert_found(&kafka, &door.topic, &acknowledged);
    sending.join().expect("all of it is written");
    wait_until("all that was sent over syslog is in Kafka, once", || {
        let of_syslog = |record: &crate::kafka::Record| record.key.as_deref() == Some(b"syslog");
        kafka.read(&door.topic).iter().filter(|record| of_syslog(record)).count() == 300
    });
    wait_until("there is room again", || curl(door.address, HEALTH).starts_with("{\"status\":\"UP\""));
}

#[test]
fn a_config_that_cannot_work_has_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    for (section, words) in [
        ("ingest: {}", "topic"),
        ("ingest: { topic: 'a b' }", "`a b` is not a valid topic name"),
        ("ingest: { topic: a, listen: '127.0.0.1:9746' }", "`ingest.listen` and `http.listen` are the same"),
        ("ingest: { topic: a, durability: perhaps }", "perhaps"),
        ("ingest: { topic: a, event_size: 32MiB }", "`buffer_size` is too small for `event_size`"),
        ("ingest: { topic: a, tls: { certificate: /nowhere, key: /nowhere } }", "ingest: "),
    ] {
        let text = format!(
            "kafka: {{ bootstrap_servers: x }}\nsources: {{ s: {{ topics: [t], timestamp: {{ from: kafka }} }} }}\n\
             aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n{section}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = Command::new(program()).args(["validate", "-c"]).arg(&file).output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{section}: {said}");
    }
}
