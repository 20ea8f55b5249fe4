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
    targets: Vec<(String, String)>,
    colors: Colors,
    /// It usually has nothing to show: an empty answer is a good one.
    quiet: bool,
}

/// Where a value turns red.
#[derive(Clone, Copy, PartialEq)]
enum Colors {
    Green,
    RedFrom(f64),
    RedBelow(f64),
}

impl Panel {
    pub fn new(look: Look, title: impl Into<String>, unit: &str, description: impl Into<String>) -> Panel {
        Panel {
            look,
            title: title.into(),
            description: description.into(),
            unit: unit.to_owned(),
            targets: Vec::new(),
            colors: Colors::Green,
            quiet: false,
        }
    }

    /// A query and how its series are called.
    pub fn query(mut self, expr: impl Into<String>, legend: impl Into<String>) -> Panel {
        self.targets.push((expr.into(), legend.into()));
        self
    }

    pub fn red_from(mut self, value: f64) -> Panel {
        self.colors = Colors::RedFrom(value);
        self
    }

    pub fn red_below(mut self, value: f64) -> Panel {
        self.colors = Colors::RedBelow(value);
        self
    }

    /// For what should not happen: without series it says "None", and with nothing but zeros its axis stays small.
    pub fn quiet(mut self) -> Panel {
        self.quiet = true;
        self
    }

    pub fn height(&self) -> u32 {
        if self.look == Look::Stat { 5 } else { 8 }
    }

    /// At these places of the dashboard's 24 columns.
    pub fn json(&self, id: usize, x: u32, y: u32, width: u32) -> Value {
        json!({
            "id": id,
            "type": self.plugin(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": width, "h": self.height() },
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
        let step = |color: &str, from: Option<f64>| json!({ "color": color, "value": from });
        let steps = match self.colors {
            Colors::Green => vec![step("green", None)],
            Colors::RedFrom(value) => vec![step("green", None), step("red", Some(value))],
            Colors::RedBelow(value) => vec![step("red", None), step("green", Some(value))],
        };
        let mut defaults = json!({
            "unit": self.unit,
            "color": { "mode": if self.look == Look::Stat { "thresholds" } else { "palette-classic" } },
            "thresholds": { "mode": "absolute", "steps": steps },
        });
        // Without it, Grafana's bars begin at the smallest value, which then has none.
        if matches!(self.look, Look::Lines | Look::Stack | Look::Bars) {
            defaults["min"] = json!(0);
        }
        if matches!(self.look, Look::Lines | Look::Stack) {
            defaults["custom"] = json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if self.look == Look::Stack { 40 } else { 0 },
                "showPoints": "never",
                "stacking": { "group": "A", "mode": if self.look == Look::Stack { "normal" } else { "none" } },
                "thresholdsStyle": { "mode": if matches!(self.colors, Colors::RedFrom(_)) { "line" } else { "off" } },
            });
            if self.quiet {
                defaults["custom"]["axisSoftMax"] = json!(if self.unit == "percentunit" { 0.01 } else { 1.0 });
            }
        }
        if self.quiet {
            defaults["noValue"] = json!("None");
        }
        defaults
    }

    fn options(&self) -> Value {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.look {
            Look::Lines | Look::Stack => json!({
                "legend": { "calcs": ["mean", "lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": true, "sortBy": "Last *", "sortDesc": true },
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
