//! The service level objective of a source: how many requests may fail, and alerts on how fast that budget burns.
//!
//! Two windows stand behind each alert: the long one says that it matters, the short one that it goes on.

use super::Options;
use super::rule::{Alert, Group, Rule, Severity};
use super::subject::{Subject, WITHOUT, level};

/// Ranges over which error ratios are recorded.
pub const RANGES: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// An alert on how fast the budget burns.
pub struct Burn {
    alert: &'static str,
    /// Times as fast as would use up the budget exactly.
    pub factor: f64,
    pub short: &'static str,
    pub long: &'static str,
    hold: &'static str,
    severity: Severity,
    /// What is left of the budget if it goes on so, for a budget of 30 days.
    gone_in: &'static str,
}

/// The fastest first; the figures are of the Site Reliability Workbook (chapter 5, table 5-8).
pub const BURNS: [Burn; 4] = [
    Burn {
        alert: "ErrorBudgetBurn14x",
        factor: 14.4,
        short: "5m",
        long: "1h",
        hold: "",
        severity: Severity::Critical,
        gone_in: "2 days",
    },
    Burn {
        alert: "ErrorBudgetBurn6x",
        factor: 6.0,
        short: "30m",
        long: "6h",
        hold: "5m",
        severity: Severity::Critical,
        gone_in: "5 days",
    },
    Burn {
        alert: "ErrorBudgetBurn3x",
        factor: 3.0,
        short: "2h",
        long: "1d",
        hold: "15m",
        severity: Severity::Warning,
        gone_in: "10 days",
    },
    Burn {
        alert: "ErrorBudgetBurn1x",
        factor: 1.0,
        short: "6h",
        long: "3d",
        hold: "1h",
        severity: Severity::Warning,
        gone_in: "30 days",
    },
];

/// What is counted as a failed request, and out of which.
pub struct Sli {
    /// What the recorded series are called after the level.
    pub metric: String,
    bad: String,
    all: String,
    /// The label that is summed away because it says what failed.
    status: Option<String>,
    pub labels: Vec<String>,
    pub in_words: String,
}

impl Sli {
    /// Answers with a status of 500 and above, if an aggregate has a status label; else the first measure that counts
    /// errors. None if there is neither, or nothing that it is a share of.
    pub fn find(subjects: &[Subject]) -> Option<Sli> {
        subjects.iter().find_map(Sli::by_status).or_else(|| subjects.iter().find_map(Sli::by_measure))
    }

    fn by_status(subject: &Subject) -> Option<Sli> {
        let (status, count) = (subject.status_label()?, subject.count()?);
        let family = subject.family(count).name;
        Some(Sli {
            metric: format!("{family}_server_errors"),
            bad: format!("{family}_total{{{status}=~\"5..\"}}"),
            all: format!("{family}_total"),
            status: Some(status.to_owned()),
            labels: subject.labels().into_iter().filter(|label| *label != status).map(str::to_owned).collect(),
            in_words: format!("answered with a {status} of 500 or above"),
        })
    }

    fn by_measure(subject: &Subject) -> Option<Sli> {
        let (errors, count) = (subject.errors()?, subject.count()?);
        let bad = subject.family(errors).name;
        Some(Sli {
            in_words: format!("counted as {}", errors.name),
            metric: bad.clone(),
            bad: format!("{bad}_total"),
            all: format!("{}_total", subject.family(count).name),
            status: None,
            labels: subject.labels().into_iter().map(str::to_owned).collect(),
        })
    }

    /// The recorded error ratio over `range`.
    pub fn ratio(&self, range: &str) -> String {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        format!("{}:{}:error_ratio_rate{range}", level(&labels), self.metric)
    }

    /// The ratio over `range`, from the raw counters; 0, not absent, where nothing has failed yet.
    pub fn ratio_expr(&self, range: &str) -> String {
        let without = self.status.as_ref().map_or(WITHOUT.to_owned(), |status| format!("{WITHOUT}, {status}"));
        let rate = |selector: &str| format!("sum without ({without}) (rate({selector}[{range}]))");
        let (bad, all) = (rate(&self.bad), rate(&self.all));
        format!("(\n  {bad}\n  or\n  0 * {all}\n)\n/\n({all} > 0)")
    }

    pub fn recording(&self, source: &str) -> Group {
        let record = |range: &&str| Rule::Record { name: self.ratio(range), expr: self.ratio_expr(range) };
        Group { name: format!("{source}-slo"), rules: RANGES.iter().map(record).collect() }
    }

    pub fn alerts(&self, source: &str, options: &Options) -> Group {
        let rules = BURNS.iter().map(|burn| Rule::Alert(self.alert(source, burn, options))).collect();
        Group { name: format!("{source}-slo-alerts"), rules }
    }

    fn alert(&self, source: &str, burn: &Burn, options: &Options) -> Alert {
        let limit = rounded(burn.factor * (100.0 - options.objective) / 100.0);
        let shown: Vec<String> = self.labels.iter().map(|label| format!("{{{{ $labels.{label} }}}}")).collect();
        let of = if shown.is_empty() { source.to_owned() } else { shown.join(" ") };
        let Burn { short, long, factor, .. } = burn;
        Alert {
            name: burn.alert,
            expr: format!("{} > {limit}\nand\n{} > {limit}", self.ratio(short), self.ratio(long)),
            hold: burn.hold,
            keep: "",
            severity: burn.severity,
            summary: format!("{of}: the error budget burns {factor} times too fast"),
            description: format!(
                "{{{{ $value | humanizePercentage }}}} of the requests of the last {short} were {}, and more than {} of \
                 those of the last {long}; the objective is {} % without. A month's budget is gone in {}.",
                self.in_words,
                percent(limit),
                options.objective,
                burn.gone_in,
            ),
            runbook_url: options.runbook("error-budget-burn"),
            dashboard_url: options.dashboard(super::uid::SLO_UID),
        }
    }
}

fn percent(ratio: f64) -> String {
    format!("{} %", rounded(ratio * 100.0))
}

/// Without the noise of binary fractions: 14.4 times 0.05 is 0.72.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
