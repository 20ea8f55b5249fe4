//! All that can happen, and how a trace tells it.

use crate::changelog::NONE;
use crate::search::Model;
use crate::world::World;
use std::fmt;

type Agent = usize;
type Partition = usize;

/// One step of somebody. The bool of a restore's step: it is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Starts(Agent),
    Crashes(Agent),
    IsCutOff(Agent),
    IsBack(Agent),
    Initialises(Agent),
    Leaves(Agent),
    Folds(Agent, Partition),
    IsDeliveredAgain(Agent, Partition),

    Joins(Agent),
    JoinIsRefused(Agent),
    JoinIsAnswered(Agent),
    Rejoins(Agent),
    IsUnknown(Agent),
    SyncIsAnswered(Agent),
    RoundCloses,
    LeaderAssigns(usize),
    SessionExpires(Agent),
    TopicHasGrown,

    AnswersLost(Agent),
    AnswersRevoked(Agent),
    RevokesTooLate(Agent),
    AnswersAssigned(Agent),

    Freezes(Agent),
    FreezesAndLosesARecord(Agent),
    WritesRest(Agent),
    LooksAtFences(Agent),
    SendsOffsets(Agent),
    AsksForCommit(Agent),
    CommitIsDecided(Agent),
    CommitIsAnswered(Agent),
    GivesUpCommit(Agent),
    RebuildsProducer(Agent),

    Marker(Agent, Partition),
    MarkerOfOffsets(Agent),
    TransactionTimesOut(Agent),

    EndsWhatIsLeftOpen(Agent, Partition),
    IsToldOffset(Agent, Partition, bool),
    ReadsMark(Agent, Partition, bool),
    OpensFile(Agent, Partition, bool),
    /// Up to a position, or as far as it should.
    ReadsChangelog(Agent, Partition, bool, u8),
    FinishesRestore(Agent, Partition, bool),
    TakesUnwantedResult(Agent, Partition),
    UnwantedRestoreFails(Agent, Partition),
    WritesFile(Agent, Partition),

    Follows(Agent, Partition),
    ReadsMarks(Agent),
    WindowCloses(Agent),
    Produces(Partition),
    Grows,
}

impl Action {
    /// Whether it is a fault, which nothing may have to wait for.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Action::Crashes(_)
                | Action::IsCutOff(_)
                | Action::IsDeliveredAgain(..)
                | Action::RevokesTooLate(_)
                | Action::FreezesAndLosesARecord(_)
                | Action::GivesUpCommit(_)
                | Action::UnwantedRestoreFails(..)
                | Action::Leaves(_)
                | Action::WindowCloses(_)
                | Action::Produces(_)
                | Action::Grows
        ) || matches!(self, Action::ReadsChangelog(_, _, _, stop) if stop != NONE)
    }
}

impl World {
    /// All that can happen next.
    pub fn offers(&self, model: &Model, offers: &mut Vec<Action>) {
        self.life_offers(model, offers);
        self.group_offers(model, offers);
        self.rebalance_offers(model, offers);
        self.commit_offers(model, offers);
        self.transactions_offer(model, offers);
        self.restore_offers(model, offers);
        self.replica_offers(model, offers);
        self.show_offers(model, offers);
        if self.events.produce > 0 {
            offers.push(Action::Produces(model.scenario.produces_to));
        }
        if self.events.grow > 0 {
            offers.push(Action::Grows);
        }
    }

