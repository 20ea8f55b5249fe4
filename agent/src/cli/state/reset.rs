//! `streamgauge state reset`: begins anew. Each partition's changelog gets an offset record that says "no state, read on
//! from here", and tombstones for what it held; the local files are deleted. The group's own offsets stay: the state
//! wins over them, and what is published waits until the input has passed them again.

use super::{CALL_TIMEOUT, directory, load, lock, read_changelog, reader};
use crate::clock::{Clock, UnixMillis};
use crate::commit::OFFSET_RECORD_KEY;
use crate::config::Config;
use crate::human;
use crate::kafka::{Admin, Identity, PartitionReader, SendError, Settings, TopicPartition, TransactionalProducer};
use crate::replica::{check_origin, reset_record};
use crate::sources::{changelog_topic, source_topics};
use crate::state::StateDir;
use anyhow::{Context, bail};
use prost::Message;
use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use streamgauge_proto::storage::v1::{OffsetRecord, Origin};

/// Tombstones in one transaction: it has to end within the transaction timeout.
const BATCH: usize = 20_000;
const TRIES: u32 = 30;

#[derive(clap::Args)]
pub struct ResetArgs {
    /// The group's config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The state directory, instead of the config's.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where counting begins anew: at the oldest record that Kafka still has, or behind the newest.
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    Earliest,
    Latest,
}

/// One partition that is to begin anew.
struct Plan {
    input: TopicPartition,
    changelog: TopicPartition,
    topic_id: String,
    origin: Origin,
    first: i64,
    end: i64,
    begin: i64,
}

/// Runs the verb. Exit code 0: it is reset; 1: it could not be, or the answer was no, and nothing was changed.
pub fn run(args: &ResetArgs) -> anyhow::Result<ExitCode> {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let path = directory(args.dir.as_ref(), Some(&config))?;
    // Another agent of the group may be reset from a machine that has no state.
    let dir = if path.join("instance-id").exists() { Some(lock(&path)?) } else { None };
    let mut reader = reader(&config)?;
    nobody_runs(&config, &reader)?;
    let plans = plan(&config, &reader, args.from)?;
    print!("{}", describe(&config, &plans, dir.as_ref()));
    if !args.yes && !agreed()? {
        println!("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let producer = Producer::create(&config)?;
    nobody_runs(&config, &reader)?;
    let mut removed = 0;
    for plan in &plans {
        removed += empty(&producer, &mut reader, plan).with_context(|| plan.input.to_string())?;
    }
    if let Some(dir) = dir {
        let tasks = dir.path().join("tasks");
        match std::fs::remove_dir_all(&tasks) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(tasks.display().to_string());
            }
            _ => {}
        }
    }
    println!("reset: {} entries of {} partitions are gone; start the agents again", human::count(removed), plans.len());
    Ok(ExitCode::SUCCESS)
}

/// A running agent would commit over the reset.
fn nobody_runs(config: &Config, reader: &PartitionReader) -> anyhow::Result<()> {
    let group = &config.kafka.group_id;
    let members = reader.group_members(group, CALL_TIMEOUT).context("the group's members")?;
    if members > 0 {
        bail!(
            "group {group} has {members} members: stop all its agents, and wait until their session timeout ({}) has passed",
            crate::config::format_duration(config.kafka.session_timeout)
        );
    }
    Ok(())
}

fn plan(config: &Config, reader: &PartitionReader, from: From) -> anyhow::Result<Vec<Plan>> {
    let settings = Settings::new(config.kafka.clone(), "streamgauge-state".into());
    let admin = Admin::create(&settings, CALL_TIMEOUT)?;
    let known = admin.topics().context("the cluster's topics")?;
    let mut plans = Vec::new();
    for topic in source_topics(config, known.keys().map(String::as_str)) {
        let changelog = changelog_topic(&config.kafka.group_id, &topic);
        let (Some(there), Some(log)) = (known.get(&topic), known.get(&changelog)) else { continue };
        let topic_id = admin.topic_ids(&[&topic]).ok().and_then(|mut ids| ids.remove(&topic)).unwrap_or_default();
        let partitions = there.partitions.min(log.partitions);
        let input: Vec<TopicPartition> = TopicPartition::all_of(&topic.as_str().into(), partitions).collect();
        let firsts = reader.beginnings(&input, CALL_TIMEOUT).with_context(|| topic.clone())?;
        let ends = reader.ends(&input, CALL_TIMEOUT).with_context(|| topic.clone())?;
        let origin = Origin {
            group_id: config.kafka.group_id.clone(),
            topic: topic.clone(),
            partitions,
            began_at_ms: Clock::default().unix_millis(),
        };
        for input in input {
            let (first, end) = (firsts[&input], ends[&input]);
            plans.push(Plan {
                changelog: TopicPartition::new(changelog.as_str(), input.partition),
                topic_id: topic_id.clone(),
                origin: origin.clone(),
                first,
                end,
                begin: if from == From::Earliest { first } else { end },
                input,
            });
        }
    }
    if plans.is_empty() {
        bail!("there is nothing to reset: group {} has no changelog yet", config.kafka.group_id);
    }
    Ok(plans)
}

