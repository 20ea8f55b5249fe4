//! librdkafka's properties for each client we make: the user's, then what the protocol depends on.

use super::stats::Clients;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::time::Duration;
use streamgauge_core::config::{Guarantee, Kafka, Membership};

/// The ids that make a restarted process the same member of its group.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Stable id of this agent, from its state directory.
    pub instance: String,
    /// Worker number within the agent.
    pub worker: usize,
}

impl Identity {
    /// The name that the group knows the worker by.
    pub fn member(&self) -> String {
        format!("{}-{}", self.instance, self.worker)
    }
}

/// Makes client configurations.
#[derive(Clone, Debug)]
pub struct Settings {
    kafka: Kafka,
    client_id: String,
    /// Where the other agents of the group reach this one.
    advertised: Option<String>,
    /// How often what was read is committed, and thereby shown.
    commit_interval: Duration,
    clients: Clients,
}

const CLIENT_ID: &str = "client.id";
/// What stands between a client's name and its advertised address in `client.id`.
const AT: char = '@';

/// The address that a member of the group advertises in its `client.id`.
pub fn advertised(client_id: &str) -> Option<&str> {
    client_id.rsplit_once(AT).map(|(_, address)| address).filter(|address| !address.is_empty())
}

impl Settings {
    pub fn new(kafka: Kafka, client_id: String) -> Self {
        let commit_interval = Duration::from_millis(100);
        Settings { kafka, client_id, advertised: None, commit_interval, clients: Clients::default() }
    }

    /// The same for an agent that others reach at `address`: its members of the group say so.
    pub fn advertise(mut self, address: Option<String>) -> Self {
        self.advertised = address;
        self
    }

    /// The same for an agent that commits so often.
    pub fn committing_every(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// How long what a worker shows may be shown after its last commit began: less than the group's patience with it.
    pub fn lease(&self) -> Duration {
        self.kafka.session_timeout * 2 / 3
    }

    /// The consumer group's id.
    pub fn group(&self) -> &str {
        &self.kafka.group_id
    }

    /// Views of the clients that these settings made.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// How brokers name our clients, in their logs and quotas: what the user says goes before our own name.
    fn client_id(&self) -> String {
        match self.kafka.properties.get(CLIENT_ID) {
            Some(prefix) => format!("{prefix}-{}", self.client_id),
            None => self.client_id.clone(),
        }
    }

    /// What all clients share.
    pub fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", self.client_id());
        config.set("bootstrap.servers", &self.kafka.bootstrap_servers);
        // A broker that is gone should not be asked again only after the default of up to 10 s.
        config.set("reconnect.backoff.max.ms", "2000");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        config.set("allow.auto.create.topics", "false");
        config
    }

    fn with_user_properties(&self, mut config: ClientConfig, of: fn(&str) -> bool) -> ClientConfig {
        for (key, value) in self.kafka.properties.iter().filter(|(key, _)| *key != CLIENT_ID && of(key)) {
            config.set(key, value);
        }
        config
    }

    /// A client without a group or a transaction.
    pub fn plain(&self) -> ClientConfig {
        self.with_user_properties(self.base(), is_common)
    }

    /// A load test's producer; the test itself sets how it produces.
    pub fn load(&self) -> ClientConfig {
        let mut config = self.base();
        // As the producers of others: the same key goes to the same partition, whoever produced it.
        config.set("partitioner", "murmur2_random");
        config.set("message.timeout.ms", "120000");
        config.set("reconnect.backoff.max.ms", "1000");
        self.with_user_properties(config, |key| !is_consumer_only(key))
    }

