//! The threads that check and collect at intervals, and on demand. Readers take what was found last; nobody but these
//! threads waits for a broker.

use super::check;
use super::collect::{self, Collected};
use super::filter::Filter;
use super::health::{Health, Status};
use super::lag::GroupLag;
use super::probe::Prober;
use super::seen::Seen;
use crate::clock::{BootTime, Clock};
use crate::config::Watch;
use crate::kafka::GroupDescription;
use crate::kafka::cluster::{CallError, ClusterClient};
use crate::stop::Stop;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How soon a cluster that is not well is looked at again: recovery should not be seen half a minute late.
const SOON: Duration = Duration::from_secs(5);
/// Least time between two checks that nobody asked for.
const LEAST: Duration = Duration::from_secs(1);
/// How often the threads look whether something is wanted.
const TICK: Duration = Duration::from_millis(100);
/// Groups that are asked for on demand at a time.
const AT_ONCE: usize = 4;
/// Questions that a check or a collection consists of, as a bound of its time.
const QUESTIONS: u32 = 12;

/// Why a question about the cluster has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the brokers did not answer in time; `streamgauge cluster health` says which of them do")]
    Deadline,
    #[error("no consumer group `{0}`, or this user may not describe it; ListConsumerGroups names the others")]
    NoGroup(String),
    #[error("the lag of consumer groups is not collected; set cluster.lag.enabled to true")]
    LagOff,
}

/// What is known about the cluster, and the threads that renew it.
pub struct Monitor {
    client: ClusterClient,
    clock: Clock,
    config: Watch,
    filter: Filter,
    health: Topic<Health>,
    lag: Topic<Result<Collected, CallError>>,
    seen: Mutex<Seen>,
    demand: Semaphore,
    stop: Stop,
}

/// A result that is renewed, counted by when its making began.
struct Topic<T> {
    latest: watch::Sender<(u64, Arc<T>)>,
    begun: AtomicU64,
    wanted: AtomicBool,
}

impl<T> Topic<T> {
    fn new(first: T) -> Self {
        Topic {
            latest: watch::Sender::new((0, Arc::new(first))),
            begun: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
        }
    }

    fn read(&self) -> Arc<T> {
        self.latest.borrow().1.clone()
    }

    fn begin(&self) -> u64 {
        self.wanted.store(false, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn publish(&self, number: u64, value: T) {
        self.latest.send_replace((number, Arc::new(value)));
    }

    /// The result numbered `number`, or a later one.
    async fn numbered(&self, number: u64, patience: Duration) -> Result<Arc<T>, Refused> {
        let mut results = self.latest.subscribe();
        let arrival = async { results.wait_for(|(at, _)| *at >= number).await.map(|found| found.1.clone()) };
        match tokio::time::timeout(patience, arrival).await {
            Ok(Ok(found)) => Ok(found),
            _ => Err(Refused::Deadline),
        }
    }

    /// A result whose making begins after this call.
    async fn fresh(&self, patience: Duration) -> Result<Arc<T>, Refused> {
        let number = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.store(true, Ordering::SeqCst);
        self.numbered(number, patience).await
    }
}

impl Monitor {
    pub fn new(client: ClusterClient, clock: Clock, config: Watch) -> Monitor {
        Monitor {
            client,
            clock,
            filter: Filter::of(&config.lag),
            config,
            health: Topic::new(Health::default()),
            lag: Topic::new(Ok(Collected::default())),
            seen: Mutex::default(),
            demand: Semaphore::new(AT_ONCE),
            stop: Stop::new(),
        }
    }

    /// Starts the threads; they end after [`Monitor::stop`].
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let spawn = |name: &str, work: fn(&Monitor)| {
            let monitor = self.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || work(&monitor))
        };
        let mut threads = vec![spawn("cluster-health", Monitor::check_on)?];
        if self.config.lag.enabled {
            threads.push(spawn("cluster-lag", Monitor::collect_on)?);
        }
        Ok(threads)
    }

