//! What the search is asked: each case takes rules out in a scenario in which they matter, and says what comes of it.

use crate::promises::Promise;
use crate::rules::Rule::{self, *};
use crate::scenarios::{Initial, Membership, PLAIN, Scenario, Start, Tampered, Witness};
use crate::world::{Events, Faults};

/// What comes of taking rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Breaks(Promise),
    /// Something waits for ever.
    Stalls,
    /// Nothing: the rule is there for another reason, or another one does the same.
    Holds,
}

use Outcome::*;

pub struct Case {
    pub without: &'static [Rule],
    pub scenario: Scenario,
    pub outcome: Outcome,
}

const fn case(without: &'static [Rule], scenario: Scenario, outcome: Outcome) -> Case {
    Case { without, scenario, outcome }
}

const NONE: Faults = PLAIN.faults;
const QUIET: Events = PLAIN.events;

pub const CRASH: Scenario = Scenario { name: "crash", files: true, faults: Faults { crash: 1, ..NONE }, ..PLAIN };
pub const CUT: Scenario = Scenario { name: "cut off", faults: Faults { cut: 1, ..NONE }, ..PLAIN };
const SLOW: Scenario = Scenario { name: "slow transaction", faults: Faults { timeout: 1, ..NONE }, ..PLAIN };
const LOST_RECORD: Scenario = Scenario { name: "lost record", faults: Faults { undelivered: 1, ..NONE }, ..PLAIN };
const DYNAMIC: Scenario = Scenario { name: "cut off, no instance ids", membership: Membership::Dynamic, ..CUT };
const MOVES: Scenario =
    Scenario { name: "a partition moves, slowly", partitions: 2, faults: Faults { deadline: 1, ..NONE }, ..PLAIN };
const MOVES_TOO_LATE: Scenario = Scenario {
    name: "a partition moves, and a transaction times out",
    faults: Faults { deadline: 1, timeout: 1, ..NONE },
    ..MOVES
};
const NEW: Scenario = Scenario {
    name: "a new group, start: latest",
    agents: 1,
    records: 0,
    committed: 0,
    initial: Initial::New,
    start: Start::Latest,
    faults: Faults { crash: 1, ..NONE },
    events: Events { produce: 2, ..QUIET },
    ..PLAIN
};
const AGAIN: Scenario = Scenario { name: "a record comes again", faults: Faults { again: 1, ..NONE }, ..PLAIN };
const LEADER_CHANGES: Scenario =
    Scenario { name: "crash, and a leader changes", faults: Faults { early_end: 1, crash: 1, ..NONE }, ..PLAIN };
const UNWANTED: Scenario = Scenario {
    name: "a restore nobody wants",
    records: 1,
    initial: Initial::Stopped,
    unwanted: true,
    faults: Faults { cut: 1, ..NONE },
    events: Events { produce: 1, ..QUIET },
    ..PLAIN
};
const UNWANTED_FAILS: Scenario = Scenario {
    name: "a restore nobody wants fails",
    faults: Faults { cut: 1, restore_fails: 1, ..NONE },
    events: QUIET,
    ..UNWANTED
};
const COMES_BACK: Scenario =
    Scenario { name: "a partition goes and comes back", events: Events { leave: 1, ..QUIET }, ..UNWANTED };
const DAMAGED: Scenario = Scenario {
    name: "a damaged file",
    initial: Initial::Stopped,
    tampered: Tampered { file: true, offset: None, reset: false },
    ..PLAIN
};
const OFFSETS_SET: Scenario = Scenario {
    name: "the group's offset set by hand",
    initial: Initial::Stopped,
    tampered: Tampered { file: false, offset: Some(0), reset: false },
    ..PLAIN
};
const RESET: Scenario = Scenario {
    name: "state reset",
    initial: Initial::Stopped,
    tampered: Tampered { file: false, offset: None, reset: true },
    ..PLAIN
};
const LEFT_OPEN: Scenario = Scenario { name: "left open", ends_left_open: true, ..MOVES };
const LEFT_OPEN_BY_THE_DEAD: Scenario =
    Scenario { name: "left open by a crash", ends_left_open: true, files: false, ..CRASH };
