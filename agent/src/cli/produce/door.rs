//! Through an agent's front door: batches, one after the other, each tried again until it is taken or there is no hope.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use streamgauge_proto::types::value::Kind;
use streamgauge_proto::types::{self, ListValue, Struct, Timestamp};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::ingest_service_client::IngestServiceClient;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Code;

use crate::clock::{BootTime, Clock};
use crate::kafka::event_producer::{Delivered, ProduceError};
use crate::server::{Calls, Posts};

/// A batch goes when its first event has waited so long, full or not.
const LINGER: Duration = Duration::from_millis(100);
/// A batch with more bytes is full.
const FULL: usize = 1 << 20;
/// Batches that wait behind the one that is under way.
const WAITING: usize = 4;
/// How long a batch is tried.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause between two attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the agent is spoken to.
pub(super) enum Way {
    Http { posts: Box<Posts>, path: &'static str, address: String },
    Grpc(IngestServiceClient<Calls>),
}

/// What an attempt came to.
enum Attempt {
    /// All were taken but these: their places, why, and whether they may be sent again.
    Taken(Vec<(usize, String, bool)>),
    /// None yet.
    Later { after: Option<Duration>, why: String },
    /// None of these, ever.
    Never(String),
    /// Nothing that is sent there.
    Closed(String),
}

/// An event, and the moment from which its latency counts.
type Event = (Bytes, Duration);

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    bytes: usize,
    /// When the first one came.
    since: Duration,
}

pub(super) struct Door {
    batch: Batch,
    /// Events of a full batch.
    most: usize,
    jobs: mpsc::Sender<Vec<Event>>,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    start: BootTime,
    delivered: Mutex<Delivered>,
    outstanding: AtomicUsize,
    /// Why no event will get through.
    closed: Mutex<Option<String>>,
}

impl Door {
    /// # Errors
    /// If there is no memory for latencies.
    pub fn open(way: Way, most: usize, clock: Clock, runtime: &Handle) -> Result<Door, ProduceError> {
        let shared = Arc::new(Shared {
            start: clock.boot_time(),
            clock,
            delivered: Mutex::new(Delivered::none()?),
            outstanding: AtomicUsize::new(0),
            closed: Mutex::new(None),
        });
        let (jobs, mut queue) = mpsc::channel(WAITING);
        let (working, mut way) = (shared.clone(), way);
        runtime.spawn(async move {
            let mut first = true;
            while let Some(events) = queue.recv().await {
                working.deliver(&mut way, events, first).await;
                first = false;
            }
        });
        Ok(Door { batch: Batch::default(), most, jobs, shared })
    }

    /// Adds an event to the batch; `false`: there is no room.
    ///
    /// # Errors
    /// If the agent takes none.
    pub fn send(&mut self, value: &[u8], from: Duration) -> anyhow::Result<bool> {
        if (self.batch.events.len() >= self.most || self.batch.bytes >= FULL) && !self.flush(true)? {
            return Ok(false);
        }
        if self.batch.events.is_empty() {
            self.batch.since = self.elapsed();
        }
        self.batch.bytes += value.len();
        self.batch.events.push((Bytes::copy_from_slice(value), from));
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        if self.batch.events.len() >= self.most {
            // Without room it goes with the next event, or the next flush.
            self.flush(true)?;
        }
        Ok(true)
    }

    /// Hands the batch over, if it has waited for long, or in any case; `false`: there is no room.
    ///
    /// # Errors
    /// If the agent takes none.
    pub fn flush(&mut self, all: bool) -> anyhow::Result<bool> {
        if let Some(why) = &*self.shared.closed.lock() {
            anyhow::bail!("{why}");
        }
        let waited = self.elapsed().saturating_sub(self.batch.since);
        if self.batch.events.is_empty() || (!all && waited < LINGER) {
            return Ok(true);
        }
        let Ok(place) = self.jobs.try_reserve() else { return Ok(false) };
        place.send(std::mem::take(&mut self.batch).events);
        Ok(true)
    }

    pub fn outstanding(&self) -> usize {
        self.shared.outstanding.load(Ordering::Relaxed)
    }

    pub fn elapsed(&self) -> Duration {
        self.shared.elapsed()
    }

    pub fn delivered(&self) -> Delivered {
        self.shared.delivered.lock().clone()
    }

    pub fn counts(&self) -> (u64, u64) {
        let delivered = self.shared.delivered.lock();
        (delivered.acknowledged, delivered.failed)
    }
}

impl Shared {
    fn elapsed(&self) -> Duration {
        self.clock.boot_time().since(self.start)
    }

