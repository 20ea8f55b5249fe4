//! Connections to the group's other agents: made when first needed, kept, and left alone for a moment after a failure.

use super::error::QueryError;
use crate::clock::{BootTime, Clock};
use crate::server::{Access, Calls, PeerKeys};
use crate::state::{Address, Group};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::peer::v1 as peer;
use streamgauge_proto::peer::v1::peer_service_client::PeerServiceClient;
use tonic::{Code, Status, Streaming};

/// How long one agent may take for an answer; then its partitions are missing.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// After a failure nobody waits for that agent again for this long.
const REST: Duration = Duration::from_secs(1);
/// Connecting to an agent of the same group takes milliseconds, or does not work.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection that nobody answers on is given up after one silent interval.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Largest answer, bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why an agent's partitions are missing.
#[derive(Debug)]
pub enum PeerError {
    /// Its answer would be too large: the query is to be narrowed.
    TooLarge,
    /// For people.
    Failed(String),
}

/// One agent.
struct Peer {
    client: PeerServiceClient<Calls>,
    /// What it was connected with.
    access: Arc<Access>,
    /// Not asked again before this.
    resting_until: Option<(BootTime, String)>,
}

/// All agents asked so far.
pub struct Peers {
    clock: Clock,
    metrics: Arc<Metrics>,
    keys: PeerKeys,
    known: Mutex<HashMap<Address, Peer>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Peers {
    pub fn new(clock: Clock, metrics: Arc<Metrics>, keys: PeerKeys) -> Peers {
        Peers { clock, metrics, keys, known: Mutex::default() }
    }

    /// Forgets agents that are no longer in the group.
    pub fn keep(&self, group: &Group) {
        self.known.lock().retain(|address, _| group.agents().any(|agent| agent == address));
    }

    /// Asks one agent, and waits for [`DEADLINE`] at most.
    pub async fn read(&self, address: &Address, request: peer::ReadRequest) -> Result<peer::ReadResponse, PeerError> {
        let mut client = self.client(address)?;
        let answer = self.within(address, client.read(request)).await?;
        self.metrics.peer_asked("answered");
        Ok(answer.into_inner())
    }

    /// Asks one agent for an answer in parts.
    pub async fn gather(
        &self,
        address: &Address,
        request: peer::ReadRequest,
    ) -> Result<Streaming<peer::ReadResponse>, PeerError> {
        let mut client = self.client(address)?;
        let parts = self.within(address, client.gather(request)).await?.into_inner();
        self.metrics.peer_asked("answered");
        Ok(parts)
    }

    /// The next part of an answer; waits for [`DEADLINE`] at most.
    pub async fn part(
        &self,
        address: &Address,
        parts: &mut Streaming<peer::ReadResponse>,
    ) -> Result<Option<peer::ReadResponse>, PeerError> {
        self.within(address, parts.message()).await
    }

    /// What an agent answers; one that fails is left alone for a moment.
    async fn within<T>(
        &self,
        address: &Address,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, PeerError> {
        let failure = match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => match refusal(&status) {
                Some(error) => {
                    self.metrics.peer_asked("refused");
                    return Err(error);
                }
                None => format!("the agent at {address} cannot be reached: {}", status.message()),
            },
            Err(_) => format!("the agent at {address} did not answer within {} s", DEADLINE.as_secs()),
        };
        self.metrics.peer_asked("failed");
        if let Some(peer) = self.known.lock().get_mut(address) {
            let until = BootTime::from_millis(self.clock.boot_time().as_millis() + REST.as_millis() as i64);
            peer.resting_until = Some((until, failure.clone()));
        }
        Err(PeerError::Failed(failure))
    }

    /// A client to ask now; none while the agent is left alone.
    fn client(&self, address: &Address) -> Result<PeerServiceClient<Calls>, PeerError> {
        let access = self.keys.now();
        let mut known = self.known.lock();
        if known.get(address).is_some_and(|peer| !Arc::ptr_eq(&peer.access, &access)) {
            // Calls that are under way keep the connection that they have.
            known.remove(address);
        }
        let peer = match known.get_mut(address) {
            Some(peer) => peer,
            None => {
                let client = connect(address, &access).map_err(PeerError::Failed)?;
                known.entry(address.clone()).or_insert(Peer { client, access, resting_until: None })
            }
        };
        match &peer.resting_until {
            Some((until, why)) if self.clock.boot_time() < *until => Err(PeerError::Failed(why.clone())),
            _ => {
                peer.resting_until = None;
                Ok(peer.client.clone())
            }
        }
    }
}

/// What an agent says no with: it is there, and there is no use in leaving it alone.
fn refusal(status: &Status) -> Option<PeerError> {
    match status.code() {
        Code::ResourceExhausted => Some(PeerError::TooLarge),
        Code::NotFound => Some(PeerError::Failed("its agent's config defines this aggregate differently".to_owned())),
        Code::InvalidArgument | Code::Unimplemented => {
            Some(PeerError::Failed(format!("its agent runs another version: {}", status.message())))
        }
        _ => None,
    }
}

/// What to tell whoever asked, if an answer was too large.
pub fn too_large(limit: usize) -> QueryError {
    QueryError::TooManyCells { limit }
}

/// Connects when it is first used, and again whenever the connection is gone.
fn connect(address: &Address, access: &Access) -> Result<PeerServiceClient<Calls>, String> {
    let endpoint = access.endpoint(address).map_err(|error| format!("what an agent advertises: {error}"))?;
    let channel = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect_lazy();
    Ok(PeerServiceClient::new(access.calls(channel)).max_decoding_message_size(MAX_ANSWER_BYTES))
}
