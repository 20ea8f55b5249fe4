//! `streamgauge query`: asks an agent, and shows a table for people or JSON for programs.

mod table;

use super::again::{self, Shown};
use super::client::{self, Client};
use super::values::parse_duration;
use crate::api::parse_matcher;
use anyhow::{Context, bail};
use clap::ValueEnum;
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
    #[arg(long, value_name = "N", conflicts_with = "last")]
    last_n: Option<u32>,
    /// Only windows that are closed.
    #[arg(long)]
    closed: bool,
    /// Exit code 0 although partitions are missing from the answer; without it, 2.
    #[arg(long)]
    allow_partial: bool,
    /// Ask again at this interval, until interrupted [default without a value: 2s].
    #[arg(long, value_name = "INTERVAL", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "2s")]
    watch: Option<Duration>,
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
    client::block_on(async {
        let mut client = client::connect(&args.address, &args.access).await?;
        again::ask(args.watch, args.output == Output::Table, async || ask(&mut client, &args).await).await
    })
}

async fn ask(client: &mut Client, args: &QueryArgs) -> anyhow::Result<Shown> {
    let listed = client.list_aggregates(pb::ListAggregatesRequest::default()).await.map_err(client::refused)?;
    let listed = listed.into_inner();
    let Some(name) = &args.aggregate else {
        let text = match args.output {
            Output::Table => table::aggregates(&listed.aggregates),
            Output::Json => client::pretty("ListAggregatesResponse", &listed)?,
        };
        return Ok(Shown { text, well: true });
    };
    let info = listed.aggregates.into_iter().find(|info| info.name == *name).unwrap_or_default();
    let answer = client.query(request(args, &info)?).await.map_err(client::refused)?.into_inner();
    let is_whole = lacking(&answer).is_empty();
    let text = match args.output {
        Output::Table if answer.rows.is_empty() => nothing_yet(client).await + &remarks(&answer),
        Output::Table => table::rows(&answer, &info) + &remarks(&answer),
        Output::Json => {
            eprint!("{}", remarks(&answer));
            client::pretty("QueryResponse", &answer)?
        }
    };
    Ok(Shown { text, well: is_whole || args.allow_partial })
}

/// Why there may be no rows, as far as the agent that was asked knows.
async fn nothing_yet(client: &mut Client) -> String {
    let status = client.get_status(pb::GetStatusRequest::default()).await;
    let notes = status.map_or_else(|_| Vec::new(), |status| status.into_inner().notes);
    let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    format!("nothing yet\n{notes}")
}

fn request(args: &QueryArgs, info: &pb::AggregateInfo) -> anyhow::Result<pb::QueryRequest> {
    let order_by = args.sort.as_ref().map(|sort| {
        let (measure, stat) = sort.split_once(':').unwrap_or((sort, ""));
        pb::OrderBy { measure: measure.to_owned(), stat: stat.to_owned(), ascending: args.ascending }
    });
    let time = match (args.last, args.last_n) {
        (Some(last), _) => Some(pb::query_request::Time::Last(duration(last)?)),
        (None, Some(n)) => Some(pb::query_request::Time::LastN(n)),
        (None, None) => None,
    };
    let window = match (args.window, args.last_n) {
        (Some(window), _) => Some(duration(window)?),
        (None, Some(_)) => Some(only_window(info)?),
        (None, None) => None,
    };
    let labels = |labels: &Vec<String>| labels.iter().filter(|label| !label.is_empty()).cloned().collect();
    Ok(pb::QueryRequest {
        aggregate: args.aggregate.clone().unwrap_or_default(),
        matchers: args.matchers.clone(),
        window,
        hop: args.hop.map(duration).transpose()?,
        time,
        closed_only: args.closed,
        measures: args.measures.clone(),
        quantiles: args.quantiles.clone(),
        group_by: args.group_by.as_ref().map(|given| pb::GroupBy { labels: labels(given) }),
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

/// The window meant by `--last-n` alone.
fn only_window(info: &pb::AggregateInfo) -> anyhow::Result<types::Duration> {
    let sizes: Vec<&types::Duration> = info.windows.iter().filter_map(|window| window.size.as_ref()).collect();
    match sizes.as_slice() {
        [only] => Ok(**only),
        [] => bail!("{} has no windows in the config: give their length, as in --window 1m", info.name),
        several => {
            let several: Vec<String> = several.iter().map(|size| span(size)).collect();
            bail!("{} has windows of {}: say which, as in --window {}", info.name, several.join(", "), several[0])
        }
    }
}

/// A line for each partition that is not in the answer.
fn lacking(answer: &pb::QueryResponse) -> Vec<String> {
    let missing = answer.missing.iter();
    let mut lines: Vec<String> =
        missing.map(|it| format!("{}/{} is not in the answer: {}", it.topic, it.partition, it.reason)).collect();
    let restoring = in_state(answer, pb::partition_status::State::Restoring);
    if !restoring.is_empty() {
        lines.push(format!("still restoring, and not complete: {}", restoring.join(", ")));
    }
    lines
}

/// What is not, or may not be, in the answer.
fn remarks(answer: &pb::QueryResponse) -> String {
    let mut lines = lacking(answer);
    let replica = |p: &&pb::PartitionStatus| p.state() == pb::partition_status::State::Replica;
    for copy in answer.as_of.iter().filter(replica) {
        let behind = copy.behind.map_or("unknown how far".to_owned(), |behind| format!("{behind} changelog records"));
        lines.push(format!("{}/{} is from a replica, {behind} behind", copy.topic, copy.partition));
    }
    let stale = in_state(answer, pb::partition_status::State::Stale);
    if !stale.is_empty() {
        lines.push(format!("no commit lately, maybe not the newest: {}", stale.join(", ")));
    }
    lines.iter().map(|line| format!("warning: {line}\n")).collect()
}

fn in_state(answer: &pb::QueryResponse, state: pb::partition_status::State) -> Vec<String> {
    answer.as_of.iter().filter(|p| p.state() == state).map(|p| format!("{}/{}", p.topic, p.partition)).collect()
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
