//! The layer that lets a request through, or refuses it, and notes in the audit log what was refused, what changes
//! something, and who saw single events.

use super::caller::Caller;
use super::forwarded::origin;
use super::lock::{Lock, Need};
use super::refused::Refused;
use axum::extract::ConnectInfo;
use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// Wraps the services of a door.
pub struct Guard<S, B> {
    inner: S,
    lock: Arc<Lock>,
    /// What a path needs.
    need: fn(&str) -> Need,
    /// How a call of a path is refused.
    refuse: fn(&str, &Refused) -> Response<B>,
}

impl<S, B> Guard<S, B> {
    pub fn new(inner: S, lock: Arc<Lock>, need: fn(&str) -> Need, refuse: fn(&str, &Refused) -> Response<B>) -> Self {
        Guard { inner, lock, refuse, need }
    }
}

impl<S: Clone, B> Clone for Guard<S, B> {
    fn clone(&self) -> Self {
        Guard { inner: self.inner.clone(), lock: self.lock.clone(), refuse: self.refuse, need: self.need }
    }
}

impl<S, A, B> Service<Request<A>> for Guard<S, B>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        // The one that is ready is used; its copy has to become so before the next call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let (lock, need, refuse) = (self.lock.clone(), (self.need)(request.uri().path()), self.refuse);
        Box::pin(async move {
            let mut caller = caller(request.extensions());
            caller.address = origin(caller.address, request.headers(), lock.trusted_proxies());
            request.extensions_mut().insert(caller.clone());
            let from = caller.address;
            let path = request.uri().path().to_owned();
            let authorization = request.headers().get(AUTHORIZATION);
            // What cannot be read is wrong, and is not taken for absent.
            let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
            let who = match lock.admit(&caller, authorization, need).await {
                Ok(who) => who,
                Err(refused) => {
                    let outcome = refused.outcome();
                    lock.count(outcome);
                    match refused {
                        // It is told once, when it begins: the log is not theirs to fill.
                        Refused::LockedOut => {}
                        _ => {
                            tracing::warn!(target: "audit", door = lock.door(), %from, path, outcome, "audit: refused: {refused}");
                        }
                    }
                    return Ok(refuse(&path, &refused));
                }
            };
            lock.count("allowed");
            let answer = inner.call(request).await;
            if let (Need::Right(right), Ok(answer)) = (need, &answer)
                && right.is_noted()
            {
                let who = who.as_deref().unwrap_or("anybody");
                let status = answer.headers().get("grpc-status").and_then(|status| status.to_str().ok());
                let http = answer.status();
                let outcome = status.unwrap_or(http.as_str());
                tracing::info!(target: "audit", door = lock.door(), who, %from, path, outcome, "audit: called");
            }
            answer
        })
    }
}

/// HTTP's server wraps it, gRPC's does not.
fn caller(extensions: &Extensions) -> Caller {
    let wrapped = || extensions.get::<ConnectInfo<Caller>>().map(|ConnectInfo(caller)| caller);
    extensions.get::<Caller>().or_else(wrapped).cloned().unwrap_or_default()
}
