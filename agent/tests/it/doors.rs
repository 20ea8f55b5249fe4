//! The listeners' locks from outside, with the clients that operators have: curl, grpcurl, Prometheus' scraper, OpenSSL and
//! `streamgauge` itself. Each cell of the matrix is a call: listener × TLS × credentials × right.

pub mod authority;
mod clients;
mod files;
mod scraped;

use std::net::SocketAddr;

use streamgauge_proto::FILE_DESCRIPTOR_SET;

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::scene::Scene;
use authority::{Authority, Files};
use clients::{Caller, Outcome, Shown, Transport};
use scraped::Job;

const READER: &str = "the-token-of-the-reader";
const WATCHER: &str = "the-token-of-the-watcher";
const OPERATOR: &str = "the-token-of-the-operator";
const WRONG: &str = "a-token-that-nobody-has";
const PASSWORD: &str = "correct horse";

/// Files for all listeners of a test: an authority that is trusted, one that is not, and a certificate for everybody.
fn files(authority: &Authority) -> Files {
    let files = Files::new();
    files.authority("ca", authority);
    files.pair("server", authority, &["localhost", "127.0.0.1"]);
    for name in ["reader", "watcher", "somebody"] {
        files.pair(name, authority, &[&format!("{name}.example.com")]);
    }
    let stranger = Authority::new();
    files.pair("stranger", &stranger, &["reader.example.com"]);
    for (name, token) in [("reader", READER), ("watcher", WATCHER), ("operator", OPERATOR)] {
        files.write(&format!("{name}.token"), token);
    }
    files.write("api.binpb", FILE_DESCRIPTOR_SET);
    files.write("health.binpb", tonic_health::pb::FILE_DESCRIPTOR_SET);
    files
}

fn hash() -> String {
    bcrypt::hash(PASSWORD, 4).expect("a hash")
}

/// The keys of a lock, below `http` and `grpc` alike. The reader reads, the watcher looks at the cluster, and the operator
/// may change what can be changed.
fn lock(files: &Files, transport: Transport) -> String {
    let client_ca = format!(", client_ca: {}", files.text("ca.pem"));
    let tls = match transport {
        Transport::Plain => String::new(),
        Transport::Tls => tls(files, ""),
        Transport::Mtls(_) => tls(files, &client_ca),
    };
    let identity = |name: &str, may: &str| {
        let subject = match transport {
            Transport::Mtls(_) => format!(", certificate_subject: {name}"),
            _ => String::new(),
        };
        let token = files.text(&format!("{name}.token"));
        format!("    {name}: {{ token_file: {token}, password_hash: '{}', may: [{may}]{subject} }}\n", hash())
    };
    let reader = identity("reader", "read");
    let watcher = identity("watcher", "cluster_read");
    let operator = identity("operator", "read, events, cluster_read, reload, topics");
    format!("{tls}  identities:\n{reader}{watcher}{operator}")
}

fn tls(files: &Files, more: &str) -> String {
    format!("  tls: {{ certificate: {}, key: {}{more} }}\n", files.text("server.pem"), files.text("server.key"))
}

/// An agent of a group of its own whose listeners have these keys.
fn agent(scene: &Scene, group: &str, http: &str, grpc: &str) -> Agent {
    let mut config = scene.config().replace(&scene.group, &format!("{}-{group}", scene.group));
    for (listen, keys) in [("  listen: ${HTTP_LISTEN}", http), ("  listen: ${GRPC_LISTEN}", grpc)] {
        assert_eq!(config.matches(listen).count(), 1, "{listen}");
        config = config.replace(listen, &format!("{listen}\n{keys}"));
    }
    Agent::start(scene.kafka.bootstrap(), &config)
}

/// One agent for each transport, with the same lock on both of its listeners.
struct Doors {
    files: Files,
    agents: [(Transport, Agent); 3],
}

