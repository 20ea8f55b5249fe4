//! A stand-in until the dispatcher is merged.

use clap::Parser;

#[derive(Parser)]
#[command(name = "streamgauge")]
enum Cli {
    /// Produce a reproducible stream of HTTP request events.
    Produce(streamgauge::cli::produce::ProduceArgs),
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    let Cli::Produce(args) = Cli::parse();
    streamgauge::cli::produce::run(args)
}