    /// Starts the probe beside the other threads.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn probe_with(self: &Arc<Self>, prober: Prober) -> std::io::Result<JoinHandle<()>> {
        let monitor = self.clone();
        std::thread::Builder::new().name("cluster-probe".into()).spawn(move || prober.run(&monitor.stop))
    }

    pub fn stop(&self) {
        self.stop.request();
    }

    pub fn config(&self) -> &Watch {
        &self.config
    }

    /// The last check's verdict.
    pub fn health(&self) -> Arc<Health> {
        self.health.read()
    }

    /// The verdict of a check that begins now.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn check_now(&self) -> Result<Arc<Health>, Refused> {
        self.health.fresh(self.patience()).await
    }

    /// The last verdict, or the first one if there was none yet.
    ///
    /// # Errors
    /// If that does not come in time.
    pub async fn first_health(&self) -> Result<Arc<Health>, Refused> {
        self.health.numbered(1, self.patience()).await
    }

    /// The verdicts from now on.
    pub fn verdicts(&self) -> watch::Receiver<(u64, Arc<Health>)> {
        self.health.latest.subscribe()
    }

    /// What the last collection found, for those who show it: nothing if it failed or there was none.
    pub fn lag(&self) -> Option<Arc<Result<Collected, CallError>>> {
        Some(self.lag.read()).filter(|lag| lag.as_ref().as_ref().is_ok_and(|found| found.number > 0))
    }

    /// What a collection found: the last one, or one that begins now.
    ///
    /// # Errors
    /// If nothing is collected, or it failed, or does not end in time.
    pub async fn collected(&self, now: bool) -> Result<Arc<Result<Collected, CallError>>, Refused> {
        if !self.config.lag.enabled {
            return Err(Refused::LagOff);
        }
        let found = match now {
            true => self.lag.fresh(self.patience()).await?,
            false => self.lag.numbered(1, self.patience()).await?,
        };
        match found.as_ref() {
            Ok(_) => Ok(found),
            Err(error) => Err(error.clone().into()),
        }
    }

    /// One group, asked for now.
    ///
    /// # Errors
    /// If there is no such group, or it cannot be asked for.
    pub async fn group(self: &Arc<Self>, name: &str) -> Result<(GroupLag, GroupDescription), Refused> {
        let unknown = || Refused::NoGroup(name.to_owned());
        if !self.filter.group(name) {
            return Err(unknown());
        }
        let permit = tokio::time::timeout(self.patience(), self.demand.acquire()).await;
        let _permit = permit.ok().and_then(Result::ok).ok_or(Refused::Deadline)?;
        let (monitor, group) = (self.clone(), name.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            collect::one(&monitor.client, &monitor.clock, &group, &monitor.seen, monitor.config.timeout)
                .map_err(|error| monitor.client.explain(error))
        });
        asked.await.map_err(|_| Refused::Deadline)??.ok_or_else(unknown)
    }

    fn patience(&self) -> Duration {
        self.config.timeout * QUESTIONS
    }

    fn check_on(&self) {
        let mut last: Option<BootTime> = None;
        while !self.stop.is_requested() {
            self.client.serve(TICK);
            let passed = last.map_or(Duration::MAX, |last| self.clock.boot_time().since(last));
            let well = self.health.read().status == Status::Healthy;
            let due = if well { self.config.interval } else { self.config.interval.min(SOON) };
            // While it is not well, connections keep failing: that is no news.
            let trouble = passed >= LEAST && self.client.noticed_trouble() && well;
            if passed >= due || trouble || self.health.wanted.load(Ordering::SeqCst) {
                self.check();
                last = Some(self.clock.boot_time());
            }
        }
    }

    fn check(&self) {
        let number = self.health.begin();
        let before = self.health.read();
        let health = check::check(&self.client, &self.clock, &before, self.config.timeout);
        for change in super::changes(&before, &health).iter().filter(|_| before.check > 0) {
            tracing::info!("cluster: {change}");
        }
        if before.status != health.status {
            health.problems.iter().for_each(|problem| tracing::warn!("cluster: {problem}"));
        }
        self.health.publish(number, health);
    }

    fn collect_on(&self) {
        let mut last: Option<BootTime> = None;
        while !self.stop.is_requested() {
            let passed = last.map_or(Duration::MAX, |last| self.clock.boot_time().since(last));
            let failed = self.lag.read().is_err();
            let due = if failed { self.config.lag.interval.min(SOON) } else { self.config.lag.interval };
            if passed < due && !self.lag.wanted.load(Ordering::SeqCst) {
                std::thread::sleep(TICK);
                continue;
            }
            last = Some(self.clock.boot_time());
            self.collect();
        }
    }

    fn collect(&self) {
        let number = self.lag.begin();
        let found = collect::collect(&self.client, &self.clock, &self.filter, &self.seen, self.config.timeout)
            .map_err(|error| self.client.explain(error));
        if let Err(error) = &found
            && self.lag.read().is_ok()
        {
            // That no broker answers is said once, by the look at the cluster.
            match self.health.read().reachable {
                true => tracing::warn!("lag of consumer groups is unknown: {error}"),
                false => tracing::debug!("lag of consumer groups is unknown: {error}"),
            }
        }
        self.lag.publish(number, found.map(|found| Collected { number, ..found }));
    }
}
