//! Checks of `ingest`.

use std::net::SocketAddr;

use super::super::ingest::{Durability, Ingest};
use super::super::lock::Right;
use super::super::own_topics::is_topic_name;
use super::super::raw::{RawDurability, RawIngest};
use super::lock::{self, Keys};
use super::service::{is_one_socket, listen};
use super::{Checker, HOUR, MILLISECOND, MINUTE, SECOND};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `others`: the listeners that have a port already, with their keys.
pub fn ingest(check: &mut Checker, raw: Option<&RawIngest>, others: [(&str, SocketAddr); 2]) -> Option<Ingest> {
    let raw = raw?;
    check.no_quoted_reference(raw.topic.place, &raw.topic.value);
    if !is_topic_name(&raw.topic.value) {
        let help = "topics have up to 249 letters, digits, `.`, `_` and `-`";
        check.error(raw.topic.place, format!("`{}` is not a valid topic name", raw.topic.value), help);
    }
    let keys = Keys {
        web_config_file: raw.web_config_file.as_ref(),
        tls: raw.tls.as_ref(),
        identities: raw.identities.as_ref(),
        open_health: raw.open_health,
        usual: Right::Ingest,
    };
    let lock = lock::lock(check, &keys);
    let listen = listen(check, "ingest", &raw.listen, 9748, &lock);
    for (key, other) in others {
        if is_one_socket(listen, other) {
            let place = raw.listen.as_ref().map(|at| at.place).unwrap_or(raw.topic.place);
            check.error(
                place,
                format!("`ingest.listen` and `{key}.listen` are the same"),
                "give each a port of its own",
            );
        }
    }
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
        lock,
        topic: raw.topic.value.clone(),
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
