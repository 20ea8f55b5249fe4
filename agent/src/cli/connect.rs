//! `streamgauge validate --connect`: whether a config's Kafka can be reached and has what an agent needs: topics, their
//! settings, and the rights to use them, as far as that can be seen without writing anything.

use crate::config::{Config, Guarantee};
use crate::kafka::{
    Admin, Identity, Isolation, PartitionReader, Reading, Settings, TopicAdmin, TopicPartition, TopicSeen,
    TransactionalProducer, is_passing, missing_acl,
};
use crate::sources::{self, Plans, changelog_topic};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A read that is allowed is answered within it, if only by the partition's end.
const READ_TRIES: u32 = 50;
const READ_WAIT: Duration = Duration::from_millis(100);

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is fine.
    pub good: Vec<String>,
    /// What would keep an agent from running, with what to do.
    pub bad: Vec<String>,
}

impl Findings {
    fn good(&mut self, text: impl Into<String>) {
        self.good.push(text.into());
    }

    fn bad(&mut self, text: impl Into<String>) {
        self.bad.push(text.into());
    }
}

/// Looks at everything that the config needs of Kafka.
pub async fn connect(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let settings = Settings::new(config.kafka.clone(), "streamgauge-validate".into());
    let look = Look { config, settings: &settings };
    if let Err(problem) = look.all(&mut findings).await {
        findings.bad(problem);
    }
    findings
}

struct Look<'a> {
    config: &'a Config,
    settings: &'a Settings,
}

