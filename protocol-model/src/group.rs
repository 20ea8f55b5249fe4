//! The group coordinator and what a member's client (librdkafka) does with its answers: joining, syncing, generations,
//! static members, a silent rejoin. The protocol is the cooperative one.
//!
//! Generations are kept as how far each known one lies behind the group's; more than two behind is as good as three.

use crate::action::Action;
use crate::changelog::NONE;
use crate::scenarios::Membership;
use crate::search::Model;
use crate::world::{PARTITIONS, Set, World, has, one};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Empty,
    /// Waits until all members have joined.
    Joining,
    /// The members know the new generation; the leader has yet to say who gets what.
    Syncing,
    Stable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    /// Member id, from 1.
    pub id: u8,
    /// Has joined the round that is waited for.
    pub joined: bool,
    /// The partitions that it said it had when it joined.
    pub claims: Set,
    /// When it was given them: a generation, as a lag.
    pub since: u8,
}

impl Member {
    pub fn new(id: u8) -> Member {
        Member { id, joined: false, claims: 0, since: NONE }
    }

    /// The round is over, or a new one begins.
    fn rest(&mut self) {
        *self = Member::new(self.id);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub phase: Phase,
    /// By agent: its instance id is its number.
    pub members: Vec<Option<Member>>,
    pub assigned: Vec<Set>,
    pub offsets: [u8; PARTITIONS],
}

impl Group {
    pub fn new(agents: usize) -> Group {
        Group {
            phase: Phase::Empty,
            members: vec![None; agents],
            assigned: vec![0; agents],
            offsets: [NONE; PARTITIONS],
        }
    }

    /// Whether the coordinator knows this agent by this member id.
    pub fn knows(&self, agent: usize, id: u8) -> bool {
        id != 0 && self.members[agent].is_some_and(|member| member.id == id)
    }

    fn begin_round(&mut self) {
        if self.phase != Phase::Joining {
            self.phase = Phase::Joining;
            self.members.iter_mut().flatten().for_each(Member::rest);
        }
    }

    fn leader(&self) -> Option<usize> {
        self.members.iter().position(Option::is_some)
    }

    fn all_joined(&self) -> bool {
        self.members.iter().flatten().all(|member| member.joined)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientPhase {
    #[default]
    Out,
    /// Has asked to join.
    Joining,
    /// Knows its generation, not yet what it gets.
    Syncing,
    Steady,
}

/// What a member's client knows, and the rebalances that wait for the worker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub phase: ClientPhase,
    /// Member id; 0: none.
    pub id: u8,
    /// How far its generation lies behind the group's; [`NONE`]: it has none.
    pub lag: u8,
    pub owned: Set,
    /// The generation of its last assignment, as a lag.
    pub since: u8,
    /// The callbacks: everything is lost; these are revoked; these are added (perhaps none).
    pub lost: bool,
    pub revoke: Set,
    pub assign: Option<Set>,
    /// Has given something up: joins again when that is done.
    pub rejoin: bool,
}

impl Default for Client {
    fn default() -> Client {
        Client {
            phase: ClientPhase::Out,
            id: 0,
            lag: NONE,
            owned: 0,
            since: NONE,
            lost: false,
            revoke: 0,
            assign: None,
            rejoin: false,
        }
    }
}

impl Client {
    pub fn has_callbacks(&self) -> bool {
        self.lost || self.revoke != 0 || self.assign.is_some()
    }
}

impl World {
    pub(crate) fn group_offers(&self, model: &Model, offers: &mut Vec<Action>) {
        let group = &self.group;
        for agent in self.agents() {
            self.client_offers(agent, offers);
            let Some(member) = group.members[agent] else { continue };
            // The dead and those cut off send no heartbeats; who waits for a round's end need not.
            let waits = group.phase == Phase::Joining && member.joined;
            if !self.agents[agent].is_reachable() && !waits {
                offers.push(Action::SessionExpires(agent));
            }
        }
        match group.phase {
            Phase::Joining if group.all_joined() => offers.push(Action::RoundCloses),
            Phase::Syncing => {
                let ready = |leader: &usize| {
                    let agent = &self.agents[*leader];
                    agent.is_reachable() && agent.client.phase == ClientPhase::Syncing && agent.client.lag == 0
                };
                if group.leader().filter(ready).is_some() {
                    offers.push(Action::LeaderAssigns(0));
                    if self.partitions().any(|p| self.claimants(p).count() > 1) {
                        offers.push(Action::LeaderAssigns(1));
                    }
                }
            }
            Phase::Stable => {
                let all: Set = group.assigned.iter().fold(0, |all, set| all | set);
                let unseen = self.present() & !all;
                let settled = self.agents.iter().all(|agent| !agent.client.rejoin);
                if unseen != 0 && settled && model.scenario.events.grow > 0 {
                    offers.push(Action::TopicHasGrown);
                }
            }
            Phase::Empty | Phase::Joining => {}
        }
    }