    /// Tries a batch until all of its events are decided. `first`: where nobody listens, there is nothing to wait for.
    async fn deliver(&self, way: &mut Way, mut events: Vec<Event>, first: bool) {
        let began = self.elapsed();
        let mut pause = FIRST_PAUSE;
        let mut key = new_key();
        loop {
            let (why, after) = match way.attempt(&events, &key).await {
                Attempt::Taken(refused) if refused.is_empty() => return self.decided(&events, None),
                Attempt::Taken(refused) => {
                    let again = self.apart(&mut events, refused);
                    // What is left of it is another request.
                    key = new_key();
                    if events.is_empty() {
                        return;
                    }
                    (again, None)
                }
                Attempt::Later { after, why } => (why, after),
                Attempt::Never(why) => return self.decided(&events, Some(&why)),
                Attempt::Closed(why) => {
                    self.closed.lock().get_or_insert(why.clone());
                    return self.decided(&events, Some(&why));
                }
            };
            if first && why.contains("Connection refused") {
                self.closed
                    .lock()
                    .get_or_insert(format!("{why}; is the agent running, and is that its ingest.listen?"));
                return self.decided(&events, Some(&why));
            }
            if self.elapsed().saturating_sub(began) >= PATIENCE {
                return self.decided(&events, Some(&why));
            }
            // Some of it by chance: many senders do not come back at one moment.
            let wait = after.unwrap_or(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0));
            tokio::time::sleep(wait.min(PATIENCE)).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Settles what is decided of a batch, and leaves what may be sent again; why it has to be.
    fn apart(&self, events: &mut Vec<Event>, refused: Vec<(usize, String, bool)>) -> String {
        let (mut left, mut why) = (Vec::new(), String::new());
        let mut refused = refused.into_iter().peekable();
        for (place, event) in std::mem::take(events).into_iter().enumerate() {
            match refused.next_if(|(refused, ..)| *refused == place) {
                None => self.decided(&[event], None),
                Some((_, reason, true)) => {
                    why = reason;
                    left.push(event);
                }
                Some((_, reason, false)) => self.decided(&[event], Some(&reason)),
            }
        }
        *events = left;
        why
    }

    fn decided(&self, events: &[Event], failed: Option<&str>) {
        let now = self.elapsed();
        let mut delivered = self.delivered.lock();
        delivered.last_report = now;
        match failed {
            None => {
                delivered.acknowledged += events.len() as u64;
                for (_, from) in events {
                    delivered.latency.saturating_record(now.saturating_sub(*from).as_micros() as u64);
                }
            }
            Some(why) => {
                delivered.failed += events.len() as u64;
                delivered.first_error.get_or_insert_with(|| why.to_owned());
            }
        }
        self.outstanding.fetch_sub(events.len(), Ordering::Relaxed);
    }
}

/// Under which a batch that comes twice is taken once.
fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What the door says of a batch over HTTP.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    errors: Vec<Refused>,
    /// Of one that was not even read.
    reason: String,
}

#[derive(Deserialize)]
struct Refused {
    index: usize,
    reason: String,
}

impl Way {
    pub fn grpc(calls: Calls) -> Way {
        Way::Grpc(IngestServiceClient::new(calls))
    }

    async fn attempt(&mut self, events: &[Event], key: &str) -> Attempt {
        match self {
            Way::Http { posts, path, address } => {
                let body: Vec<_> = events.iter().map(|(event, _)| &event[..]).collect();
                let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
                match posts.post(path, &headers, Bytes::from(body.join(&b'\n'))).await {
                    Err(why) => Attempt::Later { after: None, why: format!("{address}: {why}") },
                    Ok(posted) => {
                        let after = posted.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                        let said: Said = serde_json::from_slice(&posted.body).unwrap_or_default();
                        http_answer(posted.status, after.map(Duration::from_secs), said, &format!("{address}{path}"))
                    }
                }
            }
            Way::Grpc(client) => {
                let (mut places, mut messages, mut refused) = (Vec::new(), Vec::new(), Vec::new());
                for (place, (event, _)) in events.iter().enumerate() {
                    match message(event) {
                        Ok(message) => {
                            places.push(place);
                            messages.push(message);
                        }
                        Err(reason) => refused.push((place, reason, false)),
                    }
                }
                if messages.is_empty() {
                    return Attempt::Taken(refused);
                }
                let mut request = tonic::Request::new(pb::IngestBatchRequest { events: messages });
                // Of hexadecimal digits.
                if let Ok(key) = key.parse() {
                    request.metadata_mut().insert("idempotency-key", key);
                }
                match client.ingest_batch(request).await {
                    Ok(answer) => {
                        let place = |error: pb::IngestError| {
                            Some((*places.get(error.index as usize)?, error.reason, error.retry))
                        };
                        refused.extend(answer.into_inner().errors.into_iter().filter_map(place));
                        refused.sort_by_key(|(place, ..)| *place);
                        Attempt::Taken(refused)
                    }
                    Err(status) => grpc_answer(&status),
                }
            }
        }
    }
}

