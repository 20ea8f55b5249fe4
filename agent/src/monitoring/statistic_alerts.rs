//! Alerts on measures that are more than counts: fewer sessions, many more different items, an item that has come to have much
//! more of all. Each compares with an hour ago, so that none needs to be told what is usual.

use super::Options;
use super::rule::{Alert, Group, Rule, Severity};
use super::subject::Subject;
use super::uid::of_source;
use crate::config::{Measure, format_duration};

/// What is left of the sessions of an hour ago.
const FEWER: f64 = 0.5;
/// Closed sessions per second below which their number says little.
const LEAST_SESSIONS: f64 = 0.1;
/// How many times as many different items as an hour ago.
const TIMES: f64 = 3.0;
/// Fewer different items than this in a window are few anyway.
const LEAST_ITEMS: f64 = 20.0;
/// How much more of all events one item has.
const JUMP: f64 = 0.2;
/// Events in a window below which a share says little.
const LEAST_EVENTS: f64 = 20.0;
/// Over which windows are taken together.
const RANGE: &str = "10m";

/// An alert for each such measure that its series can carry; none: there is no such measure.
pub fn group(source: &str, subjects: &[Subject], options: &Options) -> Option<Group> {
    let of = |subject: &Subject| {
        let sessions = subject.sessions().map(|measure| sessions(source, subject, measure, options));
        let distinct = subject.estimates().filter_map(|measure| distinct(source, subject, measure, options));
        let top = subject.rankings().filter_map(|measure| top(source, subject, measure, options));
        sessions.chain(distinct).chain(top).collect::<Vec<_>>()
    };
    let rules: Vec<Rule> = subjects.iter().flat_map(of).map(Rule::Alert).collect();
    (!rules.is_empty()).then(|| Group { name: format!("{source}-statistics"), rules })
}

/// Over all keys: those of sessions are users, and each has few.
fn sessions(source: &str, subject: &Subject, measure: &Measure, options: &Options) -> Alert {
    let counter = format!("{}_total", subject.family(measure).name);
    let then = format!("sum (rate({counter}[30m] offset 1h))");
    let name = &subject.aggregate.name;
    Alert {
        name: "SessionsFell",
        expr: format!("sum (rate({counter}[30m]))\n< {FEWER} * {then}\nand {then} > {LEAST_SESSIONS}"),
        hold: "10m",
        keep: "10m",
        severity: Severity::Warning,
        summary: format!("{name}: fewer than half as many sessions end as an hour ago"),
        description: format!(
            "{{{{ $value | humanize }}}} sessions of {name} end in a second, fewer than half of those of an hour ago."
        ),
        runbook_url: options.runbook("sessions-fell"),
        dashboard_url: options.dashboard(&of_source(source)),
    }
}

/// `None`: no window shows it.
fn distinct(source: &str, subject: &Subject, measure: &Measure, options: &Options) -> Option<Alert> {
    let [now, then] = ["", " offset 1h"].map(|offset| windowed(subject, measure, &[], offset));
    let (now, then) = (now?, then?);
    let (name, of) = (&measure.name, key(subject));
    Some(Alert {
        name: "DistinctJumped",
        expr: format!("{now}\n> {TIMES} * {then}\nand {now} > {LEAST_ITEMS}"),
        hold: "5m",
        keep: "5m",
        severity: Severity::Warning,
        summary: format!("{of}: more than three times as many different {name} as an hour ago"),
        description: format!(
            "A window of {} of {of} has {{{{ $value | humanize }}}} different {name}, more than three times as many as an hour \
             ago.",
            window(subject)
        ),
        runbook_url: options.runbook("distinct-jumped"),
        dashboard_url: options.dashboard(&of_source(source)),
    })
}

/// `None`: no window shows it, or it is ranked by something that has no sum to be a share of.
fn top(source: &str, subject: &Subject, measure: &Measure, options: &Options) -> Option<Alert> {
    if measure.weight.is_some() {
        return None;
    }
    let (item, count) = (measure.label.as_str(), subject.count()?);
    let labels = subject.labels().join(", ");
    let [now, then] = ["", " offset 1h"].map(|offset| windowed(subject, measure, &[item], offset));
    let [all_now, all_then] = ["", " offset 1h"].map(|offset| windowed(subject, count, &[], offset));
    let (now, then, all_now, all_then) = (now?, then?, all_now?, all_then?);
    let of_all = format!("/ on ({labels}) group_left ()");
    let (name, of) = (&measure.name, key(subject));
    Some(Alert {
        name: "TopItemJumped",
        // What was not among the top then had nothing worth a word.
        expr: format!(
            "(\n  {now}\n  {of_all} ({all_now} > {LEAST_EVENTS})\n)\n\
             - (\n  {then}\n  {of_all} {all_then}\n  or 0 * {now}\n) > {JUMP}\n\
             and on ({labels}) {all_then} > {LEAST_EVENTS}"
        ),
        hold: "5m",
        keep: "5m",
        severity: Severity::Warning,
        summary: format!(
            "{of}: {{{{ $labels.{item} }}}} has {{{{ $value | humanizePercentage }}}} more of all {} than an hour ago",
            count.name
        ),
        description: format!(
            "Of the {name} of {of}, {{{{ $labels.{item} }}}} has {{{{ $value | humanizePercentage }}}} more of all {} in a \
             window of {} than an hour ago.",
            count.name,
            window(subject)
        ),
        runbook_url: options.runbook("top-item-jumped"),
        dashboard_url: options.dashboard(&of_source(source)),
    })
}

/// What the first kind of closed windows shows of a measure, by the aggregate's labels and these.
fn windowed(subject: &Subject, measure: &Measure, more: &[&str], offset: &str) -> Option<String> {
    let first = subject.aggregate.windows.first()?;
    let (_, family) = subject.aggregate.window_families(measure).into_iter().next()?;
    let labels: Vec<&str> = subject.labels().into_iter().chain(more.iter().copied()).collect();
    let by = if labels.is_empty() { String::new() } else { format!("by ({}) ", labels.join(", ")) };
    let (size, hop) = (format_duration(first.size), format_duration(first.hop));
    let selector = format!("{}{{window=\"{size}\", hop=\"{hop}\"}}", family.name);
    Some(format!("max {by}(avg_over_time({selector}[{RANGE}]{offset}))"))
}

fn window(subject: &Subject) -> String {
    subject.aggregate.windows.first().map(ToString::to_string).unwrap_or_default()
}

/// What an alert is about, for people: the values of its labels, or the aggregate.
fn key(subject: &Subject) -> String {
    let name = &subject.aggregate.name;
    let labels = subject.labels().into_iter().map(|label| format!(" {{{{ $labels.{label} }}}}"));
    format!("{name}{}", labels.collect::<String>())
}
