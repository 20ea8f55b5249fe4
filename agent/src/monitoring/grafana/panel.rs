//! One panel: what it asks, how it looks, and what it tells to somebody who has never seen it.

use serde_json::{Value, json};

use super::DATASOURCE;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Lines,
    /// Lines upon each other: shares of a whole.
    Stack,
    Stat,
    /// Bars of current values, the longest first.
    Bars,
    /// Counts by bucket (`le`) over time.
    Heatmap,
}

pub struct Panel {
    pub look: Look,
    pub title: String,
    pub description: String,
    /// Grafana's name of the unit.
    pub unit: String,
    /// Of the dashboard's 24 columns.
    pub width: u32,
    targets: Vec<(String, String)>,
    /// From here on it is red.
    red_from: Option<f64>,
}

impl Panel {
    pub fn new(look: Look, title: impl Into<String>, unit: &str, description: impl Into<String>) -> Panel {
        let width = match look {
            Look::Stat => 4,
            _ => 8,
        };
        Panel {
            look,
            title: title.into(),
            description: description.into(),
            unit: unit.to_owned(),
            width,
            targets: Vec::new(),
            red_from: None,
        }
    }

    /// A query and how its series are called.
    pub fn query(mut self, expr: impl Into<String>, legend: impl Into<String>) -> Panel {
        self.targets.push((expr.into(), legend.into()));
        self
    }

    pub fn wide(mut self, columns: u32) -> Panel {
        self.width = columns;
        self
    }

    pub fn red_from(mut self, value: f64) -> Panel {
        self.red_from = Some(value);
        self
    }

    pub fn height(&self) -> u32 {
        if self.look == Look::Stat { 4 } else { 8 }
    }

    pub fn json(&self, id: usize, x: u32, y: u32) -> Value {
        json!({
            "id": id,
            "type": self.plugin(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height() },
            "targets": self.targets_json(),
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
            "options": self.options(),
        })
    }

    fn plugin(&self) -> &'static str {
        match self.look {
            Look::Lines | Look::Stack => "timeseries",
            Look::Stat => "stat",
            Look::Bars => "bargauge",
            Look::Heatmap => "heatmap",
        }
    }

    fn targets_json(&self) -> Vec<Value> {
        let instant = matches!(self.look, Look::Bars);
        let format = if self.look == Look::Heatmap { "heatmap" } else { "time_series" };
        let target = |(n, (expr, legend)): (usize, &(String, String))| {
            json!({
                "refId": char::from(b'A' + (n % 26) as u8).to_string(),
                "datasource": datasource(),
                "expr": expr,
                "legendFormat": legend,
                "format": format,
                "editorMode": "code",
                "instant": instant,
                "range": !instant,
            })
        };
        self.targets.iter().enumerate().map(target).collect()
    }

    fn defaults(&self) -> Value {
        let mut steps = vec![json!({ "color": "green", "value": null })];
        steps.extend(self.red_from.map(|value| json!({ "color": "red", "value": value })));
        let mut defaults = json!({
            "unit": self.unit,
            "color": { "mode": if self.look == Look::Stat { "thresholds" } else { "palette-classic" } },
            "thresholds": { "mode": "absolute", "steps": steps },
        });
        if matches!(self.look, Look::Lines | Look::Stack) {
            defaults["min"] = json!(0);
            defaults["custom"] = json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if self.look == Look::Stack { 40 } else { 5 },
                "showPoints": "never",
                "stacking": { "group": "A", "mode": if self.look == Look::Stack { "normal" } else { "none" } },
                "thresholdsStyle": { "mode": if self.red_from.is_some() { "line" } else { "off" } },
            });
        }
        defaults
    }

    fn options(&self) -> Value {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.look {
            Look::Lines | Look::Stack => json!({
                "legend": { "calcs": ["mean", "lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Look::Stat => json!({
                "reduceOptions": last, "colorMode": "value", "graphMode": "area", "justifyMode": "auto",
                "orientation": "auto", "textMode": "auto", "wideLayout": true, "showPercentChange": false,
                "percentChangeColorMode": "standard",
            }),
            Look::Bars => json!({
                "reduceOptions": last, "displayMode": "gradient", "orientation": "horizontal", "showUnfilled": true,
                "valueMode": "color", "namePlacement": "auto", "sizing": "auto",
                "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300,
                "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false },
            }),
            Look::Heatmap => json!({
                "calculate": false, "cellGap": 1, "showValue": "never",
                "color": { "mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": false },
                "exemplars": { "color": "rgba(255,0,255,0.7)" },
                "legend": { "show": true },
                "tooltip": { "mode": "single", "yHistogram": false },
                "yAxis": { "unit": self.unit, "axisPlacement": "left" },
                "rowsFrame": { "layout": "auto" },
            }),
        }
    }
}

pub fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": DATASOURCE })
}
