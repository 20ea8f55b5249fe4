//! The metric names that follow from the config: the one place that spells them, for whoever exposes, validates or
//! generates dashboards from them.
//!
//! A name is `<aggregate>_<measure>`, then the statistic where there is one (`_min`, `_avg`, `_p99`), then the base
//! unit: `http_duration_seconds`, `http_window_duration_p99_seconds`. A word that the name already ends with is not
//! repeated.

use super::types::{Aggregate, Measure};
use crate::measure::{Beyond, Form, Known, MeasureKind, Part};

pub use crate::measure::{QUANTILES, Stat};

/// How a family of series behaves, as the expositions declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    Counter,
    Gauge,
    /// `_sum` and `_count` without quantiles: what an average is made of.
    Summary,
    Histogram,
}

/// One metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// As OpenMetrics names the family: a counter's lacks `_total`.
    pub name: String,
    pub kind: FamilyType,
    /// `seconds`, `bytes`, `ratio` or nothing; the name ends with it.
    pub unit: &'static str,
    pub help: String,
}

impl Family {
    /// The name in Prometheus' text format 0.0.4, where a counter's family has the name of its samples.
    pub fn text_name(&self) -> String {
        match self.kind {
            FamilyType::Counter => format!("{}_total", self.name),
            _ => self.name.clone(),
        }
    }

    /// The names that the family's samples have on `/metrics`.
    pub fn sample_names(&self) -> Vec<String> {
        let with = |suffixes: &[&str]| suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect();
        match self.kind {
            FamilyType::Counter => with(&["_total"]),
            FamilyType::Gauge => with(&[""]),
            FamilyType::Summary => with(&["_sum", "_count"]),
            FamilyType::Histogram => with(&["_bucket", "_sum", "_count"]),
        }
    }
}

impl Form {
    fn total_type(self) -> FamilyType {
        match self {
            Form::Sum | Form::Counters => FamilyType::Counter,
            Form::Gauge(_) | Form::Estimate | Form::Ranking => FamilyType::Gauge,
            Form::Summary => FamilyType::Summary,
            Form::Exponential | Form::Explicit => FamilyType::Histogram,
        }
    }
}

impl Measure {
    /// The base unit of what is exposed; what is no measured number has none, whatever its config says.
    pub fn exposed_unit(&self) -> &'static str {
        self.kind.rules().unit.unwrap_or(self.unit.base_name())
    }

    /// A name the user chose, without the suffixes that are put after every name.
    fn own_stem(&self) -> Option<&str> {
        let name = self.metric.as_deref()?;
        let name = name.strip_suffix("_total").unwrap_or(name);
        let unit = self.exposed_unit();
        Some(name.strip_suffix(unit).and_then(|stem| stem.strip_suffix('_')).unwrap_or(name))
    }
}

impl Aggregate {
    /// The family that carries this measure since the state began: `http_requests` (counter), `http_duration_seconds`.
    pub fn total_family(&self, measure: &Measure) -> Family {
        self.total_family_of(measure, Stat::Own)
    }

    fn total_family_of(&self, measure: &Measure, stat: Stat) -> Family {
        let mut name = match measure.own_stem() {
            Some(stem) => stem.to_owned(),
            None => format!("{}_{}", self.metric_prefix, measure.name),
        };
        let form = measure.kind.rules().form_of(stat);
        let unit = if let Stat::Part(part) = stat { part.unit() } else { family_unit(measure) };
        let kind = match form.total_type() {
            // It goes up and down.
            FamilyType::Counter if measure.signed => FamilyType::Gauge,
            kind => kind,
        };
        match (stat, form) {
            (Stat::Own, Form::Gauge(_)) => push_word(&mut name, measure.kind.word()),
            _ => push_word(&mut name, &stat.word()),
        }
        push_word(&mut name, if let Stat::Part(_) = stat { unit } else { measure.exposed_unit() });
        if kind == FamilyType::Counter {
            // OpenMetrics puts `_total` after every counter's name: a measure called `total` does not get it twice.
            name.truncate(name.strip_suffix("_total").unwrap_or(&name).len());
        }
        let help = match &measure.help {
            Some(help) => help.clone(),
            None => format!("{} since the state began.", self.describe(measure, stat, measure.kind.word())),
        };
        Family { name, kind, unit, help }
    }

