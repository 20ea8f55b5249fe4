//! A `streamgauge run` process under test: its own state directory and ports, its log shown when the test fails, and
//! killed when the test ends, however it ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GetStatusRequest, GetStatusResponse};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);
/// Of the log of an agent whose test failed: few enough lines, and bytes of each, not to hide why it failed.
const SHOWN_LINES: usize = 20;
const SHOWN_WIDTH: usize = 300;

/// A running (or killed) agent.
pub struct Agent {
    home: TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl Agent {
    /// Starts an agent on `config`. Of `state`, `http` and `grpc`, what the text leaves out is added. The text may use
    /// `${KAFKA_BOOTSTRAP_SERVERS}`, `${STATE_DIR}`, `${HTTP_LISTEN}` and `${GRPC_LISTEN}`.
    pub fn start(bootstrap: &str, config: &str) -> Agent {
        Agent::start_with(bootstrap, config, &[])
    }

    /// The same with more environment variables for the process.
    pub fn start_with(bootstrap: &str, config: &str, variables: &[(&str, &str)]) -> Agent {
        let mut agent = Agent::at_rest(bootstrap, config, variables);
        agent.restart();
        agent
    }

    /// The same without starting the process: [`Agent::restart`] does.
    pub fn at_rest(bootstrap: &str, config: &str, variables: &[(&str, &str)]) -> Agent {
        let home = TempDir::with_prefix("streamgauge-agent-").expect("a temporary directory");
        let (http, grpc) = (free_address(), free_address());
        let mut all = vec![
            ("KAFKA_BOOTSTRAP_SERVERS".to_owned(), bootstrap.to_owned()),
            ("STATE_DIR".to_owned(), home.path().join("state").display().to_string()),
            ("HTTP_LISTEN".to_owned(), http.to_string()),
            ("GRPC_LISTEN".to_owned(), grpc.to_string()),
        ];
        all.extend(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        fs::write(home.path().join("config.yaml"), complete(config)).expect("the config is written");
        Agent { home, http, grpc, variables: all, child: None }
    }

    /// Starts the process again with the same config, state and ports. The log goes on in the same file.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the agent still runs");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(program());
        command.args(["run", "-c"]).arg(self.config_path());
        command.envs(self.variables.iter().map(|(k, v)| (k, v))).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches only the new process.
        unsafe {
            // A test process that is killed runs no destructors; the kernel then ends the agent.
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        self.child = Some(command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program().display())));
    }

