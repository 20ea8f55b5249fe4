//! The order in which an agent stops: counting ends first, showing last, so that readers see the last commit.

use super::run::Running;
use crate::worker::WorkerError;
use std::time::Duration;

/// How long open connections may take to end.
const SERVERS_END: Duration = Duration::from_secs(1);

impl Running {
    /// Commits what was folded, lets the partitions go, and ends the servers.
    ///
    /// # Errors
    /// The first reason why a worker ended early or could not stop in order.
    pub async fn stop(mut self) -> Result<(), WorkerError> {
        // 1. Nobody begins anything more: workers, the member list and replicas look at this.
        self.shared.stop.request();
        // 2. The look at the cluster. Its threads may wait for a broker: they end by themselves, or with the process.
        self.monitor.iter().for_each(|monitor| monitor.stop());
        // 3. The front door, beside the last commits: it may take as long as requests and brokers do.
        let front_door = self.front_door.take().map(|door| tokio::spawn(door.close()));
        // 4. The workers: each commits what it has folded and lets its partitions go. They know of each other's ends.
        while let Some(end) = self.ends.recv().await {
            self.note(end);
        }
        for thread in self.threads {
            // A panic in there has been reported by the panic hook, and its end by the channel.
            let _ = thread.join();
        }
        // 5. The state files: nobody hands in changes any more, and those that wait are written.
        self.shared.checkpointer.stop();
        if let Some(door) = front_door {
            // A panic in there has been reported by the panic hook.
            let _ = door.await;
        }
        // 6. What shows: the push, and servers with their open requests.
        for task in self.tasks.stop() {
            // A connection that is kept open must not keep the process.
            let _ = tokio::time::timeout(SERVERS_END, task).await;
        }
        self.result
    }
}