impl Doors {
    fn open(scene: &Scene) -> Doors {
        let files = files(&Authority::new());
        let transports = [Transport::Plain, Transport::Tls, Transport::Mtls(Some("somebody"))];
        let agents = transports.map(|transport| {
            let group = match transport {
                Transport::Plain => "plain",
                Transport::Tls => "tls",
                Transport::Mtls(_) => "mtls",
            };
            let keys = lock(&files, transport);
            (transport, agent(scene, group, &keys, &keys))
        });
        let doors = Doors { files, agents };
        for (transport, agent) in &doors.agents {
            // Health is open to everybody who can connect.
            wait_until("an agent answers", || doors.try_curl(*transport, agent.http()));
        }
        doors
    }

    fn try_curl(&self, transport: Transport, address: SocketAddr) -> bool {
        std::net::TcpStream::connect(address).is_ok()
            && self.caller(transport, Shown::Nothing).curl(address, "GET", "/-/healthy") == Outcome::Answered
    }

    /// Everybody who calls a listener of this transport.
    fn callers(&self, transport: Transport) -> Vec<(Caller<'_>, Who)> {
        if transport == Transport::Plain || transport == Transport::Tls {
            return SHOWN.iter().map(|(shown, who)| (self.caller(transport, *shown), *who)).collect();
        }
        let all = WITH_CERTIFICATES.iter();
        all.map(|(certificate, shown, who)| (self.caller(Transport::Mtls(*certificate), *shown), *who)).collect()
    }

    fn caller(&self, transport: Transport, shown: Shown) -> Caller<'_> {
        Caller { files: &self.files, transport, shown, request: "matrix".to_owned() }
    }
}

/// What is shown on listeners with and without TLS, and who that is.
const SHOWN: [(Shown, Who); 7] = [
    (Shown::Nothing, Who::Nobody),
    (Shown::Token(WRONG), Who::Nobody),
    (Shown::Password("reader", "incorrect horse"), Who::Nobody),
    (Shown::Token(READER), Who::Reader),
    (Shown::Password("reader", PASSWORD), Who::Reader),
    (Shown::Token(WATCHER), Who::Watcher),
    (Shown::Password("operator", PASSWORD), Who::Operator),
];

