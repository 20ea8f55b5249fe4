//! Word of commits, to the publisher and to whoever watches answers. It waits for nobody.

use tokio::sync::{Notify, watch};

/// Told of each commit of a registry's tasks and replicas.
#[derive(Debug, Default)]
pub struct Commits {
    publisher: Notify,
    number: watch::Sender<u64>,
}

impl Commits {
    /// A commit has been put into a view.
    pub fn tell(&self) {
        self.publisher.notify_one();
        self.number.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Resolves after a commit, also after one that came since the last call. For one waiter.
    pub async fn next(&self) {
        self.publisher.notified().await;
    }

    /// Changes with every commit; for as many as like.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }
}
