//! The checked form of a measure: what of which events is counted, and in which unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::path::FieldPath;
pub use crate::measure::MeasureKind;
use crate::measure::QUANTILES;
use crate::value::time::TimeFormat;

/// One mergeable statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    pub name: String,
    pub kind: MeasureKind,
    /// The field that is measured, or tells items apart; `None` only for what needs none.
    pub field: Option<FieldPath>,
    /// Fields to look at, in this order, where that one has no value.
    pub or: Vec<FieldPath>,
    /// What is measured is the time from here to the field.
    pub since: Option<Since>,
    /// What items are ranked by the sum of; `None`: by how often they were.
    pub weight: Option<FieldPath>,
    /// The label that series of items have the item in.
    pub label: String,
    /// What is shown of a distribution; empty: [`crate::measure::QUANTILES`].
    pub quantiles: Vec<f64>,
    /// Of a ratio: what it is of, whose conditions are those of the whole.
    pub ratio: Option<RatioOf>,
    /// Unit of the measured numbers.
    pub unit: Unit,
    /// Negative values are measured too.
    pub signed: bool,
    /// Only events for which all of these hold are measured.
    pub filter: Vec<Condition>,
    /// A metric name the user chose, instead of `<aggregate>_<measure>…`.
    pub metric: Option<String>,
    pub help: Option<String>,
}

/// The two counts that a ratio is of, by their measures' names, and the conditions of the part.
#[derive(Clone, Debug, PartialEq)]
pub struct RatioOf {
    pub part: String,
    pub whole: String,
    pub filter: Vec<Condition>,
}

impl Measure {
    /// The quantiles that are shown of it, if it is a distribution.
    pub fn quantiles(&self) -> &[f64] {
        if self.quantiles.is_empty() { &QUANTILES } else { &self.quantiles }
    }
}

/// Where a measured stretch of time begins, and how both its ends are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    pub path: FieldPath,
    pub format: TimeFormat,
}

/// Unit of a measured field. What is exposed is the base unit: seconds, bytes, ratio.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Unit {
    /// Nothing is said of it.
    #[default]
    #[serde(skip)]
    None,
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s", alias = "seconds")]
    Seconds,
    #[serde(rename = "bytes", alias = "B")]
    Bytes,
    #[serde(rename = "kB")]
    Kilobytes,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "percent")]
    Percent,
}

impl Unit {
    /// Base units per unit, as a fraction `numerator / denominator`.
    pub fn factor(self) -> (i64, i64) {
        match self {
            Unit::None | Unit::Seconds | Unit::Bytes => (1, 1),
            Unit::Nanoseconds => (1, 1_000_000_000),
            Unit::Microseconds => (1, 1_000_000),
            Unit::Milliseconds => (1, 1_000),
            Unit::Kilobytes => (1_000, 1),
            Unit::Megabytes => (1_000_000, 1),
            Unit::Percent => (1, 100),
        }
    }

    /// The base unit as it stands in a metric's name; empty if there is none.
    pub fn base_name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Nanoseconds | Unit::Microseconds | Unit::Milliseconds | Unit::Seconds => "seconds",
            Unit::Bytes | Unit::Kilobytes | Unit::Megabytes => "bytes",
            Unit::Percent => "ratio",
        }
    }
}
