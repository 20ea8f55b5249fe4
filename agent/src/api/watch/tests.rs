//! What watchers get, of a registry made by hand.

use super::{Message, Watch, Watches};
use crate::api::service::Api;
use crate::query::GroupReader;
use crate::query::testing::{Agent, MINUTE, T0, event};
use crate::recent::Recent;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::types::Duration as PbDuration;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

/// Longer than anything here takes, and shorter than a heartbeat.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time enough for something that must not come.
const QUIET: Duration = Duration::from_millis(300);

fn watches(agent: &Agent, limit: usize) -> Arc<Watches> {
    let group = Arc::new(GroupReader::alone(agent.reader.clone()));
    let api = Api {
        group,
        metrics: Arc::default(),
        notes: Arc::new(Vec::new),
        readiness: Arc::new(Vec::new),
        recent: Recent::of_nothing(),
        ingest: None,
    };
    Arc::new(Watches::new(api, limit))
}

fn agent() -> Agent {
    let mut agent = Agent::new(1, 1);
    agent.commit(0, &[event(T0, "/a", 200)], 0);
    agent
}

fn totals() -> pb::WatchRequest {
    let query = pb::QueryRequest {
        aggregate: "http".into(),
        group_by: Some(pb::GroupBy::default()),
        measures: vec!["requests".into()],
        ..Default::default()
    };
    pb::WatchRequest { query: Some(query), interval: None, resume_token: String::new() }
}

/// Windows of a minute, each when it has closed.
fn closed() -> pb::WatchRequest {
    let mut request = totals();
    let query = request.query.as_mut().unwrap();
    query.window = Some(PbDuration { seconds: 60, nanos: 0 });
    query.closed_only = true;
    request
}

async fn next(watch: &mut Watch) -> Message {
    timeout(PATIENCE, watch.rest.recv()).await.expect("a message").expect("no end").expect("no error")
}

async fn nothing_comes(watch: &mut Watch) {
    let message = timeout(QUIET, watch.rest.recv()).await;
    assert!(message.is_err(), "{message:?}");
}

fn counts(message: &Message) -> Vec<u64> {
    let rows = message.answer.as_ref().map(|snapshot| snapshot.answer.rows.as_slice()).unwrap_or_default();
    rows.iter().map(|row| row.values[0].count.unwrap()).collect()
}

/// Ends of the windows in minutes after the beginning, and what was counted.
fn windows(message: &Message) -> Vec<(i64, u64)> {
    let rows = message.answer.as_ref().map(|snapshot| snapshot.answer.rows.as_slice()).unwrap_or_default();
    let end = |row: &pb::Row| (row.window_end.unwrap().seconds * 1_000 - T0) / MINUTE;
    rows.iter().map(|row| (end(row), row.values[0].count.unwrap())).collect()
}

#[tokio::test]
async fn an_answer_comes_at_once_and_again_when_a_commit_has_changed_it() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    let mut watch = watches.watch(totals()).await.unwrap();
    assert_eq!(counts(&watch.first), [1]);
    nothing_comes(&mut watch).await;
    agent.commit(0, &[], 0);
    nothing_comes(&mut watch).await;
    agent.commit(0, &[event(T0, "/b", 200)], 0);
    let message = next(&mut watch).await;
    assert_eq!((counts(&message), message.skipped), (vec![2], 0));
    let json: serde_json::Value = serde_json::from_str(&message.json().unwrap()).unwrap();
    let same = crate::api::json("WatchResponse", &message.proto()).unwrap();
    assert_eq!(json, serde_json::from_str::<serde_json::Value>(&same).unwrap());
    assert_eq!(json["answer"]["rows"][0]["values"][0]["count"], "2");
}

