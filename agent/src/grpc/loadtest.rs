//! `LoadTestService`: requests to specs, snapshots to messages.

use crate::loadtest::{Acks, Compression, DEFAULT_BATCH_BYTES, DEFAULT_EVENT_BYTES, DEFAULT_LINGER};
use crate::loadtest::{LoadTests, Snapshot, Spec, State, Test, Totals};
use crate::topics::{Kind, TopicError};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// The service; the command line calls it in its own process, too.
#[derive(Clone)]
pub struct LoadTestApi {
    pub tests: Arc<LoadTests>,
}

type Watched = Pin<Box<dyn Stream<Item = Result<pb::LoadTest, Status>> + Send>>;

#[tonic::async_trait]
impl pb::load_test_service_server::LoadTestService for LoadTestApi {
    type WatchLoadTestStream = Watched;

    async fn start_load_test(
        &self,
        request: Request<pb::StartLoadTestRequest>,
    ) -> Result<Response<pb::LoadTest>, Status> {
        let request = request.into_inner();
        let (spec, validate_only) = (spec(&request)?, request.validate_only);
        let tests = self.tests.clone();
        let span = tracing::Span::current();
        let start = move || span.in_scope(|| tests.start(spec, validate_only));
        let started = tokio::task::spawn_blocking(start).await;
        let started = started.map_err(|_| Status::internal("the start panicked; the agent's log says where"))??;
        Ok(Response::new(match started {
            Some(test) => message(&test, test.snapshot()),
            None => pb::LoadTest { request: Some(request), ..Default::default() },
        }))
    }

    async fn get_load_test(
        &self,
        request: Request<pb::GetLoadTestRequest>,
    ) -> Result<Response<pb::GetLoadTestResponse>, Status> {
        let test = self.tests.get(&request.into_inner().id)?;
        let test = test.map(|test| message(&test, test.snapshot()));
        Ok(Response::new(pb::GetLoadTestResponse { test, stats: Some(stats(self.tests.totals())) }))
    }

    async fn watch_load_test(
        &self,
        request: Request<pb::WatchLoadTestRequest>,
    ) -> Result<Response<Self::WatchLoadTestStream>, Status> {
        let test = self.found(&request.into_inner().id)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut changes = test.watch();
            loop {
                let snapshot = changes.borrow_and_update().clone();
                let ended = snapshot.state.has_ended();
                // A reader that has gone ends the watching.
                if sender.send(Ok(message(&test, snapshot))).await.is_err() || ended || changes.changed().await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn cancel_load_test(
        &self,
        request: Request<pb::CancelLoadTestRequest>,
    ) -> Result<Response<pb::LoadTest>, Status> {
        let test = self.found(&request.into_inner().id)?;
        test.cancel();
        Ok(Response::new(message(&test, test.snapshot())))
    }

    async fn reset_load_test_stats(
        &self,
        _: Request<pb::ResetLoadTestStatsRequest>,
    ) -> Result<Response<pb::LoadTestStats>, Status> {
        Ok(Response::new(stats(self.tests.reset())))
    }
}

impl LoadTestApi {
    fn found(&self, id: &str) -> Result<Arc<Test>, Status> {
        let none = || TopicError::new(Kind::Missing, "no load test has run yet; start one with StartLoadTest");
        Ok(self.tests.get(id)?.ok_or_else(none)?)
    }
}

fn spec(request: &pb::StartLoadTestRequest) -> Result<Spec, Status> {
    let invalid = |message: String| Status::invalid_argument(message);
    let duration = |what: &str, value: &Option<types::Duration>| match value {
        None => Ok(None),
        Some(value) => {
            Duration::try_from(*value).map(Some).map_err(|_| invalid(format!("{what} is negative; give a time")))
        }
    };
    let compression = match request.compression.as_str() {
        "" => Compression::Snappy,
        text => Compression::ALL
            .into_iter()
            .find(|known| known.value() == text)
            .ok_or_else(|| invalid(format!("compression `{text}` is unknown; use none, gzip, snappy, lz4 or zstd")))?,
    };
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    Ok(Spec {
        topic: request.topic.clone(),
        events: Some(request.events).filter(|events| *events > 0),
        duration: duration("duration", &request.duration)?,
        rate: Some(request.rate).filter(|rate| *rate > 0),
        event_bytes: or(request.event_size, DEFAULT_EVENT_BYTES as u32) as usize,
        keys: request.keys,
        acks: match request.acks() {
            pb::Acks::Unspecified | pb::Acks::All => Acks::All,
            pb::Acks::Leader => Acks::Leader,
            pb::Acks::None => Acks::None,
        },
        compression,
        linger: duration("linger", &request.linger)?.unwrap_or(DEFAULT_LINGER),
        batch_bytes: or(request.batch_size, DEFAULT_BATCH_BYTES),
        verify: request.verify,
        allow_source_topic: request.allow_source_topic,
    })
}

/// The request that asks for this test.
pub fn request(spec: &Spec) -> pb::StartLoadTestRequest {
    let time = |duration: Duration| types::Duration::try_from(duration).ok();
    pb::StartLoadTestRequest {
        topic: spec.topic.clone(),
        events: spec.events.unwrap_or(0),
        duration: spec.duration.and_then(time),
        rate: spec.rate.unwrap_or(0),
        event_size: spec.event_bytes as u32,
        keys: spec.keys,
        acks: match spec.acks {
            Acks::All => pb::Acks::All,
            Acks::Leader => pb::Acks::Leader,
            Acks::None => pb::Acks::None,
        } as i32,
        compression: spec.compression.value().to_owned(),
        linger: time(spec.linger),
        batch_size: spec.batch_bytes,
        verify: spec.verify,
        allow_source_topic: spec.allow_source_topic,
        validate_only: false,
    }
}

fn message(test: &Test, snapshot: Snapshot) -> pb::LoadTest {
    use pb::load_test::State as Wire;
    let rate = snapshot.rate();
    pb::LoadTest {
        id: test.id.clone(),
        state: match snapshot.state {
            State::Running => Wire::Running,
            State::Verifying => Wire::Verifying,
            State::Done => Wire::Done,
            State::Cancelled => Wire::Cancelled,
            State::Failed => Wire::Failed,
        } as i32,
        request: Some(request(&test.spec)),
        started: Some(moment(test.started)),
        elapsed: types::Duration::try_from(snapshot.elapsed).ok(),
        sent: snapshot.sent,
        acknowledged: snapshot.acknowledged,
        failed: snapshot.failed,
        rate,
        bytes_per_second: rate * snapshot.event_bytes as f64,
        latency: snapshot.latency.map(|latency| pb::Latency {
            p50: latency.p50,
            p95: latency.p95,
            p99: latency.p99,
            p999: latency.p999,
            max: latency.max,
            mean: latency.mean,
        }),
        verification: snapshot.verification.map(|found| pb::Verification {
            found: found.found,
            lost: found.lost,
            duplicated: found.duplicated,
            reordered: found.reordered,
            unacknowledged_found: found.unacknowledged_found,
        }),
        error: snapshot.error.unwrap_or_default(),
    }
}

fn stats(totals: Totals) -> pb::LoadTestStats {
    pb::LoadTestStats {
        since: Some(moment(totals.since)),
        tests: totals.tests,
        sent: totals.sent,
        acknowledged: totals.acknowledged,
        failed: totals.failed,
    }
}

fn moment(millis: i64) -> types::Timestamp {
    types::Timestamp { seconds: millis.div_euclid(1_000), nanos: (millis.rem_euclid(1_000) * 1_000_000) as i32 }
}
