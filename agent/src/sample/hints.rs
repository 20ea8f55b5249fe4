//! What is probably meant otherwise than it is written: fields that no record has.

use std::collections::BTreeMap;

use crate::aggregate::{Plan, Value};
use crate::config::{FieldPath, Source};

pub(super) struct Hints {
    /// Per slot of the plan.
    fields: Vec<Field>,
    /// Fields that stand in a record as one key with dots in its name, and how often.
    dotted: BTreeMap<String, u64>,
    source: String,
    records: u64,
}

struct Field {
    /// As it is written.
    path: String,
    /// What it would be called if it were one key with dots in its name.
    dotted: Option<String>,
    /// In how many records it was there.
    found: u64,
}

impl Field {
    fn new(path: &FieldPath) -> Field {
        let dotted = path.names().filter(|names| names.len() > 1).map(|names| names.join("."));
        Field { path: path.to_string(), dotted, found: 0 }
    }
}

impl Hints {
    pub fn new(plan: &Plan, source: &Source) -> Hints {
        let fields = plan.fields.iter().map(Field::new).collect();
        Hints { fields, dotted: BTreeMap::new(), source: source.name.clone(), records: 0 }
    }

    /// Looks at one record that could be read.
    pub fn look(&mut self, payload: &[u8], values: &[Value<'_>]) {
        self.records += 1;
        let mut missing = Vec::new();
        for (field, value) in self.fields.iter_mut().zip(values) {
            match (value, &field.dotted) {
                (Value::Missing, Some(dotted)) => missing.push(dotted.as_str()),
                (Value::Missing, None) => {}
                _ => field.found += 1,
            }
        }
        if missing.is_empty() {
            return;
        }
        if let Ok(object) = serde_json::from_slice::<BTreeMap<String, serde::de::IgnoredAny>>(payload) {
            for field in missing.into_iter().filter(|field| object.contains_key(*field)) {
                *self.dotted.entry(field.to_owned()).or_default() += 1;
            }
        }
    }

    /// One sentence for each field that no record has.
    pub fn finish(self) -> Vec<String> {
        let never = self.fields.iter().filter(|field| self.records > 0 && field.found == 0);
        let hint = |field: &Field| match field.dotted.as_ref().filter(|dotted| self.dotted.contains_key(*dotted)) {
            Some(dotted) => format!(
                "source {}: no record has `{}`, but records have one key of that name; write it in quotes: `'\"{dotted}\"'`",
                self.source, field.path
            ),
            None => format!("source {}: none of {} records has `{}`", self.source, self.records, field.path),
        };
        never.map(hint).collect()
    }
}