impl Look<'_> {
    async fn all(&self, findings: &mut Findings) -> Result<(), String> {
        let servers = &self.config.kafka.bootstrap_servers;
        let refused = |error: String| format!("librdkafka refuses the properties: {error}");
        // The first question is a client's that hears why nobody answers.
        let topics = TopicAdmin::create(self.settings, CALL_TIMEOUT).map_err(refused)?.list();
        let topics = topics.map_err(|error| format!("Kafka at {servers} cannot be used: {error}"))?;
        let admin = Admin::create(self.settings, CALL_TIMEOUT).map_err(|error| refused(error.to_string()))?;
        findings.good(format!("Kafka at {servers} answers"));
        let partitions: HashMap<String, i32> =
            topics.iter().map(|topic| (topic.name.to_string(), topic.partitions.len() as i32)).collect();
        let mut input = Vec::new();
        let plans = Plans::new(0, self.config);
        for (source, plan) in self.config.sources.iter().zip(&plans.sources) {
            let mut stored = BTreeSet::new();
            for topic in self.topics(&plans, plan, &partitions, &admin, findings) {
                let count = partitions.get(&topic).copied().unwrap_or(0);
                self.changelog(&topic, count, &admin, findings).await;
                if let Some(name) = source.dead_letters.topic_of(&topic) {
                    self.dead_letters(&name, &partitions, findings);
                }
                self.read(&topic, findings);
                let changelog = changelog_topic(&self.config.kafka.group_id, &topic);
                if let Some(count) = partitions.get(&changelog) {
                    match super::stored::listed(self.settings, &changelog, *count) {
                        Ok(listed) => stored.extend(listed),
                        Err(error) => findings.bad(format!("changelog {changelog} cannot be read: {error}")),
                    }
                }
                input.push(TopicPartition::new(topic, 0));
            }
            for line in super::stored::plan(self.config, source, &stored) {
                findings.good(line);
            }
        }
        self.group(&input, findings);
        self.transactions(findings);
        Ok(())
    }

    /// The source's topics that are there.
    fn topics(
        &self,
        plans: &Plans,
        source: &sources::Source,
        known: &HashMap<String, i32>,
        admin: &Admin,
        findings: &mut Findings,
    ) -> Vec<String> {
        let mut there = Vec::new();
        for selector in &source.config.topics {
            let Some(topic) = selector.name() else {
                let matching = known.keys().filter(|name| selector.matches(name) && source.reads(name));
                let matching: Vec<String> = matching.cloned().collect();
                for topic in known.keys().filter(|topic| selector.matches(topic) && !source.reads(topic)) {
                    if let Some(owner) = plans.source_of(topic) {
                        let owner = &plans.sources[owner].name;
                        findings.good(format!(
                            "topic {topic} matches {selector} of source {} too; it is read by source {owner}, which comes first",
                            source.name
                        ));
                    }
                }
                if matching.is_empty() {
                    findings.bad(format!("source {}: no topic that this user may see matches {selector}", source.name));
                }
                there.extend(matching);
                continue;
            };
            match admin.look(topic) {
                Ok(TopicSeen::Partitions(count)) => {
                    findings.good(format!("topic {topic}: {count} partitions"));
                    there.push(topic.to_string());
                }
                Ok(TopicSeen::Missing) => findings.bad(format!(
                    "topic {topic} of source {} is missing; make it with: kafka-topics.sh --create --topic {topic} --partitions N",
                    source.name
                )),
                Ok(TopicSeen::Denied) => findings.bad(missing_acl("Describe", &format!("--topic {topic}"))),
                Err(error) => findings.bad(format!("topic {topic}: {error}")),
            }
        }
        there.sort();
        there.dedup();
        there
    }

    async fn changelog(&self, topic: &str, partitions: i32, admin: &Admin, findings: &mut Findings) {
        let kafka = &self.config.kafka;
        let name = changelog_topic(&kafka.group_id, topic);
        let found = match admin.look(&name) {
            Ok(TopicSeen::Partitions(found)) => found,
            Ok(TopicSeen::Missing) if kafka.create_topics => {
                return findings.good(format!("changelog {name}: will be made, with {partitions} partitions"));
            }
            Ok(TopicSeen::Missing) => {
                return findings.bad(format!(
                    "changelog {name} is missing and kafka.create_topics is false; make it with: kafka-topics.sh --create --topic {name} --partitions {partitions} --config cleanup.policy=compact"
                ));
            }
            Ok(TopicSeen::Denied) => {
                return findings
                    .bad(missing_acl("Describe, DescribeConfigs, Read and Write", &format!("--topic {name}")));
            }
            Err(error) => return findings.bad(format!("changelog {name}: {error}")),
        };
        if found < partitions {
            findings.bad(format!("changelog {name} has {found} partitions, its topic {partitions}; it must have as many: kafka-topics.sh --alter --topic {name} --partitions {partitions}"));
        }
        let topic_settings = match admin.topic_settings(&name).await {
            Ok(topic_settings) => topic_settings,
            Err(error) => {
                return findings
                    .bad(format!("changelog {name}: its settings cannot be read ({error}); allow DescribeConfigs"));
            }
        };
        let setting = |key: &str| topic_settings.get(key).map_or("", String::as_str);
        if setting("cleanup.policy") != "compact" {
            findings.bad(format!("changelog {name} has cleanup.policy={}; it must be compact alone, or state would be deleted by age: kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=compact", setting("cleanup.policy")));
        }
        let entry = self.config.limits.entry_bytes;
        if setting("max.message.bytes").parse().is_ok_and(|most: usize| most <= entry) {
            findings.bad(format!("changelog {name} has max.message.bytes={}, not more than limits.entry_size ({entry}): raise it, or lower the limit", setting("max.message.bytes")));
        }
        findings.good(format!("changelog {name}: {found} partitions"));
    }

    fn dead_letters(&self, name: &str, known: &HashMap<String, i32>, findings: &mut Findings) {
        match known.contains_key(name) {
            true => findings.good(format!("dead letters {name}: there")),
            false if self.config.kafka.create_topics => findings.good(format!("dead letters {name}: will be made")),
            false => findings.bad(format!("dead-letter topic {name} is missing and kafka.create_topics is false; make it with: kafka-topics.sh --create --topic {name}")),
        }
    }

    /// Fetches from one partition, to see whether that is allowed.
    fn read(&self, topic: &str, findings: &mut Findings) {
        let denied = missing_acl("Read", &format!("--topic {topic}"));
        let tried = PartitionReader::create(self.settings, Isolation::ReadCommitted).and_then(|mut reader| {
            reader.assign(&[(TopicPartition::new(topic, 0), 0)])?;
            for _ in 0..READ_TRIES {
                match reader.read(READ_WAIT) {
                    Reading::Record(_) | Reading::End { .. } => return Ok(true),
                    Reading::Error(error) if !is_passing(&error) => return Err(error),
                    Reading::Error(_) | Reading::Nothing => {}
                }
            }
            Ok(false)
        });
        match tried {
            Ok(true) => findings.good(format!("topic {topic}: can be read")),
            Ok(false) => findings.bad(format!("topic {topic}: nothing came of partition 0, not even its end")),
            Err(error) => findings.bad(format!("topic {topic} cannot be read: {error}; {denied}")),
        }
    }

    /// Asks for the group's offsets, to see whether the group may be used.
    fn group(&self, input: &[TopicPartition], findings: &mut Findings) {
        let group = &self.config.kafka.group_id;
        if input.is_empty() {
            return;
        }
        let offsets = PartitionReader::create(self.settings, Isolation::ReadCommitted)
            .and_then(|reader| reader.check_group(input, CALL_TIMEOUT));
        match offsets {
            Ok(()) => findings.good(format!("group {group}: can be used")),
            Err(error) => {
                findings.bad(format!("group {group}: {error}; {}", missing_acl("Read", &format!("--group {group}"))));
            }
        }
    }

    /// Begins as a transactional producer under an id of its own, to see whether that is allowed. Writes nothing.
    fn transactions(&self, findings: &mut Findings) {
        if self.config.state.guarantee != Guarantee::ExactlyOnce {
            return;
        }
        let group = &self.config.kafka.group_id;
        let identity = Identity { instance: "validate".into(), worker: 0 };
        let tried = TransactionalProducer::create(self.settings, &identity, Guarantee::ExactlyOnce)
            .map_err(|error| error.to_string())
            .and_then(|producer| producer.init(CALL_TIMEOUT).map_err(|error| error.to_string()));
        match tried {
            Ok(()) => findings.good("transactions: can be used"),
            Err(error) => findings.bad(format!(
                "transactions: {error}; {}",
                missing_acl(
                    "Write and Describe",
                    &format!("--transactional-id {group}- --resource-pattern-type prefixed")
                )
            )),
        }
    }
}
