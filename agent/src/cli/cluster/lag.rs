//! `streamgauge cluster lag`.

use super::ask::Asker;
use super::{Output, Show, Shown, Target, client, columns};
use crate::human;
use clap::ValueEnum;
use streamgauge_proto::v1 as pb;

#[derive(clap::Args)]
pub struct LagArgs {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub show: Show,
    /// Only groups whose whole name matches this regular expression.
    #[arg(long, value_name = "REGEX", default_value = "", hide_default_value = true)]
    group: String,
    /// Only topics whose whole name matches this regular expression.
    #[arg(long, value_name = "REGEX", default_value = "", hide_default_value = true)]
    topic: String,
    /// One row for each.
    #[arg(long, value_enum, default_value_t = By::Topic)]
    by: By,
    /// Exit code 2 if a group is behind by more messages than this, or by an unknown number.
    #[arg(long, value_name = "MESSAGES")]
    max_lag: Option<u64>,
    /// Exit code 2 if a group is behind by more seconds than this, or by an unknown time.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    Group,
    Topic,
    Partition,
}

pub async fn ask(asker: &mut Asker, args: &LagArgs) -> anyhow::Result<Shown> {
    let mut answer = match args.by {
        By::Partition => asker.groups_in_full(&args.group, &args.topic).await?,
        By::Topic | By::Group => asker.groups(&args.group, &args.topic).await?,
    };
    let text = match args.show.output {
        Output::Table => table(&answer.groups, args.by),
        Output::Json => {
            if args.by == By::Group {
                answer.groups.iter_mut().for_each(|group| group.topics.clear());
            }
            client::pretty("ListConsumerGroupsResponse", &answer)?
        }
    };
    let well = answer.groups.iter().all(|group| holds(group, args.max_lag, args.max_seconds));
    Ok(Shown { text, well })
}

/// Whether a group is within the limits that were given.
fn holds(group: &pb::ConsumerGroup, max_lag: Option<u64>, max_seconds: Option<f64>) -> bool {
    max_lag.is_none_or(|max| group.lag_messages.is_some_and(|lag| lag <= max))
        && max_seconds.is_none_or(|max| group.lag_seconds.is_some_and(|seconds| seconds <= max))
}

fn messages(lag: Option<u64>) -> String {
    lag.map_or_else(|| "?".to_owned(), human::count)
}

fn age(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "?".to_owned(), human::seconds)
}

fn table(groups: &[pb::ConsumerGroup], by: By) -> String {
    if groups.is_empty() {
        return "no consumer groups\n".to_owned();
    }
    let offset = |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
    let mut rows = Vec::new();
    for group in groups {
        let members = group.member_count.to_string();
        match by {
            By::Group => rows.push(vec![
                group.name.clone(),
                group.r#type.clone(),
                group.state.clone(),
                members,
                messages(group.lag_messages),
                age(group.lag_seconds),
            ]),
            By::Topic if !group.lag_unknown_because.is_empty() => {
                let name = [group.name.clone(), group.state.clone(), members, "-".to_owned()];
                rows.push(name.into_iter().chain(["-", "?", "?"].map(str::to_owned)).collect());
            }
            By::Topic => {
                for topic in &group.topics {
                    rows.push(vec![
                        group.name.clone(),
                        group.state.clone(),
                        members.clone(),
                        topic.topic.clone(),
                        topic.partition_count.to_string(),
                        messages(topic.lag_messages),
                        age(topic.lag_seconds),
                    ]);
                }
            }
            By::Partition => {
                for (topic, p) in group.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
                    let unused = p.current_offset.is_none();
                    rows.push(vec![
                        group.name.clone(),
                        topic.topic.clone(),
                        p.partition.to_string(),
                        offset(p.current_offset),
                        offset(p.log_end_offset),
                        if unused { "-".to_owned() } else { messages(p.lag_messages) },
                        if unused { "-".to_owned() } else { age(p.lag_seconds) },
                        p.member.clone(),
                        note(p),
                    ]);
                }
            }
        }
    }
    let (head, right): (&[&str], &[usize]) = match by {
        By::Group => (&["GROUP", "TYPE", "STATE", "MEMBERS", "LAG", "BEHIND"], &[3, 4, 5]),
        By::Topic => (&["GROUP", "STATE", "MEMBERS", "TOPIC", "PARTITIONS", "LAG", "BEHIND"], &[2, 4, 5, 6]),
        By::Partition => {
            (&["GROUP", "TOPIC", "PARTITION", "OFFSET", "END", "LAG", "BEHIND", "MEMBER", "NOTE"], &[2, 3, 4, 5, 6])
        }
    };
    rows.insert(0, head.iter().map(|text| text.to_string()).collect());
    let unknown = groups.iter().filter(|group| !group.lag_unknown_because.is_empty());
    let unknown = unknown.map(|group| format!("{}: lag unknown: {}\n", group.name, group.lag_unknown_because));
    columns(&rows, right) + &unknown.collect::<String>()
}

/// What is wrong with a group's offset in a partition; empty: nothing.
fn note(partition: &pb::PartitionLag) -> String {
    match partition {
        pb::PartitionLag { beyond_end: true, .. } => "beyond the log's end: was the topic made again?".to_owned(),
        pb::PartitionLag { lost_messages: 0, .. } => String::new(),
        pb::PartitionLag { lost_messages, .. } => format!("{} deleted unread", human::count(*lost_messages)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_only_for_a_lag_that_is_known() {
        let group = |lag: Option<u64>, seconds: Option<f64>| pb::ConsumerGroup {
            lag_messages: lag,
            lag_seconds: seconds,
            ..Default::default()
        };
        assert!(holds(&group(None, None), None, None));
        assert!(holds(&group(Some(10), None), Some(10), None));
        assert!(!holds(&group(Some(11), None), Some(10), None));
        assert!(!holds(&group(None, None), Some(10), None));
        assert!(!holds(&group(Some(0), Some(3.0)), Some(10), Some(2.5)));
    }
}
