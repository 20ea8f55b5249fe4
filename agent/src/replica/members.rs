//! Who is in the group, and who has what: read from Kafka's member list while somebody needs to know.

use crate::clock::Clock;
use crate::kafka::{Admin, GroupDescription, Settings, advertised};
use crate::state::{Directory, Group, Registry};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often the list is read while this agent does not have everything itself.
const EVERY: Duration = Duration::from_secs(1);
/// How soon again if somebody asks for it.
const SOONEST: Duration = Duration::from_millis(200);
/// How often the thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(50);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the watch needs.
pub struct Watch {
    pub settings: Settings,
    pub directory: Arc<Directory>,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

impl Watch {
    /// Keeps the directory up to date until it is told to stop. While this agent has every partition, Kafka is not asked.
    pub fn run(&self, stop: &Stop) {
        let mut admin = None;
        let mut last = None;
        let (mut failures, mut told) = (0_u32, false);
        while !stop.sleep(LOOK) {
            let since = last.map_or(EVERY, |last| self.clock.boot_time().since(last));
            let has_everything = self.has_everything();
            if has_everything {
                self.note_hosts(1);
            }
            let due = since >= EVERY && !has_everything;
            if !(due || since >= SOONEST && self.directory.take_wanted()) {
                continue;
            }
            last = Some(self.clock.boot_time());
            let looked = self.look(&mut admin);
            if looked.is_err() {
                // What the client still waits for goes with it.
                admin = None;
            }
            match looked {
                Ok(()) => (failures, told) = (0, false),
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // Once is what a coordinator that has just begun says, and a cluster that is down is told of elsewhere, and
                    // often enough. Before the first partition nobody asks.
                    if failures > 1 && !told && !self.registry.partitions().is_empty() {
                        told = true;
                        tracing::warn!("who else is in the group is not known; answers may lack partitions: {error}");
                    } else {
                        tracing::debug!("members of the group: {error}");
                    }
                }
            }
        }
    }

    fn has_everything(&self) -> bool {
        let tasks = self.registry.tasks();
        let all: i64 = self.registry.partitions().values().map(|&count| i64::from(count)).sum();
        !tasks.is_empty() && tasks.len() as i64 >= all
    }

    fn note_hosts(&self, hosts: usize) {
        self.directory.set_hosts(hosts);
        self.metrics.unreachable_address.set(self.directory.is_unreachable().into());
    }

    fn look(&self, admin: &mut Option<Admin>) -> Result<(), String> {
        let admin = match admin {
            Some(admin) => admin,
            None => admin.insert(Admin::create(&self.settings, CALL_TIMEOUT).map_err(|error| error.to_string())?),
        };
        let group = &self.settings.kafka().group_id;
        let described = admin.describe_group(group).map_err(|error| error.to_string())?;
        self.note_hosts(hosts_of(&described));
        self.directory.set(group_of(described, &self.directory.group()));
        Ok(())
    }
}

/// From how many hosts the group's agents connect, as the broker sees them.
fn hosts_of(described: &GroupDescription) -> usize {
    let agents = described.members.iter().filter(|member| advertised(&member.client_id).is_some());
    agents.map(|member| member.host.as_str()).collect::<BTreeSet<_>>().len()
}

/// The group after a look; `before`: what was known. A group that rebalances tells its members and not who has what: the
/// last owners count until it is through.
fn group_of(described: GroupDescription, before: &Group) -> Group {
    let state = described.state;
    let members = described.members.into_iter().filter_map(|member| {
        let address = advertised(&member.client_id)?.into();
        Some((address, member.partitions.into_iter().collect()))
    });
    let group = Group::new(members);
    let rebalancing = matches!(state.as_str(), "PreparingRebalance" | "CompletingRebalance");
    if rebalancing && !group.is_assigned() { group.with_owners_of(before) } else { group }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::GroupMember;
    use crate::state::TaskId;

    fn described(state: &str, members: &[(&str, &[i32])]) -> GroupDescription {
        let member = |(client_id, partitions): &(&str, &[i32])| GroupMember {
            client_id: (*client_id).to_owned(),
            partitions: partitions.iter().map(|p| TaskId::new("t", *p)).collect(),
            ..Default::default()
        };
        let members = members.iter().map(member).collect();
        GroupDescription { name: "g".into(), state: state.into(), members, ..Default::default() }
    }

    #[test]
    fn agents_are_known_by_what_they_advertise_and_others_are_left_out() {
        let members: &[(&str, &[i32])] = &[("streamgauge@a:1", &[0]), ("console-consumer", &[1])];
        let group = group_of(described("Stable", members), &Group::default());
        let id = |partition| TaskId { topic: "t".into(), partition };
        assert_eq!(group.owner(&id(0)), Some(&"a:1".into()));
        assert_eq!((group.owner(&id(1)), group.agents().count()), (None, 1));
        let during = group_of(described("PreparingRebalance", &[("streamgauge@b:1", &[])]), &group);
        assert_eq!(during.owner(&id(0)), Some(&"a:1".into()));
        let after = group_of(described("Empty", &[]), &during);
        assert_eq!(after.owner(&id(0)), None);
    }

    #[test]
    fn agents_are_on_as_many_hosts_as_they_connect_from() {
        let member = |(client_id, host): (&str, &str)| GroupMember {
            client_id: client_id.into(),
            host: host.into(),
            ..Default::default()
        };
        let all = [
            ("streamgauge@127.0.0.1:1", "/10.0.0.1"),
            ("streamgauge@127.0.0.1:2", "/10.0.0.1"),
            ("streamgauge@127.0.0.1:1", "/10.0.0.2"),
            ("console-consumer", "/10.0.0.3"),
        ];
        let hosts = |count: usize| {
            let members = all.into_iter().take(count).map(member).collect();
            hosts_of(&GroupDescription { members, ..Default::default() })
        };
        assert_eq!((hosts(1), hosts(2), hosts(3), hosts(4)), (1, 1, 2, 2));
    }
}