    /// Sets an environment variable for the next start, or takes it away.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// What an environment variable of its process is.
    pub fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("the agent has no {name}"))
    }

    /// Whether there is a process, running, stopped or ended by itself.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Whether the process ended by itself, and nobody has asked for its status yet.
    pub fn has_ended(&self) -> bool {
        let stat = self.child.as_ref().map(|child| fs::read_to_string(format!("/proc/{}/stat", child.id())));
        // The state stands after the name, which is in parentheses.
        stat.is_some_and(|stat| stat.is_ok_and(|text| text.rsplit(')').next().is_some_and(|s| s.starts_with(" Z"))))
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the agent runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// SIGTERM, and waits for the orderly end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait_exit()
    }

    /// Waits until the process ends by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let until = Instant::now() + TIMEOUT;
        loop {
            let child = self.child.as_mut().expect("the agent runs");
            if let Some(status) = child.try_wait().expect("its state is known") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < until, "the agent did not end within {TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGSTOP: the process stands still, as if its machine were suspended.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = self.child.as_ref().expect("the agent runs").id();
        // SAFETY: kill only sends a signal; the pid is our own child, not yet waited for.
        assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0, "signal {signal} to {pid}");
    }

    /// Waits until `/-/ready` answers 200.
    pub fn wait_ready(&mut self) {
        let until = Instant::now() + TIMEOUT;
        while self.try_get("/-/ready").is_none_or(|(status, _)| status != 200) {
            let child = self.child.as_mut().expect("the agent runs");
            if let Some(status) = child.try_wait().expect("its state is known") {
                panic!("the agent ended before it was ready: {status}");
            }
            assert!(Instant::now() < until, "the agent was not ready within {TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The page of `/metrics`.
    pub fn scrape(&self) -> String {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200, "{page}");
        page
    }

    /// Runs another verb of the binary with this agent's config and environment; `-c` is added.
    pub fn verb(&self, verb: &[&str]) -> std::process::Output {
        let config = self.config_path().display().to_string();
        self.bare_verb(&[verb, &["-c", &config]].concat())
    }

    /// The same without the config.
    pub fn bare_verb(&self, verb: &[&str]) -> std::process::Output {
        let mut command = Command::new(program());
        command.args(verb);
        command.envs(self.variables.iter().map(|(k, v)| (k, v))).current_dir(self.home.path());
        command.stdin(Stdio::null()).output().expect("the binary was built")
    }

    /// The config file, which a test may change.
    pub fn config_path(&self) -> PathBuf {
        self.home.path().join("config.yaml")
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|| panic!("no HTTP answer from {} for {path}", self.http))
    }

    /// Status and body of a POST without a body.
    pub fn post(&self, path: &str) -> (u16, String) {
        http_call(self.http, "POST", path, "*/*", Duration::from_secs(60)).expect("an HTTP answer")
    }

    /// The process that runs now.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the agent runs").id()
    }

    /// Status and body of a GET; none if nobody answers.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.http, path, Duration::from_secs(30))
    }

    /// What the query service says of the agent; none if it does not answer.
    pub fn status(&self) -> Option<GetStatusResponse> {
        crate::kafka::block_on_io(async {
            let mut client = QueryServiceClient::connect(format!("http://{}", self.grpc)).await.ok()?;
            Some(client.get_status(GetStatusRequest {}).await.ok()?.into_inner())
        })
    }

    /// Address of the HTTP listener.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Address of the gRPC listener.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The state directory of the added `state` section, `${STATE_DIR}`.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Everything the process wrote so far, over all its restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("agent.log")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let skip = log.lines().count().saturating_sub(SHOWN_LINES);
            let whole = std::env::temp_dir().join(format!("streamgauge-failed-{}.log", self.http.port()));
            if skip > 0 && fs::write(&whole, &log).is_ok() {
                eprintln!("agent {}: all of its log is in {}", self.http.port(), whole.display());
            }
            for line in log.lines().skip(skip) {
                let end = line.floor_char_boundary(SHOWN_WIDTH);
                eprintln!("agent {}: {}", self.http.port(), &line[..end]);
            }
        }
    }
}

/// Status and body of a GET; none if nobody answers within `patience`.
pub fn http_get(address: SocketAddr, path: &str, patience: Duration) -> Option<(u16, String)> {
    http_call(address, "GET", path, "*/*", patience)
}

/// The same for who wants a certain kind of body.
pub fn http_get_as(address: SocketAddr, path: &str, accept: &str, patience: Duration) -> Option<(u16, String)> {
    http_call(address, "GET", path, accept, patience)
}

fn http_call(address: SocketAddr, verb: &str, path: &str, accept: &str, patience: Duration) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    // HTTP/1.0: the answer comes whole, not in chunks, and the connection closes behind it.
    write!(stream, "{verb} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The binary under test: `STREAMGAUGE_BIN`, or the one that Cargo built for this run.
pub fn program() -> PathBuf {
    std::env::var_os("STREAMGAUGE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_streamgauge")), PathBuf::from)
}

/// The config with the sections that the test did not care about.
fn complete(config: &str) -> String {
    let sections = [
        ("state:", "state:\n  dir: ${STATE_DIR}"),
        ("http:", "http:\n  listen: ${HTTP_LISTEN}"),
        ("grpc:", "grpc:\n  listen: ${GRPC_LISTEN}"),
    ];
    let missing = sections.iter().filter(|(key, _)| !config.lines().any(|line| line.starts_with(key)));
    missing.fold(format!("{}\n", config.trim_end()), |text, (_, section)| text + section + "\n")
}

/// An address that nobody listens on and that no outgoing connection is given by the kernel (those start at 32768), so
/// that an agent finds it free again after a kill.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 30_000;
    const COUNT: u16 = 2_700;
    // Each process begins elsewhere: several may run at once.
    let offset = (std::process::id() as u16).wrapping_mul(97) % COUNT;
    for _ in 0..COUNT {
        let port = FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        }
    }
    panic!("no free port from {FIRST} on");
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
