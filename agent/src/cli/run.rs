//! `streamgauge run`: the agent, from its config to its last commit.

use super::USAGE;
use super::colours::ColourArgs;
use crate::app::{Agent, Listeners, reload_on_sighup, shutdown_signal};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigFile, Overrides};
use crate::failpoint;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct RunArgs {
    /// The config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Instead of http.listen of the config, so that several agents on one machine share it.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Instead of grpc.listen of the config.
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Option<String>,
    /// Instead of state.dir of the config.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Instead of telemetry.log_level of the config: error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Where this process is to die, stall or fail; for fault tests.
    #[arg(long, env = "STREAMGAUGE_FAILPOINTS", hide = true)]
    failpoints: Option<String>,
}

/// Runs the agent until a signal or a failure ends it.
pub fn run(args: &RunArgs, colours: &ColourArgs) -> ExitCode {
    let instead = Overrides {
        http_listen: args.http.clone(),
        grpc_listen: args.grpc.clone(),
        state_dir: args.state_dir.clone(),
        log_level: args.log_level.clone(),
    };
    let file = ConfigFile { path: args.config.clone(), instead };
    let config = match config::load_with(&file.path, &file.instead) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(USAGE);
        }
    };
    let is_coloured = colours.are_on(std::io::stderr().is_terminal());
    let failpoints = args.failpoints.as_deref().map_or(Ok(()), failpoint::configure);
    if let Err(error) = crate::telemetry::init_logging(&config.telemetry, config.otlp.as_ref(), is_coloured)
        .map_err(|e| e.to_string())
        .and(failpoints)
    {
        eprintln!("streamgauge: {error}");
        return ExitCode::from(USAGE);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => match runtime.block_on(serve(config, file)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            tracing::error!("no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config, file: ConfigFile) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&config).await?;
    let agent = Agent::build(config, listeners, Clock::default())?.reloading(file);
    let mut running = agent.run()?;
    tokio::select! {
        () = reload_on_sighup(running.reload.clone()) => {}
        () = running.ended() => {}
        () = shutdown_signal() => {}
    }
    tracing::info!("stopping: committing what was folded");
    Ok(running.stop().await?)
}
