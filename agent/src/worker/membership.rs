//! What a worker is to its group: what it has been given, and to whom; what it may commit. It decides, and calls nobody:
//! the worker asks the consumer, and answers the group.

use crate::clock::BootTime;
use crate::commit::{AssignmentNumber, MemberId, Standing, standing};
use crate::kafka::TopicPartition;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Membership {
    /// What the group has given us and not taken back, restoring or running.
    owned: BTreeSet<TopicPartition>,
    /// The member that it was given to; `None` if nothing is owned, or if that is not known.
    given_to: Option<MemberId>,
    pub assignment: Arc<AssignmentNumber>,
    /// How often something was lost; tells a settling revoke that there is nothing to wait for.
    losses: u64,
    suspended: Option<Suspended>,
    /// A rebalance is being answered.
    pub answering: bool,
    /// Why everything was lost while a rebalance was being answered.
    lost_meanwhile: Option<&'static str>,
    /// Has left the group, to join it again without a claim on anything.
    leaving: bool,
    /// Partitions were given back that nobody had asked for, since the last poll that found nothing more to serve.
    unasked: bool,
}

/// The broker doubts that this member is in the group.
struct Suspended {
    since: BootTime,
    member: MemberId,
}

impl Membership {
    pub fn owned(&self) -> Vec<TopicPartition> {
        self.owned.iter().cloned().collect()
    }

    pub fn owns(&self) -> usize {
        self.owned.len()
    }

    pub fn owns_nothing(&self) -> bool {
        self.owned.is_empty()
    }

    /// Notes what the group gives to `member`. True if it may be restored: what we had was the same member's.
    pub fn give(&mut self, partitions: &[TopicPartition], member: Option<MemberId>) -> bool {
        let sound = if self.owned.is_empty() {
            self.given_to = member;
            self.given_to.is_some() || partitions.is_empty()
        } else {
            self.standing(member.as_deref()) == Standing::Same
        };
        self.owned.extend(partitions.iter().cloned());
        sound
    }

    /// Notes what the group has taken.
    pub fn take(&mut self, partitions: &[TopicPartition]) {
        self.owned.retain(|owned| !partitions.contains(owned));
        if self.owned.is_empty() {
            self.given_to = None;
        }
    }

    /// Whether we still are whom the group gave these partitions to.
    pub fn standing(&self, member: Option<&str>) -> Standing {
        self.given_to.as_deref().map_or(Standing::Outside, |given_to| standing(given_to, member))
    }

    /// Whom an epoch that is frozen now is of, if it may be committed: not while the broker doubts our membership, nor
    /// while librdkafka may have taken our giving something back for consent to a rebalance that we have not seen yet.
    pub fn may_commit(&self) -> Option<MemberId> {
        if self.suspended.is_some() || self.unasked { None } else { self.given_to.clone() }
    }

    /// Whatever has been frozen must not be committed.
    pub fn lose(&mut self) {
        self.assignment.bump();
        self.losses += 1;
    }

    pub fn losses(&self) -> u64 {
        self.losses
    }

    pub fn lose_after_the_answer(&mut self, why: &'static str) {
        self.lost_meanwhile = Some(why);
    }

