//! What ends a restore before its task is ready.

use super::position::Unplaced;
use super::replay::ReplayError;
use crate::state::StoreError;
use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nobody waits for this restore any more.
    #[error("cancelled")]
    Cancelled,
    #[error("{task}: {error}")]
    Replay { task: String, error: ReplayError },
    #[error(transparent)]
    Unplaced(#[from] Unplaced),
    #[error(
        "{task}: the state is of an earlier topic of this name: the source topic was deleted and made again, so its offsets begin anew. To begin anew too, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    Recreated { task: String },
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}: {error}")]
    Kafka { what: &'static str, error: KafkaError },
}
