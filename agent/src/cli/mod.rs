//! The verbs of the command line. Exit codes: 0 done, 1 failed while running, 2 a check did not hold, 64 wrong usage or
//! a config that cannot be used.

#![forbid(unsafe_code)]

mod again;
pub mod audit;
mod client;
pub mod cluster;
mod colours;
mod columns;
mod connect;
pub mod dead_letters;
mod demo;
pub mod generate;
pub mod health;
pub mod init;
mod lines;
pub mod loadtest;
mod newest;
mod pipe;
pub mod produce;
pub mod query;
pub mod run;
pub mod schema;
pub mod state;
mod stored;
pub mod tap;
mod target;
pub mod top;
pub mod topics;
pub mod validate;
mod values;

use crate::schemas::SchemaKeeper;
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

/// Wrong usage, or a config that `run` cannot use.
const USAGE: u8 = 64;

/// Kafka log topics as exact, durable, event-time metrics.
#[derive(Parser)]
#[command(name = "streamgauge", version = version(), propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    colours: colours::ColourArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Consume the topics of a config, keep its aggregates exactly once, and serve them.
    Run(run::RunArgs),
    /// Check a config and say what it would do, to records of yours too.
    Validate(validate::ValidateArgs),
    /// Write a config to begin with, to standard output or a new FILE: one drafted from records of yours, or the example with
    /// every key explained.
    Init(init::InitArgs),
    /// Show it working: an in-process broker, a producer and the agent, and a table of what is counted.
    Demo(demo::DemoArgs),
    /// Produce events to a topic, or through an agent's front door: those of a seed, or the lines of a file.
    Produce(produce::ProduceArgs),
    /// Ask an agent for totals and windows; without an aggregate, list what there is.
    Query(query::QueryArgs),
    /// What happens now: an agent's aggregates as a table that lives in the terminal.
    Top(top::TopArgs),
    /// Single events as they are written, of a source whose config shows them (`recent_events`).
    Tap(tap::TapArgs),
    /// Recount a stretch of the topics independently and compare it with what an agent has published.
    Audit(audit::AuditArgs),
    /// Events that could not be counted: list them, and count them once the config is mended.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersVerb),
    /// Look at, check or reset the stored state of a stopped agent.
    #[command(subcommand)]
    State(state::StateVerb),
    /// The Kafka cluster: its health, and how far consumer groups are behind.
    #[command(subcommand)]
    Cluster(cluster::ClusterVerb),
    /// Administer topics.
    Topics(topics::TopicsArgs),
    /// Measure how fast a topic takes events.
    Loadtest(loadtest::LoadTestArgs),
    /// Ask an agent whether it is ready.
    Health(health::HealthArgs),
    /// Write Grafana dashboards, or Prometheus' recording and alert rules, for the aggregates of a config.
    #[command(subcommand)]
    Generate(generate::GenerateArgs),
    /// Print the config's JSON schema.
    Schema,
    /// Print the shell's completions of this command line.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff), or write one for each verb.
    Man {
        /// The folder for a page of each verb, such as man/man1; without it all of it goes to standard output.
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// Who knows the schemas of a config's sources, for verbs that wait for the registry's answers.
fn schemas(config: &crate::config::Config) -> anyhow::Result<Option<Arc<SchemaKeeper>>> {
    let registry = config.schema_registry.as_ref();
    Ok(registry.map(SchemaKeeper::patient).transpose()?.map(Arc::new))
}

/// The version, the commit it was built from where the build was told, and the client library.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("STREAMGAUGE_COMMIT").map(|commit| format!("commit {commit}, ")).unwrap_or_default();
        format!("{} ({commit}librdkafka {})", env!("CARGO_PKG_VERSION"), crate::kafka::library_version())
    });
    &VERSION
}

/// Parses the command line and runs its verb.
pub fn main() -> ExitCode {
    pipe::end_quietly_when_closed();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nowhere to print to is no reason to fail otherwise.
            let _ = error.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let colours = &cli.colours;
    match cli.verb {
        Verb::Run(args) => run::run(&args, colours),
        Verb::Validate(args) => ExitCode::from(validate::run(&args)),
        Verb::Init(args) => finish(init::run(&args)),
        Verb::Demo(args) => finish(demo::run(&args, colours)),
        Verb::Produce(args) => finish(produce::run(args)),
        Verb::Query(args) => finish(query::run(args)),
        Verb::Top(args) => finish(top::run(args, colours)),
        Verb::Tap(args) => finish(tap::run(args, colours)),
        Verb::Audit(args) => finish(audit::run(&args)),
        Verb::DeadLetters(verb) => finish(dead_letters::run(&verb)),
        Verb::State(verb) => finish(state::run(&verb)),
        Verb::Cluster(verb) => cluster::run(verb),
        Verb::Topics(args) => finish(topics::run(args)),
        Verb::Loadtest(args) => finish(loadtest::run(&args)),
        Verb::Health(args) => health::run(&args),
        Verb::Generate(args) => finish(generate::run(&args)),
        Verb::Schema => finish(schema::run()),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "streamgauge", &mut script);
            finish(pipe::print(&script).map(|()| ExitCode::SUCCESS))
        }
        Verb::Man { output: None } => finish(manual()),
        Verb::Man { output: Some(folder) } => finish(manual_pages(&folder)),
    }
}

/// The pages of the command and of each verb, one behind the other.
fn manual() -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        clap_mangen::Man::new(verb.clone()).render(&mut out)?;
    }
    pipe::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// A page for the command and for each verb, in files of their own.
fn manual_pages(folder: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write the pages into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Wrong usage, or a config that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        if pipe::is_closed(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("streamgauge: {error:#}");
        if error.is::<Wrong>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_arguments_that_go_together_and_a_lock_can_be_opened_by_those_that_ask_an_agent() {
        Cli::command().debug_assert();
        let verbs: [&[&str]; 7] = [
            &["query"],
            &["top"],
            &["tap"],
            &["audit", "-c", "x"],
            &["cluster", "health"],
            &["topics", "list"],
            &["loadtest"],
        ];
        for verb in verbs {
            let access = ["--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c", "--token-file", "d"];
            let parsed = Cli::try_parse_from(["streamgauge"].iter().chain(verb).chain(&access));
            // A verb may want more; that it does not know these would be told first.
            let unknown = parsed.err().filter(|error| error.kind() == clap::error::ErrorKind::UnknownArgument);
            assert!(unknown.is_none(), "{verb:?}: {unknown:?}");
        }
    }
}
