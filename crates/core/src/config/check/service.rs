//! Checks of what surrounds the aggregates: state, listeners, limits, logs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::super::at::At;
use super::super::error::suggest;
use super::super::listeners::{Grpc, Http};
use super::super::lock::{Lock, Right};
use super::super::raw::{RawGrpc, RawHttp, RawLimits, RawState, RawTelemetry};
use super::super::types::{Limits, State, Telemetry};
use super::lock::{self, Keys};
use super::{Checker, DAY, MILLISECOND, SECOND};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub fn state(check: &mut Checker, raw: &RawState) -> State {
    let dir = match &raw.dir {
        None => "./state".into(),
        Some(dir) => {
            check.no_quoted_reference(dir.place, &dir.value);
            if dir.value.trim().is_empty() {
                check.error(dir.place, "the state needs a directory", "`dir: ./state`");
            }
            dir.value.clone()
        }
    };
    State {
        dir: PathBuf::from(dir),
        commit_interval: check.duration(&raw.commit_interval, 100 * MILLISECOND, MILLISECOND..=60 * SECOND),
        guarantee: raw.processing_guarantee.unwrap_or_default(),
        on_loss: raw.on_loss.unwrap_or_default(),
        cache_bytes: check.size(&raw.cache, 64 * MIB, MIB..=1024 * 1024 * MIB),
        standby_replicas: check.count(&raw.standby_replicas, 0, 0..=16),
        global_view: raw.global_view.unwrap_or(false),
        keep_removed: check.duration(&raw.keep_removed, DAY, Duration::ZERO..=365 * DAY),
    }
}

/// The limits, and how many keys an aggregate without a `limit` may have.
pub fn limits(check: &mut Checker, raw: &RawLimits) -> (Limits, usize) {
    let mut bytes = |raw, default, most| {
        let size = check.size(raw, default, 1..=most);
        usize::try_from(size).unwrap_or(usize::MAX)
    };
    let event_bytes = bytes(&raw.event_size, MIB, 1024 * MIB);
    let entry_bytes = bytes(&raw.entry_size, 900 * KIB, 1024 * MIB);
    let label_bytes = bytes(&raw.label_size, KIB, MIB);
    let query_cells = check.count(&raw.query_cells, 100_000, 1..=100_000_000);
    let watchers = check.count(&raw.watchers, 200, 0..=100_000);
    let keys = check.count(&raw.keys_per_aggregate, 10_000, 1..=100_000_000);
    // Less than an agent needs without any state would pause it for ever.
    let budget = check.size(&raw.memory_budget, 0, 64 * MIB..=1024 * 1024 * MIB);
    let memory_budget = raw.memory_budget.as_ref().map(|_| budget);
    (Limits { event_bytes, entry_bytes, query_cells, watchers, label_bytes, memory_budget }, keys)
}

pub fn listeners(check: &mut Checker, http: &RawHttp, grpc: &RawGrpc) -> (Http, Grpc) {
    let http_lock = Keys {
        web_config_file: http.web_config_file.as_ref(),
        tls: http.tls.as_ref(),
        identities: http.identities.as_ref(),
        open_health: http.open_health,
        trusted_proxies: &[],
        proxy_protocol: None,
        usual: Right::Read,
    };
    let grpc_lock = Keys {
        web_config_file: grpc.web_config_file.as_ref(),
        tls: grpc.tls.as_ref(),
        identities: grpc.identities.as_ref(),
        open_health: grpc.open_health,
        trusted_proxies: &[],
        proxy_protocol: None,
        usual: Right::Read,
    };
    let (http_lock, grpc_lock) = (lock::lock(check, &http_lock), lock::lock(check, &grpc_lock));
    let http_listen = listen(check, "http", &http.listen, 9746, &http_lock);
    let grpc_listen = listen(check, "grpc", &grpc.listen, 9747, &grpc_lock);
    if is_one_socket(http_listen, grpc_listen) {
        let place = grpc.listen.as_ref().or(http.listen.as_ref()).map(|at| at.place).unwrap_or_default();
        check.error(place, "`http.listen` and `grpc.listen` are the same", "give each a port of its own");
    }
    let histograms = http.histograms.unwrap_or_default();
    let advertise = grpc.advertise.as_ref().and_then(|raw| advertise(check, raw));
    let peer = lock::peer(check, grpc.peer.as_ref());
    let created_series = http.created_series.unwrap_or(true);
    let cors_origins = http.cors_origins.iter().filter_map(|raw| origin(check, raw)).collect();
    let http = Http { listen: http_listen, histograms, created_series, cors_origins, lock: http_lock };
    (http, Grpc { listen: grpc_listen, advertise, peer, lock: grpc_lock })
}

/// An origin as browsers write it: scheme, host and perhaps a port, in lower case, and nothing after it.
fn origin(check: &mut Checker, raw: &At<String>) -> Option<String> {
    let text = raw.value.trim();
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    if host.is_some_and(|host| !host.is_empty() && host.chars().all(plain)) {
        return Some(text.to_owned());
    }
    let help = match text {
        "*" => "name the origins: any page in a browser that reaches this machine could read the answers",
        _ => "write it as browsers do, without a path: `https://dash.example.com`, `http://localhost:3000`",
    };
    check.error(raw.place, format!("`{text}` is not an origin"), help);
    None
}

/// Whether the second of two listeners would find its port taken by the first.
pub fn is_one_socket(one: SocketAddr, other: SocketAddr) -> bool {
    let one_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && one_host
}

/// `host:port`, as other machines write it.
fn advertise(check: &mut Checker, raw: &At<String>) -> Option<String> {
    let text = raw.value.trim();
    let sound = text.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if sound && text.len() <= 200 {
        return Some(text.to_owned());
    }
    let help = "write a host and a port, such as `gauge-1.example.com:9747`";
    check.error(raw.place, format!("`{text}` is not an address that others can reach"), help);
    None
}

/// Where a listener listens; loopback and `port` unless the config says otherwise.
pub fn listen(check: &mut Checker, what: &str, raw: &Option<At<String>>, port: u16, lock: &Lock) -> SocketAddr {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Some(raw) = raw else { return default };
    let Ok(address) = raw.value.trim().parse::<SocketAddr>() else {
        let help = format!("write an IP address and a port: `127.0.0.1:{port}`, `0.0.0.0:{port}`, `[::1]:{port}`");
        check.error(raw.place, format!("`{}` is not an address to listen on", raw.value), help);
        return default;
    };
    lock::open_beyond_loopback(check, what, address, lock);
    address
}

pub fn telemetry(check: &mut Checker, raw: &RawTelemetry) -> Telemetry {
    Telemetry {
        log_format: raw.log_format.unwrap_or_default(),
        log_level: raw.log_level.as_ref().map_or_else(|| "info".into(), |level| log_level(check, level)),
    }
}

fn log_level(check: &mut Checker, raw: &At<String>) -> String {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let text = raw.value.as_str();
    // A word that is no level would be taken for a module's name, and everything else would fall silent.
    let level = |directive: &str| directive.rsplit('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let unknown = text.split(',').any(|directive| !LEVELS.contains(&level(directive).as_str()));
    if unknown || EnvFilter::try_new(text).is_err() {
        let help = suggest(text, "levels", LEVELS);
        check.error(raw.place, format!("`{text}` is not a log level or filter"), help);
    }
    text.to_owned()
}
