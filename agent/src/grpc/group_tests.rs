//! Agents that ask each other over real sockets: one answer for the group.

use super::serve;
use crate::query::testing::{Agent, MINUTE, Request as Event, T0, event};
use crate::query::{Answer, Condition, GroupReader, QueryError, Request, Time, quantile};
use crate::state::{Address, Directory, Group, TaskId};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

fn id(partition: i32) -> TaskId {
    TaskId { topic: "log-events".into(), partition }
}

/// Serves an agent's partitions to others; ends with the test's runtime.
async fn serving(agent: &Agent) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().to_string().into();
    let state = super::tests::state(agent, Arc::new(Vec::new));
    tokio::spawn(serve(listener, state, std::future::pending()));
    address
}

/// The group as `agent` sees it, with others that have what they have.
fn group(agent: &Agent, others: &[(Address, &[i32])]) -> GroupReader {
    let directory = Directory::new(Some("self:1".into()));
    let others = others.iter().map(|(address, has)| (address.clone(), has.iter().map(|p| id(*p)).collect()));
    directory.set(Group::new(others.chain([("self:1".into(), vec![id(0)])])));
    GroupReader::new(agent.reader.clone(), Arc::new(directory), Arc::default(), 0, false)
}

/// Events of three partitions over some minutes, many keys, durations from 1 ms to 3 s.
fn events(partition: i64) -> Vec<Event> {
    let one = |i: i64| Event {
        millis: 1.0 + (i * 37 % 3_000) as f64,
        ..event(T0 + i * 1_000, ["/a", "/b", "/c"][(i % 3) as usize], [200, 500][(i % 7 == partition) as usize])
    };
    (0..400).map(one).collect()
}

/// One agent with everything, and the same split over three.
async fn split() -> (Agent, GroupReader, [Agent; 3]) {
    let mut whole = Agent::new(3, 3);
    let mut parts = [Agent::having(0..1, 3), Agent::having(1..2, 3), Agent::having(2..3, 3)];
    for (at, part) in parts.iter_mut().enumerate() {
        whole.commit(at, &events(at as i64), 0);
        part.commit(0, &events(at as i64), 0);
    }
    let others = [(serving(&parts[1]).await, &[1][..]), (serving(&parts[2]).await, &[2][..])];
    let group = group(&parts[0], &others);
    (whole, group, parts)
}

fn requests() -> Vec<Request> {
    let ask = || Request { aggregate: "http".into(), ..Request::default() };
    let minutes = |n: u64| Some(Duration::from_secs(60 * n));
    vec![
        ask(),
        Request { group_by: Some(vec![]), ..ask() },
        Request { group_by: Some(vec!["endpoint".into()]), time: Some(Time::Last(Duration::from_secs(300))), ..ask() },
        Request { window: minutes(1), time: Some(Time::LastN(5)), closed_only: true, ..ask() },
        Request {
            window: minutes(5),
            hop: minutes(1),
            time: Some(Time::LastN(3)),
            measures: vec!["sizes".into()],
            ..ask()
        },
        Request { window: minutes(1), time: Some(Time::Range { start: T0, end: Some(T0 + 3 * MINUTE) }), ..ask() },
    ]
}

fn assert_same(one: &Answer, other: &Answer) {
    assert_eq!(one.rows, other.rows);
    assert_eq!(one.labels, other.labels);
    assert!(other.missing.is_empty(), "{:?}", other.missing);
    let offsets = |answer: &Answer| answer.as_of.iter().map(|p| (p.id.clone(), p.next_offset)).collect::<Vec<_>>();
    assert_eq!(offsets(one), offsets(other));
}

#[tokio::test]
async fn three_agents_answer_as_one_with_everything_does() {
    let (whole, group, _parts) = split().await;
    for request in requests() {
        let expect = whole.reader.query(&request).unwrap();
        assert!(!expect.rows.is_empty());
        assert_same(&expect, &group.query(&request).await.unwrap());
    }
    let answer = group.query(&requests()[1]).await.unwrap();
    let (at, plan) = (2, &answer.plan);
    let p99 = quantile(&answer.rows[0].states[at], &plan.measures[at].kind, 0.99).unwrap();
    let mut all: Vec<f64> = (0..3).flat_map(events).map(|event| event.millis / 1_000.0).collect();
    all.sort_by(f64::total_cmp);
    let exact = all[(all.len() as f64 * 0.99) as usize];
    assert!((p99 - exact).abs() <= exact * 0.03, "{p99}, by the recount {exact}");
    assert!(answer.as_of[0].agent.is_none() && answer.as_of[1].agent.is_some());
}

