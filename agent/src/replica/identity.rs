//! Pure: whether stored state belongs to the topics that there are now.

use std::sync::Arc;
use streamgauge_proto::storage::v1::Checkpoint;

/// Ids of a source topic and of its changelog topic; empty where the cluster gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicIds {
    pub source: Arc<str>,
    pub changelog: Arc<str>,
}

/// Why a state file may not be continued.
#[derive(Debug, PartialEq)]
pub enum Unusable {
    /// The changelog rebuilds it: a word for the metric, and a line on why.
    Discard(&'static str, String),
    /// It is the state of a topic that is gone, and so is the changelog.
    Recreated,
}

/// Up to where a state file may be believed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The changelog offset up to which it is sure what was committed: its end, as a rule.
    pub changelog: i64,
    /// What the group has committed of the input, if that tells something: with a commit's transaction, its state and its
    /// offsets are there or are not. A file that is ahead of them knows of a commit that Kafka does not have.
    pub input: Option<i64>,
}

impl Limits {
    /// Of the changelog alone.
    pub fn changelog(end: i64) -> Limits {
        Limits { changelog: end, input: None }
    }
}

/// Whether two ids are of different topics, or clusters. What an earlier version stored, and what a cluster without ids has, is empty
/// and no difference.
pub fn differ(one: &str, other: &str) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

/// Whether a file may be continued within `limits`. Gives it back with the ids known now.
pub fn usable(found: Checkpoint, expected: &Checkpoint, limits: Limits) -> Result<Checkpoint, Unusable> {
    let is_elsewhere = (&found.topic, found.partition) != (&expected.topic, expected.partition);
    if is_elsewhere || differ(&found.cluster_id, &expected.cluster_id) {
        let detail = format!("it belongs to cluster {} {}/{}", found.cluster_id, found.topic, found.partition);
        return Err(Unusable::Discard("identity", detail));
    }
    // Before the source: a file of another changelog (another group's) says nothing about this group's state.
    if differ(&found.changelog_topic_id, &expected.changelog_topic_id) {
        let detail = format!("its changelog topic had the id {}", found.changelog_topic_id);
        return Err(Unusable::Discard("identity", detail));
    }
    if differ(&found.topic_id, &expected.topic_id) {
        return Err(Unusable::Recreated);
    }
    if found.format_version < expected.format_version {
        return Err(Unusable::Discard("format", format!("it has the older format {}", found.format_version)));
    }
    let Limits { changelog, input } = limits;
    if found.changelog_offset > changelog {
        let detail = format!("it is at changelog offset {}, beyond the end {changelog}", found.changelog_offset);
        return Err(Unusable::Discard("beyond_changelog", detail));
    }
    let next = found.offset_record.as_ref().map(|record| record.next_offset);
    if let (Some(next), Some(group)) = (next, input)
        && next > group
    {
        let detail = format!("it has read its input up to {next}, and the group has committed {group}");
        return Err(Unusable::Discard("beyond_group", detail));
    }
    let known = |now: &str, before: String| if now.is_empty() { before } else { now.to_owned() };
    Ok(Checkpoint {
        cluster_id: known(&expected.cluster_id, found.cluster_id),
        topic_id: known(&expected.topic_id, found.topic_id),
        changelog_topic_id: known(&expected.changelog_topic_id, found.changelog_topic_id),
        ..found
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgauge_proto::storage::v1::OffsetRecord;

    fn checkpoint(cluster: &str, topic_id: &str, changelog_id: &str) -> Checkpoint {
        Checkpoint {
            cluster_id: cluster.into(),
            topic: "t".into(),
            changelog_offset: 7,
            topic_id: topic_id.into(),
            changelog_topic_id: changelog_id.into(),
            ..Checkpoint::default()
        }
    }

    fn reason(found: Checkpoint, mark: i64) -> Option<&'static str> {
        match usable(found, &checkpoint("c", "source", "changelog"), Limits::changelog(mark)) {
            Ok(_) => None,
            Err(Unusable::Discard(reason, _)) => Some(reason),
            Err(Unusable::Recreated) => Some("recreated"),
        }
    }

    #[test]
    fn a_file_of_the_same_topics_is_usable_up_to_the_changelogs_end() {
        assert_eq!(reason(checkpoint("c", "source", "changelog"), 7), None);
        assert_eq!(reason(checkpoint("c", "source", "changelog"), 6), Some("beyond_changelog"));
    }

    #[test]
    fn a_file_that_is_ahead_of_what_the_group_has_committed_is_rebuilt() {
        let offset_record = Some(OffsetRecord { next_offset: 50, ..OffsetRecord::default() });
        let found = Checkpoint { offset_record, ..checkpoint("c", "source", "changelog") };
        let reason = |input| match usable(found.clone(), &found, Limits { changelog: 7, input }) {
            Err(Unusable::Discard(reason, _)) => Some(reason),
            _ => None,
        };
        assert_eq!([Some(49), Some(50), Some(51), None].map(reason), [Some("beyond_group"), None, None, None]);
    }

    #[test]
    fn a_file_of_an_older_format_is_rebuilt() {
        let expected = Checkpoint { format_version: 2, ..checkpoint("c", "", "") };
        let older = Checkpoint { format_version: 1, ..expected.clone() };
        assert!(matches!(usable(older, &expected, Limits::changelog(7)), Err(Unusable::Discard("format", _))));
        assert!(usable(expected.clone(), &expected, Limits::changelog(7)).is_ok());
    }

    #[test]
    fn a_file_of_another_cluster_partition_or_changelog_is_discarded() {
        assert_eq!(reason(checkpoint("other", "source", "changelog"), 7), Some("identity"));
        assert_eq!(reason(Checkpoint { partition: 1, ..checkpoint("c", "source", "changelog") }, 7), Some("identity"));
        assert_eq!(reason(checkpoint("c", "source", "other"), 7), Some("identity"));
        assert_eq!(reason(checkpoint("c", "other", "other"), 7), Some("identity"));
    }

    #[test]
    fn a_file_of_a_source_topic_that_was_made_again_is_no_state_and_not_discarded_either() {
        assert_eq!(reason(checkpoint("c", "other", "changelog"), 7), Some("recreated"));
        assert_eq!(reason(checkpoint("c", "other", ""), 7), Some("recreated"));
    }

    #[test]
    fn an_unknown_id_is_no_difference_and_is_filled_in() {
        let (known, unknown) = (checkpoint("c", "source", "changelog"), checkpoint("", "", ""));
        assert_eq!(usable(unknown.clone(), &known, Limits::changelog(7)), Ok(known.clone()));
        assert_eq!(usable(known.clone(), &unknown, Limits::changelog(7)), Ok(known));
        assert_eq!(usable(unknown.clone(), &unknown, Limits::changelog(7)), Ok(unknown.clone()));
    }
}
