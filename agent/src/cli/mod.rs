//! The verbs of the command line. Exit codes: 0 done, 1 failed while running, 2 a check did not hold, 64 wrong usage or
//! a config that cannot be used.

pub mod demo;
mod human;
pub mod produce;
pub mod run;
pub mod schema;
mod serve;
pub mod validate;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Wrong usage, or a config that `run` cannot use.
const USAGE: u8 = 64;

/// Kafka log topics as exact, durable, event-time metrics.
#[derive(Parser)]
#[command(name = "streamgauge", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Consume the topics of a config, keep its aggregates exactly once, and serve them.
    Run(run::RunArgs),
    /// Check a config and say what it would do.
    Validate {
        /// The config file.
        #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Show it working: an in-process broker, a producer and the agent, and a table of what is counted.
    Demo(demo::DemoArgs),
    /// Produce the example's event stream to a topic.
    Produce(produce::ProduceArgs),
    /// Print the config's JSON schema.
    Schema,
}

/// Parses the command line and runs its verb.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nowhere to print to is no reason to fail otherwise.
            let _ = error.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Validate { config } => ExitCode::from(validate::validate(&config)),
        Verb::Demo(args) => finish(demo::run(&args)),
        Verb::Produce(args) => finish(produce::run(args)),
        Verb::Schema => ExitCode::from(schema::schema()),
    }
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("streamgauge: {error:#}");
        ExitCode::FAILURE
    })
}
