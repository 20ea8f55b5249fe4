//! What is to be known of a kind of measure without a state of it.

use super::shown::Known;

/// What the config and exporters have to know of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// As the config spells it; it ends the names of gauges whose form does not say otherwise.
    pub word: &'static str,
    pub takes: Takes,
    /// Whether negative values are refused unless the config says `signed`, which means nothing to other kinds.
    pub takes_sign: bool,
    /// What it is shown in, whatever the unit of its field; `None`: the base unit of that.
    pub unit: Option<&'static str>,
    /// What its total is to Prometheus and OpenTelemetry.
    pub form: Form,
    /// What is known of its values.
    pub shows: &'static [Known],
    /// Of these the one that it is first of all.
    pub own: Known,
    /// What is shown of it since the state began.
    pub totals: &'static [Stat],
    /// What gauges of closed windows show of it.
    pub window: &'static [Stat],
}

impl Rules {
    /// The form of one of its totals.
    pub fn form_of(&self, stat: Stat) -> Form {
        match stat {
            Stat::Part(_) => Form::Exponential,
            Stat::Known(Known::Open) => Form::Gauge(Some("sum")),
            _ => self.form,
        }
    }
}

/// What a kind measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Events, whatever is in them.
    Nothing,
    /// When events were.
    Time,
    /// A field that holds a number.
    Number,
    /// A field that holds a number; without one, events.
    Amount,
    /// A field that tells one thing from another, whatever it holds.
    Item,
}

impl Takes {
    /// Whether it may be of a field.
    pub fn a_field(self) -> bool {
        matches!(self, Takes::Number | Takes::Amount | Takes::Item)
    }
}

/// What a total is to whoever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number that only grows, unless the measure is signed.
    Sum,
    /// Several such numbers, one for each of [`Rules::totals`].
    Counters,
    /// A number that goes up and down; series of it are merged by this function of PromQL, if there is one that does.
    Gauge(Option<&'static str>),
    /// As `Gauge`, of a number that is all that its measure's name says: the kind's word is not in its metrics' names.
    Estimate,
    /// A sum and a count.
    Summary,
    /// Buckets that a histogram finds by itself.
    Exponential,
    /// Buckets with bounds of the config.
    Explicit,
    /// Items with a number each.
    Ranking,
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
    /// How a quality of what it counts is spread.
    Part(Part),
}

/// A quality of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Duration,
    Events,
}

impl Part {
    pub fn unit(self) -> &'static str {
        match self {
            Part::Duration => "seconds",
            Part::Events => "",
        }
    }
}

impl Stat {
    /// The word in a metric's name: `p99`, `avg`; empty for [`Stat::Own`].
    pub fn word(self) -> String {
        match self {
            Stat::Own => String::new(),
            Stat::Known(known) => known.word().to_owned(),
            Stat::Part(Part::Duration) => "duration".to_owned(),
            Stat::Part(Part::Events) => "events".to_owned(),
            // A percentage without its point: p50, p999.
            Stat::Quantile(q) => format!("p{}", (q * 1e6).round() / 1e4).replace('.', ""),
        }
    }
}

/// The quantiles that are shown of every closed window.
pub const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
