//! Events over HTTP: one, many, and how the door is.

mod bulk;
mod came;
mod loki;
mod otlp;

use super::accept::{Acceptor, Headers, Logs};
use super::event::{Event, Rejected, log_event, unreadable};
use super::once::{self, Once, Repeated};
use super::record::{CORRELATION_ID, TRACEPARENT};
use super::routes::Routes;
use super::user_event::{Schema, user_event};
use crate::config::{Destination, Right, Rule};
use crate::server::{Caller, Door, Guard, Lock, Need, Refused, RequestSpans};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use came::{Came, Denied};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Longest `X-Correlation-Id` that is taken over.
const LONGEST_ID: usize = 128;
/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// When to come again if there is no room, seconds.
const NO_ROOM: u64 = 5;

/// What the handlers share.
struct Shared {
    acceptor: Arc<Acceptor>,
}

/// The way in for log events in the protocols of others.
#[derive(Clone)]
struct Way {
    shared: Arc<Shared>,
    logs: Logs,
}

impl FromRef<Way> for Arc<Shared> {
    fn from_ref(way: &Way) -> Arc<Shared> {
        way.shared.clone()
    }
}

/// Serves until `shutdown` resolves, then lets open requests finish.
///
/// # Errors
/// If the server fails; a failing connection is not its failure.
pub async fn serve(
    door: Door,
    acceptor: Arc<Acceptor>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let shared = Shared { acceptor };
    let router = router(&Arc::new(shared), door.lock().clone()).into_make_service_with_connect_info::<Caller>();
    axum::serve(door.connections()?, router).with_graceful_shutdown(shutdown).await
}

fn router(shared: &Arc<Shared>, lock: Arc<Lock>) -> Router {
    let config = &shared.acceptor.config;
    let mut router = Router::new().route("/api/logs/health", get(health).with_state(shared.clone()));
    router = match (&config.logs, shared.acceptor.logs()) {
        (Some(destination), Some(logs)) => places(router, shared, Kind::Log, "/api/logs", destination)
            .merge(of_others().with_state(Way { shared: shared.clone(), logs }))
            .route("/", get(bulk::root))
            .route("/_cat/health", get(bulk::health)),
        _ => router
            .route("/api/logs", post(no_logs))
            .route("/api/logs/batch", post(no_logs))
            .route("/v1/logs", post(no_logs))
            .route("/loki/api/v1/push", post(no_logs))
            .route("/_bulk", post(no_logs)),
    };
    router = match &config.events {
        Some(events) => {
            let kind = Kind::User(Arc::new(Schema::of(events)));
            places(router, shared, kind, "/api/events", &events.destination)
        }
        None => router.route("/api/events", post(no_events)).route("/api/events/batch", post(no_events)),
    };
    router
        .layer(tower::layer::layer_fn(move |inner| Guard::new(inner, lock.clone(), need, refuse)))
        .layer(tower::layer::layer_fn(RequestSpans))
}

/// Where log events are handed in by the protocols of others.
fn of_others() -> Router<Way> {
    Router::new()
        .route("/v1/logs", post(otlp::logs))
        .route("/loki/api/v1/push", post(loki::push))
        .route("/_bulk", post(bulk::bulk).put(bulk::bulk))
        .route("/{index}/_bulk", post(bulk::bulk_of).put(bulk::bulk_of))
}

/// The paths at which events of one kind are handed in: the usual one, and those of routes.
fn places(router: Router, shared: &Arc<Shared>, kind: Kind, usual: &str, destination: &Destination) -> Router {
    let own = destination.routes.iter().filter_map(|route| match &route.rule {
        Rule::Path(path) => Some((path.as_str(), Routes::to(&route.topic))),
        Rule::Where(_) => None,
    });
    own.chain([(usual, Routes::of(destination))]).fold(router, |router, (path, routes)| {
        let place = Place { shared: shared.clone(), kind: kind.clone(), routes: Arc::new(routes) };
        router
            .route(path, post(single).with_state(place.clone()))
            .route(&format!("{path}/batch"), post(batch).with_state(place))
    })
}

/// Where events of one kind are handed in, and where they go from there.
#[derive(Clone)]
struct Place {
    shared: Arc<Shared>,
    kind: Kind,
    routes: Arc<Routes>,
}