    /// The worker's consumer.
    pub fn consumer(&self, identity: &Identity) -> ClientConfig {
        let mut config = self.base();
        config.set("group.id", &self.kafka.group_id);
        if let Some(address) = &self.advertised {
            config.set("client.id", format!("{}{AT}{address}", self.client_id()));
        }
        if self.kafka.membership == Membership::Static {
            config.set("group.instance.id", identity.member());
        }
        config.set("session.timeout.ms", self.kafka.session_timeout.as_millis().to_string());
        config.set("heartbeat.interval.ms", (self.kafka.session_timeout.as_millis() / 6).clamp(200, 3_000).to_string());
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // The default of 1000 throttles catching up to a third of what 10 reaches.
        config.set("fetch.queue.backoff.ms", "10");
        // How soon added partitions are noticed.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        // A broker answers when there is much, or after a third of the time between two commits: answering each record that
        // comes took as much of a core at 4,000 events a second as at 40,000.
        config.set("fetch.wait.max.ms", (self.commit_interval.as_millis() / 3).clamp(5, 250).to_string());
        config.set("fetch.min.bytes", "262144");
        // An answer is unpacked as a whole, and each of its messages takes 300 bytes beside its own: while catching up, this is
        // most of an agent's memory. Half of the queue took a third of the rate at which records can be fetched.
        config.set("fetch.max.bytes", "2097152");
        config.set("queued.max.messages.kbytes", "8192");
        config.set("fetch.message.max.bytes", "1048576");
        config.set("statistics.interval.ms", "1000");
        let mut config = self.with_user_properties(config, |key| !is_producer_only(key));
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed");
        // Where to read on is always our decision; a position outside the log comes back as an error.
        config.set("auto.offset.reset", "error");
        // The batch call takes an end for a record and moves librdkafka's position past it; after a rebalance the next
        // record would be skipped.
        config.set("enable.partition.eof", "false");
        config
    }

    /// The id that a worker's transactions run under.
    pub fn transactional_id(&self, identity: &Identity) -> String {
        format!("{}-{}", self.kafka.group_id, identity.member())
    }

    /// The group's member that such an id is of; `None` if it is not of this group.
    pub fn member_of<'a>(&self, transactional_id: &'a str) -> Option<&'a str> {
        transactional_id.strip_prefix(&self.kafka.group_id)?.strip_prefix('-')
    }

    /// A producer that is to end what another one with this id left open, and nothing else.
    pub fn ending_producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.with_user_properties(self.base(), |key| !is_consumer_only(key));
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("transactional.id", transactional_id);
        self.limit_transactions(&mut config);
        config
    }

    /// A producer of records that are copied, under an id of its own.
    pub(super) fn copying_producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.ending_producer(transactional_id);
        // As the producers of others: the same key goes to the same partition, whoever produced it.
        config.set("partitioner", "murmur2_random");
        config.set("message.max.bytes", "16777216");
        config
    }

    fn limit_transactions(&self, config: &mut ClientConfig) {
        let timeout = self.kafka.transaction_timeout.as_millis().to_string();
        // Another name of the same setting.
        config.remove("message.timeout.ms");
        config.set("transaction.timeout.ms", &timeout).set("delivery.timeout.ms", timeout);
    }

    /// The worker's producer; with a transactional id if the guarantee asks for it.
    pub fn producer(&self, identity: &Identity, guarantee: Guarantee) -> ClientConfig {
        let mut config = self.base();
        config.set("linger.ms", "0");
        config.set("statistics.interval.ms", "5000");
        config.set("compression.type", "lz4");
        config.set("message.max.bytes", "16777216");
        config.set("queue.buffering.max.messages", "200000");
        config.set("queue.buffering.max.kbytes", "65536");
        let mut config = self.with_user_properties(config, |key| !is_consumer_only(key));
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        if guarantee.is_transactional() {
            config.set("transactional.id", self.transactional_id(identity));
            self.limit_transactions(&mut config);
        }
        config
    }

    /// A consumer outside any group: reads partitions it is told to.
    pub fn reader(&self, read_committed: bool) -> ClientConfig {
        let mut config = self.base();
        // librdkafka wants a group id to make a consumer that can be assigned; nothing is committed under it.
        config.set("group.id", &self.kafka.group_id);
        config.set("fetch.queue.backoff.ms", "10");
        config.set("fetch.wait.max.ms", "20");
        config.set("queued.max.messages.kbytes", "16384");
        let mut config = self.with_user_properties(config, |key| !is_producer_only(key) && !is_group_only(key));
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        config.set("isolation.level", if read_committed { "read_committed" } else { "read_uncommitted" });
        config
    }

    /// A reader that wants one record of each of many partitions.
    pub fn peeking_reader(&self) -> ClientConfig {
        let mut config = self.reader(true);
        config.set("fetch.message.max.bytes", "16384").set("queued.min.messages", "1");
        config
    }
}

