//! Pure: where a task's input goes on after a restore, by its state, the group's offset, and the log.

use crate::config::{OnLoss, Start};

/// What to do with a partition that has no state.
#[derive(Clone, Copy, Debug)]
pub struct LossPolicy {
    pub on_loss: OnLoss,
    pub start: Start,
}

/// Why a task has no place in its input to go on from.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unplaced {
    #[error(
        "{task}: the group has committed offset {offset}, but the state is gone (no changelog, no state file). Set state.on_loss to earliest (count all that Kafka still has again) or continue (start anew at that offset)"
    )]
    StateLost { task: String, offset: i64 },
    #[error(
        "{task}: the state is at offset {next}, but the partition ends at {end}: the topic was made again or has lost acknowledged records. To begin anew, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    BeyondEnd { task: String, next: i64, end: i64 },
}

/// Pure: where to go on reading the input, and from which offset on to publish.
pub fn start_at(
    task: &str,
    state: Option<i64>,
    group: Option<i64>,
    first: i64,
    end: i64,
    policy: LossPolicy,
) -> Result<(i64, i64), Unplaced> {
    match (state, group) {
        (Some(next), _) if next > end => Err(Unplaced::BeyondEnd { task: task.to_owned(), next, end }),
        // The state wins over the group's offset, in both directions.
        (Some(next), group) => {
            let group = group.unwrap_or(next);
            if group != next {
                tracing::warn!(
                    task,
                    state = next,
                    group,
                    "the group's committed offset differs from the state's, which wins"
                );
            }
            Ok((next.max(first), group.min(end)))
        }
        (None, Some(offset)) => match policy.on_loss {
            OnLoss::Fail => Err(Unplaced::StateLost { task: task.to_owned(), offset }),
            OnLoss::Earliest => Ok((first, 0)),
            OnLoss::Continue => Ok((offset.clamp(first, end), 0)),
        },
        (None, None) => Ok((if policy.start == Start::Earliest { first } else { end }, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAIL: LossPolicy = LossPolicy { on_loss: OnLoss::Fail, start: Start::Earliest };

    #[test]
    fn the_state_wins_over_the_groups_offset_and_publication_waits_for_it() {
        for (state, group, expect) in [(50, 50, (50, 50)), (50, 80, (50, 80)), (50, 20, (50, 20)), (5, 20, (10, 20))] {
            let got = start_at("t/0", Some(state), Some(group), 10, 100, FAIL).unwrap();
            assert_eq!(got, expect, "state {state}, group {group}");
        }
    }

    #[test]
    fn a_state_beyond_the_end_of_its_input_is_refused() {
        assert!(matches!(start_at("t/0", Some(101), None, 0, 100, FAIL), Err(Unplaced::BeyondEnd { .. })));
    }

    #[test]
    fn a_lost_state_is_answered_as_the_config_says() {
        let with = |on_loss| start_at("t/0", None, Some(50), 10, 100, LossPolicy { on_loss, start: Start::Latest });
        assert!(matches!(with(OnLoss::Fail), Err(Unplaced::StateLost { offset: 50, .. })));
        assert_eq!(with(OnLoss::Earliest).unwrap(), (10, 0));
        assert_eq!(with(OnLoss::Continue).unwrap(), (50, 0));
    }

    #[test]
    fn a_new_task_begins_where_its_source_says() {
        let with = |start| start_at("t/0", None, None, 10, 100, LossPolicy { on_loss: OnLoss::Fail, start }).unwrap().0;
        assert_eq!((with(Start::Earliest), with(Start::Latest)), (10, 100));
    }
}
