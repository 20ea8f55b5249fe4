//! Streamgauge turns Kafka log topics into exact, durable, event-time metrics. This file is the map of the house.
//!
//! Dependencies point one way:
//! `cli → app → worker → commit, replica → sources → state → aggregate`, with `decode` under `worker` and `kafka` under `commit`
//! and `replica`; `grpc, http → api → query`, `export → publish → query → sources`. `audit` shares nothing with what it checks; `monitoring`
//! turns a config into rules and dashboards. `config`, `telemetry`,
//! `clock`, `stop` and `failpoint` are known to all and know none.
//!
//! The lowest rooms are crates of their own, so that the compiler holds their walls: `crates/core` is pure, `crates/kafka`
//! knows librdkafka, `crates/runtime` has the clock. Here they have the names of rooms like any other.

pub use streamgauge_core::{aggregate, config, decode, generate, measure, value};
pub use streamgauge_kafka as kafka;
pub use streamgauge_runtime::{clock, failpoint, stop};

pub mod api;
pub mod app;
pub mod audit;
pub mod cli;
pub mod cluster;
pub mod commit;
pub mod draft;
pub mod env;
pub mod export;
pub mod grpc;
pub mod http;
pub mod human;
pub mod ingest;
pub mod loadtest;
pub mod monitoring;
pub mod overview;
pub mod publish;
pub mod query;
pub mod recent;
pub mod replica;
pub mod sample;
pub mod schemas;
pub mod server;
pub mod sources;
pub mod spool;
pub mod state;
pub mod telemetry;
pub mod topics;
pub mod worker;
