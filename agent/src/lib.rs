//! Streamgauge turns Kafka log topics into exact, durable, event-time metrics. This file is the map of the house.
//!
//! Dependencies point one way:
//! `cli → worker → commit, replica → sources → state → aggregate`, with `decode` under `worker` and `kafka` under `commit`
//! and `replica`; `grpc, http, export → publish → query → sources`. `audit` shares nothing with what it checks; `monitoring`
//! turns a config into rules and dashboards. `config`, `telemetry`,
//! `clock`, `stop` and `failpoint` are known to all and know none.

pub mod aggregate;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod commit;
pub mod config;
pub mod decode;
pub mod export;
pub mod failpoint;
pub mod generate;
pub mod grpc;
pub mod http;
pub mod kafka;
pub mod loadtest;
pub mod monitoring;
pub mod publish;
pub mod query;
pub mod replica;
pub mod sources;
pub mod state;
pub mod stop;
pub mod telemetry;
pub mod topics;
pub mod worker;
