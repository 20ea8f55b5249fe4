//! What a source shows of its newest events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lock::{Hidden, ShownLine, quoted};
use super::path::FieldPath;
use super::secret::MASK;

/// The fields of a source's events that people may see.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentEvents {
    /// In the config's order; no two have the same name.
    pub fields: Vec<ShownField>,
    /// `None`: each agent makes one up.
    pub hash_key: Option<Hidden>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShownField {
    pub name: String,
    pub path: FieldPath,
    pub show: Show,
}

/// How a field's value is shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// As it is.
    #[default]
    Plain,
    /// As digits that are the same for the same value.
    Hashed,
    /// Its beginning.
    Masked,
}

impl RecentEvents {
    /// The lines below a source, the key masked.
    pub fn shown(&self) -> Vec<ShownLine> {
        let field = |ShownField { name, path, show }: &ShownField| {
            let path = quoted(&path.to_string());
            let value = match show {
                Show::Plain => path,
                Show::Hashed => format!("{{ field: {path}, show: hashed }}"),
                Show::Masked => format!("{{ field: {path}, show: masked }}"),
            };
            (4, name.clone(), Some(value))
        };
        let mut lines = vec![(2, "recent_events".to_owned(), None), (3, "fields".to_owned(), None)];
        lines.extend(self.fields.iter().map(field));
        // As long as one has to be: what is shown reads back.
        lines.extend(self.hash_key.as_ref().map(|_| (3, "hash_key".to_owned(), Some(quoted(&MASK.repeat(6))))));
        lines
    }
}