fn is_group_only(key: &str) -> bool {
    matches!(key, "group.protocol" | "group.remote.assignor" | "session.timeout.ms" | "heartbeat.interval.ms")
        || key.starts_with("max.poll.")
}

fn is_consumer_only(key: &str) -> bool {
    is_group_only(key)
        || key.starts_with("fetch.")
        || key.starts_with("queued.")
        || matches!(key, "check.crcs" | "partition.assignment.strategy")
}

fn is_producer_only(key: &str) -> bool {
    key.starts_with("queue.buffering.")
        || key.starts_with("batch.")
        || key.starts_with("compression.")
        || matches!(
            key,
            "linger.ms"
                | "message.timeout.ms"
                | "delivery.timeout.ms"
                | "request.timeout.ms"
                | "sticky.partitioning.linger.ms"
                | "retries"
                | "message.send.max.retries"
                | "partitioner"
                | "acks"
        )
}

fn is_common(key: &str) -> bool {
    !is_consumer_only(key) && !is_producer_only(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::KafkaError;
    use rdkafka_sys as sys;
    use std::ffi::CStr;
    use streamgauge_core::config::LIBRDKAFKA_PROPERTIES;

    #[test]
    fn the_rack_reaches_each_consumer_and_the_name_of_a_client_is_ours_with_the_users_before_it() {
        let properties = [("client.id", "shop"), ("client.rack", "b")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let kafka = Kafka::reaching("x:1", properties.into());
        let settings = Settings::new(kafka, "streamgauge".into()).advertise(Some("[::1]:9747".into()));
        let identity = Identity { instance: "i".into(), worker: 0 };
        let consumer = settings.consumer(&identity);
        for config in [&consumer, &settings.reader(true), &settings.plain()] {
            assert_eq!(config.get("client.rack"), Some("b"));
            assert!(config.get("client.id").is_some_and(|id| id.starts_with("shop-streamgauge")), "{config:?}");
        }
        assert_eq!(consumer.get("client.id").and_then(advertised), Some("[::1]:9747"));
        assert_eq!(settings.plain().get("client.id").and_then(advertised), None);
    }

    #[test]
    fn the_config_knows_exactly_the_properties_that_librdkafka_has() {
        for name in LIBRDKAFKA_PROPERTIES {
            let set = ClientConfig::new().set(name, "?").create_native_config();
            if let Err(KafkaError::ClientConfig(code, said, ..)) = set {
                assert_ne!(code, sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN, "{name}: {said}");
            }
        }
        // SAFETY: a configuration of our own; the list has a name and a value in turn, and is given back.
        let dumped: Vec<String> = unsafe {
            let (conf, mut count) = (sys::rd_kafka_conf_new(), 0);
            let list = sys::rd_kafka_conf_dump(conf, &raw mut count);
            let texts = std::slice::from_raw_parts(list, count).iter();
            let names = texts.step_by(2).map(|name| CStr::from_ptr(*name).to_string_lossy().into_owned()).collect();
            sys::rd_kafka_conf_dump_free(list, count);
            sys::rd_kafka_conf_destroy(conf);
            names
        };
        assert!(dumped.len() > 80, "{dumped:?}");
        let not_text =
            ["builtin.features", "opaque", "enabled_events", "default_topic_conf", "enable_sasl_queue", "log.queue"];
        let for_its_own_tests = ["client.software.name", "metadata.request.timeout.ms", "enable.sparse.connections"];
        let missing: Vec<_> = (dumped.iter())
            .filter(|name| !name.ends_with("_cb") && !name.starts_with("test.mock."))
            .filter(|name| !not_text.iter().chain(&for_its_own_tests).any(|other| other == name))
            .filter(|name| !LIBRDKAFKA_PROPERTIES.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
