//! The draft as text: a config with comments that say what was measured.

use std::fmt::Write as _;

use super::labels::Label;
use super::layout::Layout;
use super::measures::{Errors, Measure};
use super::names::identifier;
use super::times::{Time, list};
use super::yaml::scalar;
use crate::sample::Summary;

/// What the config is called after, and says of itself.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The topic that its source reads.
    pub topic: String,
    /// Where Kafka is, as the config has it: brokers, or a `${VAR}`.
    pub bootstrap_servers: String,
    /// The command's options that name the sample: `--sample FILE`.
    pub sample: String,
    /// The config's own file.
    pub file: String,
}

/// What was found.
pub(super) struct Found<'a> {
    pub layout: Layout,
    pub time: Time,
    pub labels: Vec<Label>,
    pub measures: Vec<Measure>,
    pub errors: Option<Errors>,
    pub summary: &'a Summary,
}

/// The whole config.
pub(super) fn config(subject: &Subject, found: &Found<'_>) -> String {
    let Found { layout, time, labels, measures, errors, summary } = found;
    let name = identifier(&subject.topic);
    let events = summary.events;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "# Drafted from {} records: {}.\n#\n\
         #   streamgauge validate -c {file} {}    what becomes of each record\n\
         #   streamgauge run -c {file}\n\n\
         kafka:\n  bootstrap_servers: {}\n  # Agents with the same group share the topic's partitions.\n  group_id: streamgauge\n\n\
         sources:\n  {name}:\n    topics: [{}]\n",
        summary.records,
        what_became(summary),
        subject.sample,
        subject.bootstrap_servers,
        scalar(&subject.topic),
        file = subject.file,
    );
    let timestamp = format!("{}{}", time_comment(time, events), time.keys());
    out += &layout.source_keys(&timestamp);
    let _ = write!(out, "\naggregates:\n  {name}:\n    source: {name}\n");
    out += &labels_text(labels, events);
    out += "    windows: [1m]\n    measures:\n";
    out += &measures_text(labels, measures, errors.as_ref(), events);
    out += "\nstate: { dir: ./state }                # a cache that makes restarts fast; the truth is in Kafka\n";
    out += "http: { listen: 127.0.0.1:9746 }      # /metrics, /-/healthy, /-/ready\n";
    out
}

fn what_became(summary: &Summary) -> String {
    let mut parts = vec![format!("{} events", summary.events)];
    parts.extend(summary.passed_by.iter().map(|(reason, records)| format!("{records} that pass by ({reason})")));
    parts.extend(
        summary.dead_letters.iter().map(|(reason, records)| format!("{records} that cannot be read ({reason})")),
    );
    parts.join(", ")
}

fn time_comment(time: &Time, events: u64) -> String {
    let mut lines = Vec::new();
    if time.of_format {
        lines.push("The event time is the format's own.".to_owned());
    }
    if time.entries.is_empty() && !time.of_format {
        lines.push("No field was taken for the event time: it is the record's own.".to_owned());
    } else if time.without > 0 {
        lines.push(format!("{} of {events} events have none there: for these it is the record's own.", time.without));
    }
    if time.zoneless {
        lines.push("Times that do not say their zone are those of UTC: `zone: Europe/Berlin` is another.".to_owned());
    }
    if !time.others.is_empty() {
        let some = &time.others[..time.others.len().min(6)];
        lines.push(format!("Other fields with times: {}.", list(some)));
    }
    lines.into_iter().map(|line| format!("    # {line}\n")).collect()
}

/// A line of the config with its comment behind it.
fn line(out: &mut String, off: bool, text: &str, comment: &str) {
    let mark = if off { "# " } else { "" };
    let text = format!("      {mark}{text}");
    let _ = writeln!(out, "{text:<58}  # {comment}");
}

fn labels_text(labels: &[Label], events: u64) -> String {
    if labels.is_empty() {
        return "    # by: { label: field }\n".to_owned();
    }
    let mut out = match labels.iter().any(|label| label.taken) {
        true => "    by:\n".to_owned(),
        false => "    # by:\n".to_owned(),
    };
    let (taken, others): (Vec<_>, Vec<_>) = labels.iter().partition(|label| label.taken);
    for label in taken.iter().chain(&others) {
        let values = if label.values == 1 { "1 value".to_owned() } else { format!("{} values", label.values) };
        let empty =
            if label.empty > 0 { format!(", empty in {} of {events} events", label.empty) } else { String::new() };
        line(&mut out, !label.taken, &format!("{}: {}", label.name, label.made_of()), &format!("{values}{empty}"));
    }
    out
}

fn measures_text(labels: &[Label], measures: &[Measure], errors: Option<&Errors>, events: u64) -> String {
    let has = |words: &[&str]| {
        labels
            .iter()
            .filter(|label| label.taken && 2 * label.empty <= events)
            .any(|label| words.iter().any(|word| label.name.split('_').any(|part| part == *word)))
    };
    let count = if has(&["method", "verb"]) {
        "requests"
    } else if has(&["level", "severity", "logger"]) {
        "lines"
    } else {
        "events"
    };
    let mut out = format!("      {count}: count\n");
    if let Some(Errors { condition, held }) = errors {
        let text = format!("errors: {{ count: {{ where: {{ {condition} }} }} }}");
        let comment = if *held == 0 { "none in the sample".to_owned() } else { format!("{held} of {events} events") };
        line(&mut out, *held == 0, &text, &comment);
    }
    let (taken, others): (Vec<_>, Vec<_>) = measures.iter().partition(|measure| measure.taken);
    for measure in taken.iter().chain(&others) {
        let mut comment = format!("in {} of {events} events", measure.measured);
        if measure.least <= measure.most {
            let _ = write!(comment, ", {} to {}", measure.least, measure.most);
        }
        if !measure.why.is_empty() {
            let _ = write!(comment, "; the unit: {}", measure.why);
        }
        line(&mut out, !measure.taken, &format!("{}: {}", measure.name, measure.body()), &comment);
    }
    out
}
