//! The oracle: an independent, naive recount of a topic, and the comparison of a `/metrics` page with it.
//!
//! It shares no code with the agent and takes no short cuts: every event is parsed as a whole, every window that an event
//! belongs to is a cell of its own, every number is exact. What it counts are the aggregates of
//! `examples/http-requests.yaml`.

mod page;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

#[allow(unused_imports)]
pub use self::page::{Sample, differences, parse_page};

/// A key: the values of an aggregate's labels, in the order of [`Aggregate::by`].
pub type Key = Vec<String>;

const MINUTE: i64 = 60_000;

/// An aggregate of the example: its name, the fields it is keyed by (labels have the same names), and its windows.
pub struct Aggregate {
    pub name: &'static str,
    pub by: &'static [&'static str],
    pub windows: &'static [Window],
    /// Whether it has the measures `errors` and `duration` beside `requests`.
    pub errors: bool,
    pub duration: bool,
}

/// Milliseconds; windows begin at multiples of `hop` since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub size: i64,
    pub hop: i64,
}

pub const ONE_MINUTE: Window = Window { size: MINUTE, hop: MINUTE };
pub const FIVE_MINUTES: Window = Window { size: 5 * MINUTE, hop: MINUTE };
pub const GRACE: i64 = 30_000;
pub const MAX_FUTURE: i64 = 60 * MINUTE;
/// An event moves stream time no further than this beyond its record.
pub const MAX_LEAD: i64 = 10_000;

pub const AGGREGATES: [Aggregate; 3] = [
    Aggregate { name: "http", by: &["endpoint"], windows: &[ONE_MINUTE, FIVE_MINUTES], errors: true, duration: true },
    Aggregate {
        name: "http_status",
        by: &["endpoint", "status"],
        windows: &[FIVE_MINUTES],
        errors: false,
        duration: false,
    },
    Aggregate { name: "http_region", by: &["region"], windows: &[ONE_MINUTE], errors: false, duration: true },
];

/// Everything counted for one key in one window, or in all. Aggregates that lack a measure have it here all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub requests: u64,
    /// Requests with a status of 400 or more.
    pub errors: u64,
    pub duration: Durations,
}

/// Response times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    pub count: u64,
    /// Exact.
    pub sum_nanos: i128,
    /// Events per power of two: the key is the smallest `e` with `value <= 2^e` seconds.
    pub buckets: BTreeMap<i32, u64>,
}

impl Durations {
    fn add(&mut self, nanos: i128) {
        self.count += 1;
        self.sum_nanos += nanos;
        *self.buckets.entry(exponent(nanos)).or_default() += 1;
    }

    /// How many were at most `2^exponent` seconds.
    pub fn at_most(&self, exponent: i32) -> u64 {
        self.buckets.range(..=exponent).map(|(_, count)| count).sum()
    }
}

impl Cell {
    fn add(&mut self, event: &Event) {
        self.requests += 1;
        self.errors += u64::from(event.status.is_some_and(|status| status >= 400.0));
        if let Some(nanos) = event.nanos {
            self.duration.add(nanos);
        }
    }

    fn merge(&mut self, other: &Cell) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.duration.count += other.duration.count;
        self.duration.sum_nanos += other.duration.sum_nanos;
        for (exponent, count) in &other.duration.buckets {
            *self.duration.buckets.entry(*exponent).or_default() += count;
        }
    }
}

/// A window of an aggregate that began at `start` (Unix milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowId {
    pub aggregate: &'static str,
    pub window: Window,
    pub start: i64,
}

/// Where a partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// The highest event time so far, each at most [`MAX_LEAD`] beyond its record's; `None` before the first event.
    pub stream_time: Option<i64>,
    pub events: u64,
    /// Events that were dated further ahead than that.
    pub early: u64,
    /// Records that are no event: not JSON, without a time, too far in the future; or that pass by.
    pub undecodable: u64,
    /// Events that came too late for at least one of an aggregate's windows, by aggregate.
    pub late: BTreeMap<&'static str, u64>,
    /// One past the last record read.
    pub next_offset: i64,
}

/// The recount of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    pub topic: String,
    pub partitions: BTreeMap<i32, Partition>,
    /// All events ever, per aggregate and partition.
    pub totals: BTreeMap<(&'static str, i32), BTreeMap<Key, Cell>>,
    /// Every window, all partitions together.
    pub windows: BTreeMap<WindowId, BTreeMap<Key, Cell>>,
}

impl Recount {
    pub fn new(topic: &str) -> Self {
        Recount { topic: topic.to_owned(), ..Recount::default() }
    }

    /// Reads the topic from its beginning to the end that it has now, committed records only.
    pub fn read(bootstrap_servers: &str, topic: &str) -> Result<Self, String> {
        let mut recount = Recount::new(topic);
        read::consume(bootstrap_servers, topic, &mut recount).map_err(|e| format!("cannot recount {topic}: {e}"))?;
        Ok(recount)
    }

