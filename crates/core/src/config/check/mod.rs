//! Raw config to checked config. A check that fails notes its problem and goes on with a stand-in, so that one run
//! finds them all.

mod aggregate;
mod cluster;
mod condition;
mod format;
mod given;
mod ingest;
mod ingest_events;
mod kafka;
mod label;
mod lock;
mod measure;
mod otlp;
mod recent;
mod registry;
mod remap;
mod service;
mod session;
mod source;
mod time;
mod watch;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::at::{At, Place};
use super::error::Problem;
use super::raw::{RawConfig, RawDuration, RawSize};
use super::types::{Config, FieldPath};
use super::units::{format_duration, format_size, parse_duration, parse_size};

/// Checks everything; `text` is the file, to see how a value was written; `env` has the variables of
/// OpenTelemetry.
pub fn config(raw: &RawConfig, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Problem>> {
    let mut check = Checker { text, problems: Vec::new(), warnings: Vec::new() };
    let state = service::state(&mut check, &raw.state);
    let place = raw.state.commit_interval.as_ref().map(|interval| interval.place).unwrap_or_default();
    let kafka = kafka::kafka(&mut check, &raw.kafka, &At { value: state.commit_interval, place });
    let (limits, keys) = service::limits(&mut check, &raw.limits);
    let sources = source::sources(&mut check, &raw.sources, &kafka.group_id);
    let aggregates = aggregate::aggregates(&mut check, &raw.aggregates, &sources, keys);
    for (source, (name, raw_source)) in sources.iter().zip(&raw.sources.value.0) {
        let format = raw_source.format.as_ref().map_or(name.place, |format| format.place);
        format::enclosing(&mut check, name.place, source, &aggregates);
        registry::is_there(&mut check, format, source, raw.schema_registry.as_ref());
    }
    let (http, grpc) = service::listeners(&mut check, &raw.http, &raw.grpc);
    let ingest = ingest::ingest(&mut check, raw.ingest.as_ref(), [("http", http.listen), ("grpc", grpc.listen)]);
    let cluster = cluster::cluster(&mut check, &raw.cluster, &kafka.group_id);
    let otlp = otlp::otlp(&mut check, &raw.otlp, env);
    let schema_registry = registry::registry(&mut check, raw.schema_registry.as_ref());
    let telemetry = service::telemetry(&mut check, &raw.telemetry);
    let workers = check.count(&raw.workers, 1, 1..=256);
    if check.problems.is_empty() {
        let warnings = check.warnings;
        return Ok(Config {
            kafka,
            sources,
            aggregates,
            state,
            http,
            grpc,
            ingest,
            cluster,
            otlp,
            schema_registry,
            limits,
            telemetry,
            workers,
            warnings,
        });
    }
    check.problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    Err(check.problems)
}

/// Collects what the checks find.
struct Checker<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Checker<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(place, message, help));
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// A duration within `range`; `default` if there is none or if it is wrong.
    fn duration(
        &mut self,
        raw: &Option<At<RawDuration>>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(raw) = raw else { return default };
        match parse_duration(&raw.value.0) {
            Ok(value) => self.in_range(raw.place, value, range, format_duration).unwrap_or(default),
            Err(message) => {
                self.error(raw.place, message, "");
                default
            }
        }
    }

    /// A size in bytes within `range`; `default` if there is none or if it is wrong.
    fn size(&mut self, raw: &Option<At<RawSize>>, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(raw) = raw else { return default };
        match parse_size(&raw.value.0) {
            Ok(value) => self.in_range(raw.place, value, range, format_size).unwrap_or(default),
            Err(message) => {
                self.error(raw.place, message, "");
                default
            }
        }
    }

    /// A whole number within `range`; `default` if there is none or if it is wrong.
    fn count(&mut self, raw: &Option<At<u64>>, default: usize, range: RangeInclusive<u64>) -> usize {
        let Some(raw) = raw else { return default };
        let value = self.in_range(raw.place, raw.value, range, |number| number.to_string());
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    }

    fn in_range<T: PartialOrd + Copy, S: Display>(
        &mut self,
        place: Place,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(T) -> S,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (show(*range.start()), show(*range.end()));
        self.error(place, format!("{} is out of range", show(value)), format!("use {least} to {most}"));
        None
    }

    /// A path such as `request.path`.
    fn field_path(&mut self, place: Place, text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap_or_else(|bad| {
            let message = format!("`{text}` is not a field path: {}", bad.message);
            self.error(self.within(place, text, bad.at), message, bad.help);
            FieldPath::default()
        })
    }

    /// The place of a character of a value that stands there, if it stands there as it is.
    fn within(&self, place: Place, value: &str, at: usize) -> Place {
        let line = place.line.checked_sub(1).and_then(|line| self.text.lines().nth(line)).unwrap_or_default();
        let written: String = line.chars().skip(place.column.saturating_sub(1)).collect();
        let quote = usize::from(written.starts_with(['"', '\'']));
        if at == 0 || !written.get(quote..).is_some_and(|written| written.starts_with(value)) {
            return place;
        }
        let width = place.width.saturating_sub(at + quote).max(1);
        Place { column: place.column + quote + at, width, ..place }
    }

    /// A regular expression; says so if it is none.
    fn regex(&mut self, pattern: &At<String>) {
        if let Err(error) = regex::Regex::new(&pattern.value) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.error(pattern.place, format!("`{}` is not a regular expression: {reason}", pattern.value), "");
        }
    }

    /// Whether `name` may stand in a metric's name or be a label; says so if not.
    fn identifier(&mut self, place: Place, name: &str, what: &str) -> bool {
        let mut characters = name.chars();
        let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let fits = starts && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= 100;
        if !fits {
            let help = "use up to 100 letters, digits and `_`, and no digit first";
            self.error(place, format!("`{name}` is not a valid name for {what}"), help);
        }
        fits
    }

    /// `${VAR}` in quotes stays as it is: say so, because hardly anybody means that.
    fn no_quoted_reference(&mut self, place: Place, value: &str) {
        let line = place.line.checked_sub(1).and_then(|line| self.text.lines().nth(line)).unwrap_or_default();
        let first = line.chars().nth(place.column.saturating_sub(1));
        if value.contains("${") && matches!(first, Some('"' | '\'')) {
            self.error(place, "`${…}` is not replaced inside quotes", "remove the quotes around the value");
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
