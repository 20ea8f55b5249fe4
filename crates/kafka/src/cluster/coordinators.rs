//! A client of its own for what only a group's coordinator knows.
//!
//! librdkafka keeps who a group's coordinator is, and never asks again while that broker is up: after the group has moved,
//! each answer is `NotCoordinator`. So the client is made anew as soon as a coordinator is gone or was the wrong one. And it
//! is a consumer with a group, which it never joins, because to such an answer a client without one ends the process
//! (`rd_kafka_handle_OffsetFetch` asks for the coordinator of a group that is null).

use super::super::cause::Complaints;
use super::super::login::{self, LoggedIn};
use super::{CallError, ClusterContext};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use std::sync::Arc;

type Client = Arc<LoggedIn<BaseConsumer<ClusterContext>>>;

pub struct Coordinators {
    config: ClientConfig,
    client: Mutex<Option<Client>>,
}

impl Coordinators {
    /// `group`: one that this user may describe.
    pub fn new(mut config: ClientConfig, group: &str) -> Coordinators {
        config.set("group.id", group).set("enable.auto.commit", "false").set("statistics.interval.ms", "0");
        Coordinators { config, client: Mutex::new(None) }
    }

    /// The client; made if there is none.
    pub fn client(&self, what: &'static str) -> Result<Client, CallError> {
        let mut client = self.client.lock();
        if let Some(client) = &*client {
            // It has nothing to tell that the other client does not; but it must not pile up.
            while client.poll(std::time::Duration::ZERO).is_some() {}
            return Ok(client.clone());
        }
        let context = ClusterContext { complaints: Complaints::of(&self.config), ..Default::default() };
        let made: LoggedIn<BaseConsumer<_>> =
            login::client(&self.config, context).map_err(|error: rdkafka::error::KafkaError| {
                CallError::new(what, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
            })?;
        Ok(client.insert(Arc::new(made)).clone())
    }

    /// Forgets who the coordinators are if `error` may come from not knowing; whether to ask again at once.
    pub fn learn(&self, error: RDKafkaErrorCode) -> bool {
        let moved = matches!(error, RDKafkaErrorCode::NotCoordinator | RDKafkaErrorCode::CoordinatorNotAvailable);
        if moved || CallError::new("", error).is_silence() {
            *self.client.lock() = None;
        }
        moved
    }
}
