//! Whom the verbs for topics and load tests ask: Kafka itself, or an agent.

use super::Wrong;
use super::client::AccessArgs;
use super::values::{parse_duration, parse_property};
use crate::config::{self, Kafka, Topics as TopicsConfig, login_trouble};
use crate::kafka::Settings;
use crate::topics::{Policy, Topics};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Which brokers, and how to speak to them.
#[derive(Args, Clone, Debug)]
pub struct BrokerArgs {
    /// Take the brokers, and what it takes to speak to them, from this config file: passwords stay out of the process list.
    #[arg(short = 'c', long = "config-file", value_name = "FILE", conflicts_with = "properties", global = true)]
    config_file: Option<PathBuf>,
    /// Brokers to begin with, host:port, separated by commas, where no config file names them [default: localhost:9092].
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", value_name = "SERVERS", global = true)]
    bootstrap_servers: Option<String>,
    /// A librdkafka property, such as security.protocol=SASL_SSL. Can be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property, global = true)]
    pub properties: Vec<(String, String)>,
}

impl BrokerArgs {
    /// How Kafka is reached.
    ///
    /// # Errors
    /// If the config file cannot be used.
    pub fn kafka(&self) -> Result<Kafka, Wrong> {
        let Some(file) = &self.config_file else {
            let servers = self.bootstrap_servers.as_deref().unwrap_or(DEFAULT_BROKERS);
            return reaching(servers, &self.properties);
        };
        let kafka = config::load(file).map_err(|error| Wrong(error.to_string()))?.kafka;
        Ok(Kafka::reaching(&kafka.bootstrap_servers, kafka.properties))
    }
}

/// The Kafka at `servers`, by properties that nobody has checked.
///
/// # Errors
/// If one cannot log in with them.
pub fn reaching(servers: &str, properties: &[(String, String)]) -> Result<Kafka, Wrong> {
    let properties = properties.iter().cloned().collect();
    match login_trouble(&properties) {
        None => Ok(Kafka::reaching(servers, properties)),
        Some(trouble) => Err(Wrong(format!("{}: {}", trouble.message, trouble.help))),
    }
}

const DEFAULT_BROKERS: &str = "localhost:9092";

#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Ask the agent at this address (its grpc.listen) instead of Kafka; what its config allows is what can be done.
    #[arg(long, visible_alias = "grpc", value_name = "HOST:PORT", global = true)]
    pub agent: Option<String>,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    brokers: BrokerArgs,
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
    ///
    /// # Errors
    /// If the config file cannot be used.
    pub fn settings(&self) -> Result<Settings, Wrong> {
        Ok(Settings::new(self.brokers.kafka()?, "streamgauge-cli".into()))
    }

    /// Kafka's topics; what may be changed is for Kafka to say.
    ///
    /// # Errors
    /// If the config file cannot be used.
    pub fn topics(&self) -> Result<Topics, Wrong> {
        let config = TopicsConfig { timeout: self.timeout, ..TopicsConfig::default() };
        Ok(Topics::new(self.settings()?, &config, Policy::open()))
    }
}
