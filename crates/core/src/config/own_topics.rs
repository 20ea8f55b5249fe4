//! Names of the topics that a group keeps beside its source topics.

/// Kafka's longest topic name.
pub(super) const LONGEST_NAME: usize = 249;

const DEAD_LETTERS: &str = "-dlq";

/// Whether Kafka takes this as the name of a topic.
pub(super) fn is_topic_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && sanitized(name) == name && name != "." && name != ".."
}

/// Name of the topic that backs up the tasks of `topic` for `group`: characters that Kafka refuses are replaced.
pub fn changelog_topic(group: &str, topic: &str) -> String {
    let name = sanitized(&whole_changelog_name(group, topic));
    if name.len() <= LONGEST_NAME {
        return name;
    }
    // Cut, with a hash of the whole so that two long names stay apart.
    let hash = format!("-{:016x}-changelog", xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
    format!("{}{hash}", &name[..LONGEST_NAME - hash.len()])
}

/// The same as it would be if Kafka took any name.
pub(super) fn whole_changelog_name(group: &str, topic: &str) -> String {
    format!("streamgauge-{group}-{topic}-changelog")
}

/// With `_` for each character that Kafka allows in no topic's name.
pub fn sanitized(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    name.chars().map(allowed).collect()
}

/// Name of a topic's dead-letter topic.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}{DEAD_LETTERS}")
}

/// The topic whose dead letters are in `name`, if it has the name of a dead-letter topic.
pub fn letters_of(name: &str) -> Option<&str> {
    name.strip_suffix(DEAD_LETTERS)
}

/// Whether a topic has the name of one that agents make: no pattern means these.
pub fn is_own_topic(topic: &str) -> bool {
    letters_of(topic).is_some() || (topic.starts_with("streamgauge-") && topic.ends_with("-changelog"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelogs_name_is_one_that_kafka_takes() {
        assert_eq!(changelog_topic("streamgauge", "log-events"), "streamgauge-streamgauge-log-events-changelog");
        assert_eq!(changelog_topic("a b/c", "t"), "streamgauge-a_b_c-t-changelog");
        let (one, two) = (changelog_topic(&"g".repeat(300), "t"), changelog_topic(&"g".repeat(300), "u"));
        assert!(one.len() <= LONGEST_NAME && one != two && one.ends_with("-changelog"));
    }

    #[test]
    fn the_agents_own_topics_are_known_by_name() {
        assert!(is_own_topic(&changelog_topic("g", "t")) && is_own_topic(&dead_letter_topic("t")));
        assert!(!is_own_topic("orders") && !is_own_topic("orders-changelog"));
        assert_eq!(letters_of(&dead_letter_topic("t")), Some("t"));
    }
}
