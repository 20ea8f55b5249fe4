//! Every window cell of the agents' answers over gRPC, compared with the recount.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use streamgauge_proto::types;
use streamgauge_proto::v1::query_request::Time;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{MeasureValue, QueryRequest, Row, Scope, TimeRange};

use crate::oracle::{AGGREGATES, Aggregate, Cell, Key, Recount, Window};

/// What the agents say about one cell, added up.
#[derive(Debug, Default)]
struct Answered {
    requests: u64,
    errors: u64,
    duration_count: u64,
    duration_sum: f64,
}

type Cells = BTreeMap<(i64, Key), Answered>;

/// Where the agents' windows, all together, differ from the recount; empty if they are equal.
pub async fn differences(agents: &[SocketAddr], scope: Scope, recount: &Recount) -> Vec<String> {
    let mut differences = Vec::new();
    for aggregate in &AGGREGATES {
        for &window in aggregate.windows {
            let mut answered = Cells::new();
            for agent in agents {
                ask(*agent, scope, aggregate, window, recount, &mut answered).await;
            }
            compare(aggregate, window, recount, answered, &mut differences);
        }
    }
    differences
}

/// Asks for all windows that the recount knows, and one more on either side.
async fn ask(
    agent: SocketAddr,
    scope: Scope,
    aggregate: &Aggregate,
    window: Window,
    recount: &Recount,
    cells: &mut Cells,
) {
    let ids = || recount.windows.keys().filter(|id| id.aggregate == aggregate.name && id.window == window);
    let (Some(first), Some(last)) = (ids().map(|id| id.start).min(), ids().map(|id| id.start).max()) else { return };
    let range = TimeRange {
        start: Some(timestamp((first - window.hop).max(0))),
        end: Some(timestamp(last + window.size + window.hop)),
    };
    let request = QueryRequest {
        aggregate: aggregate.name.to_owned(),
        window: Some(duration(window.size)),
        hop: Some(duration(window.hop)),
        time: Some(Time::Range(range)),
        scope: scope.into(),
        ..QueryRequest::default()
    };
    let mut client = QueryServiceClient::connect(format!("http://{agent}")).await.expect("the agent answers");
    client = client.max_decoding_message_size(64 << 20);
    let answer = client.query(request).await.unwrap_or_else(|status| panic!("{}: {status}", aggregate.name));
    for row in answer.into_inner().rows {
        let start = row.window_start.as_ref().expect("a window's row has its start");
        let start = start.seconds * 1_000 + i64::from(start.nanos) / 1_000_000;
        let cell = cells.entry((start, key(aggregate, &row))).or_default();
        row.values.iter().for_each(|value| cell.add(value));
    }
}

impl Answered {
    fn add(&mut self, value: &MeasureValue) {
        let count = value.count.unwrap_or_default();
        match value.measure.as_str() {
            "requests" => self.requests += count,
            "errors" => self.errors += count,
            "duration" => {
                self.duration_count += count;
                self.duration_sum += value.sum.unwrap_or_default();
            }
            other => panic!("nobody defined measure {other}"),
        }
    }

    fn equals(&self, aggregate: &Aggregate, cell: &Cell) -> bool {
        let sum = cell.duration.sum_nanos as f64 / 1e9;
        self.requests == cell.requests
            && (!aggregate.errors || self.errors == cell.errors)
            && (!aggregate.duration
                || self.duration_count == cell.duration.count
                    // Each agent's sum is exact; adding a few of them rounds.
                    && (self.duration_sum - sum).abs() <= sum.abs() * 4.0 * f64::EPSILON)
    }
}

fn key(aggregate: &Aggregate, row: &Row) -> Key {
    assert!(!row.overflow, "no key of the stream is beyond the limit");
    aggregate.by.iter().map(|label| row.labels.get(*label).cloned().unwrap_or_default()).collect()
}

fn compare(aggregate: &Aggregate, window: Window, recount: &Recount, mut answered: Cells, wrong: &mut Vec<String>) {
    let name = |start: i64, key: &Key| format!("{} {}s@{start} {key:?}", aggregate.name, window.size / 1_000);
    let windows = recount.windows.iter().filter(|(id, _)| id.aggregate == aggregate.name && id.window == window);
    for (id, cells) in windows {
        for (key, cell) in cells {
            match answered.remove(&(id.start, key.clone())) {
                None => wrong.push(format!("missing: {}", name(id.start, key))),
                Some(found) if !found.equals(aggregate, cell) => {
                    wrong.push(format!("different: {} is {found:?}, should be {cell:?}", name(id.start, key)));
                }
                Some(_) => {}
            }
        }
    }
    wrong.extend(answered.iter().map(|((start, key), found)| format!("extra: {} {found:?}", name(*start, key))));
}

fn timestamp(millis: i64) -> types::Timestamp {
    types::Timestamp { seconds: millis / 1_000, nanos: (millis % 1_000 * 1_000_000) as i32 }
}

fn duration(millis: i64) -> types::Duration {
    types::Duration::try_from(Duration::from_millis(millis as u64)).expect("a few minutes")
}
