//! What a member that is gone has left open: a transaction on the changelog, and with it the group's offsets. Whoever takes
//! over would wait until the brokers abort it, 10 to 20 s. A producer with the same transactional id ends it at once.

use super::context::{CALL_TIMEOUT, Readers, RestoreContext, RestoreTask};
use super::error::RestoreError;
use crate::commit::OFFSET_RECORD_KEY;
use crate::kafka::{
    Admin, Batch, GroupMember, Isolation, PartitionReader, TopicPartition, end_transaction_of, is_passing,
};
use prost::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

/// Offsets before the open transaction in which its writer's last commit is looked for.
const LOOK_BACK: i64 = 50_000;
/// How long it is looked for.
const PATIENCE: Duration = Duration::from_secs(2);
const READ_WAIT: Duration = Duration::from_millis(20);
const READ_BATCH: usize = 1_000;

/// Ends the open transactions on these tasks' changelogs whose writers are no longer in the group. Where that cannot be
/// done, the restore waits for the brokers, which takes longer and comes to the same.
///
/// # Errors
/// If the brokers do not tell how far the changelogs go, or the restore was cancelled.
pub(super) fn end_what_is_left_open(
    context: &RestoreContext,
    readers: &Readers,
    tasks: &[RestoreTask],
) -> Result<(), RestoreError> {
    let partitions: Vec<_> = tasks.iter().map(|t| (t.changelog.clone(), t.task.id.partition)).collect();
    let ends = |reader: &PartitionReader| context.retry("changelog ends", || reader.ends(&partitions, CALL_TIMEOUT));
    let (all, stable) = (ends(&readers.all)?, ends(&readers.stable)?);
    let open: Vec<_> = stable.into_iter().filter(|(partition, stable)| *stable < all[partition]).collect();
    if open.is_empty() || context.files.lenient {
        return Ok(());
    }
    let is_cancelled = || context.cancelled.load(Ordering::Acquire);
    let ended = last_writers(context, &open).and_then(|writers| {
        let settings = &context.settings;
        let admin = Admin::create(settings, CALL_TIMEOUT).map_err(|error| error.to_string())?;
        let group = admin.describe_group(&settings.kafka().group_id).map_err(|error| error.to_string())?;
        let is_gone = |id: &String| settings.member_of(id).is_some_and(|member| is_gone(member, &group.members));
        for writer in writers.iter().filter(|writer| is_gone(writer)) {
            if is_cancelled() {
                break;
            }
            match end_transaction_of(settings, writer, CALL_TIMEOUT) {
                Ok(()) => tracing::info!(
                    transactional_id = writer,
                    "fenced a member that is gone, which ends what it left open"
                ),
                Err(error) => tracing::warn!("{writer}, which is gone, cannot be fenced: {error}"),
            }
        }
        Ok(())
    });
    if let Err(error) = ended {
        tracing::warn!("an open transaction on the changelog has to be waited for: {error}");
    }
    if is_cancelled() { Err(RestoreError::Cancelled) } else { Ok(()) }
}

/// Whether the group no longer has this member. One without an instance id could be it, and a list without anybody, us
/// included, is no list.
fn is_gone(member: &str, members: &[GroupMember]) -> bool {
    !members.is_empty() && members.iter().all(|other| !other.instance_id.is_empty() && other.instance_id != member)
}

/// The transactional ids of the last commits before these last stable offsets.
fn last_writers(context: &RestoreContext, open: &[(TopicPartition, i64)]) -> Result<BTreeSet<String>, String> {
    // Not the one that the restore goes on with: nothing of this is to be met there.
    let reader = PartitionReader::create(&context.settings, Isolation::ReadCommitted);
    let mut reader = reader.map_err(|error| error.to_string())?;
    let from: Vec<_> = open.iter().map(|(p, stable)| (p.clone(), (stable - LOOK_BACK).max(0))).collect();
    let mut reading: HashSet<i32> = open.iter().map(|((_, partition), _)| *partition).collect();
    let mut writers: HashMap<i32, String> = HashMap::new();
    let mut batch = Batch::default();
    let began = context.clock.boot_time();
    reader.assign(&from).map_err(|error| error.to_string())?;
    let is_cancelled = || context.cancelled.load(Ordering::Acquire);
    while !reading.is_empty() && !is_cancelled() && context.clock.boot_time().since(began) < PATIENCE {
        for record in reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
            match record.error() {
                Some(RDKafkaErrorCode::PartitionEOF) => drop(reading.remove(&record.partition())),
                Some(code) if is_passing(&KafkaError::MessageConsumption(code)) => {}
                Some(code) => return Err(code.to_string()),
                None if record.key() == Some(OFFSET_RECORD_KEY) => {
                    let offsets = record.payload().and_then(|value| OffsetRecord::decode(value).ok());
                    writers.extend(offsets.map(|offsets| (record.partition(), offsets.transactional_id)));
                }
                None => {}
            }
        }
    }
    Ok(writers.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_that_the_group_does_not_have_is_gone() {
        let is_gone = |ids: &[&str]| {
            let member = |id: &&str| GroupMember { instance_id: (*id).into(), ..Default::default() };
            is_gone("a-0", &ids.iter().map(member).collect::<Vec<_>>())
        };
        assert!(is_gone(&["b-0", "a-1"]));
        assert!(!is_gone(&[]));
        assert!(!is_gone(&["b-0", "a-0"]));
        assert!(!is_gone(&["b-0", ""]));
    }
}
