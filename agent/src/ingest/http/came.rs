//! How every request that hands in events begins, whatever it speaks: it is limited by its address, and its body is read.

use super::super::accept::{Headers, Refusal};
use super::super::body::{self, Content, Unusable};
use super::super::event::Rejected;
use super::super::rate::Rate;
use super::super::record::CORRELATION_ID;
use super::{NO_ROOM, Shared, failure, taken_over};
use crate::clock::BootTime;
use crate::server::Caller;
use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A request whose body has not been read.
pub struct Came {
    pub shared: Arc<Shared>,
    pub headers: HeaderMap,
    /// What its events take to Kafka.
    pub taken_over: Headers,
    pub began: BootTime,
    from: IpAddr,
}

impl<S> FromRequestParts<S> for Came
where
    Arc<Shared>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Came, Infallible> {
        let shared = Arc::<Shared>::from_ref(state);
        let caller = parts.extensions.get::<Caller>().cloned();
        Ok(Came {
            taken_over: taken_over(&parts.headers),
            headers: parts.headers.clone(),
            began: shared.acceptor.clock.boot_time(),
            from: caller.unwrap_or_default().address.ip(),
            shared,
        })
    }
}

impl Came {
    /// Reads its body of one of these media types, if its address may call again now.
    ///
    /// # Errors
    /// If it may not, or the body cannot be used.
    pub async fn read(
        &self,
        rate: &Rate,
        body: Body,
        types: &[&'static str],
    ) -> Result<(&'static str, Content), Denied> {
        rate.take(self.from).map_err(too_often)?;
        let kind = body::is_one_of(&self.headers, types)?;
        let acceptor = &self.shared.acceptor;
        Ok((kind, body::read(&self.headers, body, acceptor.config.body_bytes, &acceptor.bodies).await?))
    }

    /// Counts it, and gives the caller its id back.
    pub fn answered(&self, endpoint: &'static str, mut answer: Response) -> Response {
        self.shared.acceptor.answered(endpoint, self.began, answer.status().as_u16());
        let id = self.taken_over.iter().find(|(name, _)| *name == CORRELATION_ID);
        if let Some(Ok(id)) = id.map(|(_, id)| HeaderValue::from_str(id)) {
            answer.headers_mut().insert(CORRELATION_ID, id);
        }
        answer
    }
}

/// Why nothing of a request was taken: the status, one line, and when to come again, seconds.
#[derive(Debug)]
pub struct Denied {
    pub status: StatusCode,
    pub reason: String,
    pub retry_after: Option<u64>,
}

impl Denied {
    /// For good.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Denied {
        Denied { status, reason: reason.into(), retry_after: None }
    }

    pub fn into_json(self) -> Response {
        failure(self.status, &self.reason, self.retry_after)
    }

    /// Says in an answer when to come again.
    pub fn told(retry_after: Option<u64>, mut answer: Response) -> Response {
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

impl From<Unusable> for Denied {
    fn from(Unusable(status, reason): Unusable) -> Denied {
        Denied { retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1), status, reason }
    }
}

impl From<&Rejected> for Denied {
    fn from(rejected: &Rejected) -> Denied {
        let status = match rejected {
            Rejected::Invalid(_) => StatusCode::BAD_REQUEST,
            Rejected::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Denied::new(status, rejected.reason())
    }
}

impl From<&Refusal> for Denied {
    fn from(refusal: &Refusal) -> Denied {
        match refusal {
            Refusal::Rejected(rejected) => rejected.into(),
            Refusal::Never(reason) => Denied::new(StatusCode::PAYLOAD_TOO_LARGE, reason),
            Refusal::Later(reason) | Refusal::NoTopic(reason) => {
                Denied { retry_after: Some(NO_ROOM), ..Denied::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
            }
        }
    }
}

fn too_often(wait: Duration) -> Denied {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let reason = "too many requests from this address";
    Denied { retry_after: Some(seconds.max(1)), ..Denied::new(StatusCode::TOO_MANY_REQUESTS, reason) }
}