    fn client_offers(&self, agent: usize, offers: &mut Vec<Action>) {
        let (group, client) = (&self.group, &self.agents[agent].client);
        if !self.agents[agent].is_reachable() || client.has_callbacks() {
            return;
        }
        let member = group.members[agent];
        let is_known = group.knows(agent, client.id);
        match client.phase {
            ClientPhase::Out if !self.agents[agent].leaving => offers.push(Action::Joins(agent)),
            ClientPhase::Out => {}
            ClientPhase::Joining if member.is_none() || client.id != 0 && !is_known => {
                offers.push(Action::JoinIsRefused(agent))
            }
            // Its join was answered if the round that it waits for is over, though a new one may have begun.
            ClientPhase::Joining if group.phase == Phase::Joining && member.is_some_and(|member| member.joined) => {}
            ClientPhase::Joining => offers.push(Action::JoinIsAnswered(agent)),
            ClientPhase::Syncing | ClientPhase::Steady if !is_known => offers.push(Action::IsUnknown(agent)),
            ClientPhase::Syncing if client.lag != 0 => offers.push(Action::IsUnknown(agent)),
            ClientPhase::Syncing if group.phase == Phase::Joining => offers.push(Action::Rejoins(agent)),
            ClientPhase::Syncing if group.phase == Phase::Stable => offers.push(Action::SyncIsAnswered(agent)),
            ClientPhase::Syncing => {}
            ClientPhase::Steady => {
                let asked = group.phase == Phase::Joining && member.is_some_and(|member| !member.joined);
                if asked || client.rejoin {
                    offers.push(Action::Rejoins(agent));
                }
            }
        }
    }

    fn claimants(&self, partition: usize) -> impl Iterator<Item = usize> {
        let members = self.group.members.iter().enumerate();
        members.filter(move |(_, member)| member.is_some_and(|m| has(m.claims, partition))).map(|(agent, _)| agent)
    }

    pub(crate) fn joins(&mut self, agent: usize) {
        let Client { owned: claims, since, .. } = self.agents[agent].client;
        let fresh = self.agents[agent].fresh_id(self.group.members[agent]);
        let group = &mut self.group;
        let was_known = group.members[agent].is_some();
        // A static member that comes back to a group at rest takes its place, and nobody else is told.
        if !(was_known && group.phase == Phase::Stable) {
            group.begin_round();
        }
        group.members[agent] = Some(Member { id: fresh, joined: true, claims, since });
        self.agents[agent].client.phase = ClientPhase::Joining;
    }

    /// UNKNOWN_MEMBER_ID: librdkafka forgets its member id and joins again, and says nothing of what it holds.
    pub(crate) fn join_is_refused(&mut self, agent: usize) {
        let client = &mut self.agents[agent].client;
        (client.id, client.phase) = (0, ClientPhase::Out);
    }

    pub(crate) fn join_is_answered(&mut self, agent: usize) {
        let id = self.group.members[agent].map_or(0, |member| member.id);
        let agent = &mut self.agents[agent];
        (agent.client.id, agent.client.lag, agent.client.phase) = (id, 0, ClientPhase::Syncing);
        agent.suspended = false;
    }

