//! Checks of `recent_events`.

use super::super::lock::Hidden;
use super::super::raw::RawRecentEvents;
use super::super::recent::{RecentEvents, ShownField};
use super::Checker;

/// Fewer characters can be guessed.
const SHORTEST_KEY: usize = 16;
/// More fields than this are not a summary of an event.
const MOST_FIELDS: usize = 100;

pub fn recent_events(check: &mut Checker, raw: &RawRecentEvents) -> RecentEvents {
    let named = &raw.fields.value.0;
    if named.is_empty() || named.len() > MOST_FIELDS {
        let help = "name what people may see: `fields: { endpoint: endpoint, status: status }`";
        check.error(raw.fields.place, format!("`fields` needs 1 to {MOST_FIELDS} fields"), help);
    }
    let fields = named.iter().map(|(name, field)| {
        check.identifier(name.place, &name.value, "a field that is shown");
        let shown = &field.value.0;
        let place = if shown.field.place.line > 0 { shown.field.place } else { field.place };
        let path = check.field_path(place, &shown.field.value);
        ShownField { name: name.value.clone(), path, show: shown.show.unwrap_or_default() }
    });
    let fields = fields.collect();
    if let Some(key) = raw.hash_key.as_ref() {
        check.no_quoted_reference(key.place, &key.value);
        if key.value.chars().count() < SHORTEST_KEY {
            let help = "such as `hash_key: ${STREAMGAUGE_HASH_KEY}`, with what `openssl rand -hex 16` prints";
            check.error(key.place, format!("`hash_key` has fewer than {SHORTEST_KEY} characters"), help);
        }
    }
    RecentEvents { fields, hash_key: raw.hash_key.as_ref().map(|key| Hidden(key.value.clone())) }
}
