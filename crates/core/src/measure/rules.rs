//! What is to be known of a kind of measure without a state of it.

use super::shown::Known;

/// What the config and exporters have to know of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// As the config spells it; it ends the names of gauges, too.
    pub word: &'static str,
    /// Whether it measures a field, rather than events.
    pub takes_field: bool,
    /// Whether the config gives it upper bounds.
    pub takes_bounds: bool,
    /// Whether negative values are refused unless the config says `signed`, which means nothing to other kinds.
    pub takes_sign: bool,
    /// What its total is to Prometheus and OpenTelemetry.
    pub form: Form,
    /// What is known of its values.
    pub shows: &'static [Known],
    /// Of these the one that it is first of all.
    pub own: Known,
    /// What gauges of closed windows show of it.
    pub window: &'static [Stat],
}

/// What a total is to whoever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number that only grows, unless the measure is signed.
    Sum,
    /// A number that goes up and down; series of it are merged by this function of PromQL.
    Gauge(&'static str),
    /// A sum and a count.
    Summary,
    /// Buckets that a histogram finds by itself.
    Exponential,
    /// Buckets with bounds of the config.
    Explicit,
}

impl Form {
    pub fn is_distribution(self) -> bool {
        matches!(self, Form::Exponential | Form::Explicit)
    }
}

/// One number of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    /// The one that the measure is first of all.
    Own,
    Known(Known),
    /// A quantile in 0..=1.
    Quantile(f64),
}

impl Stat {
    /// The word in a metric's name: `p99`, `avg`; empty for [`Stat::Own`].
    pub fn word(self) -> String {
        match self {
            Stat::Own => String::new(),
            Stat::Known(known) => known.word().to_owned(),
            Stat::Quantile(q) => format!("p{}", (q * 100.0).round()),
        }
    }
}

/// The quantiles that are shown of every closed window.
pub const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
