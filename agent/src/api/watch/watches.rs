//! All that is watched: a feed for each question, and a place for each watcher.

use super::feed::{self, LANES, Maker, Newest, Question};
use super::place::Place;
use super::token::Token;
use super::watcher::{Watch, Watcher};
use crate::api::service::Api;
use parking_lot::Mutex;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use tokio::sync::{Semaphore, mpsc, watch};
use tonic::Status;

/// Between two answers, if the request does not say.
const INTERVAL: Duration = Duration::from_millis(20);
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(3_600);

/// Who watches what.
pub struct Watches {
    maker: Maker,
    limit: usize,
    places: Arc<Semaphore>,
    feeds: Mutex<HashMap<Vec<u8>, watch::Sender<Newest>>>,
}

impl Watches {
    /// At most `limit` watchers at a time.
    pub fn new(api: Api, limit: usize) -> Watches {
        let maker = Maker { api, lanes: Arc::new(Semaphore::new(LANES)) };
        Watches { maker, limit, places: Arc::new(Semaphore::new(limit)), feeds: Mutex::default() }
    }

    /// Begins to watch; its first message is there.
    ///
    /// # Errors
    /// If the request asks for what there is not, makes no sense, or there are too many watchers.
    pub async fn watch(self: &Arc<Self>, request: pb::WatchRequest) -> Result<Watch, Status> {
        let question = question(&request)?;
        let token = Token::read(&request.resume_token, &question.query)?;
        let place = self.place()?;
        let (sender, mut rest) = mpsc::channel(1);
        let newest = self.feed(&question);
        let watcher = Watcher { question, token, newest, sender, maker: self.maker.clone(), seen: 0 };
        tokio::spawn(async move {
            watcher.run().await;
            drop(place);
        });
        match rest.recv().await {
            Some(first) => Ok(Watch { first: first?, rest }),
            None => Err(Status::unavailable("the agent is stopping")),
        }
    }

    /// A place for somebody who watches something else.
    ///
    /// # Errors
    /// If all are taken.
    pub fn place(&self) -> Result<Place, Status> {
        Place::take(&self.places, self.limit, &self.maker.api.metrics)
    }

    /// Answers a question in its turn with those that are watched.
    ///
    /// # Errors
    /// As [`Api::query`].
    pub async fn ask(&self, query: pb::QueryRequest) -> Result<pb::QueryResponse, Status> {
        self.maker.answer(query).await
    }

    /// The feed of a question, begun if nobody watches it yet.
    fn feed(self: &Arc<Self>, question: &Question) -> watch::Receiver<Newest> {
        let mut key = question.query.encode_to_vec();
        key.extend(question.interval.as_millis().to_le_bytes());
        let mut feeds = self.feeds.lock();
        if let Some(feed) = feeds.get(&key) {
            return feed.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        feeds.insert(key.clone(), sender.clone());
        drop(feeds);
        let watches = Arc::downgrade(self);
        // Nobody may come between the look at who watches and the end of the feed.
        let is_over = move |at_once: bool| {
            let Some(watches) = watches.upgrade() else { return true };
            let mut feeds = watches.feeds.lock();
            let is_over = at_once || feeds.get(&key).is_none_or(|feed| feed.receiver_count() == 0);
            if is_over {
                feeds.remove(&key);
            }
            is_over
        };
        tokio::spawn(feed::run(question.clone(), self.maker.clone(), sender, is_over));
        receiver
    }

    #[cfg(test)]
    pub fn metrics(&self) -> Arc<crate::telemetry::Metrics> {
        self.maker.api.metrics.clone()
    }

    /// Questions that are watched.
    #[cfg(test)]
    pub fn feeds(&self) -> usize {
        self.feeds.lock().len()
    }
}

fn question(request: &pb::WatchRequest) -> Result<Question, Status> {
    let Some(query) = request.query.clone() else { return Err(Status::invalid_argument("query is missing")) };
    if query.page_size != 0 || !query.page_token.is_empty() {
        return Err(Status::invalid_argument(
            "a watch has no pages: leave out page_size and page_token; limit cuts rows",
        ));
    }
    let interval = match request.interval {
        None => Ok(INTERVAL),
        Some(interval) => Duration::try_from(interval),
    };
    match interval {
        Ok(interval) if INTERVALS.contains(&interval) => Ok(Question { query, interval }),
        _ => Err(Status::invalid_argument("interval: use something within 20 ms and 1 h, such as \"1s\"")),
    }
}
