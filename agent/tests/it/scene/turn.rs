//! Scenes take turns: two at a time, or their agents, producers and the broker would starve each other on two cores, and
//! what a test says about time would be about the machine.

use std::sync::{Condvar, Mutex};

const AT_ONCE: usize = 2;

/// The right to be on; given back when dropped.
pub struct Turn;

static BUSY: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

impl Turn {
    pub fn wait() -> Turn {
        let busy = BUSY.lock().expect("no panic inside");
        let mut busy = FREE.wait_while(busy, |busy| *busy >= AT_ONCE).expect("no panic inside");
        *busy += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *BUSY.lock().expect("no panic inside") -= 1;
        FREE.notify_one();
    }
}
