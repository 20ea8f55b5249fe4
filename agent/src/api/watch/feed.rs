//! A question that is watched: asked again when commits may have changed the answer.

use super::snapshot::Snapshot;
use crate::api::service::Api;
use crate::clock::BootTime;
use crate::query::aggregates;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;

/// How long to let commits gather: those of one transaction are put into their views one after the other.
const GATHER: Duration = Duration::from_millis(5);
/// What no commit here tells is looked at this often: windows that time closes, partitions that other agents have.
const LOOK: Duration = Duration::from_secs(1);
/// Answers that are made at a time, over all feeds, and how much longer than making one took its place rests: all watchers
/// together take a quarter of a core, however many there are and whatever they ask.
pub const LANES: usize = 2;
const REST: u32 = 7;
const LONGEST_REST: Duration = Duration::from_millis(500);

/// A feed's newest answer; `None` before the first.
pub type Newest = Option<Result<Arc<Snapshot>, Status>>;

/// A question, and how often it may be asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub query: pb::QueryRequest,
    pub interval: Duration,
}

impl Question {
    /// Each window comes once, when it has closed.
    pub fn is_of_closed_windows(&self) -> bool {
        self.query.closed_only && self.query.window.is_some()
    }

    /// What is asked again and again. Of closed windows two at least, so that those who have the one see that they missed
    /// none before the other.
    fn asked(&self) -> pb::QueryRequest {
        let time = match &self.query.time {
            None if self.is_of_closed_windows() => Some(Time::LastN(2)),
            time => *time,
        };
        pb::QueryRequest { time, ..self.query.clone() }
    }

    fn is_of_windows(&self) -> bool {
        self.query.window.is_some() || self.query.time.is_some()
    }
}

/// Where answers are made.
#[derive(Clone)]
pub struct Maker {
    pub api: Api,
    pub lanes: Arc<Semaphore>,
}

impl Maker {
    /// Answers one question, when it is its turn.
    pub async fn answer(&self, query: pb::QueryRequest) -> Result<pb::QueryResponse, Status> {
        let Ok(lane) = self.lanes.clone().acquire_owned().await else {
            return Err(Status::unavailable("the agent is stopping"));
        };
        let now = || self.api.group.reader.clock.boot_time();
        let began: BootTime = now();
        let answer = self.api.query(query).await;
        let rest = (now().since(began) * REST).min(LONGEST_REST);
        tokio::spawn(async move {
            sleep(rest).await;
            drop(lane);
        });
        answer
    }

    /// How long closed windows wait for a partition that is away: as long as those that are published do.
    fn patience(&self, question: &Question) -> Duration {
        let sources = self.api.group.reader.sources.now();
        let plan = aggregates(&sources).map(|(_, plan)| plan).find(|plan| plan.config.name == question.query.aggregate);
        plan.map(|plan| plan.config.idle_timeout).unwrap_or_default()
    }
}

/// Whether closed windows have to wait: a partition that may have a part in them is not there, and has not been away for so
/// long that nobody waits for it.
#[derive(Default)]
struct Waiting {
    since: Option<BootTime>,
}

impl Waiting {
    fn waits(&mut self, answer: &pb::QueryResponse, now: BootTime, patience: Duration) -> bool {
        let restoring = |at: &pb::PartitionStatus| at.state() == pb::partition_status::State::Restoring;
        if answer.missing.is_empty() && !answer.as_of.iter().any(restoring) {
            self.since = None;
            return false;
        }
        now.since(*self.since.get_or_insert(now)) < patience
    }
}

/// Runs until `is_over` says that nobody watches any more, or there is no answer.
pub async fn run(question: Question, maker: Maker, newest: watch::Sender<Newest>, is_over: impl Fn(bool) -> bool) {
    let mut commits = maker.api.group.reader.registry.commits();
    let (mut number, mut waiting) = (0, Waiting::default());
    loop {
        commits.borrow_and_update();
        let elsewhere = match maker.answer(question.asked()).await {
            Ok(answer) => {
                let now = maker.api.group.reader.clock.boot_time();
                let waits = question.is_of_closed_windows() && waiting.waits(&answer, now, maker.patience(&question));
                let elsewhere = !answer.missing.is_empty() || answer.as_of.iter().any(|at| !at.agent.is_empty());
                let snapshot = match waits {
                    true => Snapshot::waiting(number + 1, answer),
                    false => Snapshot::new(number + 1, answer),
                };
                let is_news = match &*newest.borrow() {
                    Some(Ok(before)) => !waits && before.digest != snapshot.digest,
                    _ => true,
                };
                if is_news {
                    number += 1;
                    newest.send_replace(Some(Ok(Arc::new(snapshot))));
                }
                elsewhere
            }
            Err(status) => {
                newest.send_replace(Some(Err(status)));
                is_over(true);
                return;
            }
        };
        let something = async {
            sleep(question.interval).await;
            let committed = async { drop(commits.changed().await) };
            if elsewhere || question.is_of_windows() {
                let _ = timeout(LOOK.saturating_sub(question.interval), committed).await;
            } else {
                committed.await;
            }
            sleep(GATHER).await;
        };
        tokio::select! {
            () = something => {}
            () = newest.closed() => if is_over(false) { return },
        }
    }
}