#[tokio::test]
async fn one_question_is_asked_once_however_many_watch_and_not_any_more_when_nobody_does() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(watches.watch(totals()).await.unwrap());
    }
    let other = pb::WatchRequest { interval: Some(PbDuration { seconds: 1, nanos: 0 }), ..totals() };
    let other = watches.watch(other).await.unwrap();
    assert_eq!(watches.feeds(), 2);
    agent.commit(0, &[event(T0, "/b", 200)], 0);
    let mut numbers = Vec::new();
    for watch in &mut all {
        numbers.push(Arc::as_ptr(&next(watch).await.answer.unwrap()));
    }
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all");
    drop((all, other));
    timeout(PATIENCE, async {
        while watches.feeds() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_is_told_how_many_were_left_out() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    let interval = Some(PbDuration { seconds: 0, nanos: 50_000_000 });
    let mut quick = watches.watch(pb::WatchRequest { interval, ..totals() }).await.unwrap();
    let mut slow = watches.watch(pb::WatchRequest { interval, ..totals() }).await.unwrap();
    let mut last = 1;
    for _ in 0..10 {
        agent.commit(0, &[event(T0, "/b", 200)], 0);
        last = counts(&next(&mut quick).await)[0];
    }
    assert_eq!(last, 11);
    // One was on its way, and one waited to be.
    let mut seen = vec![];
    while seen.last().is_none_or(|(count, _)| *count < last) {
        let message = next(&mut slow).await;
        seen.push((counts(&message)[0], message.skipped));
    }
    assert!(seen.len() <= 3, "{seen:?}");
    assert_eq!(seen.iter().map(|(_, skipped)| skipped + 1).sum::<u64>(), 10, "each is sent or told of: {seen:?}");
}

#[tokio::test]
async fn each_closed_window_comes_once_and_none_is_left_out_whatever_the_reader_missed() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    let mut watch = watches.watch(closed()).await.unwrap();
    assert!(watch.first.answer.is_none(), "nothing is closed, and that is told");
    // The grace is 30 s.
    agent.commit(0, &[event(T0 + MINUTE + 30_000, "/a", 200)], 0);
    let message = next(&mut watch).await;
    assert_eq!(windows(&message), [(1, 1)]);
    agent.commit(0, &[event(T0 + MINUTE + 30_000, "/a", 200)], 0);
    nothing_comes(&mut watch).await;
    let token = message.resume_token.clone();
    // Four windows at once; the third has no events.
    let times = [T0 + 2 * MINUTE, T0 + 4 * MINUTE + 1, T0 + 5 * MINUTE + 30_000];
    agent.commit(0, &times.map(|time| event(time, "/a", 200)), 0);
    let message = next(&mut watch).await;
    assert_eq!(windows(&message), [(2, 2), (3, 1), (5, 1)]);
    assert_eq!((message.skipped, message.missed), (0, None));
    drop(watch);
    // The same of an agent that has the same state, and of whoever comes with a token.
    let again = watches.watch(pb::WatchRequest { resume_token: token, ..closed() }).await.unwrap();
    assert_eq!(windows(&again.first), [(2, 2), (3, 1), (5, 1)]);
    let token = again.first.resume_token.clone();
    let again = watches.watch(pb::WatchRequest { resume_token: token, ..closed() }).await.unwrap();
    assert!(again.first.answer.is_none(), "all of them came already");
    let first = watches.watch(closed()).await.unwrap();
    assert_eq!(windows(&first.first), [(5, 1)], "without a token: from the newest on");
    let mut asked = closed();
    asked.query.as_mut().unwrap().time = Some(Time::LastN(4));
    assert_eq!(windows(&watches.watch(asked).await.unwrap().first), [(2, 2), (3, 1), (5, 1)]);
}

#[tokio::test]
async fn whoever_begins_before_a_window_has_closed_gets_all_that_close_then() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    let mut watch = watches.watch(closed()).await.unwrap();
    assert!(watch.first.answer.is_none());
    let events =
        [event(T0 + MINUTE, "/a", 200), event(T0 + 2 * MINUTE, "/a", 200), event(T0 + 3 * MINUTE + 30_000, "/a", 200)];
    agent.commit(0, &events, 0);
    let message = next(&mut watch).await;
    assert_eq!((windows(&message), message.missed), (vec![(1, 1), (2, 1), (3, 1)], None));
}