    pub(crate) fn rejoins(&mut self, agent: usize) {
        let client = &mut self.agents[agent].client;
        (client.phase, client.rejoin) = (ClientPhase::Joining, false);
        let (claims, since) = (client.owned, client.since);
        self.group.begin_round();
        if let Some(member) = &mut self.group.members[agent] {
            (member.joined, member.claims, member.since) = (true, claims, since);
        }
    }

    /// A heartbeat or a sync is answered with UNKNOWN_MEMBER_ID: librdkafka says that everything is lost.
    pub(crate) fn is_unknown(&mut self, agent: usize, model: &Model) {
        let client = &mut self.agents[agent].client;
        (client.id, client.phase, client.lost) = (0, ClientPhase::Out, true);
        (client.revoke, client.assign, client.rejoin) = (0, None, false);
        if model.scenario.membership == Membership::Dynamic {
            client.lag = NONE;
        }
    }

    pub(crate) fn sync_is_answered(&mut self, agent: usize) {
        let target = self.group.assigned[agent];
        let client = &mut self.agents[agent].client;
        (client.phase, client.since) = (ClientPhase::Steady, 0);
        client.revoke = client.owned & !target;
        client.rejoin = client.revoke != 0;
        client.assign = Some(target & !client.owned);
    }

    pub(crate) fn round_closes(&mut self) {
        self.next_generation();
        self.group.phase = Phase::Syncing;
    }

    fn next_generation(&mut self) {
        let step = |lag: &mut u8| {
            if *lag != NONE {
                *lag = (*lag + 1).min(3);
            }
        };
        self.agents.iter_mut().for_each(|agent| agent.generations(step));
        self.group.members.iter_mut().flatten().for_each(|member| step(&mut member.since));
    }

    /// The sticky assignor: who has a partition keeps it, if that is fair; what changes hands is withheld for a round. Of
    /// two that claim one the later wins, or neither: that depends on the order in which the leader got their names.
    pub(crate) fn leader_assigns(&mut self, choice: usize) {
        let members: Vec<usize> = self.agents().filter(|&agent| self.group.members[agent].is_some()).collect();
        let present: Vec<usize> = self.partitions().collect();
        let fair = present.len().div_ceil(members.len());
        let mut load = vec![0; self.agents.len()];
        let mut target = [usize::MAX; PARTITIONS];
        let since = |agent: &usize| self.group.members[*agent].map_or(NONE, |member| member.since);
        for &p in &present {
            if let Some(agent) = self.claimants(p).min_by_key(since).filter(|&agent| load[agent] < fair) {
                (target[p], load[agent]) = (agent, load[agent] + 1);
            }
        }
        let mut assigned = vec![0; self.agents.len()];
        for &p in &present {
            if target[p] == usize::MAX {
                let Some(&least) = members.iter().min_by_key(|&&agent| load[agent]) else { continue };
                (target[p], load[least]) = (least, load[least] + 1);
            }
            let agent = target[p];
            let owners: Vec<usize> = self.claimants(p).collect();
            let is_its_own = owners.contains(&agent) && (choice == 0 || owners.len() == 1);
            if is_its_own || owners.is_empty() {
                assigned[agent] |= one(p);
            }
        }
        self.group.assigned = assigned;
        self.group.phase = Phase::Stable;
        self.group.members.iter_mut().flatten().for_each(Member::rest);
    }

    pub(crate) fn topic_has_grown(&mut self) {
        self.group.begin_round();
    }

    pub(crate) fn session_expires(&mut self, agent: usize, model: &Model) {
        self.leaves_group(agent);
        self.agents[agent].lease_runs_out(model);
    }

    pub(crate) fn leaves_group(&mut self, agent: usize) {
        self.group.members[agent] = None;
        self.group.assigned[agent] = 0;
        if self.group.members.iter().all(Option::is_none) {
            self.group.phase = Phase::Empty;
            self.next_generation();
        } else {
            self.group.begin_round();
        }
    }
}
