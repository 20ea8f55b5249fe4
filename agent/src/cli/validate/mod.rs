//! `streamgauge validate`: checks a config file and says what it would do, down to the names of the metrics.

mod sample;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{
    self, Aggregate, Config, FamilyType, Source, TimeFormat, Timestamp, TopicSelector, format_duration,
};
use crate::server::{Locks, PeerKeys};
use crate::telemetry::Metrics;

#[derive(clap::Args)]
pub struct ValidateArgs {
    /// The config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Also reach its Kafka: topics, their settings, and rights.
    #[arg(long)]
    connect: bool,
    #[command(flatten)]
    sample: sample::SampleArgs,
}

/// Checks the config and prints a summary to stdout, or every error to stderr; with a sample, what becomes of it instead of
/// the summary. The exit code is 0 or 2; with a sample 1, if not all of it can be counted.
pub fn run(args: &ValidateArgs) -> u8 {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return 2;
        }
    };
    let metrics = Arc::new(Metrics::default());
    let peer = PeerKeys::read(&config.grpc.peer, &metrics);
    let locks = match peer.and_then(|_| Locks::read(&config, &Clock::default(), &metrics)) {
        Ok(locks) => locks,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}: {error}", args.config.display());
            return 2;
        }
    };
    // Nobody to read it is no reason to fail.
    if !args.sample.is_asked_for() {
        let _ = write!(std::io::stdout(), "{}", summary(&args.config.display().to_string(), &config));
    }
    for warning in config.warnings.iter().chain(&locks.warnings) {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let reached = if args.connect { look_at_kafka(&config) } else { 0 };
    let counted = if args.sample.is_asked_for() { sample::run(&args.sample, &config) } else { 0 };
    reached.max(counted)
}

/// Prints what Kafka has and lacks of what the config needs.
fn look_at_kafka(config: &Config) -> u8 {
    let looked = super::client::block_on(async { Ok(super::connect::connect(config).await) });
    let found =
        looked.unwrap_or_else(|error| super::connect::Findings { good: Vec::new(), bad: vec![format!("{error:#}")] });
    let _ = writeln!(std::io::stdout());
    for good in &found.good {
        let _ = writeln!(std::io::stdout(), "ok: {good}");
    }
    for bad in &found.bad {
        let _ = writeln!(std::io::stderr(), "error: {bad}");
    }
    if found.bad.is_empty() { 0 } else { 2 }
}

/// What the config would do: sources, aggregates, windows, and the metrics that `/metrics` would have.
pub fn summary(name: &str, config: &Config) -> String {
    let mut out = format!("{name} is valid\n");
    // Writing to a string cannot fail.
    for source in &config.sources {
        let _ = writeln!(
            out,
            "\nsource {}: {}, {}",
            source.name,
            source.topics.iter().map(TopicSelector::as_str).collect::<Vec<_>>().join(", "),
            event_time(source)
        );
    }
    let width = config.aggregates.iter().flat_map(Aggregate::families).map(|family| family.text_name().len()).max();
    for aggregate in &config.aggregates {
        let _ =
            writeln!(out, "\naggregate {}: {}{}", aggregate.name, aggregate.sources.join(" and "), labels(aggregate));
        let _ = writeln!(out, "  {}", windows(aggregate));
        for family in aggregate.families() {
            let kind = match family.kind {
                FamilyType::Counter => "counter",
                FamilyType::Gauge => "gauge",
                FamilyType::Summary => "summary",
                FamilyType::Histogram => "histogram",
            };
            let _ =
                writeln!(out, "  {:width$}  {kind:9}  {}", family.text_name(), family.help, width = width.unwrap_or(0));
        }
    }
    out
}

fn event_time(source: &Source) -> String {
    format!("event time from {}", time_words(&source.timestamp))
}

fn time_words(timestamp: &Timestamp) -> String {
    match timestamp {
        Timestamp::Kafka => "the record".into(),
        Timestamp::Field { path, format, .. } => {
            let zone = format.zone().map(|zone| format!(", in {zone}")).unwrap_or_default();
            let words = match format {
                TimeFormat::UnixSeconds => "seconds since 1970",
                TimeFormat::UnixMillis => "milliseconds since 1970",
                TimeFormat::UnixMicros => "microseconds since 1970",
                TimeFormat::UnixNanos => "nanoseconds since 1970",
                TimeFormat::Unix => "a number since 1970",
                TimeFormat::Rfc3339 => "RFC 3339",
                TimeFormat::Iso8601 { .. } => "ISO 8601",
                TimeFormat::Clf { .. } => "as in access logs",
                TimeFormat::Pattern { pattern, .. } => pattern,
            };
            format!("`{path}` ({words}{zone})")
        }
        Timestamp::Parts { seconds, nanos } => format!("`{seconds}` (seconds) and `{nanos}` (nanoseconds)"),
        Timestamp::FirstOf(all) => all.iter().map(time_words).collect::<Vec<_>>().join(", else "),
    }
}

fn labels(aggregate: &Aggregate) -> String {
    let labels: Vec<&str> = aggregate.by.iter().map(|by| by.label.as_str()).collect();
    if labels.is_empty() { String::new() } else { format!(" by {}", labels.join(", ")) }
}

fn windows(aggregate: &Aggregate) -> String {
    let windows: Vec<String> = aggregate.windows.iter().map(|window| window.to_string()).collect();
    let windows = if windows.is_empty() { "no windows".into() } else { format!("windows {}", windows.join(", ")) };
    let [pane, grace, kept] = [aggregate.pane, aggregate.grace, aggregate.retention].map(format_duration);
    format!("{windows}; panes of {pane}, grace {grace}, kept {kept}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_summary_names_every_metric() {
        let text = include_str!("../../../../examples/http-requests.yaml");
        let config = config::parse(text, "http-requests.yaml", &|_| None).unwrap();
        let summary = summary("http-requests.yaml", &config);
        for family in config.aggregates.iter().flat_map(Aggregate::families) {
            assert!(summary.contains(&format!("  {} ", family.text_name())), "{}", family.name);
        }
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("summary", summary);
        });
    }

    #[test]
    fn a_bad_file_is_exit_code_2() {
        let config = Path::new("/nonexistent.yaml").to_owned();
        let sample = sample::SampleArgs::default();
        assert_eq!(run(&ValidateArgs { config, connect: false, sample }), 2);
    }
}