#[tokio::test]
async fn windows_that_are_not_kept_any_more_are_named() {
    let mut agent = agent();
    let watches = watches(&agent, 10);
    agent.commit(0, &[event(T0 + MINUTE + 30_000, "/a", 200)], 0);
    let token = watches.watch(closed()).await.unwrap().first.resume_token;
    // The retention is two hours.
    let last = T0 + 200 * MINUTE;
    let events = [event(T0 + 30 * MINUTE, "/a", 200), event(last - MINUTE, "/a", 200), event(last + 30_000, "/a", 200)];
    agent.commit(0, &events, 0);
    let mut watch = watches.watch(pb::WatchRequest { resume_token: token, ..closed() }).await.unwrap();
    // The feed may not have looked since.
    let again = if watch.first.answer.is_some() { watch.first.clone() } else { next(&mut watch).await };
    assert_eq!(windows(&again), [(200, 1)]);
    assert_eq!(again.missed, Some((T0 + MINUTE, last + 30_000 - 120 * MINUTE)));
}

#[tokio::test]
async fn where_nothing_has_changed_since_the_token_another_agent_says_so_and_sends_nothing_again() {
    let token = watches(&agent(), 10).watch(totals()).await.unwrap().first.resume_token;
    let mut other = agent();
    let watches = watches(&other, 10);
    let mut watch = watches.watch(pb::WatchRequest { resume_token: token, ..totals() }).await.unwrap();
    assert!(watch.first.answer.is_none());
    other.commit(0, &[event(T0, "/b", 200)], 0);
    assert_eq!(counts(&next(&mut watch).await), [2]);
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_and_a_place_is_free_again_when_its_watcher_goes() {
    let agent = agent();
    let watches = watches(&agent, 2);
    let refused = async |request: pb::WatchRequest| -> Status {
        match watches.watch(request).await {
            Ok(watch) => panic!("{:?}", watch.first),
            Err(status) => status,
        }
    };
    let with = |change: fn(&mut pb::WatchRequest)| {
        let mut request = totals();
        change(&mut request);
        request
    };
    for (request, code, words) in [
        (with(|r| r.query = None), Code::InvalidArgument, "query is missing"),
        (with(|r| r.query.as_mut().unwrap().page_size = 5), Code::InvalidArgument, "no pages"),
        (with(|r| r.interval = Some(PbDuration::default())), Code::InvalidArgument, "within 20 ms and 1 h"),
        (with(|r| r.resume_token = "0a".into()), Code::InvalidArgument, "resume_token does not belong"),
        (with(|r| r.resume_token = "ä".into()), Code::InvalidArgument, "resume_token does not belong"),
        (with(|r| r.query.as_mut().unwrap().aggregate = "x".into()), Code::NotFound, "no aggregate `x`"),
    ] {
        let status = refused(request).await;
        assert!(status.code() == code && status.message().contains(words), "{status:?}");
    }
    let metrics = watches.metrics();
    let until_free = async || {
        while metrics.watchers.get() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, until_free()).await.expect("those that were refused watch no more");
    let (one, two) = (watches.watch(totals()).await.unwrap(), watches.watch(closed()).await.unwrap());
    let status = refused(totals()).await;
    assert!(status.code() == Code::Unavailable && status.message().contains("2 watch already"), "{status:?}");
    assert_eq!((metrics.watchers.get(), metrics.watches_refused.get()), (2, 1));
    drop((one, two));
    timeout(PATIENCE, until_free()).await.unwrap();
    assert!(watches.watch(totals()).await.is_ok());
}

#[tokio::test]
async fn closed_windows_wait_for_a_partition_that_is_away_as_long_as_published_ones_do() {
    let mut agent = Agent::new(1, 2);
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + MINUTE + 30_000, "/a", 200)], 0);
    let watches = watches(&agent, 10);
    let mut watch = watches.watch(closed()).await.unwrap();
    assert!(watch.first.answer.is_none(), "the other partition may have a part in the window");
    agent.set_clock(T0 + 59_000);
    let waited = timeout(Duration::from_millis(1_500), watch.rest.recv()).await;
    assert!(waited.is_err(), "{waited:?}");
    // The aggregate's idle_timeout is a minute.
    agent.set_clock(T0 + 60_000);
    let message = next(&mut watch).await;
    // The one that waited, and the one that the silence of all has closed since.
    assert_eq!(windows(&message), [(1, 1), (2, 1)]);
    assert_eq!(message.answer.map(|snapshot| snapshot.answer.missing.len()), Some(1), "and says what it lacks");
}
