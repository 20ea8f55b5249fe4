//! Prometheus rules and their YAML. The shape is so small that it is written by hand: expressions stay readable, a line
//! each, which no serializer promises.

use std::fmt::Write;

pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

pub enum Rule {
    Record { name: String, expr: String },
    Alert(Alert),
}

/// How loud an alert is; what Alertmanager routes by.
#[derive(Clone, Copy)]
pub enum Severity {
    /// Wakes somebody.
    Critical,
    /// Somebody looks at it today.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}

pub struct Alert {
    pub name: &'static str,
    pub expr: String,
    /// `for`: how long it must hold; empty for at once.
    pub hold: &'static str,
    /// `keep_firing_for`; empty for not at all.
    pub keep: &'static str,
    pub severity: Severity,
    pub summary: String,
    pub description: String,
    pub runbook_url: String,
    pub dashboard_url: String,
}

/// The rule file.
pub fn yaml(groups: &[Group]) -> String {
    let mut out = String::from("groups:\n");
    // Writing to a string cannot fail.
    for group in groups {
        let _ = write!(out, "  - name: {}\n    rules:\n", group.name);
        for rule in &group.rules {
            match rule {
                Rule::Record { name, expr } => {
                    let _ = writeln!(out, "      - record: {name}");
                    expression(&mut out, expr);
                }
                Rule::Alert(alert) => write_alert(&mut out, alert),
            }
        }
    }
    out
}

fn write_alert(out: &mut String, alert: &Alert) {
    let _ = writeln!(out, "      - alert: {}", alert.name);
    expression(out, &alert.expr);
    for (key, value) in [("for", alert.hold), ("keep_firing_for", alert.keep)] {
        if !value.is_empty() {
            let _ = writeln!(out, "        {key}: {value}");
        }
    }
    let _ = writeln!(out, "        labels:\n          severity: {}\n        annotations:", alert.severity.word());
    let annotations = [
        ("summary", &alert.summary),
        ("description", &alert.description),
        ("runbook_url", &alert.runbook_url),
        ("dashboard_url", &alert.dashboard_url),
    ];
    for (key, value) in annotations {
        let _ = writeln!(out, "          {key}: {}", quoted(value));
    }
}

fn expression(out: &mut String, expr: &str) {
    out.push_str("        expr: |-\n");
    for line in expr.lines() {
        let _ = writeln!(out, "          {line}");
    }
}

/// A YAML scalar in double quotes; JSON's are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_quotes_and_colons_stays_one_scalar() {
        assert_eq!(quoted("a: \"b\" {{ $labels.c }}"), r#""a: \"b\" {{ $labels.c }}""#);
    }

    #[test]
    fn an_expression_keeps_its_lines() {
        let group =
            Group { name: "g".into(), rules: vec![Rule::Record { name: "a:b".into(), expr: "x\n/\ny".into() }] };
        let expected = "groups:\n  - name: g\n    rules:\n      - record: a:b\n        expr: |-\n          x\n          /\n          y\n";
        assert_eq!(yaml(&[group]), expected);
    }
}