fn http_answer(status: StatusCode, after: Option<Duration>, said: Said, url: &str) -> Attempt {
    let why = || format!("{url} answers {}: {}", status.as_u16(), said.reason);
    match status {
        StatusCode::ACCEPTED | StatusCode::BAD_REQUEST if status.is_success() || !said.errors.is_empty() => {
            Attempt::Taken(said.errors.into_iter().map(|error| (error.index, error.reason, false)).collect())
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Attempt::Closed(why()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
            Attempt::Later { after, why: why() }
        }
        status if status.is_server_error() => Attempt::Later { after, why: why() },
        _ => Attempt::Never(said.errors.first().map_or_else(why, |first| first.reason.clone())),
    }
}

fn grpc_answer(status: &tonic::Status) -> Attempt {
    let why = status.message().to_owned();
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
            Attempt::Later { after: None, why }
        }
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::FailedPrecondition => {
            Attempt::Closed(why)
        }
        _ => Attempt::Never(why),
    }
}

/// A log event in JSON as gRPC has it.
fn message(json: &[u8]) -> Result<pb::LogEvent, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Log {
        #[serde(default)]
        source: String,
        #[serde(default)]
        level: String,
        #[serde(default)]
        message: String,
        metadata: Option<serde_json::Map<String, Value>>,
        stack_trace: Option<String>,
        timestamp: Option<Value>,
    }
    let log: Log = serde_json::from_slice(json).map_err(|error| format!("it is no log event: {error}"))?;
    let level = match log.level.to_ascii_uppercase().as_str() {
        "TRACE" => pb::LogLevel::Trace,
        "DEBUG" => pb::LogLevel::Debug,
        "INFO" => pb::LogLevel::Info,
        "WARN" | "WARNING" => pb::LogLevel::Warn,
        "ERROR" => pb::LogLevel::Error,
        "FATAL" => pb::LogLevel::Fatal,
        // The agent says what is wrong with it.
        _ => pb::LogLevel::Unspecified,
    };
    let no_time = || "`timestamp` is neither an RFC 3339 time nor a number of Unix milliseconds".to_owned();
    let time = match log.timestamp {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.parse::<jiff::Timestamp>().map_err(|_| no_time())?),
        Some(other) => {
            let millis = other.as_i64().ok_or_else(no_time)?;
            Some(jiff::Timestamp::from_millisecond(millis).map_err(|_| no_time())?)
        }
    };
    Ok(pb::LogEvent {
        source: log.source,
        level: level.into(),
        message: log.message,
        metadata: log.metadata.map(fields),
        stack_trace: log.stack_trace.unwrap_or_default(),
        timestamp: time.map(|time| Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }),
    })
}

fn fields(map: serde_json::Map<String, Value>) -> Struct {
    Struct { fields: map.into_iter().map(|(name, value)| (name, any(value))).collect() }
}

fn any(value: Value) -> types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(any).collect() }),
        Value::Object(map) => Kind::StructValue(fields(map)),
    };
    types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again_is_and_what_may_not_is_not() {
        let answer = |status: u16, body: &str| {
            let said: Said = serde_json::from_str(body).unwrap_or_default();
            http_answer(StatusCode::from_u16(status).unwrap(), Some(Duration::from_secs(1)), said, "u")
        };
        let errors = r#"{"errors":[{"index":3,"reason":"r"}]}"#;
        assert!(matches!(answer(202, r#"{"errors":[]}"#), Attempt::Taken(refused) if refused.is_empty()));
        for status in [202, 400] {
            let Attempt::Taken(refused) = answer(status, errors) else { panic!("{status}") };
            assert_eq!(refused, [(3, "r".to_owned(), false)]);
        }
        for status in [408, 409, 429, 500, 503] {
            assert!(matches!(answer(status, errors), Attempt::Later { after: Some(_), .. }), "{status}");
        }
        for status in [401, 403, 404] {
            let Attempt::Closed(why) = answer(status, r#"{"reason":"no"}"#) else { panic!("{status}") };
            assert_eq!(why, format!("u answers {status}: no"));
        }
        assert!(matches!(answer(400, r#"{"reason":"no"}"#), Attempt::Never(_)));
        assert!(matches!(answer(413, errors), Attempt::Never(why) if why == "r"));
    }

    #[test]
    fn a_log_event_says_the_same_over_grpc() {
        let json = br#"{"timestamp":"2024-01-15T10:30:00.5Z","source":"a","level":"error","message":"m","metadata":{"n":1,"l":[true,null]},"stackTrace":"s"}"#;
        let event = message(json).unwrap();
        assert_eq!((event.source.as_str(), event.level(), event.stack_trace.as_str()), ("a", pb::LogLevel::Error, "s"));
        assert_eq!(event.timestamp, Some(Timestamp { seconds: 1_705_314_600, nanos: 500_000_000 }));
        assert_eq!(event.metadata.unwrap().fields.len(), 2);
        for bad in [&b"{"[..], br#"{"page":"/"}"#, br#"{"timestamp":"noon"}"#] {
            assert!(message(bad).is_err());
        }
    }
}
