//! One reader of a feed: what of the newest answer is news to them.

use super::feed::{Maker, Newest, Question};
use super::snapshot::{Snapshot, millis};
use super::token::Token;
use crate::api::json::json;
use crate::api::translate::timestamp;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;
use tokio::sync::{mpsc, watch};
use tonic::Status;

/// Before every window: of a watcher that began when none had closed.
const BEFORE_ALL: i64 = i64::MIN / 4;
/// Without news, a word that all is well this often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Whoever takes nothing for this long gives up their place.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watch that has begun.
pub struct Watch {
    pub first: Message,
    pub rest: mpsc::Receiver<Result<Message, Status>>,
}

/// What is sent at a time.
#[derive(Clone, Debug)]
pub struct Message {
    /// `None`: a heartbeat.
    pub answer: Option<Arc<Snapshot>>,
    pub resume_token: String,
    pub skipped: u64,
    /// Unix milliseconds.
    pub missed: Option<(i64, i64)>,
}

impl Message {
    pub fn proto(&self) -> pb::WatchResponse {
        self.around(self.answer.as_ref().map(|snapshot| snapshot.answer.clone()))
    }

    fn around(&self, answer: Option<pb::QueryResponse>) -> pb::WatchResponse {
        pb::WatchResponse {
            answer,
            resume_token: self.resume_token.clone(),
            skipped: self.skipped,
            missed: self
                .missed
                .map(|(start, end)| pb::TimeRange { start: Some(timestamp(start)), end: Some(timestamp(end)) }),
        }
    }

    /// The same as JSON. The answer in it is written once for all who get it.
    ///
    /// # Errors
    /// If the binary has no descriptors.
    pub fn json(&self) -> Result<String, String> {
        let around = json("WatchResponse", &self.around(None))?;
        match &self.answer {
            // There is a token in every message: something comes after the answer.
            Some(snapshot) => Ok(format!("{{\"answer\":{},{}", snapshot.json()?, &around[1..])),
            None => Ok(around),
        }
    }
}

/// A reader's side of a feed.
pub struct Watcher {
    pub question: Question,
    pub token: Token,
    pub newest: watch::Receiver<Newest>,
    pub sender: mpsc::Sender<Result<Message, Status>>,
    pub maker: Maker,
    /// Number of the last answer looked at; 0: none.
    pub seen: u64,
}

impl Watcher {
    /// Runs until the reader goes, or there is no answer any more.
    pub async fn run(mut self) {
        let mut is_first = true;
        loop {
            let newest = self.newest.borrow_and_update().clone();
            let message = match newest {
                None => None,
                Some(Ok(snapshot)) if snapshot.number == self.seen => None,
                Some(Ok(snapshot)) => match self.news(snapshot).await {
                    // Somebody who goes on where nothing has changed waits for a word, too.
                    Ok(None) if is_first => Some(Ok(self.heartbeat())),
                    Ok(news) => news.map(Ok),
                    Err(status) => Some(Err(status)),
                },
                Some(Err(status)) => Some(Err(status)),
            };
            if let Some(message) = message {
                is_first = false;
                let is_last = message.is_err();
                if self.sender.send_timeout(message, PATIENCE).await.is_err() || is_last {
                    return;
                }
            }
            tokio::select! {
                changed = self.newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(HEARTBEAT), if !is_first => {
                    let heartbeat = self.heartbeat();
                    if self.sender.send_timeout(Ok(heartbeat), PATIENCE).await.is_err() {
                        return;
                    }
                }
                () = self.sender.closed() => return,
            }
        }
    }

    fn heartbeat(&self) -> Message {
        Message { answer: None, resume_token: self.token.text(), skipped: 0, missed: None }
    }

    /// What of a new answer this reader does not have yet.
    async fn news(&mut self, snapshot: Arc<Snapshot>) -> Result<Option<Message>, Status> {
        let skipped = if self.seen == 0 { 0 } else { snapshot.number.saturating_sub(self.seen + 1) };
        self.seen = snapshot.number;
        let (answer, missed) = if self.question.is_of_closed_windows() {
            match self.closed(snapshot).await? {
                // That windows were skipped counts only if they do not come.
                Some((answer, missed)) => return Ok(Some(self.message(answer, 0, missed))),
                None => return Ok(None),
            }
        } else if self.token.digest == Some(snapshot.digest) {
            return Ok(None);
        } else {
            (snapshot, None)
        };
        self.maker.api.metrics.watch_skipped(skipped);
        Ok(Some(self.message(answer, skipped, missed)))
    }

