//! The group as Kafka's member list tells it: which agents there are, and which has which partition. Pure.

use super::TaskId;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Where an agent's gRPC server answers, `host:port`: its name within the group.
pub type Address = Arc<str>;

/// Agents and their partitions. An agent with several workers is several members, and one agent here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    agents: BTreeSet<Address>,
    owners: BTreeMap<TaskId, Address>,
}

impl Group {
    /// From the members that advertise an address, each with its partitions.
    pub fn new(members: impl IntoIterator<Item = (Address, Vec<TaskId>)>) -> Group {
        let mut group = Group::default();
        for (address, tasks) in members {
            group.owners.extend(tasks.into_iter().map(|task| (task, address.clone())));
            group.agents.insert(address);
        }
        group
    }

    pub fn agents(&self) -> impl Iterator<Item = &Address> {
        self.agents.iter()
    }

    pub fn owner(&self, task: &TaskId) -> Option<&Address> {
        self.owners.get(task)
    }

    /// Whether any partition is assigned; none is while the group rebalances.
    pub fn is_assigned(&self) -> bool {
        !self.owners.is_empty()
    }

    /// The same partitions with these agents: for a group that just rebalances, and has told nobody of the outcome yet.
    pub fn with_owners_of(mut self, before: &Group) -> Group {
        self.owners = before.owners.clone();
        self
    }

    /// The agents that keep a copy of a partition's state, at most `copies`, never its owner. Every agent comes to the
    /// same answer by itself; when an agent comes or goes, only copies that it has, or takes, move.
    pub fn standbys(&self, task: &TaskId, copies: usize) -> Vec<Address> {
        let owner = self.owner(task);
        let mut ranked: Vec<(u64, &Address)> =
            self.agents.iter().filter(|agent| Some(*agent) != owner).map(|agent| (rank(agent, task), agent)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(copies).map(|(_, agent)| agent.clone()).collect()
    }
}

/// A number that is the same on every agent, and as good as random among agents and partitions.
fn rank(agent: &str, task: &TaskId) -> u64 {
    xxh3_64(format!("{agent}\n{task}").as_bytes())
}

/// The group as this agent last heard of it.
#[derive(Debug, Default)]
pub struct Directory {
    /// This agent; `None` if it is in no group that others could find it by.
    own: Option<Address>,
    group: RwLock<Arc<Group>>,
    wanted: AtomicBool,
    unreachable: AtomicBool,
}

impl Directory {
    pub fn new(own: Option<Address>) -> Directory {
        Directory { own, ..Directory::default() }
    }

    pub fn own(&self) -> Option<&Address> {
        self.own.as_ref()
    }

    pub fn group(&self) -> Arc<Group> {
        self.group.read().clone()
    }

    pub fn set(&self, group: Group) {
        *self.group.write() = Arc::new(group);
    }

    /// Whether the group has agents on other hosts, and this one advertises an address of its own host alone.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Acquire)
    }

    /// Notes from how many hosts the group's agents connect to Kafka.
    pub fn set_hosts(&self, hosts: usize) {
        let is_local = self.own().is_some_and(|own| is_loopback(own));
        self.unreachable.store(is_local && hosts > 1, Ordering::Release);
    }

    /// Asks for a look at the member list soon: somebody does not answer, or has no owner.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// Whether somebody asked since the last call.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }
}

/// Whether `host:port` means the machine that reads it.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(partition: i32) -> TaskId {
        TaskId { topic: "t".into(), partition }
    }

    fn agents(names: &[&str], partitions: i32) -> Group {
        let of = |at: usize| (0..partitions).filter(|p| *p as usize % names.len() == at).map(task).collect();
        Group::new(names.iter().enumerate().map(|(at, name)| (Address::from(*name), of(at))))
    }

    #[test]
    fn the_workers_of_one_agent_are_one_agent() {
        let group = Group::new([("a".into(), vec![task(0)]), ("a".into(), vec![task(1)]), ("b".into(), vec![])]);
        assert_eq!(group.agents().count(), 2);
        assert_eq!((group.owner(&task(0)), group.owner(&task(1))), (Some(&"a".into()), Some(&"a".into())));
        assert_eq!(group.owner(&task(2)), None);
    }

    #[test]
    fn a_standby_is_never_the_owner_and_there_are_as_many_as_there_can_be() {
        let group = agents(&["a", "b", "c"], 60);
        for partition in 0..60 {
            let one = group.standbys(&task(partition), 1);
            assert_eq!(one.len(), 1);
            assert_ne!(Some(&one[0]), group.owner(&task(partition)));
            let all = group.standbys(&task(partition), 5);
            assert_eq!((all.len(), &all[0]), (2, &one[0]));
        }
        assert!(agents(&["a"], 3).standbys(&task(0), 1).is_empty());
    }

    #[test]
    fn standbys_are_spread_over_the_agents() {
        let group = agents(&["a", "b", "c"], 60);
        for name in ["a", "b", "c"] {
            let held = (0..60).filter(|p| group.standbys(&task(*p), 1)[0].as_ref() == name).count();
            assert!((8..=32).contains(&held), "{name} holds {held}");
        }
    }

    #[test]
    fn only_copies_of_an_agent_that_went_move() {
        let before = agents(&["a", "b", "c", "d"], 40);
        let stay: Vec<_> = (0..40).filter(|p| before.owner(&task(*p)).is_some_and(|owner| &**owner != "d")).collect();
        // The same owners without d: who had a copy of what keeps it.
        let owned = |name: &str| -> Vec<TaskId> {
            let is_its = |p: &&i32| before.owner(&task(**p)).is_some_and(|owner| **owner == *name);
            stay.iter().filter(is_its).map(|p| task(*p)).collect()
        };
        let after = Group::new(["a", "b", "c"].map(|name| (Address::from(name), owned(name))));
        for partition in stay {
            let (old, new) = (before.standbys(&task(partition), 1), after.standbys(&task(partition), 1));
            assert!(old == new || &*old[0] == "d", "{partition}: {old:?}, then {new:?}");
        }
    }

    #[test]
    fn while_the_group_rebalances_the_last_owners_count() {
        let before = agents(&["a", "b"], 4);
        let during = Group::new([("a".into(), vec![]), ("c".into(), vec![])]);
        assert!(!during.is_assigned());
        let kept = during.with_owners_of(&before);
        assert_eq!(kept.owner(&task(1)), Some(&"b".into()));
        assert_eq!(kept.agents().map(|a| &**a).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_loopback_address_is_of_no_use_to_agents_on_other_hosts() {
        for (own, hosts, expected) in [
            ("127.0.0.1:9747", 2, true),
            ("[::1]:9747", 2, true),
            ("localhost:9747", 3, true),
            ("127.0.0.1:9747", 1, false),
            ("10.0.0.7:9747", 2, false),
            ("agent-0.agents:9747", 2, false),
        ] {
            let directory = Directory::new(Some(own.into()));
            directory.set_hosts(hosts);
            assert_eq!(directory.is_unreachable(), expected, "{own} among {hosts}");
        }
    }
}