    /// Every family that carries this measure since the state began: most have one, some have none.
    pub fn total_families(&self, measure: &Measure) -> Vec<(Stat, Family)> {
        measure.kind.rules().totals.iter().map(|&stat| (stat, self.total_family_of(measure, stat))).collect()
    }

    /// The gauges that show this measure in the last closed window: `http_window_requests`,
    /// `http_window_duration_p99_seconds`. All have the labels `window` and `hop` besides the aggregate's own.
    pub fn window_families(&self, measure: &Measure) -> Vec<(Stat, Family)> {
        let rules = measure.kind.rules();
        let is_quantile = |stat: &&Stat| matches!(stat, Stat::Quantile(_));
        // Those of the rules are the ones that are shown without a choice.
        let chosen = measure.quantiles().iter().map(|&q| Stat::Quantile(q)).filter(|_| rules.form.is_distribution());
        let rest = rules.window.iter().filter(|stat| !is_quantile(stat)).copied();
        chosen.chain(rest).map(|stat| (stat, self.window_family(measure, stat))).collect()
    }

    fn window_family(&self, measure: &Measure, stat: Stat) -> Family {
        let mut name = match measure.own_stem() {
            Some(stem) => format!("{stem}_window"),
            None => format!("{}_window_{}", self.metric_prefix, measure.name),
        };
        match (stat, measure.kind.rules().form) {
            (Stat::Own, Form::Gauge(_)) => push_word(&mut name, measure.kind.word()),
            _ => push_word(&mut name, &stat.word()),
        }
        push_word(&mut name, measure.exposed_unit());
        let help = match (&measure.help, stat.word().as_str()) {
            (Some(help), "") => format!("{}, in the last closed window.", help.trim_end_matches('.')),
            (Some(help), word) => format!("{}, in the last closed window: {word}.", help.trim_end_matches('.')),
            (None, "") => format!("{}, in the last closed window.", self.describe(measure, stat, measure.kind.word())),
            (None, word) => format!("{}, in the last closed window.", self.describe(measure, stat, word)),
        };
        Family { name, kind: FamilyType::Gauge, unit: family_unit(measure), help }
    }

    /// When the last closed window ended: `http_window_end_timestamp_seconds`.
    pub fn window_end_family(&self) -> Family {
        Family {
            name: format!("{}_window_end_timestamp_seconds", self.metric_prefix),
            kind: FamilyType::Gauge,
            unit: "seconds",
            help: format!("End of the last closed window of {}, in event time.", self.name),
        }
    }

    /// Whether every partition had passed the last closed window when it was published: `http_window_complete`.
    pub fn window_complete_family(&self) -> Family {
        Family {
            name: format!("{}_window_complete", self.metric_prefix),
            kind: FamilyType::Gauge,
            unit: "",
            help: format!("1 if no partition was left out of the last closed window of {}, else 0.", self.name),
        }
    }

    /// Every family of this aggregate, totals first; no window families if it has no windows.
    pub fn families(&self) -> Vec<Family> {
        let totals = self.measures.iter().flat_map(|measure| self.total_families(measure)).map(|(_, family)| family);
        if self.windows.is_empty() {
            return totals.collect();
        }
        let windows = self.measures.iter().flat_map(|measure| self.window_families(measure)).map(|(_, family)| family);
        totals.chain(windows).chain([self.window_end_family(), self.window_complete_family()]).collect()
    }

