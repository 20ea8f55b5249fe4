//! Measures: what folding adds to, merging unites, and exporters show. Each kind is one file with all that is to be
//! known of it; the list below names the kinds.
//!
//! Pure, and below the config, which spells a kind as its file says.

#![forbid(unsafe_code)]

mod anomaly;
mod apdex;
mod average;
mod buckets;
mod count;
mod distinct;
mod exponential;
mod extremes;
mod histogram;
mod hours;
mod number;
mod portion;
mod ranking;
mod rate;
mod ratio;
mod rules;
mod sessions;
mod share;
mod shown;
mod statistic;
mod sum;
mod timed;
mod top;
mod versus;

pub use anomaly::{Anomaly, Beyond, Unusual, Usual};
pub use apdex::{Apdex, Target};
pub use average::Average;
pub use buckets::Buckets;
pub use count::Count;
pub use distinct::{Distinct, Precision};
pub use exponential::{Dense, Histogram, MAX_SCALE, Resolution};
pub use extremes::{Max, Min};
pub use number::{Exact, Nanos, Sample, nanos_to_f64};
pub use portion::Amount;
pub use ranking::{Ranked, Ranking, Top};
pub use rate::Rate;
pub use ratio::Ratio;
pub use rules::{Form, Part, QUANTILES, Rules, Stat, Takes};
pub use sessions::{Session, SessionRule, Sessions};
pub use share::Share;
pub use shown::{Distribution, Known, Stats, Total};
pub use statistic::{Occurrence, Statistic};
pub use sum::Sum;
pub use timed::{First, Last, LastSeen};
pub use versus::{Earlier, Versus};

use streamgauge_proto::storage::v1::{self as pb, measure_state::State as Stored};

/// The kinds of measures: a name, what the config gives it besides a field, and its state.
macro_rules! kinds {
    ($($name:ident $(($given:ident: $type:ty))? => $state:ident $(in $box:ident)?,)+) => {
        /// What a measure of the config is.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MeasureKind {
            $($name $(($type))?),+
        }

        /// One measure's state.
        ///
        /// Kept to 16 bytes, as there are millions: what is larger is boxed.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MeasureState {
            $($name(kinds!(@held $state $($box)?))),+
        }

        impl MeasureKind {
            /// What is to be known of each kind, in the order in which they are named to people.
            pub const ALL: &[Rules] = &[$($state::RULES),+];

            /// What is to be known of this kind.
            pub fn rules(&self) -> &'static Rules {
                match self {
                    $(MeasureKind::$name { .. } => const { &$state::RULES },)+
                }
            }

            /// The kind that the config spells so, with nothing given to it.
            pub fn of(word: &str) -> Option<MeasureKind> {
                $(if word == $state::RULES.word {
                    return Some(MeasureKind::$name $((<$type>::default()))?);
                })+
                None
            }
        }

        impl MeasureState {
            /// The state before the first event.
            pub fn empty(kind: &MeasureKind) -> MeasureState {
                match kind {
                    $(MeasureKind::$name $(($given))? => {
                        MeasureState::$name(kinds!(@made $state::empty(kinds!(@given $($given)?)), $($box)?))
                    })+
                }
            }

            /// Adds one event.
            #[inline]
            pub fn record(&mut self, event: Occurrence<'_>, kind: &MeasureKind) {
                match (self, kind) {
                    $((MeasureState::$name(state), MeasureKind::$name $(($given))?) => {
                        state.record(event, kinds!(@given $($given)?));
                    })+
                    (state, kind) => debug_assert!(false, "cannot record {kind:?} in {state:?}"),
                }
            }

            /// Adds all of `other`, which is of the same measure; of another kind it is ignored.
            pub fn merge(&mut self, other: &MeasureState) {
                match (self, other) {
                    $((MeasureState::$name(mine), MeasureState::$name(other)) => mine.merge(other),)+
                    (mine, other) => debug_assert!(false, "cannot merge {other:?} into {mine:?}"),
                }
            }

            /// Its stored form.
            pub fn encode(&self) -> pb::MeasureState {
                let state = match self {
                    $(MeasureState::$name(state) => Stored::$name(state.encode()),)+
                };
                pb::MeasureState { state: Some(state) }
            }

            /// The inverse of [`MeasureState::encode`]; `None` if the message lacks something or contradicts itself.
            pub fn decode(message: pb::MeasureState) -> Option<MeasureState> {
                Some(match message.state? {
                    $(Stored::$name(stored) => MeasureState::$name(kinds!(@made $state::decode(stored)?, $($box)?)),)+
                })
            }

            /// Whether this can be a state of that kind.
            pub fn fits(&self, kind: &MeasureKind) -> bool {
                match (self, kind) {
                    $((MeasureState::$name(state), MeasureKind::$name $(($given))?) => state.fits(kinds!(@given $($given)?)),)+
                    _ => false,
                }
            }

            /// What it adds up, for kinds that divide it by what others have; in the exposed unit.
            pub fn amount(&self) -> Option<f64> {
                match self {
                    $(MeasureState::$name(state) => state.amount(),)+
                }
            }

            /// Divides the amount of a kind that has one.
            pub fn relate(&mut self, to: f64) {
                match self {
                    $(MeasureState::$name(state) => state.relate(to),)+
                }
            }

            /// What it knows of its values.
            pub fn stats(&self) -> Stats {
                match self {
                    $(MeasureState::$name(state) => state.stats(),)+
                }
            }

            /// What it shows since the state began.
            pub fn total(&self) -> Total<'_> {
                match self {
                    $(MeasureState::$name(state) => state.total(),)+
                }
            }

            fn total_part(&self, part: Part) -> Option<Total<'_>> {
                match self {
                    $(MeasureState::$name(state) => state.total_part(part),)+
                }
            }

            fn rules(&self) -> &'static Rules {
                match self {
                    $(MeasureState::$name(_) => const { &$state::RULES },)+
                }
            }
        }
    };
    (@given) => { &() };
    (@given $given:ident) => { $given };
    (@held $state:ident) => { $state };
    (@held $state:ident $box:ident) => { $box<$state> };
    (@made $made:expr,) => { $made };
    (@made $made:expr, $box:ident) => { $box::new($made) };
}

