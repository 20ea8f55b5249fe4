//! What a page is made of, whatever its format: how it is to look, and the values of its points.

use super::format::Format;
use crate::aggregate::{Histogram, nanos_to_f64};
use crate::config::Histograms;
use crate::measure::Exact;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

/// How a page is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub format: Format,
    /// Which buckets histograms have in the protobuf format; text has classic ones only.
    pub histograms: Histograms,
    /// Whether OpenMetrics text has a series `…_created` for each total, which says since when it counts.
    pub created: bool,
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(u64),
    Float(f64),
    /// Billionths; text has them exactly.
    Nanos(i128),
}

impl Number {
    /// As OTLP has it: whole numbers stay whole.
    pub fn to_otlp(self) -> Value {
        match self {
            Number::Int(value) => i64::try_from(value).map_or(Value::AsDouble(value as f64), Value::AsInt),
            number => Value::AsDouble(number.to_f64()),
        }
    }

    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
            Number::Nanos(value) => nanos_to_f64(value),
        }
    }
}

impl From<Exact> for Number {
    fn from(number: Exact) -> Number {
        match number {
            Exact::Int(value) => Number::Int(value),
            Exact::Nanos(value) => Number::Nanos(value),
        }
    }
}

/// The upper bound of a classic bucket.
#[derive(Clone, Debug)]
pub struct Bound {
    pub value: f64,
    /// As it stands in `le`.
    pub text: String,
}

impl Bound {
    pub fn new(value: f64) -> Bound {
        Bound { value, text: format!("{value:?}") }
    }
}

/// What one series shows.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    /// Of a counter or a gauge.
    Value(Number),
    Summary {
        sum: Number,
        count: u64,
    },
    /// Classic buckets with cumulative counts; the one without an end is not among them. `native` has the same values.
    Histogram {
        bounds: &'a [Bound],
        counts: &'a [u64],
        sum: Number,
        count: u64,
        native: Option<&'a Histogram>,
    },
}
