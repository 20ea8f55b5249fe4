//! How long the group takes to be where it should be: from the moment that a fault is over until every partition is
//! committed, under a lease, up to what Kafka had acknowledged by that moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use streamgauge_proto::v1::partition_status::State;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GetStatusRequest, PartitionStatus};
use tonic::transport::{Channel, Endpoint};

const EVERY: Duration = Duration::from_millis(50);
/// An agent that does not answer so long (it is stopped) is left out of this look.
const PATIENCE: Duration = Duration::from_millis(400);

/// Offsets by partition.
pub type Offsets = BTreeMap<i32, i64>;

#[derive(Debug, Default)]
struct Shared {
    agents: Vec<SocketAddr>,
    /// Committed offsets at the last look.
    committed: Offsets,
    /// Moments that faults were over, with what has to be committed by then.
    waiting: Vec<(Instant, Offsets)>,
    worst: Duration,
}

/// Looks at all agents' committed offsets again and again.
pub struct Recovery {
    shared: Arc<Mutex<Shared>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recovery {
    pub fn start() -> Recovery {
        let (shared, ended) = (Arc::<Mutex<Shared>>::default(), Arc::<AtomicBool>::default());
        let (own, flag) = (shared.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let mut clients = BTreeMap::new();
            while !flag.load(Ordering::Acquire) {
                let agents = own.lock().expect("no panic inside").agents.clone();
                let committed = runtime.block_on(look(&agents, &mut clients));
                own.lock().expect("no panic inside").note(committed);
                std::thread::sleep(EVERY);
            }
        });
        Recovery { shared, ended, thread: Some(thread) }
    }

    pub fn watch(&self, agent: SocketAddr) {
        self.shared.lock().expect("no panic inside").agents.push(agent);
    }

    /// A fault is over now; `target` has to be committed.
    pub fn begin(&self, target: Offsets) {
        self.shared.lock().expect("no panic inside").waiting.push((Instant::now(), target));
    }

    /// Partitions that are behind what they were to reach, in words; none if all has been reached.
    pub fn behind(&self) -> Vec<String> {
        let shared = self.shared.lock().expect("no panic inside");
        let behind = shared.waiting.iter().flat_map(|(_, target)| target.iter()).filter_map(|(partition, offset)| {
            let at = shared.committed.get(partition).copied().unwrap_or(-1);
            (at < *offset).then(|| format!("{partition}: {at} of {offset}"))
        });
        let mut behind: Vec<_> = behind.collect();
        if behind.is_empty() && !shared.waiting.is_empty() {
            behind.push("the next look".to_owned());
        }
        behind
    }

    /// The longest recovery so far.
    pub fn worst(&self) -> Duration {
        self.shared.lock().expect("no panic inside").worst
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn note(&mut self, committed: Offsets) {
        let reached =
            |target: &Offsets| target.iter().all(|(p, offset)| committed.get(p).is_some_and(|at| at >= offset));
        let done: Vec<Duration> =
            self.waiting.iter().filter(|(_, target)| reached(target)).map(|(since, _)| since.elapsed()).collect();
        self.waiting.retain(|(_, target)| !reached(target));
        self.worst = done.into_iter().fold(self.worst, Duration::max);
        self.committed = committed;
    }
}

/// The committed offsets of all partitions that one of the agents runs under a lease that holds.
async fn look(agents: &[SocketAddr], clients: &mut BTreeMap<SocketAddr, QueryServiceClient<Channel>>) -> Offsets {
    let mut asked = tokio::task::JoinSet::new();
    for &agent in agents {
        let mut client = clients
            .entry(agent)
            .or_insert_with(|| {
                let endpoint = Endpoint::from_shared(format!("http://{agent}")).expect("an address");
                QueryServiceClient::new(endpoint.connect_timeout(PATIENCE).connect_lazy())
            })
            .clone();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, client.get_status(GetStatusRequest {})).await;
            answer.ok().and_then(Result::ok).map(|answer| answer.into_inner().partitions).unwrap_or_default()
        });
    }
    let mut offsets = Offsets::new();
    while let Some(answer) = asked.join_next().await {
        let running = |status: &PartitionStatus| status.state() == State::Running;
        for status in answer.expect("no panic inside").iter().filter(|status| running(status)) {
            let at = offsets.entry(status.partition).or_default();
            *at = status.next_offset.max(*at);
        }
    }
    offsets
}
