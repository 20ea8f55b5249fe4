//! Fills a cluster for `bench/lag`: topics with records, and consumer groups that have committed an offset in each
//! partition. `groups SERVERS TOPICS PARTITIONS GROUPS`.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::error::Error;
use std::time::Duration;

const RECORDS: i64 = 5;
/// Groups that commit at a time.
const AT_ONCE: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [servers, topics, partitions, groups] = args.as_slice() else {
        return Err("groups SERVERS TOPICS PARTITIONS GROUPS".into());
    };
    let (topics, partitions, groups): (i32, i32, i64) = (topics.parse()?, partitions.parse()?, groups.parse()?);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    let names: Vec<String> = (0..topics).map(|topic| format!("topic-{topic}")).collect();
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let new: Vec<NewTopic> =
        names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for made in runtime.block_on(admin.create_topics(&new, &options))? {
        made.map_err(|(topic, code)| format!("{topic}: {code}"))?;
    }
    produce(&config, &names, partitions)?;
    let from = |first: i64| {
        let group = |group: i64| commit(&config, &names, partitions, group).map_err(|error| error.to_string());
        (first..groups).step_by(AT_ONCE).try_for_each(group)
    };
    // Each waits for its coordinator most of the time.
    std::thread::scope(|scope| {
        let from = &from;
        let committing: Vec<_> = (0..AT_ONCE as i64).map(|first| scope.spawn(move || from(first))).collect();
        committing.into_iter().try_for_each(|thread| thread.join().expect("a commit does not panic"))
    })?;
    Ok(())
}

/// Offsets of one group in all partitions: most are behind by a few records, some have caught up.
fn commit(config: &ClientConfig, names: &[String], partitions: i32, group: i64) -> Result<(), Box<dyn Error>> {
    let mut list = TopicPartitionList::new();
    for name in names {
        for partition in 0..partitions {
            let offset = Offset::Offset((group + i64::from(partition)) % (RECORDS + 1));
            list.add_partition_offset(name, partition, offset)?;
        }
    }
    let consumer: BaseConsumer = config.clone().set("group.id", format!("group-{group}")).create()?;
    while consumer.commit(&list, CommitMode::Sync).is_err() {
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn produce(config: &ClientConfig, names: &[String], partitions: i32) -> Result<(), Box<dyn Error>> {
    let producer: BaseProducer = config.create()?;
    for name in names {
        for partition in 0..partitions {
            for _ in 0..RECORDS {
                producer.send(BaseRecord::<(), str>::to(name).partition(partition).payload("x")).map_err(|(e, _)| e)?;
            }
        }
        producer.flush(TIMEOUT)?;
    }
    Ok(())
}
