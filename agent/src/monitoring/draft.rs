//! How alerts are written down in this room.

use super::Options;
use super::rule::{Alert, Severity};

/// What differs from one alert to the next.
pub struct Draft {
    pub name: &'static str,
    pub expr: String,
    pub hold: &'static str,
    pub keep: &'static str,
    pub severity: Severity,
    pub summary: &'static str,
    pub description: &'static str,
    pub page: &'static str,
}

impl Draft {
    fn finish(self, options: &Options, dashboard: &str) -> Alert {
        Alert {
            name: self.name,
            expr: self.expr,
            hold: self.hold,
            keep: self.keep,
            severity: self.severity,
            summary: self.summary.to_owned(),
            description: self.description.to_owned(),
            runbook_url: options.runbook(self.page),
            dashboard_url: options.dashboard(dashboard),
        }
    }
}

/// The alerts, with the dashboard that they lead to.
pub fn finished<const N: usize>(drafts: [Draft; N], options: &Options, dashboard: &str) -> Vec<Alert> {
    drafts.into_iter().map(|draft| draft.finish(options, dashboard)).collect()
}

/// A counter that appears with its first increment has no increase: it was absent before, which counts as well.
pub fn any_in_an_hour(counter: &str, label: &str) -> String {
    format!("sum by (job, {label}) (\n  ({counter} unless {counter} offset 1h)\n  or\n  increase({counter}[1h])\n) > 0")
}
