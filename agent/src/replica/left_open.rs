//! What a member that is gone has left open: a transaction on the changelog, and with it the group's offsets. Whoever takes
//! over would wait until the brokers abort it, 10 to 20 s. A producer with the same transactional id ends it at once.

use super::context::{RestoreContext, RestoreTask};
use super::last_record::is_through;
use crate::commit::OFFSET_RECORD_KEY;
use crate::kafka::{
    Admin, Batch, GroupMember, Hanging, Isolation, PartitionReader, TopicPartition, abort_hanging_transaction,
    end_transaction_of, is_passing,
};
use crate::stop::Stop;
use prost::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

/// Of the look at the group.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the end of a transaction, which waits for its markers.
const ENDING_TIMEOUT: Duration = Duration::from_secs(10);
/// Offsets before the open transaction in which its writer's last commit is looked for.
const LOOK_BACK: i64 = 50_000;
/// How long it is looked for.
const PATIENCE: Duration = Duration::from_secs(2);
const READ_WAIT: Duration = Duration::from_millis(20);
const READ_BATCH: usize = 1_000;

/// Ends what was left open, on a thread of its own, so that partitions on which nothing is open need not wait. Stops with
/// this value.
pub(super) struct Ending {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Ending {
    /// Ends the open transactions on these tasks' changelogs, which begin at these offsets, if their writers are no longer
    /// in the group. Where that cannot be done, the restore waits for the brokers, which takes longer and comes to the
    /// same.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(context: &RestoreContext, open: Vec<(RestoreTask, i64)>) -> std::io::Result<Ending> {
        let stop = Stop::new();
        if !context.files.guarantee.is_transactional() {
            return Ok(Ending { stop, thread: None });
        }
        let (context, own) = (context.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("left-open".into()).spawn(move || {
            // Nobody wants any of them any more, or the restore is through.
            let is_over = || own.is_requested() || open.iter().all(|(task, _)| task.stop.is_requested());
            let open: Vec<_> = open.iter().map(|(task, stable)| (task.changelog_partition(), *stable)).collect();
            if let Err(error) = end_what_is_left_open(&context, &open, &is_over) {
                tracing::warn!("an open transaction on the changelog has to be waited for: {error}");
            }
        })?;
        Ok(Ending { stop, thread: Some(thread) })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook; the brokers end what it did not.
            let _ = thread.join();
        }
    }
}

fn end_what_is_left_open(
    context: &RestoreContext,
    open: &[(TopicPartition, i64)],
    is_over: &dyn Fn() -> bool,
) -> Result<(), String> {
    for writer in &gone_writers(context, open, is_over)? {
        if is_over() {
            break;
        }
        match end_transaction_of(&context.settings, writer, ENDING_TIMEOUT, &|| !is_over()) {
            Ok(()) => {
                tracing::info!(transactional_id = writer, "fenced a member that is gone, which ends what it left open")
            }
            // Kafka ends the transaction before it answers, and the answer is not waited for when nobody needs it.
            Err(_) if is_over() => {
                tracing::info!(
                    transactional_id = writer,
                    "asked Kafka to fence a member that is gone; nothing waits for it now"
                )
            }
            Err(error) => tracing::warn!("{writer}, which is gone, cannot be fenced: {error}"),
        }
    }
    Ok(())
}

/// Those who wrote the last commits before these last stable offsets, if the group does not have them any more.
fn gone_writers(
    context: &RestoreContext,
    open: &[(TopicPartition, i64)],
    is_over: &dyn Fn() -> bool,
) -> Result<BTreeSet<String>, String> {
    let mut writers = last_writers(context, open, is_over)?;
    if writers.is_empty() || is_over() {
        return Ok(BTreeSet::new());
    }
    let settings = &context.settings;
    let admin = Admin::create(settings, ADMIN_TIMEOUT).map_err(|error| error.to_string())?;
    let group = admin.describe_group(&settings.kafka().group_id).map_err(|error| error.to_string())?;
    writers.retain(|id| settings.member_of(id).is_some_and(|member| is_gone(member, &group.members)));
    Ok(writers)
}

