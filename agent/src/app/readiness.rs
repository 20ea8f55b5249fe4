//! Whether the agent is ready, and if not, why.

use crate::query::{self, Reader, Readiness};
use crate::state::Directory;
use crate::worker::WorkerStatus;
use std::sync::Arc;

/// Ready: every worker has its partitions, their state is there, and the others of the group can ask for it.
pub fn readiness(reader: Arc<Reader>, directory: Arc<Directory>, workers: Vec<Arc<WorkerStatus>>) -> Readiness {
    Arc::new(move || {
        let workers = workers.iter().filter_map(|worker| worker.unready());
        let registry = &reader.registry;
        let sources = reader.sources.now().not_ready(registry);
        workers.chain(sources).chain(query::not_ready(registry)).chain(unreachable(&directory)).collect()
    })
}

fn unreachable(directory: &Directory) -> Option<String> {
    let own = directory.own().filter(|_| directory.is_unreachable())?;
    Some(format!(
        "the group has agents on other hosts, which cannot reach {own}: set grpc.listen to an address of this host's network, or grpc.advertise to one that reaches it; until then windows and queries lack partitions"
    ))
}