    /// `Count of http events`, `P99 of response_time_ms in http events that match its filter`.
    fn describe(&self, measure: &Measure, stat: Stat, statistic: &str) -> String {
        let of = match (&measure.kind, &measure.field) {
            (MeasureKind::Distinct(precision), Some(path)) => {
                let error = (precision.error() * 1_000.0).round() / 10.0;
                let exact = precision.most_hashes();
                format!(
                    "different values of {path} in {} events (exact up to {exact}, then with a standard error of {error} %)",
                    self.name
                )
            }
            (MeasureKind::Top(ranking), Some(path)) => {
                let by = measure.weight.as_ref().map_or("events".to_owned(), |weight| weight.to_string());
                let (k, kept) = (ranking.k, ranking.kept() + 1);
                format!(
                    "{by} of the top {k} of {path} in {} events (each at least this, and at most 1/{kept} of all more)",
                    self.name
                )
            }
            (MeasureKind::Anomaly(usual), Some(path)) => {
                let side = if stat == Stat::Known(Known::Below) { "below" } else { "above" };
                let name = &self.name;
                match usual.beyond {
                    Beyond::Deviations(sigma) => format!(
                        "values of {path} in {name} events more than {sigma} standard deviations {side} their key's mean so \
                         far"
                    ),
                    Beyond::Quantile(q) => format!(
                        "values of {path} in {name} events {side} the {q} quantile of their key's values so far at the same hour \
                         of the day (all that exceed it by 9 %, none that do not exceed it)"
                    ),
                }
            }
            (MeasureKind::Apdex(target), Some(path)) => {
                format!("apdex of {path} in {} events for a target of {}", self.name, target.0)
            }
            (MeasureKind::Sessions(_), _) => {
                let what = match stat {
                    Stat::Known(Known::Open) => "open sessions",
                    Stat::Part(Part::Duration) => "duration of closed sessions",
                    Stat::Part(Part::Events) => "events in closed sessions",
                    _ => "closed sessions",
                };
                format!("{what} of {} keys", self.name)
            }
            (MeasureKind::LastSeen, _) => format!("time of the latest of {} events", self.name),
            (_, Some(path)) => format!("{statistic} of {path} in {} events", self.name),
            (_, None) => format!("{statistic} of {} events", self.name),
        };
        let of = match &measure.ratio {
            Some(ratio) => format!("ratio of {} to {} of {}", ratio.part, ratio.whole, self.name),
            None => of,
        };
        let mut text = if measure.filter.is_empty() || measure.ratio.is_some() {
            of
        } else {
            format!("{of} that match its filter")
        };
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text
    }
}

/// What OpenMetrics calls the unit: the name ends with it.
fn family_unit(measure: &Measure) -> &'static str {
    match measure.exposed_unit() {
        "timestamp_seconds" => "seconds",
        unit => unit,
    }
}

