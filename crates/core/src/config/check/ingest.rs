//! Checks of `ingest`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::super::at::Place;
use super::super::ingest::{Durability, Ingest};
use super::super::lock::Right;
use super::super::raw::{RawDurability, RawIngest};
use super::ingest_events::{Kind, destination, topic, user_events};
use super::lock::{self, Keys};
use super::service::{self, is_one_socket};
use super::{Checker, HOUR, MILLISECOND, MINUTE, SECOND};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `others`: the listeners that have a port already, with their keys.
pub fn ingest(check: &mut Checker, raw: Option<&RawIngest>, others: [(&str, SocketAddr); 2]) -> Option<Ingest> {
    let raw = raw?;
    let mut paths = BTreeSet::new();
    let logs = raw.topic.as_ref().map(|at| {
        topic(check, at);
        destination(check, &Kind::Logs, at, &raw.routes, &mut paths)
    });
    if let (None, Some(route)) = (&logs, raw.routes.first()) {
        let help = "`topic: logs` is where all others go; routes of user events are below `events`";
        check.error(route.place, "`routes` of log events need a `topic`", help);
    }
    let events = raw.events.as_ref().map(|events| user_events(check, events, &mut paths));
    if logs.is_none() && events.is_none() {
        let help = "`topic: logs` takes log events, `events: { topic: user_events }` user events";
        check.error(Place::default(), "`ingest` has neither a `topic` nor `events`", help);
    }
    let keys = Keys {
        web_config_file: raw.web_config_file.as_ref(),
        tls: raw.tls.as_ref(),
        identities: raw.identities.as_ref(),
        open_health: raw.open_health,
        trusted_proxies: &raw.trusted_proxies,
        proxy_protocol: raw.proxy_protocol.as_ref(),
        usual: Right::Ingest,
    };
    let lock = lock::lock(check, &keys);
    let listen = service::listen(check, "ingest", &raw.listen, 9748, &lock);
    for (key, other) in others {
        if is_one_socket(listen, other) {
            let place = raw.listen.as_ref().or(raw.topic.as_ref()).map(|at| at.place).unwrap_or_default();
            check.error(
                place,
                format!("`ingest.listen` and `{key}.listen` are the same"),
                "give each a port of its own",
            );
        }
    }
    let own = [("otlp_grpc", &raw.otlp_grpc, 4317), ("syslog", &raw.syslog, 6514)];
    let mut taken = [others[0], others[1], ("ingest", listen), ("ingest.otlp_grpc", listen)];
    let [otlp_grpc, syslog] = own.map(|(name, raw, port)| {
        let at = raw.as_ref()?;
        let key = format!("ingest.{name}");
        let address = service::listen(check, &key, raw, port, &lock);
        if let Some((other, _)) = taken.iter().find(|(_, other)| is_one_socket(address, *other)) {
            let other = if *other == "ingest.otlp_grpc" { (*other).to_owned() } else { format!("{other}.listen") };
            check.error(at.place, format!("`{key}` and `{other}` are the same"), "give each a port of its own");
        }
        if logs.is_none() {
            check.error(at.place, format!("`{name}` takes log events, which need a `topic`"), "`topic: logs`");
        }
        taken[3].1 = address;
        Some(address)
    });
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let body_bytes = check.size(&raw.body_size, 8 * MIB, KIB..=256 * MIB);
    let event_bytes = check.size(&raw.event_size, 256 * KIB, KIB..=64 * MIB);
    let buffer_bytes = check.size(&raw.buffer_size, 64 * MIB, MIB..=64 * GIB);
    let spool_bytes = check.size(&raw.spool_size, GIB, MIB..=16 * 1024 * GIB);
    for (key, size, at) in
        [("buffer_size", buffer_bytes, &raw.buffer_size), ("spool_size", spool_bytes, &raw.spool_size)]
    {
        if size < 4 * event_bytes {
            // Of the defaults, none is too small for another.
            let place = at.as_ref().or(raw.event_size.as_ref()).map(|at| at.place).unwrap_or_default();
            let help = "it has to hold four events of the largest size at least";
            check.error(place, format!("`{key}` is too small for `event_size`"), help);
        }
    }
    let per_second = |rate: usize| u32::try_from(rate).unwrap_or(u32::MAX);
    Some(Ingest {
        listen,
        otlp_grpc,
        syslog,
        lock,
        logs,
        events,
        durability: match raw.durability {
            Some(RawDurability::Spooled) => Durability::Spooled,
            Some(RawDurability::Buffered) | None => Durability::Buffered,
        },
        delivery_timeout: check.duration(&raw.delivery_timeout, 5 * SECOND, 100 * MILLISECOND..=5 * MINUTE),
        circuit_open: check.duration(&raw.circuit_open, MINUTE, 100 * MILLISECOND..=HOUR),
        buffer_bytes: bytes(buffer_bytes),
        spool_bytes,
        requests_per_second: per_second(check.count(&raw.requests_per_second, 100, 0..=1_000_000)),
        batches_per_second: per_second(check.count(&raw.batches_per_second, 10, 0..=1_000_000)),
        body_bytes: bytes(body_bytes),
        event_bytes: bytes(event_bytes),
        batch_events: check.count(&raw.batch_events, 10_000, 1..=1_000_000),
    })
}