kinds! {
    Count => Count,
    Sum => Sum,
    Min => Min,
    Max => Max,
    Avg => Average in Box,
    Histogram(resolution: Resolution) => Histogram in Box,
    Buckets(bounds: Vec<f64>) => Buckets in Box,
    First => First in Box,
    Last => Last in Box,
    LastSeen => LastSeen,
    Distinct(precision: Precision) => Distinct in Box,
    Top(ranking: Ranking) => Top in Box,
    Anomaly(usual: Usual) => Anomaly in Box,
    Apdex(target: Target) => Apdex in Box,
    Ratio => Ratio in Box,
    Sessions(rule: SessionRule) => Sessions,
    Rate(amount: Amount) => Rate in Box,
    Share(amount: Amount) => Share in Box,
    Versus(earlier: Earlier) => Versus in Box,
}

impl MeasureKind {
    /// As the config spells it.
    pub fn word(&self) -> &'static str {
        self.rules().word
    }

    /// Upper bounds of the buckets, ascending, in the exposed unit; none but for [`MeasureKind::Buckets`].
    #[inline]
    pub fn bounds(&self) -> &[f64] {
        if let MeasureKind::Buckets(bounds) = self { bounds } else { &[] }
    }
}

impl MeasureState {
    /// How many values were measured; `None` for kinds that don't know.
    pub fn count(&self) -> Option<u64> {
        self.stats().count
    }

    /// Exact sum of the values in billionths of the exposed unit; `None` for kinds that don't know.
    pub fn sum_nanos(&self) -> Option<i128> {
        self.stats().sum
    }

    /// Mean of the values in the exposed unit; `None` without values, or for kinds that don't know.
    pub fn mean(&self) -> Option<f64> {
        self.stats().mean()
    }

    /// Smallest value, in the exposed unit.
    pub fn min(&self) -> Option<f64> {
        self.stats().min
    }

    /// Largest value, in the exposed unit.
    pub fn max(&self) -> Option<f64> {
        self.stats().max
    }

    /// The number that a measure of its kind is first of all.
    pub fn own(&self) -> Option<f64> {
        self.stats().of(self.rules().own)
    }

    /// What it shows since the state began of one of its totals.
    pub fn total_of(&self, stat: Stat) -> Total<'_> {
        let known = match stat {
            Stat::Known(known) => known,
            Stat::Part(part) => return self.total_part(part).unwrap_or(Total::Gauge(None)),
            Stat::Own | Stat::Quantile(_) => return self.total(),
        };
        let stats = self.stats();
        stats.exact(known).map_or(Total::Gauge(stats.of(known)), Total::Sum)
    }

    /// How its values are spread, for kinds that know.
    pub fn distribution(&self) -> Option<Distribution<'_>> {
        if let Total::Distribution(distribution) = self.total() { Some(distribution) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_takes_sixteen_bytes() {
        assert_eq!(size_of::<MeasureState>(), 16);
    }

    #[test]
    fn a_kind_is_found_by_its_word_and_shows_what_its_rules_say() {
        for rules in MeasureKind::ALL {
            let kind = MeasureKind::of(rules.word).unwrap();
            assert_eq!(kind.word(), rules.word);
            let mut state = MeasureState::empty(&kind);
            assert!(state.fits(&kind));
            let sample = Sample { value: 2.0, nanos: 2_000_000_000 };
            state.record(Occurrence { sample, at: 0, item: b"2", total: Some(0) }, &kind);
            for &stat in rules.totals {
                let is_sum = matches!(state.total_of(stat), Total::Sum(_));
                assert!(is_sum || stat == Stat::Own || rules.form_of(stat) != rules.form, "{kind:?} {stat:?}");
            }
            assert_eq!(MeasureState::decode(state.encode()), Some(state.clone()), "{kind:?}");
            state.relate(2.0);
            let form = match state.total() {
                Total::Sum(_) if rules.totals == [Stat::Own] => Form::Sum,
                Total::Sum(_) => Form::Counters,
                Total::Gauge(value) => {
                    assert_eq!(value, state.own());
                    rules.form
                }
                Total::Summary => Form::Summary,
                Total::Ranking(_) => Form::Ranking,
                Total::Distribution(Distribution::Exponential(_)) => Form::Exponential,
                Total::Distribution(Distribution::Explicit(_)) => Form::Explicit,
            };
            assert_eq!(rules.form, form);
            for known in Known::ALL {
                // A mean is known by whoever knows what it is made of.
                let shown = rules.shows.contains(&known) || known == Known::Avg;
                assert!(state.stats().of(known).is_none() || shown, "{kind:?} {known:?}");
            }
            assert!(rules.shows.contains(&rules.own) && rules.shows.iter().all(|&k| state.stats().of(k).is_some()));
        }
    }
}
