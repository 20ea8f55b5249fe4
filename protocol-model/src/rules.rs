//! The rules of the protocol, each a switch. `docs/protocol.md` has them in context.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    OffsetRecordLast,
    SendErrorsAbort,
    DeliveredBeforeOffsets,
    MetadataIsFresh,
    AssignmentNumber,
    MemberWitness,
    NoGenerationNoCommit,
    UndecidedIsAskedAgain,
    OutcomeIsLookedUp,
    OutcomeNeedsAllOffsets,
    OutcomeNeedsExactOffsets,
    AbortMakesDirty,
    CommittedBeforeShown,
    StartIsCommittedFirst,
    SkipsWhatWasFolded,
    SettlesBeforeRevoke,
    DoubtSuspends,
    DoubtIsOfThatMember,
    RestoreAwaitsTheGroup,
    OffsetsBeforeMark,
    MarkIsHighWatermark,
    WaitsUntilStable,
    EndBelowMarkGoesOn,
    ReplayStopsAtMark,
    RestoresAreTagged,
    FailuresAreTagged,
    InputEndWhenJudged,
    FingerprintIsCompared,
    StateWins,
    ShowsFromGroupOffset,
    OnlyTheGoneAreEnded,
    BirthIsDurable,
    BirthIsLookedUpStable,
    BeginsSinceBirth,
    WholeCommits,
    LeaseEnds,
    LeaseFromTheBeginning,
    PublishedBeforeShown,
    PublisherReadsMarks,
    PublisherMarksAreHighWatermarks,
    PublisherMarksEachPartition,
    ReplicaPassesWhatWasShown,
}

use Rule::*;

impl Rule {
    pub const ALL: [Rule; 42] = [
        OffsetRecordLast,
        SendErrorsAbort,
        DeliveredBeforeOffsets,
        MetadataIsFresh,
        AssignmentNumber,
        MemberWitness,
        NoGenerationNoCommit,
        UndecidedIsAskedAgain,
        OutcomeIsLookedUp,
        OutcomeNeedsAllOffsets,
        OutcomeNeedsExactOffsets,
        AbortMakesDirty,
        CommittedBeforeShown,
        StartIsCommittedFirst,
        SkipsWhatWasFolded,
        SettlesBeforeRevoke,
        DoubtSuspends,
        DoubtIsOfThatMember,
        RestoreAwaitsTheGroup,
        OffsetsBeforeMark,
        MarkIsHighWatermark,
        WaitsUntilStable,
        EndBelowMarkGoesOn,
        ReplayStopsAtMark,
        RestoresAreTagged,
        FailuresAreTagged,
        InputEndWhenJudged,
        FingerprintIsCompared,
        StateWins,
        ShowsFromGroupOffset,
        OnlyTheGoneAreEnded,
        BirthIsDurable,
        BirthIsLookedUpStable,
        BeginsSinceBirth,
        WholeCommits,
        LeaseEnds,
        LeaseFromTheBeginning,
        PublishedBeforeShown,
        PublisherReadsMarks,
        PublisherMarksAreHighWatermarks,
        PublisherMarksEachPartition,
        ReplicaPassesWhatWasShown,
    ];

    /// What `docs/protocol.md` says, in short.
    pub fn sentence(self) -> &'static str {
        match self {
            OffsetRecordLast => "The offset record is the last record that a task writes in a commit.",
            SendErrorsAbort => "Any send error, and any failed delivery, aborts the epoch.",
            DeliveredBeforeOffsets => "Offsets are sent when every record has been delivered.",
            MetadataIsFresh => "The group's metadata is fetched after the deliveries, not when the epoch is frozen.",
            AssignmentNumber => "An epoch frozen under an older assignment number is aborted.",
            MemberWitness => {
                "Another member id means that the group had put us out: everything held counts as lost (before: a hole in the generations)."
            }
            NoGenerationNoCommit => "Without a generation nothing is committed.",
            UndecidedIsAskedAgain => "An undecided commit is asked for again, never aborted.",
            OutcomeIsLookedUp => "After a fatal error the group's offsets tell whether the commit went through.",
            OutcomeNeedsAllOffsets => "It did only if every moved offset is there, not just one of them.",
            OutcomeNeedsExactOffsets => "It did only if each is exactly there; beyond is another owner's.",
            AbortMakesDirty => "After an abort what the epoch held is dirty again.",
            CommittedBeforeShown => "What is shown has been committed.",
            StartIsCommittedFirst => "A new task's start offset is committed before its first fold.",
            SkipsWhatWasFolded => "Records below the next offset are dropped: rebalances deliver some again.",
            SettlesBeforeRevoke => "An orderly revoke waits for the epoch under way and commits what is left.",
            DoubtSuspends => "After UNKNOWN_MEMBER_ID nothing is committed until the group says something new.",
            DoubtIsOfThatMember => "That doubt is over once the agent is another member than the one refused.",
            RestoreAwaitsTheGroup => "After a broken fence nothing is restored before the group's next word.",
            OffsetsBeforeMark => "The group's offsets are asked for before the changelog's high watermark.",
            MarkIsHighWatermark => "The mark is the high watermark, not the last stable offset.",
            WaitsUntilStable => "A restore waits until the last stable offset has reached the mark.",
            EndBelowMarkGoesOn => "An end of partition below the mark is not the end.",
            ReplayStopsAtMark => "A replay stops at its mark.",
            RestoresAreTagged => "The result of a restore that is not wanted any more is dropped, by its tag.",
            FailuresAreTagged => "The failure of a restore that is not wanted any more ends nothing.",
            InputEndWhenJudged => "The input's end is asked for when it is judged.",
            FingerprintIsCompared => "State is used only where the fingerprint matches.",
            StateWins => "The state's offset wins over the group's.",
            ShowsFromGroupOffset => "Nothing is shown until the input has passed the group's offset.",
            OnlyTheGoneAreEnded => "Only the transaction of a member that the group no longer has is ended.",
            BirthIsDurable => {
                "How many partitions the group began with is on record: later ones begin at their first record."
            }
            BirthIsLookedUpStable => "Whoever looks that up waits until those changelogs are stable, too.",
            BeginsSinceBirth => "Of those it began with, one without state begins with what came since then.",
            WholeCommits => "Replicas apply whole commits only.",
            LeaseEnds => "Totals are shown under a lease that ends before the group gives the partitions away.",
            LeaseFromTheBeginning => "The lease counts from when the commit began.",
            PublishedBeforeShown => "The end of the newest window is committed before the window is shown.",
            PublisherReadsMarks => {
                "A new publisher shows merged totals only when its replicas have reached the changelogs' ends."
            }
            PublisherMarksAreHighWatermarks => "Those ends are high watermarks, not last stable offsets.",
            PublisherMarksEachPartition => "They are read per partition, when it appears.",
            ReplicaPassesWhatWasShown => {
                "A partition that has become a replica is left out until it has passed what was shown of it."
            }
        }
    }
}

/// Which rules are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u64);

impl Rules {
    pub fn all() -> Rules {
        Rules(u64::MAX)
    }

    pub fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u64))
    }

    pub fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u64) != 0
    }
}
