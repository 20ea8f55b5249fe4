//! What the group tells its member.

use super::TopicPartition;

/// A change of this member's partitions, to be answered with `assign…` or `unassign…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    Assigned(Vec<TopicPartition>),
    /// In order: what was read may be committed before the answer.
    Revoked(Vec<TopicPartition>),
    /// Others may own these already: nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}
