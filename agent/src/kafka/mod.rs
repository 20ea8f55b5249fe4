//! The only room that knows librdkafka: the group's consumer, the transactional producer, readers without a group, and
//! topic administration.

mod admin;
pub mod cluster;
mod consumer;
mod context;
pub mod event_producer;
pub mod load_producer;
mod mock;
mod offsets;
pub mod probe;
mod producer;
mod reader;
mod settings;
pub mod stats;

pub use admin::{
    Admin, AdminError, CallError, Coordinator, GroupDescription, GroupListing, GroupMember, GroupState, NewTopic,
    PartitionDescription, Setting, TopicAdmin, TopicDescription, TopicInfo, TopicSeen, TopicSpec, is_internal,
};
pub use consumer::{Batch, GroupConsumer, GroupMetadata, Rebalance, Record};
pub use context::{Context, Watermarks};
pub use mock::MockKafka;
pub use producer::{Delivered, DeliveryFailure, SendError, TransactionalProducer, TxnError};
pub use reader::{Isolation, PartitionReader, ReadRecord, Reading, is_passing};
pub use settings::{Identity, Settings, advertised};

/// A topic and a partition, as librdkafka names them.
pub type TopicPartition = (std::sync::Arc<str>, i32);
