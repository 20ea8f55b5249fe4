//! Alerts on measures of what is unusual: that there is more of it than there was.

use super::Options;
use super::rule::{Alert, Group, Rule, Severity};
use super::subject::{Subject, rate};
use crate::config::Measure;

/// How much larger than an hour ago the share of unusual values has to be.
const JUMP: f64 = 0.05;
/// Values per second of a key below which a share says little: thirty within the range.
const LEAST: f64 = 0.1;
const RANGE: &str = "5m";

/// An alert for each measure of anomalies whose aggregate counts its events; none: there is no such measure.
pub fn group(source: &str, subjects: &[Subject], options: &Options) -> Option<Group> {
    let alerts = subjects.iter().flat_map(|subject| {
        let count = subject.count();
        subject.anomalies().filter_map(move |measure| Some(alert(source, subject, measure, count?, options)))
    });
    let rules: Vec<Rule> = alerts.map(Rule::Alert).collect();
    (!rules.is_empty()).then(|| Group { name: format!("{source}-anomalies"), rules })
}

fn alert(source: &str, subject: &Subject, measure: &Measure, count: &Measure, options: &Options) -> Alert {
    let families = subject.aggregate.total_families(measure);
    let unusual = families.iter().map(|(_, family)| rate(&family.sample_names().concat(), RANGE));
    let unusual = unusual.collect::<Vec<_>>().join("\n    + ");
    let all = rate(&format!("{}_total", subject.family(count).name), RANGE);
    let share = format!("  (\n    {unusual}\n  )\n  / (\n    {all} > {LEAST}\n  )");
    let then = share.replace(&format!("[{RANGE}]"), &format!("[{RANGE}] offset 1h"));
    let shown: Vec<String> = subject.labels().iter().map(|label| format!("{{{{ $labels.{label} }}}}")).collect();
    let of = if shown.is_empty() { subject.aggregate.name.clone() } else { shown.join(" ") };
    let name = &measure.name;
    Alert {
        name: "AnomaliesJumped",
        expr: format!("(\n{share}\n)\n- (\n{then}\n) > {JUMP}"),
        hold: "5m",
        keep: "5m",
        severity: Severity::Warning,
        summary: format!("{of}: {{{{ $value | humanizePercentage }}}} more is unusual ({name}) than an hour ago"),
        description: format!(
            "Of the values that {name} of {} looks at for {of}, {{{{ $value | humanizePercentage }}}} more than an hour ago are \
             unusual for it.",
            subject.aggregate.name
        ),
        runbook_url: options.runbook("anomalies"),
        dashboard_url: options.dashboard(&super::uid::of_source(source)),
    }
}
