//! Whom the verbs for topics and load tests ask: Kafka itself, or an agent.

use super::client::AccessArgs;
use super::produce::{parse_duration, parse_property};
use crate::config::{Kafka, Topics as TopicsConfig};
use crate::kafka::Settings;
use crate::topics::{Policy, Topics};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Ask the agent at this address (its grpc.listen) instead of Kafka; what its config allows is what can be done.
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub agent: Option<String>,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Brokers to begin with, host:port, separated by commas.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "localhost:9092", global = true)]
    pub bootstrap_servers: String,
    /// A librdkafka property, such as security.protocol=SASL_SSL. Can be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property, global = true)]
    pub properties: Vec<(String, String)>,
    /// How long to wait for the brokers' answers.
    #[arg(long, default_value = "10s", value_parser = parse_duration, global = true)]
    pub timeout: Duration,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

impl TargetArgs {
    /// Client settings for Kafka itself.
    pub fn settings(&self) -> Settings {
        let properties: BTreeMap<String, String> = self.properties.iter().cloned().collect();
        Settings::new(Kafka::reaching(&self.bootstrap_servers, properties), "streamgauge-cli".into())
    }

    /// Kafka's topics; what may be changed is for Kafka to say.
    pub fn topics(&self) -> Topics {
        let config = TopicsConfig { timeout: self.timeout, ..TopicsConfig::default() };
        Topics::new(self.settings(), &config, Policy::open())
    }
}
