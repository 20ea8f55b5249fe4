//! Conditions that never hold, though their field is there: mostly a mistake, and one that shows as a zero.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::config::{FieldPath, Test, condition_text};
use crate::value::Value;

/// So many events have to have the field before a condition that held for none of them is worth a word.
const EVENTS: u32 = 100_000;
/// Characters of a value that are shown.
const SHOWN: usize = 40;

/// Counts until a condition has held once, or never held for [`EVENTS`]. Then it costs one look.
#[derive(Debug)]
pub(super) struct Watch {
    left: AtomicU32,
    /// As the config has it.
    condition: Box<str>,
    /// The value of the last event that was counted.
    example: OnceLock<Box<str>>,
    told: AtomicBool,
}

impl Watch {
    pub fn new(path: &FieldPath, test: &Test) -> Watch {
        Watch {
            left: AtomicU32::new(EVENTS),
            condition: condition_text(path, test).into(),
            example: OnceLock::new(),
            told: AtomicBool::new(false),
        }
    }

    /// Takes note of whether the condition held for a value.
    #[inline]
    pub fn see(&self, held: bool, value: Value<'_>) {
        let left = self.left.load(Relaxed);
        if left > 0 {
            self.count(left, held, value);
        }
    }

    fn count(&self, left: u32, held: bool, value: Value<'_>) {
        if held {
            self.left.store(0, Relaxed);
        } else if !value.is_nothing() && value != Value::Composite {
            // Another thread may have been faster; then this event is not counted.
            let counted = self.left.compare_exchange(left, left - 1, Relaxed, Relaxed).is_ok();
            if counted && left == 1 {
                let _ = self.example.set(shown(value));
            }
        }
    }

    /// The hint, once.
    pub fn take(&self, whose: &str) -> Option<Hint> {
        let example = self.example.get()?;
        let new = !self.told.swap(true, Relaxed);
        new.then(|| self.hint(whose, EVENTS, Some(example.as_ref())))
    }

    /// The same while fewer events have the field, and as often as it is asked.
    pub fn never_held(&self, whose: &str) -> Option<Hint> {
        let events = match (self.example.get(), self.left.load(Relaxed)) {
            (Some(_), _) => EVENTS,
            // It has held once.
            (None, 0) => return None,
            (None, left) => EVENTS - left,
        };
        (events > 0).then(|| self.hint(whose, events, self.example.get().map(AsRef::as_ref)))
    }

    fn hint(&self, whose: &str, events: u32, example: Option<&str>) -> Hint {
        Hint { whose: whose.into(), condition: self.condition.clone(), events, example: example.map(Into::into) }
    }
}

fn shown(value: Value<'_>) -> Box<str> {
    match value {
        Value::Str(text) | Value::Digits(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Missing | Value::Null | Value::Composite => String::new(),
    }
    .into()
}

/// Something about a condition that is worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    whose: Box<str>,
    condition: Box<str>,
    /// So many had the field.
    events: u32,
    /// Its value in the last of them.
    example: Option<Box<str>>,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hint { whose, condition, events, example } = self;
        write!(
            f,
            "{whose}: the condition `{condition}` has held for none of the first {events} events that have the field"
        )?;
        example.iter().try_for_each(|example| write!(f, ", the last with {example}"))?;
        f.write_str(": is it right?")
    }
}
