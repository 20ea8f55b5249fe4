//! Syslog over TCP and TLS, from clients that operators have: `logger`, Python's handler, OpenSSL.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::Door;
use crate::agent::free_address;
use crate::doors::authority::{Authority, Files};
use crate::kafka::{shared, wait_until};

const PYTHON: &str = "import logging, logging.handlers, socket, sys
handler = logging.handlers.SysLogHandler(('127.0.0.1', int(sys.argv[1])), socktype=socket.SOCK_STREAM)
for number in range(3):
    handler.emit(logging.LogRecord('shop', logging.ERROR, '', 0, f'from Python {number}', None, None))
handler.close()
";

/// Events by their messages.
fn events(door: &Door) -> Vec<Value> {
    let value = |record: crate::kafka::Record| serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
    let mut all: Vec<Value> = shared().read(&door.topic).into_iter().map(value).collect();
    all.sort_by_key(|event| event["message"].to_string());
    all
}

fn logger(address: SocketAddr, args: &[&str]) {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let to = ["--tcp", "--server", &host, "--port", &port];
    let output = Command::new("logger").args(to).args(args).output().expect("logger of bsdutils runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn messages_of_real_clients_are_events_whatever_their_framing_is() {
    let address = free_address();
    let door = Door::open(shared(), "ingest-syslog", &format!("  syslog: \"{address}\"\n  event_size: 128KiB\n"));
    logger(address, &["--octet-count", "--rfc5424", "--tag", "shop", "--id=7", "-p", "local0.crit", "counted, new"]);
    logger(address, &["--rfc5424", "--tag", "shop", "-p", "user.warning", "line, new"]);
    logger(address, &["--rfc3164", "--tag", "shop", "-p", "user.debug", "line, old"]);
    let python = Command::new("python3").args(["-c", PYTHON, &address.port().to_string()]).output().expect("Python 3");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    // By hand: a message of two lines, one that is too long, and one after it on the same connection.
    let mut stream = TcpStream::connect(address).expect("it connects");
    let long = format!("<14>{}\n", "x".repeat(70_000));
    let bytes = [&b"16 <11>two\nlines ab<11>plain\n"[..], long.as_bytes(), b"<11>zz the last"].concat();
    stream.write_all(&bytes).expect("it is read");
    drop(stream);
    wait_until("all events in Kafka", || events(&door).len() == 9);
    let all = events(&door);
    let shown: Vec<_> = all.iter().map(|event| [&event["source"], &event["level"], &event["message"]]).collect();
    let python = |number: u32| [json!("127.0.0.1"), json!("ERROR"), json!(format!("from Python {number}"))];
    let own = |level: &str, message: &str| [json!("shop"), json!(level), json!(message)];
    let unnamed = |message: &str| [json!("127.0.0.1"), json!("ERROR"), json!(message)];
    let expected = [
        own("FATAL", "counted, new"),
        python(0),
        python(1),
        python(2),
        own("WARN", "line, new"),
        own("DEBUG", "line, old"),
        unnamed("plain"),
        unnamed("two\nlines ab"),
        unnamed("zz the last"),
    ];
    assert_eq!(shown, expected.each_ref().map(|event| event.each_ref()));
    let first = &all[0];
    assert_eq!((&first["metadata"]["facility"], &first["metadata"]["procId"]), (&json!("local0"), &json!("7")));
    let page = door.agent.scrape();
    for line in [
        "streamgauge_ingest_rejected_events_total{reason=\"too_large\"} 1\n",
        "streamgauge_door_calls_total{door=\"syslog\",outcome=\"allowed\"} 5\n",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn with_tls_senders_show_a_certificate_and_those_without_are_refused() {
    let authority = Authority::new();
    let files = Files::new();
    files.authority("ca", &authority);
    files.pair("server", &authority, &["localhost", "127.0.0.1"]);
    files.pair("shop", &authority, &["shop.example.com"]);
    files.pair("other", &authority, &["other.example.com"]);
    let address = free_address();
    let lines = format!(
        "  syslog: \"{address}\"\n  tls: {{ certificate: {}, key: {}, client_ca: {} }}\n  identities: {{ shop: {{ certificate_subject: shop }} }}\n",
        files.text("server.pem"),
        files.text("server.key"),
        files.text("ca.pem")
    );
    let door = Door::open(shared(), "ingest-syslog-tls", &lines);
    let send = |name: &str, message: &str| -> Output {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &address.to_string(), "-CAfile"]);
        command.args([files.text("ca.pem"), "-cert".into(), files.text(&format!("{name}.pem"))]);
        command.args(["-key".into(), files.text(&format!("{name}.key"))]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl runs");
        // It may have been refused already.
        let _ = writeln!(child.stdin.take().expect("a pipe"), "<14>1 - - {name} - - - {message}");
        child.wait_with_output().expect("it ends")
    };
    send("other", "refused");
    let output = send("shop", "taken");
    wait_until("the event in Kafka", || {
        let all = events(&door);
        assert!(all.len() <= 1, "{all:?}");
        all.len() == 1 || {
            println!("{}", String::from_utf8_lossy(&output.stderr));
            false
        }
    });
    assert_eq!(events(&door)[0]["message"], "taken");
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_door_calls_total{door=\"syslog\",outcome=\"unauthenticated\"} 1\n"), "{page}");
    assert!(door.agent.log().contains("audit: refused"), "{}", door.agent.log());
}
