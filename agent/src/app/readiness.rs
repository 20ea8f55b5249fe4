//! Whether the agent is ready, and if not, why.

use crate::query::{self, Reader, Readiness};
use crate::worker::WorkerStatus;
use std::sync::Arc;

/// Ready: every worker has its partitions, and their state is there.
pub fn readiness(reader: Arc<Reader>, workers: Vec<Arc<WorkerStatus>>) -> Readiness {
    Arc::new(move || {
        let workers = workers.iter().filter_map(|worker| worker.unready());
        let registry = &reader.registry;
        workers.chain(reader.sources.now().not_ready(registry)).chain(query::not_ready(registry)).collect()
    })
}
