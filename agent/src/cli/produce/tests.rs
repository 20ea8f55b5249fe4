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

fn plan(flags: &[&str]) -> Plan {
    Plan::new(&parse(flags).unwrap(), Duration::from_secs(1), 1_000)
}

#[test]
fn a_steady_rate_for_a_duration_is_a_count() {
    let plan = plan(&["--rate", "40000", "--duration", "1m"]);
    assert_eq!((plan.count, plan.until), (Some(2_400_000), None));
    assert_eq!((plan.event_time.start, plan.event_time.per_second), (1_000, 40_000));
    assert!(!plan.by_clock);
}

#[test]
fn the_highest_rate_stops_by_the_clock_or_the_count() {
    let plan = plan(&["--rate", "max", "--duration", "2s", "--count", "10"]);
    assert_eq!((plan.count, plan.until), (Some(10), Some(Duration::from_secs(2))));
    assert!(plan.by_clock, "events are dated when they are sent");
}

#[test]
fn a_given_start_makes_event_time_virtual() {
    let flags = ["--rate", "max", "--timestamp-start", "5000", "--event-rate", "100", "--count", "1"];
    let plan = plan(&flags);
    assert_eq!(plan.event_time.at(100), 6_000);
    assert!(!plan.by_clock);
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
    ] {
        assert!(parse(&flags).is_err(), "{flags:?}");
    }
}

#[test]
fn properties_are_split_at_the_first_equals_sign() {
    let args = parse(&["--property", "sasl.password=a=b", "--property", "linger.ms=5"]).unwrap();
    assert_eq!(args.brokers.properties, [("sasl.password".into(), "a=b".into()), ("linger.ms".into(), "5".to_owned())]);
}
