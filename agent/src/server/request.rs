//! A span for each request, of HTTP and of gRPC alike, with an id that every log line of the request carries: the caller's
//! `x-request-id`, else the trace of its `traceparent`, else a new one. The answer says which.
//!
//! `tower-http` has layers for this, but they take over whatever the caller sends, and know no `traceparent`.

use crate::telemetry::parse_traceparent;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::Service;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What some callers name instead.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Longest id that is taken over.
const MAX_ID: usize = 64;

/// Wraps a service; as a layer: `tower::layer::layer_fn(RequestSpans)`.
#[derive(Clone, Debug)]
pub struct RequestSpans<S>(pub S);

impl<S, A, B> Service<Request<A>> for RequestSpans<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let traceparent = header(request.headers(), "traceparent").filter(|text| parse_traceparent(text).is_some());
        let id = request_id(request.headers(), traceparent);
        // At this level, so that a filter that lets warnings through lets them through with their request.
        let span = tracing::error_span!(
            "request",
            request_id = id,
            path = request.uri().path(),
            traceparent,
            status = tracing::field::Empty
        );
        let answer = span.in_scope(|| self.0.call(request));
        let work = async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer {
                let code = header(answer.headers(), "grpc-status").unwrap_or(answer.status().as_str()).to_owned();
                tracing::Span::current().record("status", code.as_str());
                tracing::debug!("answered");
                if let Ok(id) = HeaderValue::from_str(&id) {
                    answer.headers_mut().insert(REQUEST_ID, id);
                }
            }
            answer
        };
        Box::pin(work.instrument(span))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a caller names goes to the log: nothing is taken over that could forge a line of it or fill it.
fn request_id(headers: &HeaderMap, traceparent: Option<&str>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=".contains(c);
    let fits = |id: &&str| !id.is_empty() && id.len() <= MAX_ID && id.chars().all(is_plain);
    let named = [REQUEST_ID, CORRELATION_ID].iter().find_map(|name| header(headers, name.as_str()).filter(fits));
    match (named, traceparent.and_then(|text| text.split('-').nth(1))) {
        (Some(id), _) | (None, Some(id)) => id.to_owned(),
        (None, None) => format!("{:032x}", rand::random::<u128>()),
    }
}