    /// Why everything was lost since the last call.
    pub fn take_loss(&mut self) -> Option<&'static str> {
        self.lost_meanwhile.take()
    }

    /// `member`: the one that was refused, whoever we are by the time that we hear of it.
    pub fn suspend(&mut self, since: BootTime, member: MemberId) {
        self.suspended = Some(Suspended { since, member });
    }

    /// The group has said something: it is asked again whether we may commit.
    pub fn resume(&mut self) {
        self.suspended = None;
    }

    /// Ends the doubt once we are somebody else, or after `patience`: the broker checks each commit anyway.
    pub fn resume_when_over(&mut self, now: BootTime, member: Option<&MemberId>, patience: Duration) {
        let is_over = |s: &mut Suspended| Some(&s.member) != member || now.since(s.since) >= patience;
        if self.suspended.as_mut().is_some_and(is_over) {
            self.suspended = None;
        }
    }

    pub fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    pub fn leave(&mut self) {
        self.leaving = true;
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// True once, when all has been given back after [`Membership::leave`].
    pub fn has_left(&mut self) -> bool {
        self.owned.is_empty() && std::mem::take(&mut self.leaving)
    }

    /// Partitions were given back without being asked for. librdkafka takes that for the answer to a revocation that waits
    /// to be polled: what it revokes may be another's by the time we see it.
    pub fn gave_back_unasked(&mut self) {
        self.unasked = true;
    }

    pub fn gave_back(&self) -> bool {
        self.unasked
    }

    /// All that librdkafka had to say by then has been answered.
    pub fn drained(&mut self) {
        self.unasked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|&number| TopicPartition::new("t", number)).collect()
    }

    fn member(id: &str) -> Option<MemberId> {
        Some(id.into())
    }

    #[test]
    fn what_the_same_member_is_given_is_restored_and_what_another_held_is_not() {
        let mut membership = Membership::default();
        assert!(membership.give(&partitions(&[0, 1]), member("a")));
        assert!(membership.give(&partitions(&[2]), member("a")), "generations come and go");
        assert!(!membership.give(&partitions(&[]), member("b")), "put out and joined again, with nothing new");
        assert_eq!(membership.may_commit(), member("a"), "whatever is frozen is the old member's, and refused");
        membership.take(&partitions(&[0, 1, 2]));
        assert_eq!(membership.may_commit(), None);
        assert!(membership.give(&partitions(&[0]), member("b")), "without a claim a new member begins afresh");
    }

    #[test]
    fn an_assignment_to_nobody_is_not_taken_up() {
        let mut membership = Membership::default();
        assert!(!membership.give(&partitions(&[0]), None), "the group has forgotten us since");
        assert!(!membership.give(&partitions(&[1]), member("b")), "and what it gave then is no claim");
        let mut idle = Membership::default();
        assert!(idle.give(&[], None), "nothing is nobody's");
    }

    #[test]
    fn a_doubt_ends_with_another_id_or_in_time() {
        let clock = crate::clock::Clock::manual(0);
        let (began, patience) = (clock.boot_time(), Duration::from_secs(10));
        let mut membership = Membership::default();
        membership.give(&partitions(&[0]), member("a"));
        membership.suspend(began, "a".into());
        membership.resume_when_over(began, member("a").as_ref(), patience);
        assert!(membership.is_suspended() && membership.may_commit().is_none());
        membership.resume_when_over(began, None, patience);
        assert!(!membership.is_suspended());
        membership.suspend(began, "a".into());
        membership.resume_when_over(began, member("b").as_ref(), patience);
        assert!(!membership.is_suspended(), "we had joined anew before we heard that who we were is refused");
        membership.suspend(began, "a".into());
        membership.resume_when_over(began, member("a").as_ref(), Duration::ZERO);
        assert!(!membership.is_suspended());
    }

    #[test]
    fn nothing_is_committed_between_an_unasked_for_return_and_the_answers_that_follow() {
        let mut membership = Membership::default();
        membership.give(&partitions(&[0]), member("a"));
        membership.gave_back_unasked();
        assert!(membership.gave_back() && membership.may_commit().is_none());
        membership.drained();
        assert_eq!(membership.may_commit(), member("a"));
    }

    #[test]
    fn a_member_that_leaves_joins_again_once_it_has_nothing_left() {
        let mut membership = Membership::default();
        membership.give(&partitions(&[0]), member("a"));
        membership.leave();
        assert!(!membership.has_left());
        membership.give(&partitions(&[1]), member("a"));
        assert!(membership.is_leaving() && !membership.has_left());
        membership.take(&partitions(&[0, 1]));
        assert!(membership.has_left());
        assert!(!membership.has_left(), "once");
    }
}
