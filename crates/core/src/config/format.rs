//! How a source's records are written.

use std::fmt;

use super::path::{FieldPath, Step};

/// The format of a record, or of the text in a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    pub kind: FormatKind,
    /// Every line of a record is an event. JSON needs no word for it.
    pub lines: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum FormatKind {
    #[default]
    Json,
    /// The text as it is, in the field `message`.
    Raw,
}

impl FormatKind {
    /// All of them, as the config spells them.
    pub const NAMES: [&str; 2] = ["json", "raw"];

    /// As the config spells it.
    pub fn name(&self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Raw => "raw",
        }
    }

    /// Whether records have arrays, for `each` to find events in.
    pub fn has_arrays(&self) -> bool {
        matches!(self, FormatKind::Json)
    }
}

impl Format {
    /// Whether it is what a source has that says nothing of it.
    pub fn is_plain_json(&self) -> bool {
        *self == Format::default()
    }
}

/// As the config writes it, on one line.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<String> = Vec::new();
        if self.lines {
            options.push("lines: true".to_owned());
        }
        match options.as_slice() {
            [] => f.write_str(self.kind.name()),
            options => write!(f, "{{ {}: {{ {} }} }}", self.kind.name(), options.join(", ")),
        }
    }
}

/// Which arrays of a record hold its events: the keys that lead from the document to the first, and from each element of
/// one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Each(pub Vec<Vec<String>>);

impl Each {
    /// What a path begins with that leads out of an element, to what its array stands in.
    pub const ENCLOSING: &'static str = "^";

    /// How many levels these steps lead out of an element.
    pub fn levels_up(steps: &[Step]) -> usize {
        steps.iter().take_while(|step| matches!(step, Step::Key(name) if name == Each::ENCLOSING)).count()
    }
}

/// As the config writes it.
impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<String> =
            self.0.iter().map(|keys| FieldPath::keys(keys.iter().map(String::as_str)).to_string()).collect();
        write!(f, "{}[]", levels.join("[]."))
    }
}

/// A field whose text becomes fields below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parse {
    pub path: FieldPath,
    pub format: Format,
}
