//! `streamgauge query`: asks an agent, and shows a table for people or JSON for programs.

mod json;
mod table;

use super::client;
use super::values::parse_duration;
use crate::api::parse_matcher;
use anyhow::Context;
use clap::ValueEnum;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;

#[derive(clap::Args)]
pub struct QueryArgs {
    /// The aggregate to ask for; without it, the aggregates are listed.
    aggregate: Option<String>,
    /// Conditions on labels: endpoint=/api/users, status!=200, status=~5.., region!~eu-.*
    #[arg(value_name = "LABEL=VALUE", value_parser = parse_matcher)]
    matchers: Vec<pb::LabelMatcher>,
    /// Length of the windows; without it, totals, or one window as long as --last.
    #[arg(long, value_parser = parse_duration)]
    window: Option<Duration>,
    /// How far apart two windows begin [default: as the config has it].
    #[arg(long, value_parser = parse_duration, requires = "window")]
    hop: Option<Duration>,
    /// The stretch of event time that ends now.
    #[arg(long, value_parser = parse_duration)]
    last: Option<Duration>,
    /// The newest windows, so many.
    #[arg(long, value_name = "N", requires = "window", conflicts_with = "last")]
    last_n: Option<u32>,
    /// Only windows that are closed.
    #[arg(long)]
    closed: bool,
    /// Only this measure. Can be repeated.
    #[arg(long = "measure", value_name = "NAME")]
    measures: Vec<String>,
    /// Merge keys that agree in these labels; empty (--group-by ''): all keys into one row.
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    group_by: Option<Vec<String>>,
    /// Largest first by this measure, or by a statistic of it: duration:p99. With --ascending, smallest first.
    #[arg(long, value_name = "MEASURE[:STAT]")]
    sort: Option<String>,
    #[arg(long, requires = "sort")]
    ascending: bool,
    /// Only the first rows of each window, so many.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    top: u32,
    /// A quantile of histograms, such as 0.999. Can be repeated [default: 0.5, 0.95, 0.99].
    #[arg(long = "quantile", value_name = "FRACTION")]
    quantiles: Vec<f64>,
    /// Whose partitions: the whole group's, or only those of the agent that is asked.
    #[arg(long, value_enum, default_value_t = Scope::Cluster)]
    scope: Scope,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// The agent's gRPC address.
    #[arg(long, visible_alias = "grpc", env = "STREAMGAUGE_ADDRESS", default_value = client::GRPC)]
    address: String,
    #[command(flatten)]
    access: client::AccessArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    Cluster,
    Local,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs the verb.
pub fn run(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let text = client::block_on(ask(args))?;
    // Nobody to read it is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: QueryArgs) -> anyhow::Result<String> {
    let mut client = client::connect(&args.address, &args.access).await?;
    let listed = client.list_aggregates(pb::ListAggregatesRequest::default()).await.map_err(client::refused)?;
    let aggregates = listed.into_inner().aggregates;
    let Some(name) = &args.aggregate else {
        return Ok(match args.output {
            Output::Table => table::aggregates(&aggregates),
            Output::Json => json::aggregates(&aggregates),
        });
    };
    let info = aggregates.into_iter().find(|info| info.name == *name).unwrap_or_default();
    let output = args.output;
    let answer = client.query(request(args)?).await.map_err(client::refused)?.into_inner();
    warn(&answer);
    Ok(match output {
        Output::Table => table::rows(&answer, &info),
        Output::Json => json::rows(&answer),
    })
}

fn request(args: QueryArgs) -> anyhow::Result<pb::QueryRequest> {
    let order_by = args.sort.map(|sort| {
        let (measure, stat) = sort.split_once(':').unwrap_or((&sort, ""));
        pb::OrderBy { measure: measure.to_owned(), stat: stat.to_owned(), ascending: args.ascending }
    });
    let time = match (args.last, args.last_n) {
        (Some(last), _) => Some(pb::query_request::Time::Last(duration(last)?)),
        (None, Some(n)) => Some(pb::query_request::Time::LastN(n)),
        (None, None) => None,
    };
    let labels = |labels: Vec<String>| labels.into_iter().filter(|label| !label.is_empty()).collect();
    Ok(pb::QueryRequest {
        aggregate: args.aggregate.unwrap_or_default(),
        matchers: args.matchers,
        window: args.window.map(duration).transpose()?,
        hop: args.hop.map(duration).transpose()?,
        time,
        closed_only: args.closed,
        measures: args.measures,
        quantiles: args.quantiles,
        group_by: args.group_by.map(|given| pb::GroupBy { labels: labels(given) }),
        order_by,
        limit: args.top,
        scope: match args.scope {
            Scope::Cluster => pb::Scope::Cluster.into(),
            Scope::Local => pb::Scope::Local.into(),
        },
        ..pb::QueryRequest::default()
    })
}

fn duration(duration: Duration) -> anyhow::Result<types::Duration> {
    types::Duration::try_from(duration).context("the time is too long")
}

/// What is not, or may not be, in the answer.
fn warn(answer: &pb::QueryResponse) {
    for missing in &answer.missing {
        eprintln!("warning: {}/{} is not in the answer: {}", missing.topic, missing.partition, missing.reason);
    }
    let in_state = |state: pb::partition_status::State| {
        answer.as_of.iter().filter(|p| p.state() == state).map(|p| format!("{}/{}", p.topic, p.partition)).collect()
    };
    let replica = |p: &&pb::PartitionStatus| p.state() == pb::partition_status::State::Replica;
    for copy in answer.as_of.iter().filter(replica) {
        let behind = copy.behind.map_or("unknown how far".to_owned(), |behind| format!("{behind} changelog records"));
        eprintln!("warning: {}/{} is from a replica, {behind} behind", copy.topic, copy.partition);
    }
    let restoring: Vec<String> = in_state(pb::partition_status::State::Restoring);
    if !restoring.is_empty() {
        eprintln!("warning: still restoring, and not complete: {}", restoring.join(", "));
    }
    let stale: Vec<String> = in_state(pb::partition_status::State::Stale);
    if !stale.is_empty() {
        eprintln!("warning: no commit lately, maybe not the newest: {}", stale.join(", "));
    }
}

/// Unix milliseconds of a message's timestamp.
fn millis(timestamp: &types::Timestamp) -> i64 {
    timestamp.seconds.saturating_mul(1_000).saturating_add(i64::from(timestamp.nanos) / 1_000_000)
}

/// As RFC 3339, in UTC.
fn time(timestamp: &types::Timestamp) -> String {
    let millis = millis(timestamp);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

/// As the config writes it.
fn span(duration: &types::Duration) -> String {
    let duration = Duration::try_from(*duration).unwrap_or_default();
    crate::config::format_duration(duration)
}
