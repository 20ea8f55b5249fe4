//! The page's middle, written twice a second while somebody looks, once for all of them.

use super::look::Look;
use super::view;
use crate::api::{Api, Watches};
use crate::clock::BootTime;
use crate::overview::{Answers, Focus, Overview, agents, overview, per_second, questions};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;

/// Between two looks; more if a look takes long.
const PERIOD: Duration = Duration::from_millis(500);
/// Between two totals that make a rate: commits come in steps.
const RATED: Duration = Duration::from_secs(2);
/// How much longer than a look took nothing is asked: the page takes a hundredth of a core.
const REST: u32 = 99;
const LONGEST: Duration = Duration::from_secs(60);
/// Keys in a table.
const KEYS: u32 = 10;

/// The page's middle, as HTML; `None` before the first look.
pub type Newest = Option<Arc<str>>;

/// Looks at all aggregates while somebody looks at the page.
pub struct Live {
    api: Api,
    watches: Arc<Watches>,
    newest: Mutex<Option<watch::Sender<Newest>>>,
}

/// What rates are reckoned from, and the last ones.
type Before = BTreeMap<String, (Overview, BootTime, Vec<Option<f64>>)>;

impl Live {
    pub fn new(api: Api, watches: Arc<Watches>) -> Live {
        Live { api, watches, newest: Mutex::default() }
    }

    /// The page's middle as it is now.
    pub async fn now(self: &Arc<Self>) -> Arc<str> {
        let mut newest = self.follow();
        let first = newest.wait_for(Option::is_some).await;
        // It ends only with the agent.
        first.ok().and_then(|newest| newest.clone()).unwrap_or_default()
    }

    /// What it becomes, too. Somebody looks as long as there is a receiver.
    pub fn follow(self: &Arc<Self>) -> watch::Receiver<Newest> {
        let mut newest = self.newest.lock();
        if let Some(sender) = &*newest {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        *newest = Some(sender.clone());
        drop(newest);
        tokio::spawn(self.clone().run(sender));
        receiver
    }

    async fn run(self: Arc<Self>, newest: watch::Sender<Newest>) {
        let clock = self.api.group.reader.clock.clone();
        let mut before = Before::new();
        loop {
            let began = clock.boot_time();
            let look = self.look(&mut before).await;
            let main: Arc<str> = view::main(&look).into_string().into();
            newest.send_if_modified(|shown| {
                let is_new = shown.as_ref() != Some(&main);
                *shown = Some(main);
                is_new
            });
            sleep((clock.boot_time().since(began) * REST).clamp(PERIOD, LONGEST)).await;
            let mut place = self.newest.lock();
            // Nobody can have come since, while this is held.
            if newest.receiver_count() == 0 {
                *place = None;
                return;
            }
        }
    }

    async fn look(&self, before: &mut Before) -> Look {
        let clock = &self.api.group.reader.clock;
        let focus = Focus { keys: KEYS, ..Focus::default() };
        let (mut aggregates, mut refused, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let listed = self.api.list_aggregates(&pb::ListAggregatesRequest::default());
        for info in listed.map(|listed| listed.aggregates).unwrap_or_default() {
            let questions = questions(&info, &focus);
            let mut ask = async |query: &pb::QueryRequest| match self.watches.ask(query.clone()).await {
                Ok(answer) => answer,
                Err(status) => {
                    refused.push(why(&info.name, &status));
                    pb::QueryResponse::default()
                }
            };
            let totals = ask(&questions.totals).await;
            let at = clock.boot_time();
            let mut answers = Answers { totals, ..Answers::default() };
            answers.series = ask(&questions.series).await;
            answers.keys = ask(&questions.keys).await;
            if let Some(query) = &questions.whole {
                answers.whole = ask(query).await;
            }
            if let Some(query) = &questions.sessions {
                answers.sessions = ask(query).await;
            }
            for query in &questions.closed {
                answers.closed.push(ask(query).await);
            }
            let now = overview(&info, &questions, &answers);
            let then = before.get(&info.name);
            let apart = then.map_or(Duration::ZERO, |(_, then, _)| at.since(*then));
            let rates = match then {
                Some((_, _, rates)) if apart < RATED => rates.clone(),
                _ => {
                    let rates = per_second(&now, then.map(|(then, ..)| then), apart);
                    before.insert(info.name.clone(), (now.clone(), at, rates.clone()));
                    rates
                }
            };
            aggregates.push((now, rates));
            all.push(answers.series);
        }
        before.retain(|name, _| aggregates.iter().any(|(now, _)| now.name == *name));
        refused.dedup();
        Look { status: self.api.status(), agents: agents(&all), aggregates, at: clock.unix_millis(), refused }
    }
}

fn why(aggregate: &str, status: &Status) -> String {
    format!("{aggregate}: {}", status.message())
}
