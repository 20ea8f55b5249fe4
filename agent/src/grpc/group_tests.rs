//! Agents that ask each other over real sockets: one answer for the group.

use super::serve;
use crate::config::{ClientAccess, Identity, Lock as LockConfig, Right, TlsFiles};
use crate::publish::{ClosedWindow, Publisher};
use crate::query::testing::{Agent, CONFIG, MINUTE, Request as Event, T0, event};
use crate::query::{Answer, Condition, GroupReader, QueryError, Request, Time, aggregates, quantile};
use crate::server::{Door, Lock, PeerKeys, Protocol};
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
    tokio::spawn(serve(Door::open(listener, Protocol::Grpc).unwrap(), state, std::future::pending()));
    address
}

/// The group as `agent` sees it, with others that have what they have.
fn group(agent: &Agent, others: &[(Address, &[i32])]) -> GroupReader {
    group_with(agent, others, PeerKeys::default())
}

fn group_with(agent: &Agent, others: &[(Address, &[i32])], keys: PeerKeys) -> GroupReader {
    let directory = Directory::new(Some("self:1".into()));
    let others = others.iter().map(|(address, has)| (address.clone(), has.iter().map(|p| id(*p)).collect()));
    directory.set(Group::new(others.chain([("self:1".into(), vec![id(0)])])));
    GroupReader::new(agent.reader.clone(), Arc::new(directory), Arc::default(), 0, false, keys)
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

/// Two agents of a group, with a partition each, and the publisher of the first.
async fn two(config: &str, events: [&[Event]; 2]) -> ([Agent; 2], Publisher) {
    let mut parts = [Agent::with_partitions(config, 0..1, 2), Agent::with_partitions(config, 1..2, 2)];
    for (part, events) in parts.iter_mut().zip(events) {
        part.commit(0, events, 0);
    }
    let other = serving(&parts[1]).await;
    let group = group(&parts[0], &[(other, &[1])]);
    (parts, Publisher::new(Arc::new(group)))
}

/// What is shown after a look, a commit, and another look.
async fn shown(agent: &Agent, publisher: &Publisher) -> Vec<ClosedWindow> {
    publisher.look(None).await;
    agent.commit_wishes();
    publisher.look(None).await;
    let sources = agent.reader.sources.now();
    let (inputs, plan) = aggregates(&sources).next().expect("one");
    publisher.closed_windows(inputs, plan).expect("it is the publisher")
}

fn requests_of(window: &ClosedWindow) -> u64 {
    window.rows.iter().filter_map(|(_, states)| states[0].count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_a_group_has_everybodys_keys_however_many_and_whatever_queries_may_ask() {
    const KEYS: usize = 100_000;
    let config = CONFIG.replace("limit: 6", "limit: 1000000").replace("windows: [1m, 5m/1m]", "windows: [1m]");
    // Half of the keys are in both partitions.
    let events = |from: usize| -> Vec<Event> {
        let keys = (from..from + KEYS).map(|key| event(T0, &format!("/{key}"), 200));
        keys.chain([event(T0 + 2 * MINUTE, "/end", 200)]).collect()
    };
    let (mut parts, publisher) = two(&config, [&events(0), &events(KEYS / 2)]).await;
    drop(publisher);
    Arc::get_mut(&mut parts[0].reader).expect("nobody else reads").max_cells = 50;
    let other = serving(&parts[1]).await;
    let publisher = Publisher::new(Arc::new(group(&parts[0], &[(other, &[1])])));
    // Gathering as many keys as this may take longer than a look waits for them, on a busy machine; then the next one has them.
    let mut windows = Vec::new();
    for _ in 0..20 {
        windows = shown(&parts[0], &publisher).await;
        if !windows.is_empty() {
            break;
        }
    }
    assert_eq!(windows.len(), 1);
    assert!(windows[0].is_whole);
    assert_eq!((windows[0].rows.len(), requests_of(&windows[0])), (KEYS + KEYS / 2, 2 * KEYS as u64));
    assert!(windows[0].rows.is_sorted_by(|(a, _), (b, _)| a < b), "each key once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_waits_for_another_agents_partition_and_is_shown_without_it_after_the_timeout() {
    let closed = [event(T0, "/a", 200), event(T0 + 2 * MINUTE, "/a", 200)];
    let (mut parts, publisher) = two(CONFIG, [&closed, &closed]).await;
    let count = |windows: &[ClosedWindow]| windows.first().map(|window| (requests_of(window), window.is_whole));
    assert_eq!(count(&shown(&parts[0], &publisher).await), Some((2, true)));
    // The other one loses its partition, and nobody has it; events go on here.
    let lost = parts[1].task(0).clone();
    parts[1].reader.registry.remove(&lost);
    let on = |agent: &mut Agent, seconds: i64| {
        agent.set_clock(T0 + seconds * 1_000);
        agent.renew();
        agent.commit(0, &[event(T0 + 2 * MINUTE, "/a", 200), event(T0 + 4 * MINUTE, "/a", 200)], 0);
    };
    on(&mut parts[0], 1);
    assert_eq!(count(&shown(&parts[0], &publisher).await), Some((2, true)), "the window that was shown stays");
    on(&mut parts[0], 60);
    assert_eq!(count(&shown(&parts[0], &publisher).await), Some((2, true)));
    on(&mut parts[0], 62);
    let windows = shown(&parts[0], &publisher).await;
    assert_eq!(windows[0].span.end, T0 + 3 * MINUTE);
    // The second event of that minute came in time; those after it were late.
    assert_eq!(count(&windows), Some((2, false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_which_a_faster_agent_has_expired_a_part_is_not_said_to_be_whole() {
    let closed = [event(T0, "/a", 200), event(T0 + 2 * MINUTE, "/a", 200)];
    let (parts, publisher) = two(CONFIG, [&closed, &closed]).await;
    {
        let mut view = parts[1].task(0).view.write();
        let mut record = view.record().clone();
        record.stream_time = Some(T0 + 500 * MINUTE);
        record.aggregates.iter_mut().for_each(|progress| progress.panes_expired_before = T0 + MINUTE);
        view.set_record(record);
    }
    let windows = shown(&parts[0], &publisher).await;
    assert!(!windows.is_empty() && windows.iter().all(|window| !window.is_whole), "{windows:?}");
}

#[tokio::test]
async fn agents_with_locked_doors_answer_each_other_by_tls_and_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("a.pem"), pair.cert.pem()).unwrap();
    std::fs::write(path("a.key"), pair.key_pair.serialize_pem()).unwrap();
    let lock = |token: &str| {
        std::fs::write(path(token), format!("{token}-token-of-some-length")).unwrap();
        Some(path(token))
    };
    let identity = |name: &str, may: Right| Identity {
        name: name.to_owned(),
        token_file: lock(name),
        password_hash: None,
        certificate_subject: None,
        may: vec![may],
    };
    let tls = TlsFiles { certificate: path("a.pem"), key: path("a.key"), client_ca: None, client_required: false };
    let identities = vec![identity("agents", Right::Peer), identity("readers", Right::Read)];
    let config = LockConfig { tls: Some(tls), identities, ..LockConfig::default() };

    let (mut own, mut other) = (Agent::having(0..1, 2), Agent::having(1..2, 2));
    own.commit(0, &[event(T0, "/a", 200)], 0);
    other.commit(0, &[event(T0, "/a", 200)], 0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().to_string().into();
    let lock = Lock::read(Protocol::Grpc, &config, own.reader.clock.clone(), Arc::default()).unwrap();
    let state = super::tests::state(&other, Arc::new(Vec::new));
    tokio::spawn(serve(Door::new(listener, Arc::new(lock)), state, std::future::pending()));

    let keys = |ca: Option<&str>, token: Option<&str>| {
        let files = ClientAccess { ca: ca.map(path), certificate: None, token_file: token.map(path) };
        PeerKeys::read(&files, &Arc::default()).unwrap()
    };
    let ask = async |group: &GroupReader| {
        let answer = group.query(&Request { aggregate: "http".into(), ..Request::default() }).await.unwrap();
        answer.missing.into_iter().map(|missing| missing.reason).collect::<Vec<_>>().join("; ")
    };
    let missing = async |ca: Option<&str>, token: Option<&str>| {
        ask(&group_with(&own, &[(address.clone(), &[1])], keys(ca, token))).await
    };
    assert_eq!(missing(Some("a.pem"), Some("agents")).await, "");
    let without = missing(Some("a.pem"), None).await;
    assert!(without.contains("a valid token"), "{without}");
    let reader = missing(Some("a.pem"), Some("readers")).await;
    assert!(reader.contains("readers does not have the right `peer`"), "{reader}");
    assert!(
        missing(None, Some("agents")).await.contains("cannot be reached"),
        "a door with TLS answers nobody without"
    );

    // A file that says something else is in force for the next call, and one that says nothing changes nothing.
    std::fs::copy(path("readers"), path("own")).unwrap();
    let own_keys = keys(Some("a.pem"), Some("own"));
    let group = group_with(&own, &[(address.clone(), &[1])], own_keys.clone());
    assert!(ask(&group).await.contains("the right `peer`"));
    let PeerKeys::Files(files) = &own_keys else { panic!("there are files") };
    for text in ["agents-token-of-some-length", ""] {
        std::fs::write(path("own"), text).unwrap();
        files.look(&mut None);
        assert_eq!(ask(&group).await, "", "{text}");
    }
}
