//! The one place that turns errors into gRPC statuses.

use crate::cluster::Refused;
use crate::query::QueryError;
use crate::topics::{Kind, TopicError};
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

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let code = match &refused {
            Refused::Deadline => Code::DeadlineExceeded,
            Refused::NoGroup(_) => Code::NotFound,
            Refused::LagOff => Code::FailedPrecondition,
            Refused::Call(error) if error.is_denied() => Code::PermissionDenied,
            Refused::Call(error) if error.is_deadline() => Code::DeadlineExceeded,
            Refused::Call(_) => Code::Unavailable,
        };
        Status::new(code, refused.to_string())
    }
}

impl From<TopicError> for Status {
    fn from(error: TopicError) -> Status {
        let code = match error.kind {
            Kind::Exists => Code::AlreadyExists,
            Kind::Missing => Code::NotFound,
            Kind::Invalid => Code::InvalidArgument,
            Kind::Denied => Code::PermissionDenied,
            Kind::Unavailable => Code::Unavailable,
            Kind::Deadline => Code::DeadlineExceeded,
            Kind::Precondition => Code::FailedPrecondition,
            Kind::Failed => Code::Internal,
        };
        Status::new(code, error.message)
    }
}

/// A status' name, for metrics.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::NotFound => "not_found",
        Code::ResourceExhausted => "resource_exhausted",
        Code::InvalidArgument => "invalid_argument",
        _ => "other",
    }
}