    fn message(&mut self, answer: Arc<Snapshot>, skipped: u64, missed: Option<(i64, i64)>) -> Message {
        self.token.digest = Some(answer.digest);
        self.token.through = answer.closed.map(|(_, newest)| newest).max(self.token.through);
        Message { answer: Some(answer), resume_token: self.token.text(), skipped, missed }
    }

    /// The windows that closed since the last one that was sent, and the stretch of those that cannot be sent.
    async fn closed(&mut self, snapshot: Arc<Snapshot>) -> Result<Option<(Arc<Snapshot>, Option<(i64, i64)>)>, Status> {
        let Some((first, newest)) = snapshot.closed else {
            // Whatever closes from now on is news.
            self.token.through.get_or_insert(snapshot.begins.unwrap_or(BEFORE_ALL));
            return Ok(None);
        };
        let after = match self.token.through {
            Some(through) if through >= newest => return Ok(None),
            Some(through) => through,
            // What was asked for; without a time that is the newest.
            None if self.question.query.time.is_none() => newest - 1,
            None => i64::MIN,
        };
        let is_new = |row: &pb::Row| row.window_end.is_some_and(|end| millis(end) > after);
        if after == i64::MIN || first <= after || self.token.through.is_none() {
            let rows = snapshot.answer.rows.iter().filter(|row| is_new(row)).cloned().collect();
            return Ok(Some((part(&snapshot, rows), None)));
        }
        // There may be windows between what was sent and what the feed has.
        let missed = self.expired(after, &snapshot);
        match self.maker.answer(self.since(after, &snapshot, newest)).await {
            // A partition has gone since the feed looked: the next look waits for it.
            Ok(answer) if !answer.missing.is_empty() && snapshot.answer.missing.is_empty() => Ok(None),
            Ok(mut answer) => {
                answer.rows.retain(is_new);
                Ok(Some((Arc::new(Snapshot::new(snapshot.number, answer)), missed)))
            }
            Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                Ok(Some((snapshot, Some((after, first)))))
            }
            Err(status) => Err(status),
        }
    }

    /// Asks for all windows that end after `after`, up to `newest`.
    fn since(&self, after: i64, snapshot: &Snapshot, newest: i64) -> pb::QueryRequest {
        let size = self.question.query.window.map_or(0, |window| millis_of(&window));
        let kept = self.kept_from(snapshot).map_or(i64::MIN, |kept| kept - size);
        let range =
            pb::TimeRange { start: Some(timestamp((after + 1 - size).max(kept))), end: Some(timestamp(newest)) };
        pb::QueryRequest { time: Some(Time::Range(range)), ..self.question.query.clone() }
    }

    fn expired(&self, after: i64, snapshot: &Snapshot) -> Option<(i64, i64)> {
        self.kept_from(snapshot).filter(|&kept| kept > after && after > BEFORE_ALL).map(|kept| (after, kept))
    }

    /// Windows that end before this are not kept any more.
    fn kept_from(&self, snapshot: &Snapshot) -> Option<i64> {
        let sources = self.maker.api.group.reader.sources.now();
        let name = &self.question.query.aggregate;
        let (_, plan) = crate::query::aggregates(&sources).find(|(_, plan)| plan.config.name == *name)?;
        let newest = snapshot.answer.as_of.iter().filter_map(|at| at.stream_time.map(millis)).max()?;
        Some(newest.saturating_sub(i64::try_from(plan.config.retention.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// The same answer with some of its rows.
fn part(snapshot: &Arc<Snapshot>, rows: Vec<pb::Row>) -> Arc<Snapshot> {
    if rows.len() == snapshot.answer.rows.len() {
        return snapshot.clone();
    }
    let answer = pb::QueryResponse { rows, ..snapshot.answer.clone() };
    Arc::new(Snapshot::new(snapshot.number, answer))
}

fn millis_of(duration: &streamgauge_proto::types::Duration) -> i64 {
    duration.seconds.saturating_mul(1_000).saturating_add(i64::from(duration.nanos) / 1_000_000)
}
