//! What the agents say: totals from their pages, windows from their query service.

use std::net::SocketAddr;
use std::time::Duration;

use streamgauge_proto::types;
use streamgauge_proto::v1::query_request::Time;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{QueryRequest, Scope, TimeRange};

use super::truth::{Cells, Id, SIZES};
use crate::agent::Agent;
use crate::kafka::block_on_io;
use crate::oracle::parse_page;

/// Every cell that the agents show, all together; and what is wrong with how they show it.
pub fn of(agents: &[&Agent], truth: &Cells) -> (Cells, Vec<String>) {
    let (mut cells, mut wrong) = (Cells::new(), Vec::new());
    for agent in agents {
        totals(&agent.scrape(), &mut cells, &mut wrong);
    }
    let starts = |wanted: i64| {
        truth.keys().filter_map(move |id| match id {
            Id::Window { size, start, .. } if *size == wanted => Some(*start),
            _ => None,
        })
    };
    for (size, hop) in SIZES {
        let (Some(first), Some(last)) = (starts(size).min(), starts(size).max()) else { continue };
        for agent in agents {
            block_on_io(windows(agent.grpc(), (size, hop), (first, last + size), &mut cells));
        }
    }
    (cells, wrong)
}

/// Reads the totals of a page. A series that is there twice is one too many, whatever it says.
fn totals(page: &str, cells: &mut Cells, wrong: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for sample in parse_page(page).expect("a sound page") {
        let Some(measure) = sample.name.strip_prefix("numbers_").and_then(|name| name.strip_suffix("_total")) else {
            continue;
        };
        let partition = sample.labels["partition"].parse().expect("a partition number");
        let id = Id::Total { partition, key: sample.labels["key"].clone() };
        let cell = cells.entry(id.clone()).or_default();
        let value = sample.value as u64;
        match measure {
            "events" => cell.events += value,
            "seq" => cell.seqs += value,
            "hash" => cell.hashes += value,
            other => panic!("nobody defined measure {other}"),
        }
        if !seen.insert((id, measure.to_owned())) {
            wrong.push(format!("twice on a page: {sample:?}"));
        }
    }
}

/// Asks one agent for its part of all windows that end after `from` and begin before `to`.
async fn windows(agent: SocketAddr, (size, hop): (i64, i64), (from, to): (i64, i64), cells: &mut Cells) {
    let timestamp =
        |millis: i64| types::Timestamp { seconds: millis / 1_000, nanos: (millis % 1_000 * 1_000_000) as i32 };
    let duration = |millis: i64| types::Duration::try_from(Duration::from_millis(millis as u64)).expect("seconds");
    let mut client = QueryServiceClient::connect(format!("http://{agent}")).await.expect("the agent answers");
    client = client.max_decoding_message_size(64 << 20);
    // A minute's windows at a time: an answer has a limit.
    let mut at = from;
    while at < to {
        let until = (at + 60_000).min(to);
        let range = TimeRange { start: Some(timestamp(at)), end: Some(timestamp(until + size)) };
        let request = QueryRequest {
            aggregate: "numbers".to_owned(),
            window: Some(duration(size)),
            hop: Some(duration(hop)),
            time: Some(Time::Range(range)),
            scope: Scope::Local.into(),
            ..QueryRequest::default()
        };
        let answer = client.query(request).await.unwrap_or_else(|status| panic!("windows of {agent}: {status}"));
        for row in answer.into_inner().rows {
            let start = row.window_start.as_ref().expect("a window's row has its start");
            let start = start.seconds * 1_000 + i64::from(start.nanos) / 1_000_000;
            // Neighbouring ranges may both have a window: each is taken from the one it begins in.
            if start < at || start >= until {
                continue;
            }
            let cell = cells.entry(Id::Window { size, start, key: row.labels["key"].clone() }).or_default();
            for value in row.values {
                match value.measure.as_str() {
                    "events" => cell.events += value.count.unwrap_or_default(),
                    "seq" => cell.seqs += value.sum.unwrap_or_default() as u64,
                    "hash" => cell.hashes += value.sum.unwrap_or_default() as u64,
                    other => panic!("nobody defined measure {other}"),
                }
            }
        }
        at = until;
    }
}
