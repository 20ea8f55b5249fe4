//! What a task is called: the partition of the input that it counts.

use crate::kafka::TopicPartition;

pub type TaskId = TopicPartition;
