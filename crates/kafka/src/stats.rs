//! What our own clients see of the brokers: how long requests take, how many wait, and how much they are throttled.
//! From librdkafka's statistics; clients of one purpose are shown together.

use parking_lot::Mutex;
use rdkafka::Statistics;
use rdkafka::statistics::Window;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// One client's view, renewed with each of its statistics.
#[derive(Debug, Default)]
pub struct Client {
    purpose: &'static str,
    brokers: Mutex<BTreeMap<i32, BrokerView>>,
}

/// A broker as clients of one purpose see it. Times in seconds, over the last interval of the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrokerView {
    /// Connections that are usable.
    pub connections: u64,
    /// Requests sent whose answer has not come.
    pub in_flight: u64,
    /// Requests not sent yet.
    pub queued: u64,
    /// Requests that got no answer in time, since the clients began.
    pub timeouts: u64,
    /// `None`: no request was answered in the interval.
    pub latency: Option<Latency>,
    /// Longest time the broker told a client to hold back.
    pub throttle: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub mean: f64,
    pub p99: f64,
    /// Requests that were answered.
    pub requests: u64,
}

/// All our clients that are alive.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<Vec<Weak<Client>>>>);

impl Clients {
    /// A view for a new client; it is forgotten when the client ends.
    pub fn client(&self, purpose: &'static str) -> Arc<Client> {
        let client = Arc::new(Client { purpose, ..Client::default() });
        let mut all = self.0.lock();
        all.retain(|client| client.strong_count() > 0);
        all.push(Arc::downgrade(&client));
        client
    }

    /// What they see, by purpose and broker id.
    pub fn views(&self) -> BTreeMap<(&'static str, i32), BrokerView> {
        let mut views: BTreeMap<(&'static str, i32), BrokerView> = BTreeMap::new();
        for client in self.0.lock().iter().filter_map(Weak::upgrade) {
            for (broker, view) in client.brokers.lock().iter() {
                views.entry((client.purpose, *broker)).or_default().add(view);
            }
        }
        views
    }
}

impl Client {
    pub fn update(&self, statistics: &Statistics) {
        let mut brokers = BTreeMap::new();
        // Ids below 0 are bootstrap addresses and librdkafka's inner ones; they become real ones when they answer.
        for broker in statistics.brokers.values().filter(|broker| broker.nodeid >= 0) {
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            let view = BrokerView {
                connections: u64::from(broker.state == "UP"),
                in_flight: count(broker.waitresp_cnt),
                queued: count(broker.outbuf_cnt),
                timeouts: broker.req_timeouts,
                latency: broker.rtt.as_ref().and_then(latency),
                throttle: broker.throttle.as_ref().map_or(0.0, |window| count(window.max) as f64 / 1e3),
            };
            // A group's coordinator has a second connection under the same id.
            brokers.entry(broker.nodeid).or_insert_with(BrokerView::default).add(&view);
        }
        *self.brokers.lock() = brokers;
    }
}

/// librdkafka counts round trips in microseconds.
fn latency(window: &Window) -> Option<Latency> {
    let requests = u64::try_from(window.cnt).ok().filter(|count| *count > 0)?;
    Some(Latency { mean: window.avg as f64 / 1e6, p99: window.p99 as f64 / 1e6, requests })
}

impl BrokerView {
    fn add(&mut self, other: &BrokerView) {
        self.connections += other.connections;
        self.in_flight += other.in_flight;
        self.queued += other.queued;
        self.timeouts += other.timeouts;
        self.throttle = self.throttle.max(other.throttle);
        self.latency = match (self.latency, other.latency) {
            (Some(a), Some(b)) => Some(a.with(b)),
            (a, b) => a.or(b),
        };
    }
}

impl Latency {
    /// The mean is exact; the quantile is the worse of the two.
    fn with(self, other: Latency) -> Latency {
        let requests = self.requests + other.requests;
        let sum = self.mean * self.requests as f64 + other.mean * other.requests as f64;
        Latency { mean: sum / requests as f64, p99: self.p99.max(other.p99), requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(in_flight: u64, latency: Option<(f64, u64)>) -> BTreeMap<i32, BrokerView> {
        let latency = latency.map(|(mean, requests)| Latency { mean, p99: 2.0 * mean, requests });
        BTreeMap::from([(1, BrokerView { in_flight, latency, ..BrokerView::default() })])
    }

    #[test]
    fn clients_of_one_purpose_are_shown_together_and_forgotten_when_they_end() {
        let clients = Clients::default();
        let (a, b, other) = (clients.client("consumer"), clients.client("consumer"), clients.client("probe"));
        *a.brokers.lock() = seen(3, Some((0.010, 30)));
        *b.brokers.lock() = seen(1, Some((0.050, 10)));
        *other.brokers.lock() = seen(7, None);
        let view = clients.views()[&("consumer", 1)];
        assert_eq!(view.in_flight, 4);
        let latency = view.latency.unwrap();
        assert!((latency.mean - 0.020).abs() < 1e-12 && latency.p99 == 0.1 && latency.requests == 40, "{latency:?}");
        assert_eq!(clients.views()[&("probe", 1)].latency, None);
        drop(other);
        assert_eq!(clients.views().len(), 1);
    }
}
