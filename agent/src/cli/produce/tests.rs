//! What the flags mean.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    produce: ProduceArgs,
}

fn parse(flags: &[&str]) -> Result<ProduceArgs, clap::Error> {
    Cli::try_parse_from(std::iter::once(&"produce").chain(flags)).map(|cli| cli.produce)
}

fn plan(flags: &[&str]) -> (Plan, Generated) {
    let args = parse(flags).unwrap();
    (Plan::new(&args, Duration::from_secs(1)), generated(&args, 1_000))
}

#[test]
fn a_steady_rate_for_a_duration_is_a_count() {
    let (plan, source) = plan(&["--rate", "40000", "--duration", "1m"]);
    assert_eq!((plan.count, plan.until), (Some(2_400_000), None));
    assert_eq!((source.event_time.start, source.event_time.per_second), (1_000, 40_000));
    assert!(!source.by_clock);
}

#[test]
fn the_highest_rate_stops_by_the_clock_or_the_count() {
    let (plan, source) = plan(&["--rate", "max", "--duration", "2s", "--count", "10"]);
    assert_eq!((plan.count, plan.until), (Some(10), Some(Duration::from_secs(2))));
    assert!(source.by_clock, "events are dated when they are sent");
}

#[test]
fn a_given_start_makes_event_time_virtual() {
    let flags = ["--rate", "max", "--timestamp-start", "5000", "--event-rate", "100", "--count", "1"];
    let (_, source) = plan(&flags);
    assert_eq!(source.event_time.at(100), 6_000);
    assert!(!source.by_clock);
    assert!(parse(&["--event-rate", "100"]).is_err(), "an event rate means nothing without a start");
}

#[test]
fn wrong_values_are_refused() {
    for flags in [
        ["--rate", "0"],
        ["--rate", "fast"],
        ["--duration", "-5s"],
        ["--duration", "soon"],
        ["--late-fraction", "1.5"],
        ["--late-fraction", "NaN"],
        ["--property", "linger.ms"],
        ["--partitions", "0"],
        ["--key", "region"],
        ["--interval", "0s"],
        ["--batch-size", "0"],
        ["--failing-fraction", "2"],
        ["--kind", "payments"],
        ["--to", "disk"],
        ["--source", "x"],
    ] {
        assert!(parse(&flags).is_err(), "{flags:?}");
    }
}

#[test]
fn properties_are_split_at_the_first_equals_sign() {
    let args = parse(&["--property", "sasl.password=a=b", "--property", "linger.ms=5"]).unwrap();
    assert_eq!(args.brokers.properties, [("sasl.password".into(), "a=b".into()), ("linger.ms".into(), "5".to_owned())]);
}

#[test]
fn a_batch_is_sent_once_or_at_each_interval() {
    let (once, _) = plan(&["--batch-size", "100"]);
    assert_eq!(once.count, Some(100));
    let (plan_, source) = plan(&["--batch-size", "5", "--interval", "2s", "--duration", "60s"]);
    assert_eq!((plan_.count, plan_.rate.due(5)), (Some(150), Some(Duration::from_secs(2))));
    assert!(source.by_clock, "events are dated when they are sent");
    let (on, _) = plan(&["--batch-size", "5", "--continuous"]);
    assert_eq!((on.count, on.until), (None, None));
    assert!(parse(&["--continuous", "--count", "5"]).is_err() && parse(&["--interval", "1s", "--rate", "5"]).is_err());
}

#[test]
fn lines_go_as_fast_as_they_come_and_keep_no_seed() {
    let (plan, _) = plan(&["--input", "x", "--duration", "5s"]);
    assert_eq!((plan.rate, plan.count, plan.until), (Rate::unlimited(), None, Some(Duration::from_secs(5))));
    for flags in [["--input", "x", "--kind", "logs"], ["--input", "x", "--seed", "5"]] {
        assert!(parse(&flags).is_err(), "{flags:?}");
    }
    assert!(parse(&["--follow"]).is_err() && parse(&["--input", "x", "--follow", "--rate", "5"]).is_err());
}

#[test]
fn what_does_not_go_together_is_told() {
    for (flags, words) in [
        (&["--to", "grpc"][..], "--to http"),
        (&["--to", "grpc", "--kind", "user-actions"], "--to http"),
        (&["--address", "x"], "--to http"),
        (&["--to", "http", "--topic", "x"], "--to kafka"),
        (&["--input", "-", "--follow"], "needs a file"),
        (&["--key", "source"], "no such key"),
        (&["--kind", "user-actions", "--key", "endpoint"], "no such key"),
        (&["--input", "x", "--key", "user"], "no such key"),
    ] {
        let said = parse(flags).unwrap().check().unwrap_err().to_string();
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    for flags in [
        &["--kind", "logs", "--to", "grpc"][..],
        &["--input", "x", "--to", "grpc", "--source", "a"],
        &["--key", "none"],
    ] {
        assert!(parse(flags).unwrap().check().is_ok(), "{flags:?}");
    }
}
