//! One way to say stop: a token that whoever may end something keeps, and that the work itself looks at.
//!
//! A [`Stop`] is asked once and stays asked. It is cheap to look at, work that has nothing to do can sleep on it and is
//! woken by it, and a child is stopped with its parent, or by itself alone: a restore has a child of its agent's stop.

#![forbid(unsafe_code)]

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Whether something is to end. All clones are the same token; see [`Stop::child`] for one that depends on it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requested: AtomicBool,
    /// Tokens that stop with this one. Locked for whoever sleeps, too.
    children: Mutex<Vec<Weak<Inner>>>,
    wake: Condvar,
}

impl Stop {
    pub fn new() -> Stop {
        Stop::default()
    }

    /// A token that stops when this one does, and can be stopped without it.
    pub fn child(&self) -> Stop {
        let child = Stop::new();
        let mut children = self.0.children.lock();
        if self.is_requested() {
            child.0.requested.store(true, Ordering::Release);
        } else {
            children.retain(|other| other.strong_count() > 0);
            children.push(Arc::downgrade(&child.0));
        }
        child
    }

    /// Stops what looks at this token or at a child of it. Once is enough, and there is no way back.
    pub fn request(&self) {
        self.0.request();
    }

    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Sleeps for `time`, or until the stop is requested. True if it is.
    pub fn sleep(&self, time: Duration) -> bool {
        let mut guard = self.0.children.lock();
        self.0.wake.wait_while_for(&mut guard, |_| !self.is_requested(), time);
        self.is_requested()
    }
}

impl Inner {
    fn request(&self) {
        let children = {
            let mut children = self.children.lock();
            // Under the lock: whoever is about to sleep, or to make a child, sees it.
            self.requested.store(true, Ordering::Release);
            std::mem::take(&mut *children)
        };
        self.wake.notify_all();
        children.iter().filter_map(Weak::upgrade).for_each(|child| child.request());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_child_stops_with_its_parent_and_a_parent_never_with_its_child() {
        let agent = Stop::new();
        let (one, other) = (agent.child(), agent.child());
        let grandchild = one.child();
        one.request();
        assert!(one.is_requested() && grandchild.is_requested());
        assert!(!agent.is_requested() && !other.is_requested());
        agent.request();
        assert!(other.is_requested());
        assert!(agent.child().is_requested(), "a child of what is stopped is born stopped");
        assert_eq!(agent.0.children.lock().len(), 0);
    }

    #[test]
    fn a_request_wakes_whoever_sleeps_on_the_token_or_on_a_child() {
        let stop = Stop::new();
        let sleepers: Vec<_> =
            [stop.clone(), stop.child()].map(|token| std::thread::spawn(move || token.sleep(LONG))).into();
        stop.request();
        assert!(sleepers.into_iter().all(|sleeper| sleeper.join().unwrap()));
        assert!(stop.sleep(LONG), "a sleep that begins afterwards does not wait");
    }

    #[test]
    fn a_sleep_that_nobody_ends_says_so() {
        assert!(!Stop::new().sleep(Duration::from_millis(1)));
    }

    #[test]
    fn children_that_are_gone_are_forgotten() {
        let stop = Stop::new();
        (0..100).for_each(|_| drop(stop.child()));
        let kept = stop.child();
        assert_eq!(stop.0.children.lock().len(), 1);
        drop(kept);
    }
}