impl FromRef<Place> for Arc<Shared> {
    fn from_ref(place: &Place) -> Arc<Shared> {
        place.shared.clone()
    }
}

#[derive(Clone)]
enum Kind {
    Log,
    User(Arc<Schema>),
}

impl Place {
    fn event(&self, json: &[u8]) -> Result<Event, Rejected> {
        let arrival = self.shared.acceptor.arrival(&self.routes);
        match &self.kind {
            Kind::Log => log_event(json, arrival),
            Kind::User(schema) => user_event(json, schema, arrival),
        }
    }

    /// What metrics call requests for one event, and for many.
    fn endpoints(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Log => ("logs", "batch"),
            Kind::User(_) => ("events", "events_batch"),
        }
    }
}

async fn no_logs() -> Response {
    let reason = "this agent takes no log events: its config has no `ingest.topic`";
    failure(StatusCode::NOT_FOUND, reason, None)
}

async fn no_events() -> Response {
    let reason = "this agent takes no user events: its config has no `ingest.events`";
    failure(StatusCode::NOT_FOUND, reason, None)
}

fn need(path: &str) -> Need {
    match path {
        "/api/logs/health" => Need::Health,
        _ => Need::Right(Right::Ingest),
    }
}

fn refuse(_: &str, refused: &Refused) -> Response {
    let (status, asked) = refused.http();
    (asked, failure(status, &refused.to_string(), None)).into_response()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    event_id: &'a str,
    status: &'static str,
    timestamp: String,
}

#[derive(Serialize)]
struct Batch<'a> {
    accepted: usize,
    failed: usize,
    errors: Vec<OfBatch<'a>>,
    timestamp: String,
}

#[derive(Serialize)]
struct OfBatch<'a> {
    index: usize,
    reason: &'a str,
}

#[derive(Serialize)]
struct Failure<'a> {
    status: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    metrics: HealthMetrics,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthMetrics {
    messages_sent: u64,
    messages_failed: u64,
    avg_send_duration: f64,
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Structs of strings and numbers.
    let text = serde_json::to_string(value).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

fn failure(status: StatusCode, reason: &str, retry_after: Option<u64>) -> Response {
    Denied::told(retry_after, json(status, &Failure { status: "Rejected", reason }))
}

impl Shared {
    fn now(&self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.acceptor.clock.unix_millis()).unwrap_or_default();
        format!("{time:.3}")
    }

    /// Answers a request once, however often it comes under its key.
    async fn once(&self, once: Option<Once>, work: impl Future<Output = Response> + Send + 'static) -> Response {
        let work = async move {
            let (head, body) = work.await.into_parts();
            // It is in memory already.
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let kept = (head.status == StatusCode::ACCEPTED).then(|| body.clone());
            (Response::from_parts(head, Body::from(body)), kept)
        };
        let repeated = match once::once(&self.acceptor, once, work).await {
            Ok(answer) => return answer,
            Err(repeated) => repeated,
        };
        let reason = repeated.reason();
        match repeated {
            Repeated::Accepted(answer) => {
                let headers = [(CONTENT_TYPE, "application/json"), (REPLAYED, "true")];
                (StatusCode::ACCEPTED, headers, answer).into_response()
            }
            Repeated::UnderWay => failure(StatusCode::CONFLICT, reason, Some(1)),
            Repeated::Other => failure(StatusCode::UNPROCESSABLE_ENTITY, reason, None),
            Repeated::Broken => failure(StatusCode::INTERNAL_SERVER_ERROR, reason, None),
        }
    }
}

async fn single(State(place): State<Place>, came: Came, uri: Uri, body: Body) -> Response {
    const TYPES: &[&str] = &["application/json", "+json", "text/json"];
    let answer = match came.read(&came.shared.acceptor.singles, body, TYPES).await {
        Err(denied) => denied.into_json(),
        Ok((_, content)) => {
            let event = place.event(&content.bytes);
            let once = Once::of(&came.headers, uri.path(), &content.bytes);
            drop(content);
            let (own, headers) = (came.shared.clone(), came.taken_over.clone());
            came.shared.once(once, async move { one(&own, event, &headers).await }).await
        }
    };
    came.answered(place.endpoints().0, answer)
}

