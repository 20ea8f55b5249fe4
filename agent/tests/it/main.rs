//! The one integration binary: the whole agent against a real Kafka, and the tidiness of the repository itself.
//!
//! `scripts/test` runs it; `cargo test -p streamgauge --test it` does too. Brokers come from `scripts/kafka`.
#![allow(clippy::disallowed_methods, reason = "tests read the clock and the environment")]

#[allow(dead_code, reason = "a fixture offers more than today's tests use")]
mod agent;
mod audit;
mod bad_starts;
mod calls;
mod causes;
mod chart;
mod cluster;
mod commits;
mod connect;
mod costs;
mod dead_letters;
mod demo;
mod docs;
mod doors;
mod early;
mod exactly_once;
mod examples;
mod expiry;
mod faults;
mod formats;
mod growth;
mod hanging;
mod ingest;
mod ipv6;
#[allow(dead_code, reason = "a fixture offers more than today's tests use")]
mod kafka;
mod loadtest;
mod log_formats;
mod logins;
mod logs;
mod monitoring;
#[allow(dead_code, reason = "a fixture offers more than today's tests use")]
mod oracle;
mod otlp;
mod packages;
mod page;
mod pipes;
mod policies;
mod pressure;
mod produce;
mod proxy;
mod queries;
mod query_verb;
#[allow(dead_code, reason = "a fixture offers more than today's tests use")]
mod receiver;
mod recent;
mod recreated;
mod registry;
mod reload;
#[cfg(feature = "vrl")]
mod remap;
mod rights;
mod scale;
mod scene;
mod sessions;
mod several;
mod smoke;
mod sources;
mod state_verbs;
mod statistics;
mod stored;
mod tidy;
mod top;
mod topics;
mod truncated;
mod walls;

/// True under `scripts/test --all`, which also runs what takes many minutes.
pub fn heavy_tests() -> bool {
    std::env::var("STREAMGAUGE_TEST_ALL").is_ok_and(|v| v == "1")
}
