//! What changed from one verdict to the next, in words: for those who watch.

use super::health::{Health, TopicHealth, counted};
use std::collections::BTreeMap;

/// The changes that are worth a message; empty: nothing that matters changed.
pub fn changes(before: &Health, after: &Health) -> Vec<String> {
    let mut changes = Vec::new();
    if before.status != after.status {
        changes.push(format!("the cluster was {}, is {}", before.status.word(), after.status.word()));
    }
    if before.reachable != after.reachable {
        changes.push(if after.reachable { "brokers answer again" } else { "no broker answers any more" }.to_owned());
    }
    brokers(before, after, &mut changes);
    if before.reachable && after.reachable {
        partitions(before, after, &mut changes);
    }
    changes
}

fn brokers(before: &Health, after: &Health, changes: &mut Vec<String>) {
    let known: BTreeMap<i32, _> = before.brokers.iter().map(|broker| (broker.node.id, broker.state)).collect();
    for broker in &after.brokers {
        let (id, state) = (broker.node.id, broker.state.word());
        match known.get(&id) {
            Some(was) if *was == broker.state => {}
            Some(was) => changes.push(format!("broker {id} was {}, is {state}", was.word())),
            None => changes.push(format!("broker {id} is new, and {state}")),
        }
    }
    for id in known.keys().filter(|id| after.brokers.iter().all(|broker| broker.node.id != **id)) {
        changes.push(format!("broker {id} is forgotten: nothing names it any more"));
    }
}

fn partitions(before: &Health, after: &Health, changes: &mut Vec<String>) {
    let mut compare = |what: &str, was: Option<usize>, is: Option<usize>| {
        if was != is {
            let shown = |count: Option<usize>| count.map_or("unknown".to_owned(), |count| count.to_string());
            changes.push(format!("{what}: {}, before {}", shown(is), shown(was)));
        }
    };
    compare("partitions without a leader", Some(before.offline()), Some(after.offline()));
    compare("partitions led by a silent broker", Some(before.silent()), Some(after.silent()));
    compare("partitions under min.insync.replicas", before.under_min_isr, after.under_min_isr);
    compare("under-replicated partitions", Some(before.under_replicated()), Some(after.under_replicated()));
    compare("topics", Some(before.topics.len()), Some(after.topics.len()));
    // Counts may stay while other partitions are meant.
    let (was, is) = (&before.unhealthy_topics, &after.unhealthy_topics);
    if changes.is_empty() && was != is {
        let moved = is.iter().filter(|topic| !was.contains(topic)).map(names).collect::<Vec<_>>().join("; ");
        changes.push(format!("other partitions are concerned: {moved}"));
    }
}

fn names(topic: &TopicHealth) -> String {
    let worst = [&topic.offline, &topic.silent, &topic.under_min_isr, &topic.under_replicated];
    let count = worst.iter().map(|list| list.len()).max().unwrap_or(0);
    format!("{} ({})", topic.name, counted(count, "partition"))
}

#[cfg(test)]
mod tests {
    use super::super::health::{BrokerHealth, BrokerState, Status};
    use super::*;
    use crate::kafka::cluster::Node;

    fn health(status: Status, brokers: &[(i32, BrokerState)], under_replicated: &[i32]) -> Health {
        let broker = |(id, state): &(i32, BrokerState)| BrokerHealth {
            node: Node { id: *id, ..Node::default() },
            state: *state,
            latency: None,
            leads: 0,
            replicas: 0,
            in_sync: 0,
            listed_at: 0,
        };
        let topic =
            TopicHealth { name: "t".into(), under_replicated: under_replicated.to_vec(), ..TopicHealth::default() };
        Health {
            status,
            reachable: true,
            brokers: brokers.iter().map(broker).collect(),
            unhealthy_topics: if under_replicated.is_empty() { Vec::new() } else { vec![topic] },
            under_min_isr: Some(0),
            ..Health::default()
        }
    }

    #[test]
    fn a_check_that_finds_the_same_says_nothing() {
        let mut later = health(Status::Healthy, &[(1, BrokerState::Up)], &[]);
        let first = later.clone();
        (later.check, later.checked_at, later.controller) = (7, 9, Some(3));
        assert_eq!(changes(&first, &later), Vec::<String>::new());
    }

    #[test]
    fn what_changed_is_said_in_words() {
        use BrokerState::{Down, Up};
        let first = health(Status::Healthy, &[(1, Up), (2, Up)], &[]);
        let then = health(Status::Degraded, &[(1, Up), (2, Down), (3, Up)], &[4, 5]);
        assert_eq!(
            changes(&first, &then),
            [
                "the cluster was healthy, is degraded",
                "broker 2 was up, is down",
                "broker 3 is new, and up",
                "under-replicated partitions: 2, before 0",
            ]
        );
        let other = health(Status::Degraded, &[(1, Up), (2, Down), (3, Up)], &[5, 6]);
        assert_eq!(changes(&then, &other), ["other partitions are concerned: t (2 partitions)"]);
        let gone = Health { status: Status::Unhealthy, ..Health::default() };
        let said = changes(&first, &gone);
        assert!(said.contains(&"no broker answers any more".to_owned()), "{said:?}");
    }
}