/// The same where every caller needs a certificate: what else is shown counts, else the certificate's subject.
const WITH_CERTIFICATES: [(Option<&'static str>, Shown, Who); 8] = [
    (None, Shown::Token(READER), Who::NoTls),
    (Some("stranger"), Shown::Token(READER), Who::NoTls),
    (Some("somebody"), Shown::Nothing, Who::Nobody),
    (Some("reader"), Shown::Nothing, Who::Reader),
    (Some("watcher"), Shown::Nothing, Who::Watcher),
    (Some("reader"), Shown::Token(OPERATOR), Who::Operator),
    (Some("reader"), Shown::Token(WRONG), Who::Nobody),
    (Some("somebody"), Shown::Password("watcher", PASSWORD), Who::Watcher),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    NoTls,
    Nobody,
    Reader,
    Watcher,
    Operator,
}

impl Who {
    /// What comes of a call that these may make.
    fn outcome(self, allowed: &[Who]) -> Outcome {
        match self {
            Who::NoTls => Outcome::NoTls,
            _ if allowed.contains(&self) => Outcome::Answered,
            Who::Nobody => Outcome::Unknown,
            Who::Reader | Who::Watcher | Who::Operator => Outcome::Forbidden,
        }
    }
}

const EVERYBODY: &[Who] = &[Who::Nobody, Who::Reader, Who::Watcher, Who::Operator];

/// Pages, and who may have them.
const PAGES: [(&str, &str, &[Who]); 5] = [
    ("GET", "/-/healthy", EVERYBODY),
    ("GET", "/metrics", &[Who::Reader, Who::Operator]),
    ("GET", "/-/config", &[Who::Reader, Who::Operator]),
    ("GET", "/api/v1/events", &[Who::Operator]),
    ("POST", "/-/reload", &[Who::Operator]),
];

/// Methods, and who may call them.
const METHODS: [(&str, &str, &[Who]); 5] = [
    ("grpc.health.v1.Health/Check", "{}", EVERYBODY),
    ("streamgauge.v1.QueryService/ListAggregates", "{}", &[Who::Reader, Who::Operator]),
    ("streamgauge.v1.QueryService/ListRecentEvents", "{}", &[Who::Operator]),
    ("streamgauge.v1.TopicService/ListTopics", "{}", &[Who::Watcher, Who::Operator]),
    ("streamgauge.v1.TopicService/DeleteTopic", r#"{"name": "x"}"#, &[Who::Operator]),
];

#[test]
fn every_cell_of_the_matrix_is_what_the_lock_says() {
    let shown = "format: json\n    recent_events: { fields: { endpoint: endpoint } }";
    let scene = Scene::new("doors", 1).replacing("format: json", shown);
    let doors = Doors::open(&scene);
    let mut wrong = Vec::new();
    let mut jobs = Vec::new();
    for (transport, agent) in &doors.agents {
        for (caller, who) in doors.callers(*transport) {
            let cell = format!("{:?} {:?}", caller.transport, caller.shown);
            let mut check = |what: &str, found: Outcome, allowed: &[Who]| {
                let expected = who.outcome(allowed);
                if found != expected {
                    wrong.push(format!("{cell} {what}: {found:?} instead of {expected:?}"));
                }
            };
            for (method, path, allowed) in PAGES {
                check(path, caller.curl(agent.http(), method, path), allowed);
            }
            for (method, request, allowed) in METHODS {
                check(method, caller.grpcurl(agent.grpc(), method, request), allowed);
            }
            let expected = who.outcome(&[Who::Reader, Who::Operator]);
            jobs.push(Job { name: cell, address: agent.http(), scrape: caller.scrape(), expected });
        }
    }
    wrong.extend(scraped::wrong(&jobs));
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));

    // Whoever was refused can find the line about it, and an operator the number.
    for (transport, agent) in &doors.agents {
        let log = agent.log();
        for outcome in ["unauthenticated", "forbidden"] {
            let line = |line: &&str| line.contains("audit: refused") && line.contains(outcome);
            let found = log.lines().filter(line).filter(|line| line.contains("request_id=\"matrix\"")).count();
            assert!(found > 0, "{transport:?}: no line about a call that is {outcome}:\n{log}");
        }
        assert!(log.contains("audit: called"), "{transport:?}: the reload does not stand in the log:\n{log}");
        let secrets = [READER, WATCHER, OPERATOR, WRONG, PASSWORD].map(|secret| log.contains(secret));
        assert_eq!(secrets, [false; 5], "{transport:?}: a secret stands in the log");
    }
}

#[test]
fn tls_is_with_the_listeners_own_authority_or_not_at_all() {
    let scene = Scene::new("doors", 1);
    let doors = Doors::open(&scene);
    let [(_, plain), (_, with_tls), _] = &doors.agents;
    let shown = Shown::Token(READER);
    let by = |transport| doors.caller(transport, shown);
    let method = METHODS[1].0;
    assert_eq!(by(Transport::Plain).curl(with_tls.http(), "GET", "/metrics"), Outcome::NoTls);
    assert_eq!(by(Transport::Plain).grpcurl(with_tls.grpc(), method, "{}"), Outcome::NoTls);
    assert_eq!(by(Transport::Tls).curl(plain.http(), "GET", "/metrics"), Outcome::NoTls);
    assert_eq!(by(Transport::Tls).grpcurl(plain.grpc(), method, "{}"), Outcome::NoTls);
    for version in ["-tls1", "-tls1_1"] {
        let output = files::s_client(with_tls.http(), &doors.files, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert!(!output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stdout));
    }
    assert!(files::s_client(with_tls.http(), &doors.files, &["-tls1_2"]).status.success(), "TLS 1.2 is spoken");
    // Its own authority is another one than the client knows.
    doors.files.authority("ca", &Authority::new());
    assert_eq!(by(Transport::Tls).curl(with_tls.http(), "GET", "/metrics"), Outcome::NoTls);
    assert_eq!(by(Transport::Tls).grpcurl(with_tls.grpc(), method, "{}"), Outcome::NoTls);
}

