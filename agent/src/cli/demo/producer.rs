//! The demo's producer: a thread that sends the generated stream at its rate, and waits when the agent lags behind.

use crate::cli::produce::EventRate;
use crate::clock::Clock;
use crate::generate::{Generator, Pace, Rate};
use crate::kafka::event_producer::{EventProducer, ProduceError};
use crate::state::Registry;
use crate::stop::Stop;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The mock keeps about 5 MB a partition and forgets what is older. So many events, of at most 256 bytes with their key,
/// are 4 MB: nothing that was not read is forgotten, even if all of them are in one partition.
pub const MOCK_BACKLOG: u64 = 16_000;
/// The longest sleep: an end is noticed within it.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// Wait for the agent.
const LAG_SLEEP: Duration = Duration::from_millis(2);
const SEED: u64 = 1;

/// What to send where.
pub struct Plan {
    pub topic: String,
    pub rate: EventRate,
    /// Wait while more events than this are not counted yet.
    pub backlog: Option<u64>,
}

/// The running thread.
pub struct Producing {
    producer: Arc<EventProducer>,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), ProduceError>>>,
}

impl Producing {
    /// Starts sending. `registry` tells how far the agent is.
    pub fn start(
        plan: Plan,
        producer: Arc<EventProducer>,
        registry: Arc<Registry>,
        clock: Clock,
    ) -> std::io::Result<Producing> {
        let stop = Stop::new();
        let line = Line {
            rate: match plan.rate {
                EventRate::PerSecond(rate) => Rate::steady(rate),
                EventRate::Max => Rate::unlimited(),
            },
            begun_at: consumed(&registry),
            start: producer.elapsed(),
            producer: producer.clone(),
            stop: stop.clone(),
            plan,
            registry,
            clock,
        };
        let thread = std::thread::Builder::new().name("demo-producer".into()).spawn(move || line.run())?;
        Ok(Producing { producer, stop, thread: Some(thread) })
    }

    /// Events that the brokers have acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.producer.counts().0
    }

    /// Whether the thread has ended by itself.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Asks the thread to send nothing more.
    pub fn stop(&self) {
        self.stop.request();
    }

    /// Whether every event that was sent has its report, now that no more come.
    pub fn is_drained(&self) -> bool {
        self.has_failed() && self.producer.outstanding() == 0
    }

    /// Why sending ended early, or what became of events that were not acknowledged.
    pub fn result(&mut self) -> anyhow::Result<()> {
        self.stop();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return Err(error.into()),
            Some(Err(_)) => anyhow::bail!("the producer's thread has panicked"),
        }
        let delivered = self.producer.delivered();
        match delivered.first_error {
            Some(error) => anyhow::bail!("{} events were not acknowledged: {error}", delivered.failed),
            None => Ok(()),
        }
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Line {
    plan: Plan,
    rate: Rate,
    start: Duration,
    /// Input offsets, summed, before the first event.
    begun_at: i64,
    producer: Arc<EventProducer>,
    registry: Arc<Registry>,
    stop: Stop,
    clock: Clock,
}

impl Line {
    fn run(self) -> Result<(), ProduceError> {
        let generator = Generator::new(SEED);
        let (mut key, mut value) = (Vec::new(), Vec::with_capacity(256));
        let mut sent = 0;
        while !self.is_stopped() {
            let due = match self.rate.pace(sent, self.producer.elapsed().saturating_sub(self.start)) {
                Pace::Sleep(time) => {
                    std::thread::sleep(time.min(MAX_SLEEP));
                    continue;
                }
                Pace::Send(due) => due.min(self.room(sent)),
            };
            if due == 0 {
                std::thread::sleep(LAG_SLEEP);
                continue;
            }
            let now = self.clock.unix_millis();
            for _ in 0..due {
                let event = generator.event(sent, now);
                event.write_json(&mut value);
                event.write_user(&mut key);
                self.send(&key, &value)?;
                sent += 1;
            }
        }
        Ok(())
    }

    /// How many more events may be sent before the agent has counted some.
    fn room(&self, sent: u64) -> u64 {
        let Some(limit) = self.plan.backlog else { return u64::MAX };
        let counted = u64::try_from(consumed(&self.registry) - self.begun_at).unwrap_or(0);
        limit.saturating_sub(sent.saturating_sub(counted))
    }

    fn send(&self, key: &[u8], value: &[u8]) -> Result<(), ProduceError> {
        while !self.producer.send(&self.plan.topic, Some(key), value, self.producer.elapsed())? {
            std::thread::sleep(LAG_SLEEP);
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }
}

/// Committed input offsets, summed over the tasks. A task that is being taken over counts for nothing: the producer waits.
fn consumed(registry: &Registry) -> i64 {
    registry.tasks().iter().map(|task| task.view.read().record().next_offset).sum()
}
