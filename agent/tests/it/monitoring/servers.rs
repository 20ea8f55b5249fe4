//! Prometheus and Alertmanager with the very config files that are shipped (only addresses and intervals differ), and a
//! webhook that remembers what arrives.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{free_address, http_get, repository};
use crate::kafka::wait_until;

/// `promtool` of 2.42, and under `scripts/test --all` that of 3.x too.
pub fn promtools() -> Vec<PathBuf> {
    let first = std::env::var_os("STREAMGAUGE_PROMTOOL").map_or_else(|| tool("tools", "promtool"), PathBuf::from);
    let newest = crate::heavy_tests().then(|| tool("tools", "promtool3"));
    [first].into_iter().chain(newest).collect()
}

/// Prometheus 2.42, or 3.x under `scripts/test --all`.
fn prometheus() -> PathBuf {
    let own = std::env::var_os("STREAMGAUGE_PROMETHEUS").map(PathBuf::from);
    own.unwrap_or_else(|| match crate::heavy_tests() {
        true => tool("tools", "prometheus3"),
        false => tool("observability", "prometheus"),
    })
}

/// The path that `scripts/SCRIPT NAME` prints.
pub fn tool(script: &str, name: &str) -> PathBuf {
    let output = Command::new(repository().join("scripts").join(script)).arg(name).stderr(Stdio::inherit()).output();
    let output = output.expect("the script runs");
    assert!(output.status.success(), "scripts/{script} {name}: {}", output.status);
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// A program in a directory of its own, which has its log; killed when dropped.
pub struct Process {
    pub child: Child,
    home: TempDir,
}

impl Process {
    pub fn start(command: &mut Command, home: TempDir) -> Process {
        let log = fs::File::create(home.path().join("log")).expect("a log file");
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Process { child, home }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            let skip = log.lines().count().saturating_sub(15);
            log.lines().skip(skip).for_each(|line| eprintln!("{}: {line}", self.home.path().display()));
        }
    }
}

/// A process that answers at an address.
struct Server {
    _process: Process,
    address: SocketAddr,
}

impl Server {
    fn start(program: &Path, home: TempDir, address: SocketAddr, args: &[&str], ready: &str) -> Server {
        let process = Process::start(Command::new(program).args(args), home);
        wait_until(&format!("{} is ready", program.display()), || {
            http_get(address, ready, Duration::from_secs(5)).is_some_and(|(status, _)| status == 200)
        });
        Server { _process: process, address }
    }
}

/// The text of a shipped file, each `from` replaced by its `to`.
fn templated(path: &str, replacements: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{path} changed: {from:?} is not there");
        text.replace(from, to)
    })
}

pub struct Prometheus(Server);

