//! Looks at an agent, one after the other; after a failure it connects again.

use crate::cli::client::{self, AccessArgs, Client};
use crate::clock::{BootTime, Clock};
use crate::overview::{Agent, Answers, Focus, Overview, agents, overview, per_second, questions};
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tonic::Code;

/// How much longer than a look took nothing is asked, so that it costs the agent a hundredth of a core.
const REST: u32 = 99;
const LONGEST: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// What to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// `None`: the first.
    pub aggregate: Option<String>,
    pub focus: Focus,
    pub is_paused: bool,
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub aggregates: Vec<pb::AggregateInfo>,
    /// The one that was looked at; `None`: the config has none.
    pub now: Option<Overview>,
    /// What came per second since the look before, by measure.
    pub rates: Vec<Option<f64>>,
    pub agents: Vec<Agent>,
    pub not_ready: Vec<String>,
    /// What is worth knowing although it is ready.
    pub notes: Vec<String>,
    /// Unix milliseconds.
    pub at: i64,
    /// Why the agent refused what was asked.
    pub refused: Option<String>,
}

#[derive(Debug)]
pub enum Heard {
    Look(Box<Look>),
    /// Why there is none; it is tried again.
    Lost(String),
}

/// Asks one agent.
pub struct Asking {
    address: String,
    access: AccessArgs,
    interval: Duration,
    clock: Clock,
    client: Option<Client>,
    before: Option<(Wish, Overview, BootTime)>,
}

impl Asking {
    pub fn new(address: String, access: AccessArgs, interval: Duration) -> Asking {
        Asking { address, access, interval, clock: Clock::default(), client: None, before: None }
    }

    /// Looks until nobody listens; at once when the wish changes.
    pub async fn run(&mut self, mut wishes: watch::Receiver<Wish>, heard: mpsc::Sender<Heard>) {
        loop {
            let wish = wishes.borrow_and_update().clone();
            let began = self.clock.boot_time();
            let mut wait = LONGEST;
            if !wish.is_paused {
                let look = self.look(&wish).await;
                let took = self.clock.boot_time().since(began);
                wait = match look {
                    Heard::Look(_) => (took * REST).clamp(self.interval, LONGEST.max(self.interval)),
                    Heard::Lost(_) => AGAIN,
                };
                if heard.send(look).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = wishes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One look.
    pub async fn look(&mut self, wish: &Wish) -> Heard {
        match self.try_look(wish).await {
            Ok(look) => Heard::Look(Box::new(look)),
            Err(error) => {
                self.client = None;
                Heard::Lost(format!("{error:#}"))
            }
        }
    }

    async fn try_look(&mut self, wish: &Wish) -> anyhow::Result<Look> {
        let mut client = match &self.client {
            Some(client) => client.clone(),
            None => client::connect(&self.address, &self.access).await?,
        };
        let listed = client.list_aggregates(pb::ListAggregatesRequest::default()).await.map_err(client::refused)?;
        let status = client.get_status(pb::GetStatusRequest {}).await.map_err(client::refused)?.into_inner();
        self.client = Some(client.clone());
        let mut look = Look {
            aggregates: listed.into_inner().aggregates,
            not_ready: status.not_ready_reasons,
            notes: status.notes,
            at: self.clock.unix_millis(),
            ..Look::default()
        };
        let wanted = |info: &&pb::AggregateInfo| wish.aggregate.as_ref().is_none_or(|name| info.name == *name);
        let Some(info) = look.aggregates.iter().find(wanted).cloned() else {
            let name = wish.aggregate.as_deref().unwrap_or_default();
            look.refused = Some(format!("the agent has no aggregate `{name}`"));
            return Ok(look);
        };
        let questions = questions(&info, &wish.focus);
        let (mut answers, mut refused) = (Answers::default(), None);
        let totals_at = self.clock.boot_time();
        answers.totals = ask(&mut client, &questions.totals, &mut refused).await?;
        answers.series = ask(&mut client, &questions.series, &mut refused).await?;
        answers.keys = ask(&mut client, &questions.keys, &mut refused).await?;
        if let Some(query) = &questions.whole {
            answers.whole = ask(&mut client, query, &mut refused).await?;
        }
        if let Some(query) = &questions.sessions {
            answers.sessions = ask(&mut client, query, &mut refused).await?;
        }
        for query in &questions.closed {
            answers.closed.push(ask(&mut client, query, &mut refused).await?);
        }
        let now = overview(&info, &questions, &answers);
        let same = |before: &&(Wish, Overview, BootTime)| {
            before.1.name == now.name && before.0.focus.matchers == wish.focus.matchers
        };
        let before = self.before.as_ref().filter(same);
        let apart = before.map_or(Duration::ZERO, |(_, _, then)| totals_at.since(*then));
        look.rates = per_second(&now, before.map(|(_, then, _)| then), apart);
        look.agents = agents([&answers.series]);
        look.refused = refused;
        self.before = Some((wish.clone(), now.clone(), totals_at));
        look.now = Some(now);
        Ok(look)
    }
}

/// What is refused is told; what fails ends the look.
async fn ask(
    client: &mut Client,
    query: &pb::QueryRequest,
    refused: &mut Option<String>,
) -> anyhow::Result<pb::QueryResponse> {
    match client.query(query.clone()).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::ResourceExhausted => {
                *refused = Some(status.message().to_owned());
                Ok(pb::QueryResponse::default())
            }
            _ => Err(client::refused(status)),
        },
    }
}
