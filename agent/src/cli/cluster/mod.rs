//! `streamgauge cluster`: the health of a Kafka cluster and the lag of its consumer groups, asked of Kafka itself or of
//! an agent. Both ways give the same messages, so that they are shown alike.

mod ask;
mod health;
mod lag;

use super::again::{self, Shown};
use super::client;
use crate::cli::values::{parse_duration, parse_property};
use ask::Asker;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Subcommand)]
pub enum ClusterVerb {
    /// Brokers, partitions that are not as they should be, and what to look at. Exit code 2 when not healthy.
    Health(health::HealthArgs),
    /// How far consumer groups are behind, in messages and seconds. With --max-lag, exit code 2 when one is further.
    Lag(lag::LagArgs),
}

/// Whom to ask: without any of these, the agent on this machine.
#[derive(Args)]
pub struct Target {
    // An agent may be named in the environment: that is no conflict with what the command line says.
    /// Ask these brokers instead of an agent: host:port, separated by commas.
    #[arg(long, value_name = "SERVERS", conflicts_with = "config")]
    bootstrap_servers: Option<String>,
    /// Ask the brokers of this config file instead of an agent.
    #[arg(short, long, visible_alias = "config-file", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this agent's gRPC address.
    #[arg(long, visible_alias = "grpc", env = "STREAMGAUGE_ADDRESS", default_value = client::GRPC)]
    agent: String,
    #[command(flatten)]
    access: client::AccessArgs,
    /// A librdkafka property for --bootstrap-servers, such as security.protocol=SASL_SSL. Can be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property, requires = "bootstrap_servers")]
    properties: Vec<(String, String)>,
    /// How long each question to the brokers may take [default: 3s, or as the config has it].
    #[arg(long, value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// How to show it.
#[derive(Args)]
pub struct Show {
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Ask again at this interval, until interrupted [default without a value: 5s].
    #[arg(long, value_name = "INTERVAL", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "5s")]
    watch: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// Runs the verb.
pub fn run(verb: ClusterVerb) -> ExitCode {
    let (target, show) = match &verb {
        ClusterVerb::Health(args) => (&args.target, &args.show),
        ClusterVerb::Lag(args) => (&args.target, &args.show),
    };
    super::finish(client::block_on(async {
        let mut asker = Asker::new(target).await?;
        again::ask(show.watch, show.output == Output::Table, async || match &verb {
            ClusterVerb::Health(args) => health::ask(&mut asker, args).await,
            ClusterVerb::Lag(args) => lag::ask(&mut asker, args).await,
        })
        .await
    }))
}

/// Columns as wide as their widest cell, two spaces apart; those named in `right` are numbers.
fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            line += &if right.contains(&at) { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [vec!["group".into(), "lag".into()], vec!["a".into(), "12,345".into()]];
        assert_eq!(super::columns(&rows, &[1]), "group     lag\na      12,345\n");
    }
}
