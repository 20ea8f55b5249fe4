//! Until when something has to be done.

use crate::clock::{BootTime, Clock};
use std::time::Duration;

pub(super) struct Deadline {
    clock: Clock,
    began: BootTime,
    within: Duration,
}

impl Deadline {
    pub fn new(clock: &Clock, within: Duration) -> Self {
        Deadline { clock: clock.clone(), began: clock.boot_time(), within }
    }

    pub fn left(&self) -> Duration {
        self.within.saturating_sub(self.clock.boot_time().since(self.began))
    }

    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}