impl Prometheus {
    /// Scrapes the agents each second, evaluates each second, and sends alerts to `alertmanager`.
    pub fn start(agents: &[SocketAddr], alertmanager: Option<SocketAddr>) -> Prometheus {
        let home = TempDir::with_prefix("streamgauge-prometheus-").expect("a temporary directory");
        let address = free_address();
        let agents: Vec<String> = agents.iter().map(|agent| format!("\"{agent}\"")).collect();
        let nobody = free_address();
        let config = templated(
            "prometheus/prometheus.yml",
            &[
                ("\"agent:9746\", \"agent-2:9746\", \"agent-3:9746\"", &agents.join(", ")),
                ("alertmanager:9093", &alertmanager.unwrap_or(nobody).to_string()),
                ("localhost:9090", &address.to_string()),
                ("_interval: 5s", "_interval: 1s"),
            ],
        );
        fs::write(home.path().join("prometheus.yml"), config).expect("it is written");
        for (from, to) in [("prometheus/rules", "rules"), ("alerts", "alerts")] {
            fs::create_dir(home.path().join(to)).expect("a folder");
            for entry in fs::read_dir(repository().join(from)).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|e| e == "yaml") {
                    fs::copy(&path, home.path().join(to).join(path.file_name().expect("a name"))).expect("a copy");
                }
            }
        }
        Prometheus::launch(home, address)
    }

    /// With a config of the test's own.
    pub fn start_on(config: &str) -> Prometheus {
        let home = TempDir::with_prefix("streamgauge-prometheus-").expect("a temporary directory");
        fs::write(home.path().join("prometheus.yml"), config).expect("it is written");
        Prometheus::launch(home, free_address())
    }

    fn launch(home: TempDir, address: SocketAddr) -> Prometheus {
        let listen = format!("--web.listen-address={address}");
        let args =
            ["--config.file=prometheus.yml", "--storage.tsdb.path=data", &listen, "--rules.alert.resend-delay=2s"];
        Prometheus(Server::start(&prometheus(), home, address, &args, "/-/ready"))
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// `data` of the answer to `/api/v1/PATH?…`.
    ///
    /// # Errors
    /// What Prometheus says is wrong.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let query: Vec<String> = parameters.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let path = format!("/api/v1/{path}?{}", query.join("&"));
        let (_, body) = http_get(self.0.address, &path, Duration::from_secs(30)).ok_or("Prometheus does not answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) }
    }

    /// The samples of an instant query: labels and value.
    pub fn query(&self, expr: &str) -> Vec<(Value, f64)> {
        let data = self.get("query", &[("query", expr)]).unwrap_or_else(|e| panic!("{expr}: {e}"));
        let result = data["result"].as_array().unwrap_or_else(|| panic!("{expr}: {data}"));
        let value = |sample: &Value| sample["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number");
        result.iter().map(|sample| (sample["metric"].clone(), value(sample))).collect()
    }

    /// The one number that a query gives; none if it gives nothing.
    pub fn number(&self, expr: &str) -> Option<f64> {
        let samples = self.query(expr);
        assert!(samples.len() < 2, "{expr} gives {samples:?}");
        samples.first().map(|(_, value)| *value)
    }

    /// Names of the alerts that are pending or firing.
    pub fn alerts(&self, state: &str) -> Vec<String> {
        let found = self.query(&format!("count by (alertname) (ALERTS{{alertstate=\"{state}\"}})"));
        found.into_iter().map(|(labels, _)| labels["alertname"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

pub struct Alertmanager(Server);

impl Alertmanager {
    pub fn start(webhook: SocketAddr) -> Alertmanager {
        let home = TempDir::with_prefix("streamgauge-alertmanager-").expect("a temporary directory");
        let address = free_address();
        let config = templated(
            "alerts/alertmanager.yml",
            &[
                ("webhook:9099", &webhook.to_string()),
                ("group_wait: 5s", "group_wait: 1s"),
                ("group_interval: 30s", "group_interval: 1s"),
            ],
        );
        fs::write(home.path().join("alertmanager.yml"), config).expect("it is written");
        let listen = format!("--web.listen-address={address}");
        let args = ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=", &listen];
        Alertmanager(Server::start(&tool("observability", "alertmanager"), home, address, &args, "/-/ready"))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// One alert as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The receiver's path: `/page`, `/ticket`.
    pub path: String,
    pub name: String,
    pub firing: bool,
    pub alert: Value,
}

/// A listener that answers 200 and remembers.
pub struct Webhook {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Webhook {
    pub fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let to = arrived.clone();
        // Ends with the process; it holds nothing but a port.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let alerts = take(stream).unwrap_or_default();
                to.lock().expect("no panic inside").extend(alerts);
            }
        });
        Webhook { address, arrived }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("no panic inside").clone()
    }
}

/// Reads one POST of Alertmanager and answers it; the connection is not kept.
fn take(mut stream: TcpStream) -> Option<Vec<Arrived>> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let message: Value = serde_json::from_slice(&body).ok()?;
    let alerts = message["alerts"].as_array()?.iter().map(|alert| Arrived {
        path: path.clone(),
        name: alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned(),
        firing: alert["status"] == "firing",
        alert: alert.clone(),
    });
    Some(alerts.collect())
}
