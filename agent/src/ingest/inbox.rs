//! Where accepted events wait for the thread that sends them.

use super::budget::{Budget, Share};
use crate::clock::{BootTime, Moment};
use crate::kafka::sender::Waker;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What an event takes beside its bytes.
const OVERHEAD: usize = 256;

/// In a stream of events, whoever sends them looks for new ones this often, and need not be woken for each.
pub const SOON: Duration = Duration::from_millis(2);

/// A record as it goes to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub topic: Arc<str>,
    /// `None`: by the key.
    pub partition: Option<i32>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Arc<[(&'static str, String)]>,
}

/// What became of an event that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The brokers have acknowledged it.
    Delivered,
    /// It is on disk.
    Spooled,
    /// There is no room for it, or it cannot be written to disk; it may be sent again.
    NoRoom(String),
    /// The brokers will never take it.
    Refused(String),
}

/// An accepted event.
#[derive(Debug)]
pub struct Entry {
    pub content: Content,
    pub arrived: Moment,
    /// Whoever waits for it. Without anybody, it has been acknowledged already.
    pub told: Option<oneshot::Sender<Outcome>>,
    /// Whoever waits does so for the brokers, and not for the disk.
    pub urgent: bool,
    /// An attempt to send it has failed.
    pub failed: bool,
    /// Of the buffer; given back when the entry goes.
    pub _share: Share,
}

impl Entry {
    /// Tells whoever waits.
    pub fn tell(&mut self, outcome: Outcome) {
        if let Some(told) = self.told.take() {
            // Nobody may wait any more.
            let _ = told.send(outcome);
        }
    }
}

/// What an event takes of the buffer.
pub fn size(content: &Content) -> usize {
    content.key.len() + content.value.len() + OVERHEAD
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    waker: Option<Waker>,
    /// The thread looks again in a moment by itself: only what somebody waits for is worth waking it.
    attended: bool,
    /// Set when nothing is put in any more: until when what is here may be sent.
    ends: Option<BootTime>,
}

/// The queue, limited by the budget that its entries have shares of.
pub struct Inbox {
    pub budget: Budget,
    queue: Mutex<Queue>,
}

impl Inbox {
    pub fn new(bytes: usize) -> Inbox {
        Inbox { budget: Budget::new(bytes), queue: Mutex::default() }
    }

    /// Hands entries over; false if nobody takes any more.
    pub fn put(&self, entries: Vec<Entry>) -> bool {
        let mut queue = self.queue.lock();
        if queue.ends.is_some() {
            return false;
        }
        let wakes = match queue.attended {
            true => entries.iter().any(|entry| entry.told.is_some()),
            false => queue.entries.is_empty() && !entries.is_empty(),
        };
        let waker = wakes.then(|| queue.waker.clone()).flatten();
        // Once is enough.
        queue.attended &= !wakes;
        queue.entries.extend(entries);
        drop(queue);
        waker.iter().for_each(Waker::wake);
        true
    }

    /// Takes all that are there; and until when they may be sent, if nothing comes after them. After something, whoever
    /// takes it looks again within [`SOON`].
    pub fn take(&self) -> (VecDeque<Entry>, Option<BootTime>) {
        let mut queue = self.queue.lock();
        queue.attended = !queue.entries.is_empty();
        (std::mem::take(&mut queue.entries), queue.ends)
    }

    pub fn len(&self) -> usize {
        self.queue.lock().entries.len()
    }

    /// Who is woken when something comes.
    pub fn wakes(&self, waker: Option<Waker>) {
        self.queue.lock().waker = waker;
    }

    /// From now on nothing is put in any more; what is here may be sent until then.
    pub fn close(&self, ends: BootTime) {
        let mut queue = self.queue.lock();
        queue.ends = Some(ends);
        queue.waker.iter().for_each(Waker::wake);
    }
}