const GROWS: Scenario = Scenario {
    name: "a partition is added, start: latest",
    agents: 1,
    start: Start::Latest,
    records: 1,
    faults: Faults { crash: 1, ..NONE },
    events: Events { grow: 1, ..QUIET },
    ..PLAIN
};
const NEW_GROWS: Scenario = Scenario {
    name: "a new group, a partition is added, start: latest",
    agents: 1,
    initial: Initial::New,
    start: Start::Latest,
    records: 1,
    committed: 0,
    is_idle: true,
    events: Events { grow: 1, ..QUIET },
    ..PLAIN
};
const NEW_IN_PARTS: Scenario = Scenario {
    name: "a new group of two partitions, start: latest",
    partitions: 2,
    produces_to: 1,
    events: Events { produce: 1, ..QUIET },
    ..NEW
};
const REPLICA: Scenario = Scenario { name: "a replica", global_view: true, ..PLAIN };
const WINDOW: Scenario =
    Scenario { name: "a window closes, crash", files: false, events: Events { close: 1, ..QUIET }, ..CRASH };
const MERGED: Scenario =
    Scenario { name: "merged totals, a partition moves", partitions: 2, is_idle: true, global_view: true, ..PLAIN };
const MERGED_CRASH: Scenario =
    Scenario { name: "merged totals, crash", initial: Initial::Shared, faults: Faults { crash: 1, ..NONE }, ..MERGED };
const MERGED_HANDS_OVER: Scenario = Scenario {
    name: "merged totals, a partition moves, crash",
    initial: Initial::HandsOver,
    faults: Faults { crash: 1, ..NONE },
    ..MERGED
};
const MERGED_GROWS: Scenario = Scenario {
    name: "merged totals, a partition is added",
    global_view: true,
    records: 1,
    events: Events { grow: 1, ..QUIET },
    ..PLAIN
};

/// Rules that something breaks without.
pub const NEEDED: &[Case] = &[
    case(&[OffsetRecordLast], SLOW, Breaks(Promise::EntriesAddUp)),
    case(&[SendErrorsAbort], LOST_RECORD, Breaks(Promise::EntriesAddUp)),
    case(&[AssignmentNumber], MOVES, Breaks(Promise::OneWriter)),
    case(&[MemberWitness], CUT, Breaks(Promise::OneWriter)),
    case(&[NoGenerationNoCommit], DYNAMIC, Breaks(Promise::OneWriter)),
    case(&[OutcomeNeedsAllOffsets], MOVES_TOO_LATE, Breaks(Promise::ShownIsCommitted)),
    case(&[AbortMakesDirty], SLOW, Breaks(Promise::EntriesAddUp)),
    case(&[CommittedBeforeShown], PLAIN, Breaks(Promise::ShownIsCommitted)),
    case(&[StartIsCommittedFirst], NEW, Breaks(Promise::StateIsFold)),
    case(&[SkipsWhatWasFolded], AGAIN, Breaks(Promise::StateIsFold)),
    case(&[DoubtIsOfThatMember], CUT, Stalls),
    case(&[RestoreAwaitsTheGroup], CUT, Breaks(Promise::OneWriter)),
    case(&[MarkIsHighWatermark], CUT, Breaks(Promise::OneWriter)),
    case(&[WaitsUntilStable], CUT, Breaks(Promise::OneWriter)),
    case(&[EndBelowMarkGoesOn], LEADER_CHANGES, Breaks(Promise::NoFalseAlarm)),
    case(&[RestoresAreTagged], COMES_BACK, Breaks(Promise::OneWriter)),
    case(&[FailuresAreTagged], UNWANTED_FAILS, Breaks(Promise::NoFalseAlarm)),
    case(&[FingerprintIsCompared], DAMAGED, Breaks(Promise::StateIsFold)),
    case(&[StateWins], OFFSETS_SET, Breaks(Promise::OffsetsNeverStepBack)),
    case(&[ShowsFromGroupOffset], RESET, Breaks(Promise::TotalsNeverGoBack)),
    case(&[BirthIsDurable], GROWS, Breaks(Promise::StateIsFold)),
    case(&[BirthIsLookedUpStable], NEW_GROWS, Breaks(Promise::StateIsFold)),
    case(&[BeginsSinceBirth], NEW_IN_PARTS, Breaks(Promise::StateIsFold)),
    case(&[WholeCommits], REPLICA, Breaks(Promise::ShownIsCommitted)),
    case(&[LeaseEnds], CUT, Breaks(Promise::TotalsNeverGoBack)),
    case(&[LeaseFromTheBeginning], CUT, Breaks(Promise::TotalsNeverGoBack)),
    case(&[PublishedBeforeShown], WINDOW, Breaks(Promise::WindowsNeverGoBack)),
    case(&[PublisherReadsMarks], MERGED_CRASH, Breaks(Promise::MergedNeverGoesBack)),
    case(&[PublisherMarksEachPartition], MERGED_GROWS, Stalls),
    case(&[ReplicaPassesWhatWasShown], MERGED, Breaks(Promise::MergedNeverGoesBack)),
];

