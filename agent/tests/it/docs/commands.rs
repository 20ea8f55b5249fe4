//! Every command that README and docs show is run here against the fresh binary and a real Kafka, or its block says in
//! front, as `<!-- not run: REASON -->`, why it is not.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::agent::{Agent, free_address, program, repository};
use crate::calls::grpcurl;
use crate::kafka::{Kafka, wait_until};
use crate::scene::number;
use crate::tidy::documents::documents;

const EVENTS: u64 = 20_000;
const LETTERS: u64 = 10;
/// What goes on until it is ended: it must still be there after this long, and have said something.
const GOES_ON: [&str; 6] =
    ["--watch", "/watch/", "/Watch", "/tail/", "streamgauge tap requests --where", "streamgauge run "];
const SECONDS: &str = "8";
/// What asks before it changes something: without a terminal nothing is changed, and the exit code is 2.
const ASKS: [&str; 2] = ["streamgauge topics apply", "streamgauge topics delete"];
/// Topics that commands make: each page begins without them.
const MADE: [&str; 2] = ["scratch", "orders"];

/// A block of commands.
struct Block {
    page: String,
    line: usize,
    text: String,
    /// Why it is not run.
    reason: Option<String>,
}

fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    for (page, text) in documents().into_iter().filter(|(page, _)| !page.starts_with("docs/runbooks/")) {
        let lines: Vec<&str> = text.lines().collect();
        let starts = lines.iter().enumerate().filter(|(_, line)| **line == "```sh");
        for (at, _) in starts {
            let body: Vec<&str> = lines[at + 1..].iter().copied().take_while(|line| *line != "```").collect();
            let before = lines[..at].iter().rev().find(|line| !line.is_empty()).copied().unwrap_or_default();
            let reason = before.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
            found.push(Block {
                page: page.clone(),
                line: at + 1,
                text: body.join("\n"),
                reason: reason.map(str::to_owned),
            });
        }
    }
    found
}

/// The commands of a block, each on a line or several, without what is said beside them.
pub fn commands(block: &str) -> Vec<String> {
    let (mut found, mut command, mut quoted) = (Vec::new(), String::new(), false);
    for line in block.lines() {
        let (kept, open) = without_comment(line, quoted);
        quoted = open;
        command.push_str(kept.trim_end());
        if quoted {
            command.push('\n');
        } else if let Some(begun) = command.strip_suffix('\\') {
            command = begun.to_owned();
        } else if !command.ends_with('|') && !command.trim().is_empty() {
            found.push(std::mem::take(&mut command).trim().to_owned());
        }
    }
    assert!(command.trim().is_empty(), "a command does not end: {command}");
    found
}

/// A line up to its `# comment`, and whether a quote is open at its end.
fn without_comment(line: &str, mut quoted: bool) -> (&str, bool) {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '#' if !quoted && before == ' ' => return (&line[..at], quoted),
            _ => {}
        }
        before = c;
    }
    (line, quoted)
}

#[test]
fn commands_are_told_from_what_is_said_beside_them() {
    let block = "a -x   # one's comment\n# a line\nb '{\"n\":1,\n  \"m\":\"#2\"}' \\\n  host\nc |\n  d\n";
    assert_eq!(commands(block), ["a -x", "b '{\"n\":1,\n  \"m\":\"#2\"}'   host", "c |  d"]);
}

#[test]
fn what_is_not_run_says_why() {
    let blocks = blocks();
    let (run, left): (Vec<_>, Vec<_>) = blocks.iter().partition(|block| block.reason.is_none());
    assert!(run.len() > 15 && left.len() > 5, "{} blocks are run and {} are not", run.len(), left.len());
    for block in left {
        let reason = block.reason.as_deref().unwrap_or_default();
        assert!(reason.split(' ').count() > 3, "{}:{}: {reason:?} is no reason", block.page, block.line);
    }
}

