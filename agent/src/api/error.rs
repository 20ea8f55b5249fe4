//! Why a question is refused: as a gRPC status, and as HTTP has it.

use crate::query::QueryError;
use axum::http::StatusCode;
use tonic::{Code, Status};

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Status {
        let code = match &error {
            QueryError::UnknownAggregate { .. } => Code::NotFound,
            QueryError::TooManyCells { .. } => Code::ResourceExhausted,
            QueryError::UnknownLabel { .. }
            | QueryError::UnknownMeasure { .. }
            | QueryError::BadRegex { .. }
            | QueryError::NotAMultiple { .. }
            | QueryError::Invalid(_)
            | QueryError::BadPageToken => Code::InvalidArgument,
        };
        Status::new(code, error.to_string())
    }
}

/// A status' name, in answers and for metrics.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::NotFound => "not_found",
        Code::ResourceExhausted => "resource_exhausted",
        Code::InvalidArgument => "invalid_argument",
        Code::Unavailable => "unavailable",
        _ => "other",
    }
}

/// The HTTP status that means the same. An answer that is too large stays so however long the caller waits: it is not 429.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