fn describe(config: &Config, plans: &[Plan], dir: Option<&StateDir>) -> String {
    let topics: HashSet<_> = plans.iter().map(|plan| &plan.changelog.topic).collect();
    let again: i64 = plans.iter().map(|plan| plan.end - plan.begin).sum();
    let gone: i64 = plans.iter().map(|plan| plan.first).sum();
    let mut out = format!(
        "This empties the state of group {}: {} partitions in {}.\n",
        config.kafka.group_id,
        plans.len(),
        topics.into_iter().map(|topic| &**topic).collect::<Vec<_>>().join(", ")
    );
    out += &match dir {
        Some(dir) => format!("The state files in {} are deleted. ", dir.path().display()),
        None => "There are no state files here. ".to_owned(),
    };
    out += "Those of other agents are emptied at their next start.\n";
    out += &format!("The next start reads up to {} records again", human::count(again.max(0) as u64));
    out += &match gone {
        0 => ".\n".to_owned(),
        gone => format!(
            "; up to {} older ones are no longer in Kafka and will be missing from the totals.\n",
            human::count(gone as u64)
        ),
    };
    out
}

fn agreed() -> anyhow::Result<bool> {
    print!("Type yes to go on: ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

/// Writes the reset record first: from then on the partition's state is empty, whatever becomes of the tombstones, which
/// only reclaim space. Each batch of them ends with the record again, so that it is a whole commit.
fn empty(producer: &Producer, reader: &mut PartitionReader, plan: &Plan) -> anyhow::Result<u64> {
    let (mut keys, mut last) = (HashSet::new(), None);
    read_changelog(reader, &plan.changelog, |_, key, value| match (key == OFFSET_RECORD_KEY, value) {
        (true, Some(value)) => last = OffsetRecord::decode(value).ok().or(last.take()),
        (false, Some(_)) => drop(keys.insert(key.to_vec())),
        (false, None) => drop(keys.remove(key)),
        (true, None) => {}
    })?;
    let origin = last.as_ref().and_then(|record| record.origin.as_ref());
    check_origin(origin, &plan.origin.group_id, &plan.origin.topic)?;
    let now = UnixMillis(Clock::default().unix_millis());
    let record = reset_record(last.as_ref(), plan.begin, &plan.topic_id, plan.origin.clone(), now).encode_to_vec();
    producer.write(&plan.changelog, &[], &record)?;
    let all: Vec<_> = keys.into_iter().collect();
    for batch in all.chunks(BATCH) {
        producer.write(&plan.changelog, batch, &record)?;
    }
    Ok(all.len() as u64)
}

struct Producer(TransactionalProducer);

impl Producer {
    fn create(config: &Config) -> anyhow::Result<Producer> {
        let settings = Settings::new(config.kafka.clone(), "streamgauge-state".into());
        let identity = Identity { instance: "reset".into(), worker: 0 };
        let producer =
            TransactionalProducer::create(&settings, &identity, config.state.guarantee).context("a producer")?;
        producer.init(CALL_TIMEOUT).context("transactions")?;
        Ok(Producer(producer))
    }

    fn write(&self, at: &TopicPartition, tombstones: &[Vec<u8>], record: &[u8]) -> anyhow::Result<()> {
        self.0.begin()?;
        for key in tombstones {
            self.send(at, key, None)?;
        }
        self.send(at, OFFSET_RECORD_KEY, Some(record))?;
        while self.0.in_flight() > 0 {
            self.0.poll(CALL_TIMEOUT);
        }
        self.0.delivered().map_err(|failure| anyhow::anyhow!(failure.text))?;
        for _ in 0..TRIES {
            match self.0.commit(CALL_TIMEOUT) {
                Err(crate::kafka::TxnError::Retriable(_)) => {}
                decided => return Ok(decided?),
            }
        }
        bail!("Kafka does not answer the commit; run the reset again")
    }

    fn send(&self, at: &TopicPartition, key: &[u8], value: Option<&[u8]>) -> anyhow::Result<()> {
        loop {
            match self.0.send(&at.topic, Some(at.partition), Some(key), value, None) {
                Err(SendError::QueueFull) => {
                    self.0.poll(CALL_TIMEOUT);
                }
                sent => return Ok(sent?),
            }
        }
    }
}