/// Appends `_word`, unless there is no word or the name ends with it already.
fn push_word(name: &mut String, word: &str) {
    let ends_with_it = name.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    if !word.is_empty() && !ends_with_it {
        name.push('_');
        name.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::types::MeasureKind;
    use super::*;
    use crate::config::types::{Condition, FieldPath, OnLimit, Publish, RatioOf, Test, Unit, Window};

    fn measure(name: &str, kind: MeasureKind, unit: Unit) -> Measure {
        let field = (kind != MeasureKind::Count).then(|| FieldPath::keys(["f"]));
        Measure {
            name: name.into(),
            kind,
            field,
            or: vec![],
            since: None,
            weight: None,
            label: "item".into(),
            quantiles: vec![],
            ratio: None,
            unit,
            signed: false,
            filter: vec![],
            metric: None,
            help: None,
        }
    }

    fn http(measures: Vec<Measure>) -> Aggregate {
        let minute = Duration::from_secs(60);
        Aggregate {
            name: "http".into(),
            sources: vec!["requests".into()],
            filter: vec![],
            by: vec![],
            windows: vec![Window { size: minute, hop: minute }],
            pane: minute,
            grace: minute,
            retention: 10 * minute,
            measures,
            key_limit: 10,
            on_limit: OnLimit::Overflow,
            key_ttl: None,
            backfill: false,
            publish: Publish::PerPartition,
            idle_timeout: minute,
            metric_prefix: "http".into(),
        }
    }

    #[track_caller]
    fn check(measure: Measure, total: &[&str], windows: &[&str]) {
        let aggregate = http(vec![]);
        assert_eq!(aggregate.total_family(&measure).sample_names(), total);
        let families = aggregate.window_families(&measure);
        assert_eq!(families.iter().map(|(_, family)| family.name.as_str()).collect::<Vec<_>>(), windows);
    }

    #[test]
    fn names_are_the_ones_that_dashboards_rely_on() {
        check(measure("requests", MeasureKind::Count, Unit::None), &["http_requests_total"], &["http_window_requests"]);
        check(
            measure("duration", MeasureKind::Histogram(Default::default()), Unit::Milliseconds),
            &["http_duration_seconds_bucket", "http_duration_seconds_sum", "http_duration_seconds_count"],
            &[
                "http_window_duration_p50_seconds",
                "http_window_duration_p95_seconds",
                "http_window_duration_p99_seconds",
                "http_window_duration_avg_seconds",
                "http_window_duration_min_seconds",
                "http_window_duration_max_seconds",
            ],
        );
        let aggregate = http(vec![]);
        assert_eq!(aggregate.window_end_family().name, "http_window_end_timestamp_seconds");
        assert_eq!(aggregate.window_complete_family().name, "http_window_complete");
    }

    #[test]
    fn what_is_told_by_time_says_which_and_an_estimate_is_only_its_name() {
        check(
            measure("temperature", MeasureKind::Last, Unit::None),
            &["http_temperature_last"],
            &["http_window_temperature_last"],
        );
        check(
            measure("start", MeasureKind::First, Unit::Milliseconds),
            &["http_start_first_seconds"],
            &["http_window_start_first_seconds"],
        );
        for name in ["seen", "last_seen"] {
            let stem = if name == "seen" { "seen_last_seen" } else { name };
            check(
                measure(name, MeasureKind::LastSeen, Unit::None),
                &[&format!("http_{stem}_timestamp_seconds")],
                &[&format!("http_window_{stem}_timestamp_seconds")],
            );
        }
        let users = MeasureKind::of("distinct").unwrap();
        check(measure("users", users.clone(), Unit::None), &["http_users"], &["http_window_users"]);
        let family = http(vec![]).total_family(&measure("users", users, Unit::None));
        let help = "Different values of f in http events (exact up to 256, then with a standard error of 1.6 %) since the state \
                    began.";
        assert_eq!((family.kind, family.help.as_str()), (FamilyType::Gauge, help));
        let seen = http(vec![]).total_family(&measure("seen", MeasureKind::LastSeen, Unit::None));
        assert_eq!(
            (seen.unit, seen.help.as_str()),
            ("seconds", "Time of the latest of http events since the state began.")
        );
    }

    #[test]
    fn items_are_shown_of_windows_only() {
        let pages = measure("pages", MeasureKind::of("top").unwrap(), Unit::None);
        assert_eq!(http(vec![]).total_families(&pages), []);
        let windows = http(vec![]).window_families(&pages);
        let names: Vec<_> = windows.iter().map(|(_, family)| (family.name.as_str(), family.help.as_str())).collect();
        let help = "Events of the top 10 of f in http events (each at least this, and at most 1/81 of all more), in the last closed \
                    window.";
        assert_eq!(names, [("http_window_pages", help)]);
    }

    #[test]
    fn the_quantiles_of_a_measure_are_its_own_choice() {
        let kind = MeasureKind::of("histogram").unwrap();
        let duration = Measure { quantiles: vec![0.05, 0.5, 0.999], ..measure("duration", kind, Unit::Seconds) };
        let families = http(vec![]).window_families(&duration);
        let names: Vec<_> = families.iter().map(|(_, family)| family.name.as_str()).collect();
        let words = ["p5", "p50", "p999", "avg", "min", "max"];
        assert_eq!(names, words.map(|word| format!("http_window_duration_{word}_seconds")));
    }

    #[test]
    fn what_is_unusual_is_counted_on_both_sides_and_scores_have_no_unit_of_their_field() {
        let slow = measure("slow", MeasureKind::of("anomaly").unwrap(), Unit::Milliseconds);
        let names: Vec<_> = http(vec![]).total_families(&slow).iter().flat_map(|(_, f)| f.sample_names()).collect();
        assert_eq!(names, ["http_slow_above_total", "http_slow_below_total"]);
        let windows = http(vec![]).window_families(&slow);
        assert_eq!(
            windows.iter().map(|(_, f)| f.name.as_str()).collect::<Vec<_>>(),
            ["http_window_slow_above", "http_window_slow_below"]
        );
        let apdex = measure("apdex", MeasureKind::of("apdex").unwrap(), Unit::Milliseconds);
        check(apdex, &["http_apdex"], &["http_window_apdex"]);
        let ratio = RatioOf { part: "errors".into(), whole: "requests".into(), filter: vec![] };
        let ratio = Measure { ratio: Some(ratio), ..measure("error", MeasureKind::Ratio, Unit::None) };
        assert_eq!(
            http(vec![]).total_family(&ratio).help,
            "Ratio of errors to requests of http since the state began."
        );
        check(ratio, &["http_error_ratio"], &["http_window_error_ratio"]);
    }

    #[test]
    fn sessions_are_counters_and_histograms_of_closed_ones_and_a_gauge_of_open_ones() {
        let sessions = measure("sessions", MeasureKind::of("sessions").unwrap(), Unit::None);
        let families = http(vec![]).total_families(&sessions);
        let of: Vec<_> = families.iter().map(|(_, family)| (family.name.as_str(), family.kind)).collect();
        let expected = [
            ("http_sessions", FamilyType::Counter),
            ("http_sessions_open", FamilyType::Gauge),
            ("http_sessions_duration_seconds", FamilyType::Histogram),
            ("http_sessions_events", FamilyType::Histogram),
        ];
        assert_eq!(of, expected);
        assert_eq!(http(vec![]).window_families(&sessions), []);
    }

    #[test]
    fn a_sum_that_may_go_down_is_no_counter() {
        let balance = Measure { signed: true, ..measure("balance", MeasureKind::Sum, Unit::None) };
        assert_eq!(http(vec![]).total_family(&balance).kind, FamilyType::Gauge);
        check(balance, &["http_balance"], &["http_window_balance"]);
    }

    #[test]
    fn a_word_is_not_repeated() {
        check(measure("bytes", MeasureKind::Sum, Unit::Bytes), &["http_bytes_total"], &["http_window_bytes"]);
        check(
            measure("latency_max", MeasureKind::Max, Unit::Milliseconds),
            &["http_latency_max_seconds"],
            &["http_window_latency_max_seconds"],
        );
        check(measure("total", MeasureKind::Count, Unit::None), &["http_total"], &["http_window_total"]);
    }

    #[test]
    fn an_own_name_keeps_its_unit_and_its_suffix_once() {
        for own in ["latency", "latency_seconds"] {
            let measure =
                Measure { metric: Some(own.into()), ..measure("duration", MeasureKind::Avg, Unit::Milliseconds) };
            check(measure, &["latency_seconds_sum", "latency_seconds_count"], &["latency_window_avg_seconds"]);
        }
        for own in ["hits", "hits_total"] {
            let measure = Measure { metric: Some(own.into()), ..measure("requests", MeasureKind::Count, Unit::None) };
            check(measure, &["hits_total"], &["hits_window"]);
        }
    }

    #[test]
    fn help_says_what_is_measured() {
        let mut errors = measure("errors", MeasureKind::Count, Unit::None);
        let path = FieldPath::keys(["status"]);
        errors.filter.push(Condition::Field { path, test: Test::Gte(400.0) });
        let family = http(vec![]).total_family(&errors);
        assert_eq!(family.help, "Count of http events that match its filter since the state began.");
    }

    #[test]
    fn an_aggregate_without_windows_has_only_totals() {
        let mut aggregate = http(vec![measure("requests", MeasureKind::Count, Unit::None)]);
        assert_eq!(aggregate.families().len(), 4);
        aggregate.windows.clear();
        assert_eq!(aggregate.families().len(), 1);
    }
}