    /// Lets it happen.
    pub fn step(&mut self, action: Action, model: &Model) {
        match action {
            Action::Starts(a) => self.starts(a),
            Action::Crashes(a) => self.crashes(a),
            Action::IsCutOff(a) => self.is_cut_off(a),
            Action::IsBack(a) => self.starts(a),
            Action::Initialises(a) => self.initialises(a),
            Action::Leaves(a) => self.leaves(a),
            Action::Folds(a, p) => self.folds(a, p),
            Action::IsDeliveredAgain(a, p) => self.is_delivered_again(a, p, model),
            Action::Joins(a) => self.joins(a),
            Action::JoinIsRefused(a) => self.join_is_refused(a),
            Action::JoinIsAnswered(a) => self.join_is_answered(a),
            Action::Rejoins(a) => self.rejoins(a),
            Action::IsUnknown(a) => self.is_unknown(a, model),
            Action::SyncIsAnswered(a) => self.sync_is_answered(a),
            Action::RoundCloses => self.round_closes(),
            Action::LeaderAssigns(choice) => self.leader_assigns(choice),
            Action::SessionExpires(a) => self.session_expires(a, model),
            Action::TopicHasGrown => self.topic_has_grown(),
            Action::AnswersLost(a) => self.answers_lost(a, model),
            Action::AnswersRevoked(a) => self.answers_revoked(a, model),
            Action::RevokesTooLate(a) => self.revokes_too_late(a, model),
            Action::AnswersAssigned(a) => self.answers_assigned(a, model),
            Action::Freezes(a) => self.freezes(a, false, model),
            Action::FreezesAndLosesARecord(a) => self.freezes(a, true, model),
            Action::WritesRest(a) => self.writes_rest(a, model),
            Action::LooksAtFences(a) => self.looks_at_fences(a, model),
            Action::SendsOffsets(a) => self.sends_offsets(a, model),
            Action::AsksForCommit(a) => self.asks_for_commit(a),
            Action::CommitIsDecided(a) => self.commit_is_decided(a),
            Action::CommitIsAnswered(a) => self.commit_is_answered(a, model),
            Action::GivesUpCommit(a) => self.gives_up_commit(a, model),
            Action::RebuildsProducer(a) => self.rebuilds_producer(a, model),
            Action::Marker(a, p) => self.marker(a, p),
            Action::MarkerOfOffsets(a) => self.marker_of_offsets(a),
            Action::TransactionTimesOut(a) => self.transaction_times_out(a),
            Action::EndsWhatIsLeftOpen(a, p) => self.ends_what_is_left_open(a, p, model),
            Action::IsToldOffset(a, p, wanted) => self.is_told_offset(a, p, wanted),
            Action::ReadsMark(a, p, wanted) => self.reads_mark(a, p, wanted, model),
            Action::OpensFile(a, p, wanted) => self.opens_file(a, p, wanted),
            Action::ReadsChangelog(a, p, wanted, stop) => self.reads_changelog(a, p, wanted, stop, model),
            Action::FinishesRestore(a, p, wanted) => self.finishes_restore(a, p, wanted, model),
            Action::TakesUnwantedResult(a, p) => self.takes_unwanted_result(a, p, model),
            Action::UnwantedRestoreFails(a, p) => self.unwanted_restore_fails(a, p, model),
            Action::WritesFile(a, p) => self.writes_file(a, p),
            Action::Follows(a, p) => self.follows(a, p, model),
            Action::ReadsMarks(a) => self.reads_marks(a, model),
            Action::WindowCloses(a) => self.window_closes(a),
            Action::Produces(p) => self.produces(p),
            Action::Grows => self.grows(model),
        }
        self.look_at_pages(model);
    }
}

