//! `streamgauge generate`: dashboards and rules for the aggregates of a config, as files or on stdout.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::config::{self, Config};
use crate::monitoring::{self, File, Options};

/// Dashboards or rules.
#[derive(Subcommand, Clone, Debug)]
pub enum GenerateArgs {
    /// Grafana dashboards: of each source's aggregates, their objective, the agent, the Kafka cluster and load tests.
    Grafana(Wanted),
    /// Prometheus' recording and alert rules for the same.
    Rules(Wanted),
}

/// For which config, and what a config does not know.
#[derive(Args, Clone, Debug)]
pub struct Wanted {
    /// The config file.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Write files below this folder: grafana/dashboards/, or prometheus/rules/ and alerts/. Without it, stdout gets the
    /// dashboard of the first source, or all rules as one rule file.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Share of the requests that have to succeed, percent.
    #[arg(long, default_value_t = Options::default().objective, value_parser = parse_objective, value_name = "PERCENT")]
    pub objective: f64,
    /// Name of the agents' scrape job.
    #[arg(long, default_value_t = Options::default().job, value_name = "JOB", value_parser = parse_job)]
    pub job: String,
    /// Where Grafana is; alerts link to it.
    #[arg(long, default_value_t = Options::default().grafana_url, value_name = "URL")]
    pub grafana_url: String,
    /// Where the folder docs/runbooks is published; alerts link to its pages. The default is a placeholder as long as this
    /// program's Cargo.toml names no repository.
    #[arg(long = "runbook-base", alias = "runbooks-url", default_value_t = Options::default().runbooks_url, value_name = "URL")]
    pub runbooks_url: String,
}

/// Runs the verb. Exit code 0: written; 64: the config cannot be used.
pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let (GenerateArgs::Grafana(wanted) | GenerateArgs::Rules(wanted)) = args;
    let config = match config::load(&wanted.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(super::USAGE));
        }
    };
    let options = Options {
        job: wanted.job.clone(),
        grafana_url: wanted.grafana_url.clone(),
        runbooks_url: wanted.runbooks_url.clone(),
        objective: wanted.objective,
    };
    match &wanted.output {
        Some(folder) => write_files(folder, &files(args, &config, &options))?,
        None => std::io::stdout().write_all(on_stdout(args, &config, &options).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn files(args: &GenerateArgs, config: &Config, options: &Options) -> Vec<File> {
    match args {
        GenerateArgs::Grafana(_) => monitoring::dashboards(config, options),
        GenerateArgs::Rules(_) => monitoring::rules(config, options),
    }
}

fn on_stdout(args: &GenerateArgs, config: &Config, options: &Options) -> String {
    match args {
        GenerateArgs::Grafana(_) => {
            monitoring::dashboards(config, options).into_iter().next().map_or(String::new(), |file| file.text)
        }
        GenerateArgs::Rules(_) => monitoring::rules_in_one(config, options),
    }
}

fn write_files(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        std::fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
        // Nobody to read it is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{}", path.display());
    }
    Ok(())
}

fn parse_objective(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| format!("not a number: {text:?}"))?;
    if (0.0..100.0).contains(&percent) { Ok(percent) } else { Err("from 0 to below 100, such as 99.9".into()) }
}

/// It stands inside quotes of PromQL and in URLs.
fn parse_job(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and - _ . / :".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_leaves_something_to_fail() {
        assert_eq!(parse_objective("99.9"), Ok(99.9));
        for wrong in ["100", "-1", "NaN", "most"] {
            assert!(parse_objective(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_job_cannot_end_the_quotes_around_it() {
        assert!(parse_job("team/streamgauge-1").is_ok());
        assert!(parse_job("a\"} or vector(1").is_err());
    }
}
