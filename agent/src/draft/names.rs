//! What the names of fields say.

use crate::config::{FieldPath, Step};

/// The words of a name, in lower case: `requestReceivedTimestamp`, `request_time` and `log.level` have several.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower));
        if (begins || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The names of a path, without the arrays between them.
pub(super) fn keys(path: &FieldPath) -> Vec<&str> {
    let named = path.steps().iter().filter_map(|step| match step {
        Step::Key(name) => Some(name.as_str()),
        Step::Index(_) | Step::Item { .. } => None,
    });
    named.filter(|name| *name != crate::config::Each::ENCLOSING).collect()
}

/// The words of a path's last name; of its last two, if that one says nothing without the other.
pub(super) fn last_words(path: &FieldPath) -> Vec<String> {
    let keys = keys(path);
    let last = keys.last().map(|key| words(key)).unwrap_or_default();
    match (last.as_slice(), keys.len().checked_sub(2).and_then(|at| keys.get(at))) {
        ([only], Some(above)) if VAGUE.contains(&only.as_str()) => {
            words(above).into_iter().chain(last.iter().cloned()).collect()
        }
        _ => last,
    }
}

/// Words that need the name above them.
const VAGUE: [&str; 8] = ["name", "code", "type", "id", "value", "count", "time", "size"];

/// Words of names of what is behind the program itself.
pub(super) const BESIDE: [&str; 5] = ["origin", "upstream", "cache", "previous", "sub"];

/// Labels that may not be called so.
const RESERVED: [&str; 8] = ["le", "quantile", "window", "hop", "topic", "partition", "job", "instance"];

/// A name for a label or a measure made of a field, which is none of `taken`.
pub(super) fn name_of(path: &FieldPath, taken: &[String]) -> String {
    let mut name = last_words(path).join("_");
    name.retain(|c| c.is_ascii_alphanumeric() || c == '_');
    name.truncate(60);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || RESERVED.contains(&name.as_str()) {
        name = format!("event_{name}");
    }
    let mut unique = name.clone();
    let mut number = 2;
    while taken.contains(&unique) {
        unique = format!("{name}_{number}");
        number += 1;
    }
    unique
}

/// A name for a source or an aggregate.
pub(super) fn identifier(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(60).collect();
    name = name.trim_matches('_').to_owned();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("streamgauge") {
        name = format!("log_{name}");
    }
    name.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_words() {
        for (name, found) in [
            ("requestReceivedTimestamp", "request received timestamp"),
            ("request_time", "request time"),
            ("log.level", "log level"),
            ("__REALTIME_TIMESTAMP", "realtime timestamp"),
            ("EdgeStartTimestamp", "edge start timestamp"),
            ("StartUTC", "start utc"),
            ("HTTPMethod", "http method"),
            ("@t", "t"),
            ("cs(User-Agent)", "cs user agent"),
        ] {
            assert_eq!(words(name).join(" "), found, "{name}");
        }
    }

    #[test]
    fn names_of_labels_can_be_used_and_are_unique() {
        let path = |text: &str| FieldPath::parse(text).unwrap();
        assert_eq!(name_of(&path("request.method"), &[]), "method");
        assert_eq!(name_of(&path("responseStatus.code"), &[]), "response_status_code");
        assert_eq!(name_of(&path("topic"), &[]), "event_topic");
        assert_eq!(name_of(&path("method"), &["method".to_owned()]), "method_2");
        for (text, name) in
            [("nginx-strings", "nginx_strings"), ("7up", "log_7up"), ("streamgauge.x", "log_streamgauge_x")]
        {
            assert_eq!(identifier(text), name);
        }
    }
}
