//! Why a worker cannot go on.

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error(transparent)]
    Restore(#[from] crate::replica::RestoreError),
    #[error(transparent)]
    Topic(#[from] super::topics::TopicError),
    #[error("{0}")]
    Commit(String),
    #[error(
        "{task}: the state was made of records up to offset {next}, some of which the partition no longer has: an unclean leader election has cut it, and it has grown again since. To begin anew, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    Truncated { task: String, next: i64 },
    #[error(
        "another process has the identity {0}: state directories must not be copied. Delete instance-id in the copy's state directory"
    )]
    SecondProcess(String),
    #[error("a bug: a thread panicked, see its message above; what was not committed is read again after a restart")]
    Panicked,
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}