#[test]
fn a_file_that_an_operator_has_for_prometheus_locks_the_agent() {
    let scene = Scene::new("doors", 1);
    let files = files(&Authority::new());
    let tls = "  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n";
    let allowed = "  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [reader.example.com]\n";
    let users = format!("basic_auth_users:\n  reader: '{}'\n", hash());
    // As Prometheus reads it: paths are beside the file.
    files.write("web.yml", format!("tls_server_config:\n{tls}{allowed}{users}"));
    let agent = agent(&scene, "web", &format!("  web_config_file: {}\n", files.text("web.yml")), "");
    let caller = |certificate, shown| Caller {
        files: &files,
        transport: Transport::Mtls(certificate),
        shown,
        request: "web-config".to_owned(),
    };
    wait_until("the agent answers", || {
        std::net::TcpStream::connect(agent.http()).is_ok()
            && caller(Some("reader"), Shown::Nothing).curl(agent.http(), "GET", "/-/healthy") == Outcome::Answered
    });
    let (right, wrong) = (Shown::Password("reader", PASSWORD), Shown::Password("reader", "incorrect horse"));
    let cells = [
        (Some("reader"), right, Outcome::Answered),
        (Some("reader"), wrong, Outcome::Unknown),
        (Some("reader"), Shown::Nothing, Outcome::Unknown),
        // The same authority, another name.
        (Some("watcher"), right, Outcome::NoTls),
        // The name, another authority.
        (Some("stranger"), right, Outcome::NoTls),
        (None, right, Outcome::NoTls),
    ];
    let mut jobs = Vec::new();
    for (certificate, shown, expected) in cells {
        let caller = caller(certificate, shown);
        let name = format!("{certificate:?} {shown:?}");
        assert_eq!(caller.curl(agent.http(), "GET", "/metrics"), expected, "{name}");
        jobs.push(Job { name, address: agent.http(), scrape: caller.scrape(), expected });
    }
    assert_eq!(scraped::wrong(&jobs), Vec::<String>::new());
    let caller = caller(Some("reader"), right);
    assert_eq!(caller.curl(agent.http(), "POST", "/-/reload"), Outcome::Answered, "its users may do everything");
}

/// Beside the matrix, for its wrong tokens are as many as one address may show.
#[test]
fn the_page_and_queries_in_json_are_for_those_who_may_read() {
    let scene = Scene::new("doors", 1);
    let files = files(&Authority::new());
    let keys = lock(&files, Transport::Plain);
    let agent = agent(&scene, "json", &keys, &keys);
    let by = |shown| Caller { files: &files, transport: Transport::Plain, shown, request: "json".to_owned() };
    wait_until("the agent answers", || {
        std::net::TcpStream::connect(agent.http()).is_ok()
            && by(Shown::Nothing).curl(agent.http(), "GET", "/-/healthy") == Outcome::Answered
    });
    for path in ["/", "/-/page.css", "/-/page.js", "/api/v1/aggregates", "/api/v1/status", "/api/v1/openapi.json"] {
        assert_eq!(by(Shown::Token(READER)).curl(agent.http(), "GET", path), Outcome::Answered, "{path}");
    }
    for path in ["/", "/-/live", "/-/page.js", "/api/v1/query/http", "/api/v1/watch/http", "/api/v1/openapi.json"] {
        assert_eq!(by(Shown::Nothing).curl(agent.http(), "GET", path), Outcome::Unknown, "{path}");
        assert_eq!(by(Shown::Token(WATCHER)).curl(agent.http(), "GET", path), Outcome::Forbidden, "{path}");
    }
}
