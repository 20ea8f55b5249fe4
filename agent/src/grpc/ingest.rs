//! `IngestService`: events over gRPC to the front door.

use crate::clock::BootTime;
use crate::ingest::{
    Acceptor, Arrival, Event, Fields, Headers, Logs, Once, Refusal, Rejected, Repeated, once, taken_over, write,
};
use crate::server::Caller;
use prost::Message;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use streamgauge_proto::types::value::Kind;
use streamgauge_proto::types::{self, Struct};
use streamgauge_proto::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};

/// Batches of a stream that are under way; the next one is read when the first of them is answered.
const UNDER_WAY: usize = 16;

/// The service; `None`: the config has no `ingest.topic`.
#[derive(Clone)]
pub struct IngestApi {
    pub logs: Option<Logs>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<pb::IngestStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl pb::ingest_service_server::IngestService for IngestApi {
    type IngestStreamStream = Answers;

    async fn ingest(&self, request: Request<pb::IngestRequest>) -> Result<Response<pb::IngestResponse>, Status> {
        let logs = self.logs()?;
        let door = &logs.door;
        let began = door.clock.boot_time();
        let (from, headers, key) = (from(&request), headers(&request), key(&request, "Ingest"));
        let answer = match door.singles.take(from) {
            Err(_) => Err(too_often()),
            Ok(()) => {
                let event = event(request.into_inner().event.unwrap_or_default(), logs.arrival());
                let own = door.clone();
                let work = async move {
                    let answer = own.accept(vec![event], &headers).await.pop();
                    let answer = answer.unwrap_or_else(|| Err(Refusal::Later(String::new())));
                    let answer = answer.map(|event_id| pb::IngestResponse { event_id });
                    answer.map_err(|refusal| status(&refusal))
                };
                answered_once(door, key, work).await
            }
        };
        count(door, began, answer.as_ref().err());
        answer
    }

    async fn ingest_batch(
        &self,
        request: Request<pb::IngestBatchRequest>,
    ) -> Result<Response<pb::IngestBatchResponse>, Status> {
        let logs = self.logs()?;
        let door = &logs.door;
        let began = door.clock.boot_time();
        let (from, headers, key) = (from(&request), headers(&request), key(&request, "IngestBatch"));
        let answer = match door.batches.take(from) {
            Err(_) => Err(too_often()),
            Ok(()) => match events(request.into_inner().events, logs) {
                Err(too_many) => Err(too_many),
                Ok(events) => {
                    let own = door.clone();
                    let work = async move {
                        let (accepted, errors) = decided(&own.accept(events, &headers).await);
                        Ok(pb::IngestBatchResponse { accepted, errors })
                    };
                    answered_once(door, key, work).await
                }
            },
        };
        count(door, began, answer.as_ref().err());
        answer
    }

    async fn ingest_stream(
        &self,
        request: Request<Streaming<pb::IngestStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let logs = self.logs()?.clone();
        let door = logs.door.clone();
        door.batches.take(from(&request)).map_err(|_| too_often())?;
        let (headers, mut requests) = (headers(&request), request.into_inner());
        let (sender, under_way) = mpsc::channel(UNDER_WAY);
        let reading = logs;
        tokio::spawn(async move {
            loop {
                // Before the request is read: whoever is slow to read answers is not read from.
                let Ok(place) = sender.reserve().await else { return };
                let pending = match requests.message().await {
                    Ok(Some(request)) => events(request.events, &reading),
                    Ok(None) => return,
                    Err(broken) => Err(broken),
                };
                let began = reading.door.clock.boot_time();
                // Put into the queue here, one after the other: order is kept.
                let pending = pending.map(|events| (began, reading.door.submit(events, &headers)));
                let ends = pending.is_err();
                place.send(pending);
                if ends {
                    return;
                }
            }
        });
        let answers = ReceiverStream::new(under_way).then(move |pending| {
            let door = door.clone();
            async move {
                let (began, pending) = pending?;
                let (accepted, errors) = decided(&door.decided(pending).await);
                count(&door, began, None);
                Ok(pb::IngestStreamResponse { accepted, errors })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

impl IngestApi {
    fn logs(&self) -> Result<&Logs, Status> {
        let off = || Status::failed_precondition("this agent takes no log events: its config has no `ingest.topic`");
        self.logs.as_ref().ok_or_else(off)
    }
}

fn from<T>(request: &Request<T>) -> std::net::IpAddr {
    request.extensions().get::<Caller>().cloned().unwrap_or_default().address.ip()
}

fn headers<T>(request: &Request<T>) -> Headers {
    taken_over(&request.metadata().clone().into_headers())
}

/// What the request is known by when it comes again, if it has an `idempotency-key`.
fn key<T: Message>(request: &Request<T>, call: &str) -> Option<Once> {
    let headers = request.metadata().clone().into_headers();
    Once::is_wanted(&headers).then(|| Once::of(&headers, call, &request.get_ref().encode_to_vec())).flatten()
}

/// Answers a call once, however often it comes under its key. A batch of which nothing was accepted may come again.
async fn answered_once<T: Message + Taken + Default + 'static>(
    door: &Arc<Acceptor>,
    key: Option<Once>,
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let work = async move {
        let answer = work.await;
        let kept = answer.as_ref().ok().filter(|answer| answer.is_taken()).map(|answer| answer.encode_to_vec().into());
        (answer, kept)
    };
    match once(door, key, work).await {
        Ok(answer) => answer.map(Response::new),
        Err(Repeated::Accepted(answer)) => {
            let answer = T::decode(answer).map_err(|error| Status::internal(error.to_string()))?;
            Ok(Response::new(answer))
        }
        Err(repeated @ Repeated::UnderWay) => Err(Status::aborted(repeated.reason())),
        Err(repeated @ Repeated::Other) => Err(Status::invalid_argument(repeated.reason())),
        Err(repeated @ Repeated::Broken) => Err(Status::internal(repeated.reason())),
    }
}

/// An answer that says whether an event was accepted.
trait Taken {
    fn is_taken(&self) -> bool;
}

impl Taken for pb::IngestResponse {
    fn is_taken(&self) -> bool {
        true
    }
}

impl Taken for pb::IngestBatchResponse {
    fn is_taken(&self) -> bool {
        self.accepted > 0 || self.errors.is_empty()
    }
}

fn too_often() -> Status {
    Status::resource_exhausted("too many requests from this address")
}

fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Rejected(_) | Refusal::Never(_) => Code::InvalidArgument,
        Refusal::Later(_) | Refusal::NoTopic(_) => Code::Unavailable,
    };
    Status::new(code, refusal.reason())
}

/// Counts the call under the HTTP status that means the same.
fn count(door: &Acceptor, began: BootTime, refused: Option<&Status>) {
    let code = match refused.map(Status::code) {
        None => 202,
        Some(Code::ResourceExhausted) => 429,
        Some(Code::Unavailable) => 503,
        Some(_) => 400,
    };
    door.answered("grpc", began, code);
}

fn decided(answers: &[Result<String, Refusal>]) -> (u32, Vec<pb::IngestError>) {
    let error = |(index, answer): (usize, &Result<String, Refusal>)| {
        let refusal = answer.as_ref().err()?;
        let retry = refusal.may_come_again();
        Some(pb::IngestError { index: index as u32, reason: refusal.reason().to_owned(), retry })
    };
    let errors: Vec<_> = answers.iter().enumerate().filter_map(error).collect();
    ((answers.len() - errors.len()) as u32, errors)
}

fn events(events: Vec<pb::LogEvent>, logs: &Logs) -> Result<Vec<Result<Event, Rejected>>, Status> {
    let most = logs.door.config.batch_events;
    if events.len() > most {
        return Err(Status::invalid_argument(format!("the batch has more than {most} events")));
    }
    let arrival = logs.arrival();
    Ok(events.into_iter().map(|each| event(each, arrival)).collect())
}

fn event(event: pb::LogEvent, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let level = match event.level() {
        pb::LogLevel::Unspecified => return Err(Rejected::Invalid("`level` is missing".into())),
        pb::LogLevel::Trace => "TRACE",
        pb::LogLevel::Debug => "DEBUG",
        pb::LogLevel::Info => "INFO",
        pb::LogLevel::Warn => "WARN",
        pb::LogLevel::Error => "ERROR",
        pb::LogLevel::Fatal => "FATAL",
    };
    let timestamp = match event.timestamp {
        None => None,
        Some(time) => {
            let time = jiff::Timestamp::new(time.seconds, time.nanos);
            Some(time.map_err(|error| Rejected::Invalid(format!("`timestamp`: {error}")))?.to_string())
        }
    };
    let json = |text: String| Cow::Owned(Value::from(text).to_string());
    write(
        &Fields {
            source: Cow::Owned(event.source),
            level,
            message: json(event.message),
            metadata: event.metadata.map(|metadata| Cow::Owned(Value::Object(object(metadata)).to_string())),
            stack_trace: (!event.stack_trace.is_empty()).then(|| json(event.stack_trace)),
            timestamp,
        },
        arrival,
    )
}

fn object(fields: Struct) -> Map<String, Value> {
    fields.fields.into_iter().map(|(key, value)| (key, self::value(value))).collect()
}

fn value(value: types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        // Whole numbers are written without a point, as a sender of JSON would.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 2f64.powi(53) => {
            (number as i64).into()
        }
        // What JSON has no number for is null.
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::StructValue(fields)) => Value::Object(object(fields)),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(self::value).collect(),
    }
}
