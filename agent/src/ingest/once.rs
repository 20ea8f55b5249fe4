//! A request under an `Idempotency-Key`, over HTTP or gRPC: its events are accepted once, however often it comes.

use super::accept::Acceptor;
use super::repeats::Known;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a request is known by when it comes again.
pub struct Once {
    key: u128,
    body: u128,
}

impl Once {
    /// `None`: it has no key.
    pub fn of(headers: &HeaderMap, path: &str, body: &[u8]) -> Option<Once> {
        let key = headers.get(IDEMPOTENCY_KEY)?.as_bytes();
        let key = xxh3_128_with_seed(key, xxh3_64(path.as_bytes()));
        Some(Once { key, body: xxh3_128(body) })
    }

    /// Whether a request has a key.
    pub fn is_wanted(headers: &HeaderMap) -> bool {
        headers.contains_key(IDEMPOTENCY_KEY)
    }
}

/// Why a request is not answered by its own work.
pub enum Repeated {
    /// It was accepted before, with this answer.
    Accepted(Bytes),
    UnderWay,
    /// Another request had its key.
    Other,
    /// Its work has panicked.
    Broken,
}

impl Repeated {
    /// One line for those that are refused.
    pub fn reason(&self) -> &'static str {
        match self {
            Repeated::Accepted(_) => "it was accepted before",
            Repeated::UnderWay => "a request with this Idempotency-Key is under way",
            Repeated::Other => "another request had this Idempotency-Key",
            Repeated::Broken => "it could not be answered",
        }
    }
}

/// Does the work of a request, unless that has been done. The work's second result is the answer to keep, if the request was
/// accepted.
pub async fn once<T: Send + 'static>(
    door: &Arc<Acceptor>,
    once: Option<Once>,
    work: impl Future<Output = (T, Option<Bytes>)> + Send + 'static,
) -> Result<T, Repeated> {
    let Some(Once { key, body }) = once else { return Ok(work.await.0) };
    match door.repeats.begins(key, body, door.clock.boot_time()) {
        Known::Accepted(answer) => Err(Repeated::Accepted(answer)),
        Known::UnderWay => Err(Repeated::UnderWay),
        Known::Other => Err(Repeated::Other),
        // It goes on although its caller hangs up: that is when requests are repeated.
        Known::New => {
            let door = door.clone();
            let answer = tokio::spawn(async move {
                let (answer, kept) = work.await;
                door.repeats.ends(key, kept);
                answer
            });
            answer.await.map_err(|_| Repeated::Broken)
        }
    }
}
