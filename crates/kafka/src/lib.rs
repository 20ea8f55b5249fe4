//! The only room that knows librdkafka: the group's consumer, the transactional producer, readers without a group, and
//! topic administration.

mod admin;
mod batch;
mod call;
mod cause;
pub mod cluster;
mod consumer;
mod context;
mod copy;
mod described;
pub mod event_producer;
mod events;
pub mod load_producer;
mod login;
mod mock;
mod offsets;
pub mod probe;
mod producer;
mod reader;
mod rebalance;
mod repeats;
pub mod sender;
mod settings;
pub mod stats;
mod topic_partition;
mod txn_error;

pub use admin::{Admin, AdminError, CallError, NewTopic, Setting, TopicAdmin, TopicInfo, TopicSeen};
pub use batch::{Batch, Record};
pub use cause::{missing_acl, missing_acl_of, names_missing_acl, why_unread, why_unwritten};
pub use consumer::{GroupConsumer, GroupMetadata, Polled};
pub use context::{Context, Watermarks};
pub use copy::{Copied, Outgoing, copy_exactly_once, left_to_copy};
pub use described::{GroupDescription, GroupMember, PartitionDescription, TopicDescription, is_internal};
pub use mock::MockKafka;
pub use producer::{
    Delivered, DeliveryFailure, Hanging, SendError, TransactionalProducer, abort_hanging_transaction,
    end_transaction_of,
};
pub use reader::{Answers, Isolation, PartitionReader, ReadRecord, Reading, is_passing};
pub use rebalance::Rebalance;
pub use repeats::tell as once_a_minute;
pub use settings::{Identity, Settings, advertised};
pub use topic_partition::TopicPartition;
pub use txn_error::TxnError;

/// The version of librdkafka, the client library.
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
