//! A dashboard: rows of panels, variables, links to the others, annotations.

use serde_json::{Value, json};

use super::panel::{Look, Panel, datasource};

/// What all dashboards of this house are found by.
const TAG: &str = "streamgauge";
const COLUMNS: u32 = 24;

pub struct Board {
    uid: String,
    title: String,
    description: String,
    /// Name, and the query that lists its values.
    variables: Vec<(String, String)>,
    rows: Vec<(String, Vec<Panel>)>,
}

impl Board {
    pub fn new(uid: &str, title: &str, description: &str) -> Board {
        Board {
            uid: uid.to_owned(),
            title: title.to_owned(),
            description: description.to_owned(),
            variables: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// A variable with the values that `label` has in `metric`'s series; any number of them can be chosen.
    pub fn variable(mut self, label: &str, metric: &str) -> Board {
        if self.variables.iter().all(|(name, _)| name != label) {
            self.variables.push((label.to_owned(), format!("label_values({metric}, {label})")));
        }
        self
    }

    pub fn row(mut self, title: impl Into<String>, panels: Vec<Panel>) -> Board {
        if !panels.is_empty() {
            self.rows.push((title.into(), panels));
        }
        self
    }

    pub fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": 42,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "10s",
            "time": { "from": "now-1h", "to": "now" },
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "links": [{
                "title": "Streamgauge", "type": "dashboards", "tags": [TAG], "asDropdown": true, "icon": "external link",
                "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "The other dashboards", "url": "",
            }],
            "annotations": { "list": annotations() },
            "templating": { "list": self.variables_json() },
            "panels": self.panels_json(),
        })
    }

    /// Rows below each other; panels from left to right.
    fn panels_json(&self) -> Vec<Value> {
        let mut out = Vec::new();
        let mut y = 0;
        for (title, panels) in &self.rows {
            let grid = json!({ "x": 0, "y": y, "w": COLUMNS, "h": 1 });
            out.push(json!({ "id": out.len() + 1, "type": "row", "title": title, "collapsed": false, "gridPos": grid, "panels": [] }));
            y += 1;
            for line in lines(panels) {
                let mut x = 0;
                for (panel, width) in line.iter().zip(widths(line.len() as u32)) {
                    out.push(panel.json(out.len() + 1, x, y, width));
                    x += width;
                }
                y += line.iter().map(Panel::height).max().unwrap_or_default();
            }
        }
        out
    }

    fn variables_json(&self) -> Vec<Value> {
        let source = json!({
            "name": "datasource", "type": "datasource", "label": "Data source", "query": "prometheus", "hide": 0,
            "includeAll": false, "multi": false, "refresh": 1, "regex": "", "skipUrlSync": false,
        });
        let of_label = |(name, query): &(String, String)| {
            json!({
                "name": name, "type": "query", "label": name, "datasource": datasource(),
                "query": { "query": query, "refId": name },
                "includeAll": true, "allValue": ".*", "multi": true, "current": { "text": ["All"], "value": ["$__all"] },
                "refresh": 2, "sort": 1, "regex": "", "hide": 0, "skipUrlSync": false,
            })
        };
        [source].into_iter().chain(self.variables.iter().map(of_label)).collect()
    }
}

/// The lines of a row: numbers in one; of the others three to a line, and two to the last ones where three leave a gap.
fn lines(panels: &[Panel]) -> Vec<&[Panel]> {
    if panels.iter().all(|panel| panel.look == Look::Stat) {
        return vec![panels];
    }
    let in_pairs = match panels.len() % 3 {
        0 => 0,
        1 => panels.len().min(4),
        _ => 2,
    };
    let (threes, pairs) = panels.split_at(panels.len() - in_pairs);
    threes.chunks(3).chain(pairs.chunks(2)).collect()
}

/// Widths that fill a line.
fn widths(panels: u32) -> impl Iterator<Item = u32> {
    (0..panels).map(move |n| COLUMNS / panels + u32::from(n < COLUMNS % panels))
}

/// What happened meanwhile: alerts that fired, and partitions that moved.
fn annotations() -> Vec<Value> {
    let builtin = json!({
        "name": "Annotations & Alerts", "builtIn": 1, "type": "dashboard", "enable": true, "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)", "datasource": { "type": "grafana", "uid": "-- Grafana --" },
    });
    let of = |name: &str, color: &str, expr: &str, text: &str| {
        json!({
            "name": name, "enable": true, "hide": false, "iconColor": color, "datasource": datasource(), "expr": expr,
            "titleFormat": name, "textFormat": text, "step": "15s", "useValueForTime": false,
        })
    };
    vec![
        builtin,
        of(
            "Alerts",
            "red",
            "ALERTS{alertstate=\"firing\", alertname=~\"Streamgauge.*|Kafka.*|ErrorBudget.*\"}",
            "{{alertname}}",
        ),
        of(
            "Rebalances",
            "blue",
            "sum by (instance, event) (increase(streamgauge_rebalances_total[$__rate_interval])) > 0",
            "{{instance}} {{event}}",
        ),
    ]
}
