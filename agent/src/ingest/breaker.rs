//! The circuit breaker before Kafka: when half of the latest deliveries failed, none is tried for a while; then a few are.
//! Pure; it is told the time.

use crate::clock::BootTime;
use std::collections::VecDeque;
use std::time::Duration;

/// Deliveries that are looked back at …
pub const WINDOW: usize = 10;
/// … and how many that are tried in the end decide.
pub const TRIALS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::HalfOpen => "half_open",
            State::Open => "open",
        }
    }

    /// As the metric shows it.
    pub fn number(self) -> i64 {
        match self {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        }
    }
}

#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// How long it stays open.
    rest: Duration,
    opened: BootTime,
    /// The latest outcomes; half open, those of the trials.
    failures: VecDeque<bool>,
    /// Trials under way.
    trying: usize,
}

impl Breaker {
    pub fn new(rest: Duration) -> Breaker {
        let opened = BootTime::from_millis(0);
        Breaker { state: State::Closed, rest, opened, failures: VecDeque::with_capacity(WINDOW), trying: 0 }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// How many deliveries may begin now. An open breaker becomes half open when its time has passed.
    pub fn permits(&mut self, now: BootTime) -> usize {
        if self.state == State::Open && now.since(self.opened) >= self.rest {
            self.become_(State::HalfOpen, now);
        }
        match self.state {
            State::Closed => usize::MAX,
            State::HalfOpen => TRIALS - self.failures.len() - self.trying,
            State::Open => 0,
        }
    }

    /// A delivery has begun.
    pub fn began(&mut self) {
        self.trying += usize::from(self.state == State::HalfOpen);
    }

    /// A delivery was given up, and says nothing.
    pub fn given_up(&mut self) {
        self.trying = self.trying.saturating_sub(1);
    }

    /// A delivery has ended.
    pub fn ended(&mut self, failed: bool, now: BootTime) {
        self.trying = self.trying.saturating_sub(1);
        let looked_at = match self.state {
            State::Closed => WINDOW,
            State::HalfOpen => TRIALS,
            // What was under way when it opened.
            State::Open => return,
        };
        if self.failures.len() == looked_at {
            self.failures.pop_front();
        }
        self.failures.push_back(failed);
        if self.failures.len() < looked_at {
            return;
        }
        let failures = self.failures.iter().filter(|failed| **failed).count();
        match self.state {
            _ if 2 * failures >= looked_at => self.become_(State::Open, now),
            State::HalfOpen => self.become_(State::Closed, now),
            State::Closed | State::Open => {}
        }
    }

    fn become_(&mut self, state: State, now: BootTime) {
        self.state = state;
        self.failures.clear();
        self.trying = 0;
        if state == State::Open {
            self.opened = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> BootTime {
        BootTime::from_millis(seconds * 1000)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::new(Duration::from_secs(60));
        (0..WINDOW).for_each(|_| breaker.ended(true, at(0)));
        assert_eq!(breaker.state(), State::Open);
        breaker
    }

    #[test]
    fn it_opens_at_half_of_the_latest_ten_and_not_before() {
        let mut breaker = Breaker::new(Duration::from_secs(60));
        (0..9).for_each(|_| breaker.ended(true, at(0)));
        assert_eq!(breaker.state(), State::Closed, "nine are too few to tell");
        let mut breaker = Breaker::new(Duration::from_secs(60));
        for call in 0..100 {
            breaker.ended(call % 5 < 2, at(0));
            assert_eq!(breaker.state(), State::Closed, "four of ten");
        }
        (0..4).for_each(|_| breaker.ended(true, at(0)));
        assert_eq!((breaker.state(), breaker.permits(at(59))), (State::Open, 0));
    }

    #[test]
    fn half_open_it_tries_three_and_two_decide() {
        let mut breaker = open();
        assert_eq!((breaker.permits(at(60)), breaker.state()), (3, State::HalfOpen));
        breaker.began();
        breaker.began();
        assert_eq!(breaker.permits(at(60)), 1);
        breaker.ended(false, at(61));
        breaker.given_up();
        assert_eq!(breaker.permits(at(61)), 2, "what was given up is tried again");
        breaker.began();
        breaker.began();
        breaker.ended(true, at(62));
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.ended(false, at(62));
        assert_eq!(breaker.state(), State::Closed);
        let mut breaker = open();
        breaker.permits(at(60));
        for failed in [true, false, true] {
            breaker.began();
            breaker.ended(failed, at(61));
        }
        assert_eq!((breaker.state(), breaker.permits(at(120))), (State::Open, 0), "another minute from then on");
        assert_eq!(breaker.permits(at(121)), 3);
    }

    #[test]
    fn what_ends_while_it_is_open_says_nothing() {
        let mut breaker = open();
        (0..50).for_each(|_| breaker.ended(false, at(1)));
        assert_eq!(breaker.state(), State::Open);
    }
}