#[tokio::test]
async fn pages_of_the_group_are_the_whole_answer_cut_up() {
    let (whole, group, _parts) = split().await;
    let request = requests().remove(3);
    let expect = whole.reader.query(&request).unwrap().rows;
    let (mut rows, mut page_token) = (Vec::new(), String::new());
    loop {
        let answer = group.query(&Request { page_size: 4, page_token, ..request.clone() }).await.unwrap();
        rows.extend(answer.rows);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(rows, expect);
}

#[tokio::test]
async fn whoever_does_not_answer_is_named_and_waited_for_once() {
    let (_, _, parts) = split().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone: Address = nobody.local_addr().unwrap().to_string().into();
    drop(nobody);
    let others = [(silent.local_addr().unwrap().to_string().into(), &[1][..]), (gone, &[2][..])];
    let group = group(&parts[0], &others);
    let totals = requests().remove(0);
    let patience = Duration::from_secs(10);
    let first = tokio::time::timeout(patience, group.query(&totals)).await.unwrap().unwrap();
    let missing: Vec<_> = first.missing.iter().map(|missing| missing.id.partition).collect();
    assert_eq!(missing, [1, 2]);
    assert!(first.missing[0].reason.contains("did not answer within 1 s"), "{:?}", first.missing);
    assert!(first.missing[1].reason.contains("cannot be reached"), "{:?}", first.missing);
    assert!(!first.rows.is_empty() && first.as_of.len() == 1);
    // The clock of the agents stands still, so both are left alone, and nothing is waited for.
    let soon = Duration::from_millis(500);
    let second = tokio::time::timeout(soon, group.query(&totals)).await.expect("no second wait").unwrap();
    assert_eq!(second.missing, first.missing);
}

#[tokio::test]
async fn what_an_owner_lost_meanwhile_is_missing_and_what_nobody_has_is_named() {
    let (_, _, parts) = split().await;
    let other = serving(&parts[1]).await;
    let group = group(&parts[0], &[(other, &[1, 2])]);
    let answer = group.query(&requests()[0]).await.unwrap();
    assert_eq!(answer.missing.len(), 1);
    assert_eq!((answer.missing[0].id.partition, answer.as_of.len()), (2, 2));
    assert!(answer.missing[0].reason.contains("does not have it"), "{:?}", answer.missing);
}

#[tokio::test]
async fn a_partition_without_an_answering_owner_is_read_from_a_replica() {
    let (whole, _, parts) = split().await;
    let replica = Agent::having(1..3, 3);
    for at in [1, 2] {
        let copy = replica.task(at - 1).clone();
        std::mem::swap(&mut *copy.view.write(), &mut *whole.task(at).view.write());
        copy.set_phase(crate::state::Phase::Replica { behind: Some(7) });
        parts[0].reader.registry.insert_replica(copy);
    }
    let group = group(&parts[0], &[]);
    let answer = group.query(&requests()[0]).await.unwrap();
    assert!(answer.missing.is_empty());
    let conditions: Vec<_> = answer.as_of.iter().map(|p| (p.condition, p.behind)).collect();
    let copy = (Condition::Replica, Some(7));
    assert_eq!(conditions, [(Condition::Running, None), copy, copy]);
}

#[tokio::test]
async fn an_answer_too_large_is_refused_wherever_that_shows() {
    let (_, group, mut parts) = split().await;
    drop(group);
    Arc::get_mut(&mut parts[0].reader).unwrap().max_cells = 7;
    let others = [(serving(&parts[1]).await, &[1][..])];
    let group = self::group(&parts[0], &others);
    let request = requests().remove(3);
    assert_eq!(group.query(&request).await.unwrap_err(), QueryError::TooManyCells { limit: 7 });
}
