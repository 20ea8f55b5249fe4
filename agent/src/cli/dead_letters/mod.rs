//! `streamgauge dead-letters`: what could not be counted, and a second try once the config is mended.

mod letter;
mod list;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use crate::cli::USAGE;
use crate::config::{self, Config, TopicSelector, dead_letter_topic};

#[derive(clap::Subcommand)]
pub enum DeadLettersVerb {
    /// The newest dead letters: where they come from, what is wrong, and how they begin.
    List(list::ListArgs),
    /// Write the letters that were not replayed yet to their topics again, exactly once.
    Replay(replay::ReplayArgs),
}

#[derive(clap::Args)]
struct Which {
    /// The agent's config.
    #[arg(short, long, env = "STREAMGAUGE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The dead-letter topic [default: the config's, if it has one].
    #[arg(long)]
    topic: Option<String>,
}

/// Runs the verb.
pub fn run(verb: &DeadLettersVerb) -> anyhow::Result<ExitCode> {
    let which = match verb {
        DeadLettersVerb::List(args) => &args.which,
        DeadLettersVerb::Replay(args) => &args.which,
    };
    let config = match config::load(&which.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let topic = match &which.topic {
        Some(topic) => topic.clone(),
        None => only_one(&config)?,
    };
    match verb {
        DeadLettersVerb::List(args) => list::run(args, &config, &topic),
        DeadLettersVerb::Replay(args) => replay::run(args, &config, &topic),
    }
}

/// The config's dead-letter topic, if it leaves no choice.
fn only_one(config: &Config) -> anyhow::Result<String> {
    let mut topics = Vec::new();
    for source in &config.sources {
        match &source.dead_letters.topic {
            Some(topic) => topics.push(topic.clone()),
            None => {
                let named = source.topics.iter().map(TopicSelector::name);
                topics
                    .extend(named.map(|name| name.map_or_else(|| "…-dlq".to_owned(), |name| dead_letter_topic(name))));
            }
        }
    }
    topics.sort();
    topics.dedup();
    match topics.as_slice() {
        [topic] if !topic.contains('…') => Ok(topic.clone()),
        _ => bail!("the config has several dead-letter topics ({}); name one with --topic", topics.join(", ")),
    }
}
