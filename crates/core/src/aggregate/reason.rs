//! Why an aggregate could not use an event, or a part of it, as it was: as a word for metrics, and counted.

use crate::config::FieldPath;

/// What was wrong, or only not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    #[error("is not what the aggregate's `where` asks for")]
    Where,
    #[error("is missing or empty, and the label that is made of it is required")]
    RequiredLabel,
    #[error("is missing or null, and a label is made of it")]
    MissingLabel,
    #[error("is an array or an object, and a label is made of it")]
    LabelType,
    #[error("is longer than a label may be")]
    LabelTooLong,
    #[error("is not matched by the pattern that a label is made with")]
    LabelNoMatch,
    #[error("is missing, null or empty, and it is measured")]
    MissingValue,
    #[error("is not a number in the measure's unit, and it is measured")]
    ValueType,
    #[error("is not finite, or larger than 1e18")]
    ValueOutOfRange,
    #[error("is negative, and it is measured without `signed: true`")]
    NegativeValue,
}

impl Reason {
    /// The value of a metric's `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Where => "where",
            Reason::RequiredLabel => "required_label",
            Reason::MissingLabel => "missing_label",
            Reason::LabelType => "label_type",
            Reason::LabelTooLong => "label_too_long",
            Reason::LabelNoMatch => "label_no_match",
            Reason::MissingValue => "missing_value",
            Reason::ValueType => "value_type",
            Reason::ValueOutOfRange => "value_out_of_range",
            Reason::NegativeValue => "negative_value",
        }
    }

    /// Why a whole event is not an aggregate's.
    pub const EVENTS: [Reason; 2] = [Reason::Where, Reason::RequiredLabel];
    /// What may be wrong with a label.
    pub const LABELS: [Reason; 4] =
        [Reason::MissingLabel, Reason::LabelType, Reason::LabelTooLong, Reason::LabelNoMatch];
    /// Why a measure does not measure an event.
    pub const VALUES: [Reason; 4] =
        [Reason::MissingValue, Reason::ValueType, Reason::ValueOutOfRange, Reason::NegativeValue];
    const COUNT: usize = 10;

    /// Whether a strict source makes a dead letter of it: not of what the config itself asks for.
    pub(super) fn is_fault(self) -> bool {
        !Reason::EVENTS.contains(&self)
    }
}

/// What of an aggregate it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Event,
    Label(usize),
    Measure(usize),
}

/// Something in one event that one aggregate could not use as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub about: About,
    /// Of the field.
    pub slot: usize,
    pub reason: Reason,
}

/// Why a strict source's event was folded into no aggregate at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` {reason}")]
pub struct Rejection {
    pub field: FieldPath,
    pub reason: Reason,
}

impl Rejection {
    /// `fields` are those that the note's slot is one of.
    #[cold]
    pub(super) fn new(fields: &[FieldPath], note: Note) -> Rejection {
        Rejection { field: fields.get(note.slot).cloned().unwrap_or_default(), reason: note.reason }
    }
}

/// How often each [`Reason`] was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByReason([u64; Reason::COUNT]);

impl ByReason {
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    fn add(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}

/// What became of the events that an aggregate was shown, since somebody last asked. Not durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that it has taken.
    pub taken: u64,
    /// Events that it has not, by [`Reason::EVENTS`].
    pub events: ByReason,
    /// By [`Reason::LABELS`], in the order of the aggregate's labels.
    pub labels: Vec<ByReason>,
    /// By [`Reason::VALUES`], in the order of its measures.
    pub values: Vec<ByReason>,
}

impl Tally {
    /// Of an aggregate with so many labels and measures.
    pub fn new(labels: usize, measures: usize) -> Tally {
        Tally {
            labels: vec![ByReason::default(); labels],
            values: vec![ByReason::default(); measures],
            ..Tally::default()
        }
    }

    #[cold]
    pub(super) fn count(&mut self, notes: &[Note]) {
        for note in notes {
            match note.about {
                About::Event => self.events.add(note.reason),
                About::Label(at) => self.labels[at].add(note.reason),
                About::Measure(at) => self.values[at].add(note.reason),
            }
        }
    }
}