async fn one(shared: &Shared, event: Result<Event, Rejected>, headers: &Headers) -> Response {
    match shared.acceptor.accept(vec![event], headers).await.pop() {
        Some(Ok(event_id)) => {
            let accepted = Accepted { event_id: &event_id, status: "Accepted", timestamp: shared.now() };
            json(StatusCode::ACCEPTED, &accepted)
        }
        Some(Err(refusal)) => Denied::from(&refusal).into_json(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn batch(State(place): State<Place>, came: Came, uri: Uri, body: Body) -> Response {
    const LINES: &[&str] =
        &["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];
    const TYPES: &[&str] = &["application/json", LINES[0], LINES[1], LINES[2], LINES[3], "+json", "text/json"];
    let answer = match came.read(&came.shared.acceptor.batches, body, TYPES).await {
        Err(denied) => denied.into_json(),
        Ok((kind, content)) => {
            let events = events(&content.bytes, LINES.contains(&kind), &place);
            let once = Once::of(&came.headers, uri.path(), &content.bytes);
            drop(content);
            let (own, headers) = (came.shared.clone(), came.taken_over.clone());
            match events {
                Err(denied) => denied.into_json(),
                Ok(events) => came.shared.once(once, async move { many(&own, events, &headers).await }).await,
            }
        }
    };
    came.answered(place.endpoints().1, answer)
}

async fn many(shared: &Shared, events: Vec<Result<Event, Rejected>>, headers: &Headers) -> Response {
    let answers = shared.acceptor.accept(events, headers).await;
    let refusals: Vec<_> =
        answers.iter().enumerate().filter_map(|(index, answer)| Some((index, answer.as_ref().err()?))).collect();
    let accepted = answers.len() - refusals.len();
    let errors = refusals.iter().map(|(index, refusal)| OfBatch { index: *index, reason: refusal.reason() }).collect();
    // Of a batch without a good event, the first one that may be sent again says so, or else the first one.
    let worst = refusals.iter().map(|(_, refusal)| *refusal).find(|refusal| refusal.may_come_again());
    let (code, retry_after) = match worst.or(refusals.first().map(|(_, refusal)| *refusal)) {
        Some(refusal) if accepted == 0 => {
            let Denied { status, retry_after, .. } = refusal.into();
            (status, retry_after)
        }
        _ => (StatusCode::ACCEPTED, None),
    };
    Denied::told(retry_after, json(code, &Batch { accepted, failed: refusals.len(), errors, timestamp: shared.now() }))
}

/// The events of a batch: a JSON array, or one event on each line.
fn events(bytes: &[u8], lines: bool, place: &Place) -> Result<Vec<Result<Event, Rejected>>, Denied> {
    let most = place.shared.acceptor.config.batch_events;
    let too_many = || Denied::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the batch has more than {most} events"));
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let Some(first) = first else {
        return Err(Denied::new(StatusCode::BAD_REQUEST, "the body is empty"));
    };
    if *first == b'[' && !lines {
        let elements: Vec<&RawValue> =
            serde_json::from_slice(bytes).map_err(|error| Denied::new(StatusCode::BAD_REQUEST, unreadable(&error)))?;
        if elements.len() > most {
            return Err(too_many());
        }
        return Ok(elements.into_iter().map(|element| place.event(element.get().as_bytes())).collect());
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    if lines.clone().take(most + 1).count() > most {
        return Err(too_many());
    }
    Ok(lines.map(|line| place.event(line)).collect())
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (messages_sent, messages_failed, avg_send_duration) = shared.acceptor.stats.totals();
    let metrics = HealthMetrics { messages_sent, messages_failed, avg_send_duration };
    match shared.acceptor.has_room() {
        true => json(StatusCode::OK, &Health { status: "UP", metrics }),
        false => json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "DOWN", metrics }),
    }
}

/// The headers that go to Kafka with each event. What is no plain text is left out.
pub fn taken_over(headers: &HeaderMap) -> Headers {
    [CORRELATION_ID, TRACEPARENT]
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            (!value.is_empty() && value.len() <= LONGEST_ID).then(|| (name, value.to_owned()))
        })
        .collect()
}
