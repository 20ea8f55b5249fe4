//! How much of a value people see.

use crate::config::{RecentEvents, Show, ShownField};
use ring::hmac;
use std::sync::Arc;

/// Bytes of a hash that are shown: enough to tell values apart.
const HASH_BYTES: usize = 8;
/// A masked value's beginning, in characters, and how long a value has to be to have one.
const MASK_KEEPS: usize = 2;
const MASK_FROM: usize = 8;
/// Longer values are cut. Characters.
const LONGEST: usize = 1_024;

/// The fields that are shown, and how.
#[derive(Debug)]
pub struct Disclosure {
    fields: Vec<(Arc<str>, Show)>,
    key: hmac::Key,
}

impl Disclosure {
    /// `spare`: the key where the config gives none.
    pub fn new(config: &RecentEvents, spare: &[u8]) -> Disclosure {
        let key = config.hash_key.as_ref().map_or(spare, |key| key.0.as_bytes());
        let field = |field: &ShownField| (field.name.as_str().into(), field.show);
        Disclosure { fields: config.fields.iter().map(field).collect(), key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    pub fn name(&self, at: usize) -> Option<&Arc<str>> {
        self.fields.get(at).map(|(name, _)| name)
    }

    /// What people see of a field's value.
    pub fn shown(&self, at: usize, value: &str) -> String {
        match self.fields.get(at).map(|(_, show)| show) {
            Some(Show::Plain) => match value.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", &value[..end]),
                None => value.to_owned(),
            },
            Some(Show::Hashed) => {
                let hash = hmac::sign(&self.key, value.as_bytes());
                hash.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
            }
            Some(Show::Masked) => {
                let is_long = value.chars().nth(MASK_FROM - 1).is_some();
                value.chars().take(if is_long { MASK_KEEPS } else { 0 }).chain("***".chars()).collect()
            }
            None => String::new(),
        }
    }
}