    /// Counts one record. Records of a partition must come in their order.
    pub fn fold(&mut self, partition: i32, offset: i64, record_time: i64, payload: Option<&[u8]>) {
        let state = self.partitions.entry(partition).or_default();
        state.next_offset = offset + 1;
        let Some(event) = payload.and_then(Event::parse).filter(|e| e.timestamp <= record_time + MAX_FUTURE) else {
            state.undecodable += 1;
            return;
        };
        state.events += 1;
        state.early += u64::from(event.timestamp > record_time + MAX_LEAD);
        let reach = event.timestamp.min(record_time + MAX_LEAD);
        let stream_time = state.stream_time.map_or(reach, |time| time.max(reach));
        state.stream_time = Some(stream_time);
        for aggregate in &AGGREGATES {
            let key = event.key(aggregate.by);
            cell(self.totals.entry((aggregate.name, partition)).or_default(), &key).add(&event);
            let mut late = false;
            for window in aggregate.windows {
                for start in starts(*window, event.timestamp) {
                    if start + window.size + GRACE <= stream_time {
                        late = true;
                        continue;
                    }
                    let id = WindowId { aggregate: aggregate.name, window: *window, start };
                    cell(self.windows.entry(id).or_default(), &key).add(&event);
                }
            }
            *state.late.entry(aggregate.name).or_default() += u64::from(late);
        }
    }

    /// All events ever of an aggregate, all partitions together.
    pub fn merged_totals(&self, aggregate: &str) -> BTreeMap<Key, Cell> {
        let mut merged = BTreeMap::new();
        for ((name, _), cells) in &self.totals {
            if *name == aggregate {
                cells.iter().for_each(|(key, total)| cell(&mut merged, key).merge(total));
            }
        }
        merged
    }

    /// One window of an aggregate; empty if no event is in it.
    pub fn window(&self, aggregate: &str, window: Window, start: i64) -> BTreeMap<Key, Cell> {
        let found =
            self.windows.iter().find(|(id, _)| (id.aggregate, id.window, id.start) == (aggregate, window, start));
        found.map(|(_, cells)| cells.clone()).unwrap_or_default()
    }

    /// Events that came too late for at least one window of the aggregate.
    pub fn late(&self, aggregate: &str) -> u64 {
        self.partitions.values().filter_map(|partition| partition.late.get(aggregate)).sum()
    }

    /// Events that were dated further ahead of their records than they move stream time.
    pub fn early(&self) -> u64 {
        self.partitions.values().map(|partition| partition.early).sum()
    }

    /// Events that were counted.
    pub fn events(&self) -> u64 {
        self.partitions.values().map(|p| p.events).sum()
    }
}

fn cell<'a>(cells: &'a mut BTreeMap<Key, Cell>, key: &Key) -> &'a mut Cell {
    if !cells.contains_key(key) {
        cells.insert(key.clone(), Cell::default());
    }
    cells.get_mut(key).expect("it was just inserted")
}

/// The beginnings of all windows that hold `time`. As in Kafka Streams, none begins before the epoch.
fn starts(window: Window, time: i64) -> Vec<i64> {
    let last = time.div_euclid(window.hop) * window.hop;
    let mut starts = Vec::new();
    let mut start = last;
    while start >= 0 && start + window.size > time {
        starts.push(start);
        start -= window.hop;
    }
    starts
}

/// The smallest `e` with `nanos <= 2^e` seconds; values of zero and below are in the lowest bucket there is.
fn exponent(nanos: i128) -> i32 {
    const LOWEST: i32 = -30;
    (LOWEST..=60).find(|e| at_most(nanos, *e)).unwrap_or(61)
}

fn at_most(nanos: i128, exponent: i32) -> bool {
    match exponent {
        0.. => nanos <= 1_000_000_000 << exponent,
        _ => nanos << -exponent <= 1_000_000_000,
    }
}

/// The fields of an event that the example's aggregates need.
struct Event {
    timestamp: i64,
    /// `None`: it is no number.
    status: Option<f64>,
    /// The response time; `None`: there is none that can be measured.
    nanos: Option<i128>,
    json: Value,
}

impl Event {
    fn parse(payload: &[u8]) -> Option<Event> {
        let json: Value = serde_json::from_slice(payload).ok()?;
        let timestamp = json.get("timestamp")?.as_i64()?;
        let status = written(&json["status"]).and_then(|text| text.parse().ok());
        let nanos = written(&json["response_time_ms"]).and_then(|text| milliseconds_to_nanos(&text));
        Some(Event { timestamp, status, nanos: nanos.filter(|&nanos| nanos >= 0), json })
    }

    fn key(&self, by: &[&str]) -> Key {
        let text = |field: &&str| match &self.json[*field] {
            Value::String(text) => text.clone(),
            // Without a value a label is empty.
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
            other => other.to_string(),
        };
        by.iter().map(text).collect()
    }
}

/// A number as it is written, with or without quotes.
fn written(value: &Value) -> Option<String> {
    let text = value.as_number().map(|number| number.to_string()).or_else(|| value.as_str().map(str::to_owned))?;
    (text.parse::<f64>().is_ok() && !text.contains(['n', 'N'])).then_some(text)
}

/// Exact for up to six decimals, read from the number's digits: a product of floats would not be.
fn milliseconds_to_nanos(text: &str) -> Option<i128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 || text.contains(['e', 'E']) {
        return Some((text.parse::<f64>().ok()? * 1e6).round() as i128);
    }
    format!("{whole}{decimals:0<6}").parse().ok()
}
