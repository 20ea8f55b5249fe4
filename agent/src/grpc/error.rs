//! The one place that turns errors of the cluster and its topics into gRPC statuses; those of queries, `api/error.rs` does.

use crate::cluster::Refused;
use crate::topics::{Kind, TopicError};
use tonic::{Code, Status};

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