/// An agent's name in a trace.
pub struct Name(pub usize);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ["A", "B", "C", "D"].get(self.0).unwrap_or(&"?"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwanted = |wanted: bool| if wanted { "" } else { " (for a restore that nobody wants any more)" };
        match *self {
            Action::Starts(a) => write!(f, "{} starts", Name(a)),
            Action::Crashes(a) => write!(f, "{} is killed", Name(a)),
            Action::IsCutOff(a) => write!(f, "{} is stopped, or cut off", Name(a)),
            Action::IsBack(a) => write!(f, "{} goes on", Name(a)),
            Action::Initialises(a) => write!(f, "{} calls init_transactions", Name(a)),
            Action::Leaves(a) => write!(f, "{} begins to leave in order", Name(a)),
            Action::Folds(a, p) => write!(f, "{} folds the next record of p{p}", Name(a)),
            Action::IsDeliveredAgain(a, p) => write!(f, "{} gets the last record of p{p} again", Name(a)),
            Action::Joins(a) => write!(f, "{} asks to join the group", Name(a)),
            Action::JoinIsRefused(a) => {
                write!(f, "{}'s join: UNKNOWN_MEMBER_ID; it says nothing and joins anew", Name(a))
            }
            Action::JoinIsAnswered(a) => write!(f, "{}'s join is answered: it knows the generation", Name(a)),
            Action::Rejoins(a) => write!(f, "{} joins the next round", Name(a)),
            Action::IsUnknown(a) => write!(f, "{}'s heartbeat or sync: UNKNOWN_MEMBER_ID; all is lost", Name(a)),
            Action::SyncIsAnswered(a) => write!(f, "{}'s sync is answered: it knows its partitions", Name(a)),
            Action::RoundCloses => write!(f, "the group: all have joined, a new generation begins"),
            Action::LeaderAssigns(_) => write!(f, "the group: the leader says who gets what"),
            Action::SessionExpires(a) => write!(f, "the group puts {} out: its session is over", Name(a)),
            Action::TopicHasGrown => write!(f, "the group sees a new partition"),
            Action::AnswersLost(a) => write!(f, "{} answers: lost", Name(a)),
            Action::AnswersRevoked(a) => write!(f, "{} answers: revoked", Name(a)),
            Action::RevokesTooLate(a) => write!(f, "{} answers: revoked, before its last commit is through", Name(a)),
            Action::AnswersAssigned(a) => write!(f, "{} answers: assigned", Name(a)),
            Action::Freezes(a) => write!(f, "{} freezes an epoch and begins to write it", Name(a)),
            Action::FreezesAndLosesARecord(a) => {
                write!(f, "{} freezes an epoch; its entries are not delivered", Name(a))
            }
            Action::WritesRest(a) => write!(f, "{} writes the rest of its epoch", Name(a)),
            Action::LooksAtFences(a) => write!(f, "{} looks at the fences", Name(a)),
            Action::SendsOffsets(a) => write!(f, "{} sends its offsets", Name(a)),
            Action::AsksForCommit(a) => write!(f, "{} asks for the commit", Name(a)),
            Action::CommitIsDecided(a) => write!(f, "the coordinator commits {}'s transaction", Name(a)),
            Action::CommitIsAnswered(a) => write!(f, "{} hears that it is committed", Name(a)),
            Action::GivesUpCommit(a) => write!(f, "{} hears nothing, and takes it for aborted", Name(a)),
            Action::RebuildsProducer(a) => {
                write!(f, "{} makes a new producer, and looks what became of its epoch", Name(a))
            }
            Action::Marker(a, p) => write!(f, "the marker of {}'s transaction reaches changelog p{p}", Name(a)),
            Action::MarkerOfOffsets(a) => {
                write!(f, "the marker of {}'s transaction reaches the group's offsets", Name(a))
            }
            Action::TransactionTimesOut(a) => write!(f, "the brokers abort {}'s transaction: its time is up", Name(a)),
            Action::EndsWhatIsLeftOpen(a, p) => write!(f, "{} ends what the last owner of p{p} left open", Name(a)),
            Action::IsToldOffset(a, p, w) => write!(f, "{} is told the group's offset of p{p}{}", Name(a), unwanted(w)),
            Action::ReadsMark(a, p, w) => write!(f, "{} reads the end of changelog p{p}{}", Name(a), unwanted(w)),
            Action::OpensFile(a, p, w) => {
                write!(f, "{} finds it stable, and loads what it has of p{p}{}", Name(a), unwanted(w))
            }
            Action::ReadsChangelog(a, p, w, NONE) => write!(f, "{} reads changelog p{p}{}", Name(a), unwanted(w)),
            Action::ReadsChangelog(a, p, _, stop) => {
                write!(f, "{} reads changelog p{p}, which seems to end at {stop}", Name(a))
            }
            Action::FinishesRestore(a, p, w) => write!(f, "{}'s restore of p{p} is done{}", Name(a), unwanted(w)),
            Action::TakesUnwantedResult(a, p) => write!(f, "{} takes the result of an older restore of p{p}", Name(a)),
            Action::UnwantedRestoreFails(a, p) => write!(f, "{}'s older restore of p{p} fails", Name(a)),
            Action::WritesFile(a, p) => write!(f, "{} writes its file of p{p}", Name(a)),
            Action::Follows(a, p) => write!(f, "{}'s replica of p{p} reads on", Name(a)),
            Action::ReadsMarks(a) => write!(f, "{}, the publisher, reads the changelogs' ends", Name(a)),
            Action::WindowCloses(a) => write!(f, "{}, the publisher, sees that a window has closed", Name(a)),
            Action::Produces(p) => write!(f, "a record is produced to p{p}"),
            Action::Grows => write!(f, "p1 is added to the topic, with records in it"),
        }
    }
}