/// A broker, an agent that counts the example on it, and a folder with the files that the pages name.
struct Stage {
    kafka: Kafka,
    agent: Agent,
    door: SocketAddr,
    spare: [SocketAddr; 2],
    folder: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let kafka = Kafka::start(1);
        kafka.create_topic("log-events", 12, &[]);
        kafka.create_topic("logs", 3, &[]);
        kafka.create_topic("user_events", 3, &[]);
        let (door, spare) = (free_address(), [free_address(), free_address()]);
        let example = fs::read_to_string(repository().join("examples/http-requests.yaml")).expect("the example");
        let config = replaced(&example, "group_id: streamgauge", "group_id: streamgauge\n  on_shutdown: leave")
            + &format!("ingest: {{ topic: logs, listen: \"{door}\", events: {{ topic: user_events }} }}\n")
            + "cluster:\n  topics: { allow: [create, update, grow, delete] }\n  load_tests: { allow: true }\n";
        // With addresses and folder of this test.
        let config = replaced(&config, "dir: ./state ", "dir: ${STATE_DIR} ");
        let config = replaced(&config, "http: { listen: 127.0.0.1:9746 }", "http:\n  listen: ${HTTP_LISTEN}");
        let config = replaced(&config, "grpc: { listen: 127.0.0.1:9747 }", "grpc:\n  listen: ${GRPC_LISTEN}");
        let shown = "format: json\n    recent_events: { fields: { endpoint: endpoint, status: status } }";
        let config = replaced(&config, "format: json", shown);
        let mut agent = Agent::start(kafka.bootstrap(), &config);
        let folder = TempDir::with_prefix("streamgauge-docs-").expect("a temporary directory");
        std::os::unix::fs::symlink(repository().join("examples"), folder.path().join("examples")).expect("a link");
        for name in ["my.yaml", "agent.yaml"] {
            fs::write(folder.path().join(name), &config).expect("the config is written");
        }
        let mended = replaced(&config, "field: timestamp, format: unix_ms", "field: ts, format: unix_ms");
        fs::write(folder.path().join("mended.yaml"), mended).expect("the config is written");
        agent.wait_ready();
        let stage = Stage { kafka, agent, door, spare, folder };
        stage.produce();
        stage
    }

    /// Events of now, and some whose time has another name, which become dead letters.
    fn produce(&self) {
        let count = EVENTS.to_string();
        let output = self.bash(&format!("streamgauge produce --no-create --count {count} --rate 10000"));
        assert!(output.status.success(), "{}", said(&output));
        let letter = |n: u64| {
            format!("{{\"ts\":{},\"endpoint\":\"/x\",\"status\":200}}", crate::scene::unix_millis() + n as i64)
        };
        let letters: Vec<String> = (0..LETTERS).map(letter).collect();
        self.kafka.produce("log-events", 0, letters.iter().map(|text| ("", text.as_str())));
        wait_until("all events are counted", || {
            let page = self.agent.scrape();
            number(&page, "http_requests_total", &[]) == EVENTS as f64
                && number(&page, "streamgauge_decode_errors_total", &[]) == LETTERS as f64
        });
    }

    /// Runs a line as it stands in a page, with the addresses of this test.
    fn bash(&self, line: &str) -> Output {
        let addresses = [
            ("127.0.0.1:9746", self.agent.http().to_string()),
            ("127.0.0.1:9747", self.agent.grpc().to_string()),
            ("localhost:9747", self.agent.grpc().to_string()),
            ("127.0.0.1:9748", self.door.to_string()),
            ("127.0.0.1:9846", self.spare[0].to_string()),
            ("127.0.0.1:9847", self.spare[1].to_string()),
            ("localhost:9092", self.kafka.bootstrap().to_owned()),
        ];
        let line = addresses.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        let paths: Vec<String> = [program().as_path(), grpcurl()]
            .iter()
            .map(|tool| tool.parent().expect("a folder").display().to_string())
            .chain(std::env::var("PATH"))
            .collect();
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", &line]).current_dir(self.folder.path()).env("PATH", paths.join(":"));
        command.env("KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap());
        command.env("STREAMGAUGE_ADDRESS", self.agent.grpc().to_string());
        command.env("STREAMGAUGE_HTTP_ADDRESS", self.agent.http().to_string());
        for name in ["STATE_DIR", "HTTP_LISTEN", "GRPC_LISTEN"] {
            command.env(name, self.agent.variable(name));
        }
        command.stdin(Stdio::null()).output().expect("bash runs")
    }

    /// What is wrong with how a command of a page went.
    fn complaint(&self, command: &str) -> Option<String> {
        let goes_on = GOES_ON.iter().any(|sign| command.contains(sign));
        // A second agent does not get the door of the first.
        let second = if command.starts_with("streamgauge run ") { "sed -i '/^ingest:/d' my.yaml; " } else { "" };
        let seconds = if goes_on { SECONDS } else { "180" };
        let script = format!("timeout -s INT {seconds} bash -c \"$COMMAND\"");
        let quoted = command.replace('\'', r"'\''");
        let output = self.bash(&format!("{second}export COMMAND='{quoted}'; {script}"));
        let silent = output.stdout.is_empty() && output.stderr.is_empty();
        let expected: &[i32] = match goes_on {
            true => &[0, 124],
            false if ASKS.iter().any(|sign| command.starts_with(sign)) => &[2],
            false => &[0],
        };
        let code = output.status.code().unwrap_or(-1);
        (!expected.contains(&code) || silent).then(|| format!("{command}\n  ended with {code}: {}", said(&output)))
    }
}

fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    text.chars().take(600).collect()
}

#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} is not there once");
    text.replace(from, to)
}

#[test]
fn every_command_of_the_pages_does_what_it_says() {
    let stage = Stage::new();
    let mut complaints = Vec::new();
    let mut page = String::new();
    for block in blocks().into_iter().filter(|block| block.reason.is_none()) {
        if block.page != page {
            for topic in MADE.iter().filter(|topic| stage.kafka.partitions(topic) > 0) {
                stage.kafka.delete_topic(topic);
            }
            page.clone_from(&block.page);
        }
        for command in commands(&block.text) {
            let complaint = stage.complaint(&command);
            complaints.extend(complaint.map(|text| format!("{}:{}: {text}", block.page, block.line)));
        }
    }
    assert!(complaints.is_empty(), "{} commands failed:\n{}", complaints.len(), complaints.join("\n"));
}
