//! A place among those who watch, of which there are so many.

use crate::telemetry::Metrics;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// One watcher's place; counted as long as it is held.
pub struct Place {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// # Errors
    /// If all are taken.
    pub fn take(places: &Arc<Semaphore>, limit: usize, metrics: &Arc<Metrics>) -> Result<Place, Status> {
        let Ok(permit) = places.clone().try_acquire_owned() else {
            metrics.watch_refused();
            return Err(Status::unavailable(format!(
                "{limit} watch already, which is limits.watchers; end another watch, raise it, or ask Query"
            )));
        };
        metrics.watchers.inc();
        Ok(Place { metrics: metrics.clone(), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.watchers.dec();
    }
}
