//! The only room that knows librdkafka: the group's consumer, the transactional producer, readers without a group, and
//! topic administration.

mod admin;
mod batch;
mod call;
pub mod cluster;
mod consumer;
mod context;
mod copy;
mod described;
pub mod event_producer;
mod events;
pub mod load_producer;
mod mock;
mod offsets;
pub mod probe;
mod producer;
mod reader;
mod settings;
pub mod stats;

pub use admin::{Admin, AdminError, CallError, NewTopic, Setting, TopicAdmin, TopicInfo, TopicSeen, TopicSpec};
pub use batch::{Batch, Record};
pub use consumer::{GroupConsumer, GroupMetadata, Polled, Rebalance};
pub use context::{Context, Watermarks};
pub use copy::{Copied, Outgoing, copy_exactly_once, left_to_copy};
pub use described::{GroupDescription, GroupMember, PartitionDescription, TopicDescription, is_internal};
pub use mock::MockKafka;
pub use producer::{Delivered, DeliveryFailure, SendError, TransactionalProducer, TxnError, end_transaction_of};
pub use reader::{Answers, Isolation, PartitionReader, ReadRecord, Reading, is_passing};
pub use settings::{Identity, Settings, advertised};

/// A topic and a partition, as librdkafka names them.
pub type TopicPartition = (std::sync::Arc<str>, i32);
