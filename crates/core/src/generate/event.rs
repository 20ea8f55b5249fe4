//! One HTTP request event of the stream, and its JSON.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::random::Draws;

/// A generated service endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub path: &'static str,
    /// Share of the events, percent.
    pub weight: u32,
    /// Mean response time in milliseconds; the standard deviation is a quarter of it.
    pub mean_ms: f64,
    /// Each event takes one of these with the same probability.
    methods: [&'static str; 4],
}

/// The weights add up to 100.
pub const ENDPOINTS: [Endpoint; 8] = [
    Endpoint { path: "/api/users", weight: 25, mean_ms: 45.0, methods: ["GET", "GET", "GET", "PUT"] },
    Endpoint { path: "/api/orders", weight: 20, mean_ms: 120.0, methods: ["GET", "GET", "POST", "DELETE"] },
    Endpoint { path: "/api/products", weight: 15, mean_ms: 60.0, methods: ["GET", "GET", "GET", "GET"] },
    Endpoint { path: "/api/search", weight: 12, mean_ms: 200.0, methods: ["GET", "GET", "GET", "POST"] },
    Endpoint { path: "/api/cart", weight: 10, mean_ms: 80.0, methods: ["GET", "PUT", "POST", "DELETE"] },
    Endpoint { path: "/api/login", weight: 8, mean_ms: 150.0, methods: ["POST", "POST", "POST", "POST"] },
    Endpoint { path: "/api/payments", weight: 6, mean_ms: 300.0, methods: ["POST", "POST", "POST", "GET"] },
    Endpoint { path: "/api/health", weight: 4, mean_ms: 5.0, methods: ["GET", "GET", "GET", "HEAD"] },
];

/// Status codes with their share of the events in percent, and what the message says.
pub const STATUSES: [(u16, u32, &str); 6] = [
    (200, 85, "request completed"),
    (201, 5, "resource created"),
    (400, 3, "validation failed"),
    (401, 2, "token has expired"),
    (404, 3, "resource not found"),
    (500, 2, "upstream timed out"),
];

pub const REGIONS: [&str; 5] = ["us-east", "us-west", "eu-west", "eu-central", "ap-south"];

/// Users are `user_000000` to `user_099999`.
pub const USERS: u32 = 100_000;

/// Which entry of a weighted table each percentile draws: a lookup instead of a walk for each event.
const ENDPOINT_OF: [u8; 100] = {
    let mut weights = [0; ENDPOINTS.len()];
    let mut i = 0;
    while i < weights.len() {
        weights[i] = ENDPOINTS[i].weight;
        i += 1;
    }
    lookup(&weights)
};
const STATUS_OF: [u8; 100] = {
    let mut weights = [0; STATUSES.len()];
    let mut i = 0;
    while i < weights.len() {
        weights[i] = STATUSES[i].1;
        i += 1;
    }
    lookup(&weights)
};

/// Compiles only if the weights add up to 100.
const fn lookup(weights: &[u32]) -> [u8; 100] {
    let mut table = [0; 100];
    let (mut filled, mut i) = (0, 0);
    while i < weights.len() {
        let end = filled + weights[i] as usize;
        while filled < end {
            table[filled] = i as u8;
            filled += 1;
        }
        i += 1;
    }
    assert!(filled == 100);
    table
}

/// The events of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    seed: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Generator { seed }
    }

    /// Event `n`, dated `timestamp` (Unix milliseconds).
    pub fn event(&self, n: u64, timestamp: i64) -> Event {
        let mut draws = Draws::new(self.seed, n, 0);
        let endpoint = &ENDPOINTS[usize::from(ENDPOINT_OF[draws.below(100) as usize])];
        let (status, _, text) = STATUSES[usize::from(STATUS_OF[draws.below(100) as usize])];
        let normal: f64 = StandardNormal.sample(&mut draws);
        let tenths = (endpoint.mean_ms * (1.0 + normal / 4.0) * 10.0).round().max(1.0);
        Event {
            timestamp,
            endpoint: endpoint.path,
            method: endpoint.methods[draws.below(4) as usize],
            status,
            response_time_tenths: tenths as u32,
            region: REGIONS[draws.below(REGIONS.len() as u32) as usize],
            user: draws.below(USERS),
            text,
            trace: draws.next_u32(),
        }
    }
}

/// One request, as the service that handled it logs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event time, Unix milliseconds.
    pub timestamp: i64,
    pub endpoint: &'static str,
    pub method: &'static str,
    pub status: u16,
    /// Tenths of a millisecond: response times have exactly one decimal.
    pub response_time_tenths: u32,
    pub region: &'static str,
    /// Number of the user, below [`USERS`].
    pub user: u32,
    text: &'static str,
    trace: u32,
}

impl Event {
    /// Replaces `out` with the event's JSON (195 to 230 bytes). Allocates only until `out` is large enough.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"{\"timestamp\": ");
        if self.timestamp < 0 {
            out.push(b'-');
        }
        push_decimal(out, self.timestamp.unsigned_abs(), 1);
        push_text(out, b", \"endpoint\": \"", self.endpoint);
        push_text(out, b"\", \"method\": \"", self.method);
        out.extend_from_slice(b"\", \"status\": ");
        push_decimal(out, u64::from(self.status), 1);
        out.extend_from_slice(b", \"response_time_ms\": ");
        push_decimal(out, u64::from(self.response_time_tenths / 10), 1);
        out.push(b'.');
        push_decimal(out, u64::from(self.response_time_tenths % 10), 1);
        push_text(out, b", \"region\": \"", self.region);
        out.extend_from_slice(b"\", \"user_id\": \"");
        self.push_user(out);
        push_text(out, b"\", \"message\": \"", self.text);
        out.extend_from_slice(b" trace=");
        push_hex(out, self.trace);
        out.extend_from_slice(b"\"}");
    }

    /// Replaces `out` with the user's id, such as `user_000123`.
    pub fn write_user(&self, out: &mut Vec<u8>) {
        out.clear();
        self.push_user(out);
    }

    fn push_user(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"user_");
        push_decimal(out, u64::from(self.user), 6);
    }
}

fn push_text(out: &mut Vec<u8>, before: &[u8], text: &str) {
    out.extend_from_slice(before);
    out.extend_from_slice(text.as_bytes());
}

/// Appends `value` with at least `digits` digits. (`write!` would take most of an event's time.)
fn push_decimal(out: &mut Vec<u8>, mut value: u64, digits: usize) {
    let mut buffer = [b'0'; 20];
    let mut start = buffer.len();
    while value > 0 {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&buffer[start.min(buffer.len() - digits)..]);
}

fn push_hex(out: &mut Vec<u8>, value: u32) {
    for shift in (0..8).rev() {
        out.push(b"0123456789abcdef"[((value >> (shift * 4)) & 0xf) as usize]);
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
