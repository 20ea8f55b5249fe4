//! Requests that come again under the same `Idempotency-Key`: they are answered as the first time, and nothing is accepted
//! twice. Kept in memory, for a while and up to a limit. Pure; it is told the time.

use crate::clock::BootTime;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long an answer is kept …
pub const WINDOW: Duration = Duration::from_secs(600);
/// … and how many, and how large all of them; the oldest make room.
const KEYS: usize = 10_000;
const BYTES: usize = 8 << 20;

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is to be answered, and [`Repeats::ends`] told the answer.
    New,
    /// It is being answered.
    UnderWay,
    /// It was accepted with this answer.
    Accepted(Bytes),
    /// Another request has the same key.
    Other,
}

#[derive(Debug)]
struct Request {
    began: BootTime,
    body: u128,
    answer: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: HashMap<u128, Request>,
    /// Keys by when they came, with those that are gone.
    order: VecDeque<(BootTime, u128)>,
    bytes: usize,
}

#[derive(Debug, Default)]
pub struct Repeats(Mutex<Inner>);

impl Repeats {
    /// Looks a request up by the hashes of its key and its body, and notes it if it is new.
    pub fn begins(&self, key: u128, body: u128, now: BootTime) -> Known {
        let mut inner = self.0.lock();
        inner.make_room(now);
        match inner.requests.get(&key) {
            Some(request) if request.body != body => Known::Other,
            Some(Request { answer: Some(answer), .. }) => Known::Accepted(answer.clone()),
            Some(_) => Known::UnderWay,
            None => {
                inner.requests.insert(key, Request { began: now, body, answer: None });
                inner.order.push_back((now, key));
                Known::New
            }
        }
    }

    /// The answer to a request that was new; `None` if it was not accepted, and may be tried again.
    pub fn ends(&self, key: u128, answer: Option<Bytes>) {
        let mut inner = self.0.lock();
        match (answer, inner.requests.get_mut(&key)) {
            (Some(answer), Some(request)) => {
                let length = answer.len();
                request.answer = Some(answer);
                inner.bytes += length;
            }
            (None, Some(_)) => drop(inner.forget(key)),
            // It took longer than anything is kept.
            (_, None) => {}
        }
    }
}

impl Inner {
    fn make_room(&mut self, now: BootTime) {
        while let Some(&(began, key)) = self.order.front() {
            let is_this_one = self.requests.get(&key).is_some_and(|request| request.began == began);
            let is_old = now.since(began) >= WINDOW;
            if is_this_one && !is_old && self.order.len() < KEYS && self.bytes <= BYTES {
                return;
            }
            self.order.pop_front();
            if is_this_one {
                self.forget(key);
            }
        }
    }

    fn forget(&mut self, key: u128) -> Option<Request> {
        let gone = self.requests.remove(&key)?;
        self.bytes -= gone.answer.as_ref().map_or(0, Bytes::len);
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> BootTime {
        BootTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_request_that_comes_again_is_known_until_it_is_old() {
        let repeats = Repeats::default();
        let answer = Bytes::from_static(b"{}");
        assert_eq!(repeats.begins(1, 7, at(0)), Known::New);
        assert_eq!((repeats.begins(1, 7, at(1)), repeats.begins(1, 8, at(1))), (Known::UnderWay, Known::Other));
        repeats.ends(1, Some(answer.clone()));
        assert_eq!(repeats.begins(1, 7, at(599)), Known::Accepted(answer));
        assert_eq!(repeats.begins(1, 7, at(600)), Known::New);
        repeats.ends(1, None);
        assert_eq!(repeats.begins(1, 7, at(601)), Known::New, "what was not accepted may be tried again");
        assert_eq!(repeats.begins(1, 7, at(1_200)), Known::UnderWay, "it is as old as its last attempt");
    }

    #[test]
    fn keys_and_answers_without_number_take_no_memory_without_end() {
        let repeats = Repeats::default();
        for key in 0..30_000 {
            assert_eq!(repeats.begins(key, 0, at(0)), Known::New);
            repeats.ends(key, Some(Bytes::from(vec![0; 1_000])));
        }
        let inner = repeats.0.lock();
        assert!(inner.requests.len() <= KEYS && inner.order.len() <= KEYS && inner.bytes <= BYTES + 1_000);
        assert_eq!(inner.bytes, inner.requests.len() * 1_000);
    }
}