/// Ends transactions on these tasks' changelogs and on the group's offsets that have outlived every timeout: the brokers know
/// of none, and yet nothing becomes stable. With one replica, a broker that died can lose a transaction's end (seen with
/// Kafka 4.3.1: its coordinator takes it for ended, its partitions for open, and that stays). What was in them counts as
/// aborted. `hanging`: each with the last stable offset of its changelog.
///
/// They are this worker's own, or of a member that is gone. The worker's own producer is fenced by this, and recreated.
pub(super) fn end_hanging(context: &RestoreContext, hanging: &[(RestoreTask, i64)]) {
    if hanging.is_empty() || !context.files.guarantee.is_transactional() {
        return;
    }
    let is_over = || hanging.iter().all(|(task, _)| task.stop.is_requested());
    let changelogs: Vec<_> = hanging.iter().map(|(task, _)| task.changelog_partition()).collect();
    let inputs: Vec<_> = hanging.iter().map(|(task, _)| task.input()).collect();
    let open: Vec<_> = changelogs.iter().cloned().zip(hanging.iter().map(|(_, stable)| *stable)).collect();
    let mut writers = vec![context.transactional_id.clone()];
    match gone_writers(context, &open, &is_over) {
        Ok(gone) => writers.extend(gone.into_iter().filter(|writer| *writer != context.transactional_id)),
        Err(error) => tracing::warn!("who left a transaction open is not known: {error}"),
    }
    // Out of the group, nothing is restored.
    let Some(metadata) = context.consumer.group_metadata().map(Arc::new) else { return };
    let of = Hanging { partitions: &changelogs, offsets_of: &inputs, metadata: &metadata };
    for writer in writers {
        let first = &changelogs[0];
        match abort_hanging_transaction(&context.settings, &writer, &of, ENDING_TIMEOUT, &|| !is_over()) {
            Ok(()) => tracing::warn!(
                transactional_id = writer,
                partitions = changelogs.len(),
                "the brokers lost the end of a transaction (on {first}, for one): aborted whatever is open there, and its events are read again"
            ),
            Err(error) => {
                tracing::warn!(transactional_id = writer, "a transaction that hangs cannot be ended: {error}")
            }
        }
    }
}

/// Whether the group no longer has this member. One without an instance id could be it, and a list without anybody, us
/// included, is no list.
fn is_gone(member: &str, members: &[GroupMember]) -> bool {
    !members.is_empty() && members.iter().all(|other| !other.instance_id.is_empty() && other.instance_id != member)
}

/// The transactional ids of the last commits before these last stable offsets.
fn last_writers(
    context: &RestoreContext,
    open: &[(TopicPartition, i64)],
    is_over: &dyn Fn() -> bool,
) -> Result<BTreeSet<String>, String> {
    // Not the one that the restore goes on with: nothing of this is to be met there.
    let reader = PartitionReader::create(&context.settings, Isolation::ReadCommitted);
    let mut reader = reader.map_err(|error| error.to_string())?;
    let from: Vec<_> = open.iter().map(|(p, stable)| (p.clone(), (stable - LOOK_BACK).max(0))).collect();
    let mut reading: HashMap<i32, i64> = open.iter().map(|(of, stable)| (of.partition, *stable)).collect();
    let mut writers: HashMap<i32, String> = HashMap::new();
    let mut batch = Batch::default();
    let began = context.clock.boot_time();
    reader.assign(&from).map_err(|error| error.to_string())?;
    while !reading.is_empty() && !is_over() && context.clock.boot_time().since(began) < PATIENCE {
        for record in reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
            match record.error() {
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    let (partition, offset) = (record.partition(), record.offset());
                    if reading.get(&partition).is_some_and(|&stable| is_through(offset, true, stable)) {
                        reading.remove(&partition);
                    }
                }
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
