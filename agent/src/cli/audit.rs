//! `streamgauge audit`: recounts a stretch of the topics on a separate, naive path and compares it with what the agent
//! has published, cell by cell.

use super::USAGE;
use super::client::{self, Client};
use super::values::parse_duration;
use crate::audit::{self, CellId, Check, Comparison, Difference, Published, Recount, SchemaText, Scope};
use crate::clock::Clock;
use crate::config::{self, Aggregate, Config, Source, Start};
use crate::decode::{FoundSchema, Schemas};
use crate::human;
use crate::kafka::Settings;
use crate::schemas::SchemaKeeper;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;

/// A check did not hold.
const DIFFERENT: u8 = 2;
/// Differences shown of each check.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub struct AuditArgs {
    /// The agent's config.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The closed windows of this stretch of event time before the newest event.
    #[arg(long, default_value = "10m", value_parser = parse_duration, conflicts_with = "all")]
    last: Duration,
    /// The whole topics: totals, and all windows that are kept.
    #[arg(long)]
    all: bool,
    /// The agent's gRPC address [default: grpc.listen of the config].
    #[arg(long, visible_alias = "grpc", env = "STREAMGAUGE_ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    access: client::AccessArgs,
}

/// Runs the verb. Exit code 0: all that was compared is the same; 2: something is not.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let address = args.address.clone().unwrap_or_else(|| config.grpc.listen.to_string());
    let last = (!args.all).then_some(args.last);
    // First the answers, then the topic: a recount can stop where an answer stands, but not the other way round.
    let (checks, from) = client::block_on(ask(&config, (&address, &args.access), last))?;
    let schemas = super::schemas(&config)?;
    let (mut different, mut compared) = (false, 0);
    let mut waiting: Vec<Check> = checks.iter().map(Question::check).collect();
    for (at, source) in config.sources.iter().enumerate() {
        let (of_source, others) = waiting.into_iter().partition(|check| check.aggregate.reads(&source.name));
        waiting = others;
        if source.remap.is_some() {
            // Nor can what they count of other sources be compared without it.
            println!("source {}: left out: nothing but the agent runs its `remap`", source.name);
            continue;
        }
        let mut recount = Recount::new(&config, source, of_source);
        if let Some(schemas) = &schemas {
            recount = recount.with_schemas(Box::new(|id| text_of(schemas, id)));
        }
        let settings = Settings::new(config.kafka.clone(), "streamgauge-audit".into());
        let records = audit::read(&settings, &mut recount, from, &Clock::default())?;
        if let Some(trouble) = schemas.as_ref().and_then(|schemas| schemas.trouble()) {
            anyhow::bail!("the schema registry does not answer: {trouble}");
        }
        println!("source {}: {} records read again", source.name, human::count(records));
        let later = &config.sources[at + 1..];
        for check in recount.finish() {
            // It is whole once the last of its sources has been read.
            if later.iter().any(|source| check.aggregate.reads(&source.name)) {
                waiting.push(check);
                continue;
            }
            let from_latest = |one: &&Source| check.aggregate.reads(&one.name) && one.start == Start::Latest;
            let comparison = match (&check.scope, config.sources.iter().find(from_latest)) {
                (Scope::Totals, Some(source)) => Comparison {
                    left_out: Some(format!("source {} starts at latest, and where that was is not known", source.name)),
                    ..Comparison::default()
                },
                _ => audit::compare(&check),
            };
            different |= !comparison.differences.is_empty();
            compared += comparison.cells;
            println!("{}", report(&check, &comparison));
        }
    }
    println!(
        "{}",
        match (different, compared) {
            (true, _) => "the published numbers are NOT those of the topic",
            (false, 0) => "nothing was compared: no window of this stretch is closed yet",
            (false, _) => "no difference",
        }
    );
    Ok(if different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

/// A schema for the recount, which has eyes of its own.
fn text_of(schemas: &SchemaKeeper, id: u32) -> Option<SchemaText> {
    match schemas.find(id) {
        FoundSchema::Known(schema) => Some(SchemaText {
            text: schema.text.clone(),
            references: schema.references.iter().map(|one| (one.name.clone(), one.text.clone())).collect(),
        }),
        FoundSchema::Unknown(_) | FoundSchema::NotYet(_) => None,
    }
}

/// An answer that is to be checked.
struct Question {
    aggregate: Aggregate,
    scope: Scope,
    published: Published,
}

impl Question {
    fn check(&self) -> Check {
        Check::new(self.aggregate.clone(), self.scope.clone(), self.published.clone())
    }
}

/// Asks for all that is to be compared. Also returns from when on (Unix milliseconds) windows are.
async fn ask(
    config: &Config,
    (address, access): (&str, &client::AccessArgs),
    last: Option<Duration>,
) -> anyhow::Result<(Vec<Question>, Option<i64>)> {
    let mut client = client::connect(address, access).await?;
    let status = client.get_status(pb::GetStatusRequest {}).await.map_err(client::refused)?.into_inner();
    if !status.ready {
        anyhow::bail!("the agent is not ready: {}", status.not_ready_reasons.join("; "));
    }
    let newest = status.partitions.iter().filter_map(|p| p.stream_time.as_ref()).map(|t| t.seconds * 1_000).max();
    let from = last.map(|last| newest.unwrap_or(0).saturating_sub(last.as_millis() as i64).max(0));
    let mut questions = Vec::new();
    for aggregate in &config.aggregates {
        let mut scopes: Vec<_> =
            aggregate.windows.iter().map(|&window| Scope::Windows { window, from: from.unwrap_or(0) }).collect();
        if last.is_none() {
            scopes.push(Scope::Totals);
        }
        for scope in scopes {
            let published = published(&mut client, aggregate, &scope).await?;
            questions.push(Question { aggregate: aggregate.clone(), scope, published });
        }
    }
    Ok((questions, from))
}

async fn published(client: &mut Client, aggregate: &Aggregate, scope: &Scope) -> anyhow::Result<Published> {
    let mut request = pb::QueryRequest { aggregate: aggregate.name.clone(), buckets: true, ..Default::default() };
    if let Scope::Windows { window, from } = scope {
        let start =
            types::Timestamp { seconds: from.div_euclid(1_000), nanos: (from.rem_euclid(1_000) * 1_000_000) as i32 };
        request.window = Some(types::Duration::try_from(window.size)?);
        request.hop = Some(types::Duration::try_from(window.hop)?);
        request.time = Some(pb::query_request::Time::Range(pb::TimeRange { start: Some(start), end: None }));
        request.closed_only = true;
    }
    let answer = client.query(request).await.map_err(client::refused)?.into_inner();
    if !answer.missing.is_empty() {
        eprintln!("{}: {} partitions are with other agents, and left out", aggregate.name, answer.missing.len());
    }
    let labels: Vec<String> = aggregate.by.iter().map(|by| by.label.clone()).collect();
    Ok(Published::new(&answer, &labels))
}

/// One line for a check, and one for each of its differences.
fn report(check: &Check, comparison: &Comparison) -> String {
    let name = match &check.scope {
        Scope::Totals => format!("{}, totals", check.aggregate.name),
        Scope::Windows { window, .. } => format!("{}, windows of {window}", check.aggregate.name),
    };
    if let Some(why) = &comparison.left_out {
        return format!("  {name}: not compared: {why}");
    }
    let windows = match &check.scope {
        Scope::Totals => String::new(),
        Scope::Windows { .. } => format!(" in {} closed windows", human::count(comparison.windows as u64)),
    };
    let events = human::count(check.events);
    let head = format!("  {name}: {} rows{windows} from {events} events", human::count(comparison.cells as u64));
    match (comparison.differences.is_empty(), comparison.cells) {
        (true, 0) => return format!("  {name}: nothing to compare yet"),
        (true, _) => return format!("{head}: the same"),
        (false, _) => {}
    }
    let mut lines = vec![format!("{head}: {} DIFFERENCES", human::count(comparison.differences.len() as u64))];
    lines.extend(comparison.differences.iter().take(SHOWN).map(|difference| line(check, difference)));
    if comparison.differences.len() > SHOWN {
        lines.push(format!("    … and {} more", human::count((comparison.differences.len() - SHOWN) as u64)));
    }
    lines.join("\n")
}

fn line(check: &Check, difference: &Difference) -> String {
    let CellId { window, overflow, labels } = &difference.cell;
    let time = |millis: i64| jiff::Timestamp::from_millisecond(millis).map_or(millis.to_string(), |t| t.to_string());
    let window = window.map(|(start, end)| format!(" {}–{}", time(start), time(end))).unwrap_or_default();
    let labels = match overflow {
        true => "beyond the limit of keys".to_owned(),
        false => {
            let pairs = check.aggregate.by.iter().zip(labels);
            pairs.map(|(by, value)| format!("{}={value:?}", by.label)).collect::<Vec<_>>().join(", ")
        }
    };
    format!(
        "    {{{labels}}}{window} {}: published {}, recounted {}",
        difference.what, difference.published, difference.recounted
    )
}