/// Rules of which one does for the other: taken out together they are missed.
pub const TOGETHER: &[Case] = &[
    case(&[DeliveredBeforeOffsets, OffsetsBeforeMark], CUT, Breaks(Promise::OneWriter)),
    case(&[ReplayStopsAtMark, InputEndWhenJudged, FailuresAreTagged], UNWANTED, Breaks(Promise::NoFalseAlarm)),
];

/// Rules that nothing breaks without. `docs/model.md` says why they are there all the same, or that they need not be.
pub const NOT_MISSED: &[Case] = &[
    case(&[MetadataIsFresh], MOVES, Holds),
    case(&[SettlesBeforeRevoke], MOVES, Holds),
    case(&[DoubtSuspends], MOVES, Holds),
    case(&[UndecidedIsAskedAgain], SLOW, Holds),
    case(&[OutcomeIsLookedUp], MOVES_TOO_LATE, Holds),
    case(&[OutcomeNeedsExactOffsets], MOVES_TOO_LATE, Holds),
    case(&[OnlyTheGoneAreEnded], LEFT_OPEN, Holds),
    case(&[DeliveredBeforeOffsets], MOVES, Holds),
    case(&[OffsetsBeforeMark], MOVES, Holds),
];

const CUT_AND_SLOW: Scenario =
    Scenario { name: "cut off, slow transaction", faults: Faults { cut: 1, timeout: 1, ..NONE }, ..PLAIN };

/// The larger bounds: all rules kept, those that are not missed, and one that only a long way shows to be needed.
pub const LARGE: &[Case] = &[
    case(&[PublisherMarksAreHighWatermarks], MERGED_HANDS_OVER, Breaks(Promise::MergedNeverGoesBack)),
    case(&[], DYNAMIC, Holds),
    case(&[], COMES_BACK, Holds),
    case(&[], UNWANTED_FAILS, Holds),
    case(&[], WINDOW, Holds),
    case(&[DeliveredBeforeOffsets], CUT, Holds),
    case(&[OffsetsBeforeMark], CUT, Holds),
    case(&[MetadataIsFresh], CUT, Holds),
    case(&[SettlesBeforeRevoke], CUT, Holds),
    case(&[DoubtSuspends], CUT, Holds),
    case(&[UndecidedIsAskedAgain], CUT_AND_SLOW, Holds),
];

/// All rules kept: nothing breaks, and nothing stalls.
pub const KEPT: &[Scenario] = &[
    PLAIN,
    CUT,
    CRASH,
    SLOW,
    LOST_RECORD,
    MOVES,
    MOVES_TOO_LATE,
    NEW,
    AGAIN,
    LEADER_CHANGES,
    DAMAGED,
    OFFSETS_SET,
    RESET,
    LEFT_OPEN_BY_THE_DEAD,
    GROWS,
    NEW_GROWS,
    NEW_IN_PARTS,
    REPLICA,
    MERGED,
];

/// The fence that looks at generations instead of the member id. It is as safe, but drops what it need not.
pub const BY_GENERATION: Scenario =
    Scenario { name: "cut off, by generations", witness: Witness::Generation { strict: false }, ..CUT };
pub const BY_GENERATION_STRICTLY: Scenario =
    Scenario { witness: Witness::Generation { strict: true }, ..BY_GENERATION };
