//! Why a step of a transaction failed.

use std::ffi::CStr;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;

/// Why a step of a transaction failed, and thereby what may be done next.
#[derive(Debug, thiserror::Error)]
pub enum TxnError {
    /// Undecided: call the same step again.
    #[error("{0}")]
    Retriable(String),
    /// The transaction has to be aborted.
    #[error("{message}")]
    Abortable { code: RDKafkaErrorCode, message: String },
    /// The producer is of no use any more.
    #[error("{message}")]
    Fatal { code: RDKafkaErrorCode, message: String },
}

impl From<KafkaError> for TxnError {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match &error {
            KafkaError::Transaction(e) if e.is_fatal() => TxnError::Fatal { code: e.code(), message: e.string() },
            KafkaError::Transaction(e) if e.is_retriable() => TxnError::Retriable(e.string()),
            KafkaError::Transaction(e) => TxnError::Abortable { code: e.code(), message: e.string() },
            KafkaError::Flush(_) => TxnError::Retriable(error.to_string()),
            _ => TxnError::Abortable { code, message: error.to_string() },
        }
    }
}

/// Turns librdkafka's error object into ours and frees it.
pub(super) fn take_error(error: *mut sys::rd_kafka_error_t) -> Result<(), TxnError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a valid error object of ours; its string is copied before it is destroyed.
    unsafe {
        let code: RDKafkaErrorCode = sys::rd_kafka_error_code(error).into();
        let message = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let fatal = sys::rd_kafka_error_is_fatal(error) != 0;
        let retriable = sys::rd_kafka_error_is_retriable(error) != 0;
        sys::rd_kafka_error_destroy(error);
        Err(match (fatal, retriable) {
            (true, _) => TxnError::Fatal { code, message },
            (false, true) => TxnError::Retriable(message),
            (false, false) => TxnError::Abortable { code, message },
        })
    }
}
