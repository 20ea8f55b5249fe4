//! `streamgauge dead-letters replay`: letters become input again. What was replayed is a group's committed position, moved
//! in the same transaction as the records, so that no letter is replayed twice.

use std::process::ExitCode;

use super::Which;
use super::letter::Letter;
use crate::config::Config;
use crate::kafka::{Outgoing, Settings, copy_exactly_once, left_to_copy, why_unread};

#[derive(clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Where they are written to [default: the topic and partition that each comes from]. Whoever else reads that topic
    /// sees them again; a topic of its own that the source reads too keeps others out of it.
    #[arg(long)]
    to: Option<String>,
    /// Do it; without this it is only said how many there are.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &ReplayArgs, config: &Config, topic: &str) -> anyhow::Result<ExitCode> {
    let settings = Settings::new(config.kafka.clone(), "streamgauge-replay".into());
    let reader = format!("{}-dead-letters", config.kafka.group_id);
    if !args.yes {
        let letters =
            left_to_copy(&settings, topic, &reader).map_err(|error| anyhow::anyhow!(why_unread(&error, topic)))?;
        let to = args.to.as_deref().unwrap_or("the topics that they come from");
        println!("up to {letters} letters of {topic} were not replayed yet; --yes writes them to {to}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut left = Left::default();
    let copied = copy_exactly_once(&settings, topic, &reader, &mut |record| {
        let Some(letter) = Letter::read(&record.headers()) else {
            left.no_letters += 1;
            return None;
        };
        if letter.is_cut {
            left.cut += 1;
            return None;
        }
        Some(again(&letter, args.to.as_deref(), record.key(), record.payload()))
    })?;
    println!("replayed {} of {} letters of {topic}", copied.written, copied.read);
    if left.cut > 0 {
        println!("left out: {} that are cut; their records are still where they come from", left.cut);
    }
    if left.no_letters > 0 {
        println!("left out: {} records that are no dead letters", left.no_letters);
    }
    Ok(ExitCode::SUCCESS)
}

/// Letters that cannot be replayed.
#[derive(Default)]
struct Left {
    cut: u64,
    no_letters: u64,
}

/// The record that a letter was made of, as far as it is one that can be read.
fn again(letter: &Letter, to: Option<&str>, key: Option<&[u8]>, payload: Option<&[u8]>) -> Outgoing {
    Outgoing {
        topic: to.unwrap_or(&letter.topic).to_owned(),
        partition: if to.is_some() { None } else { letter.partition },
        key: key.map(<[u8]>::to_vec),
        payload: payload.map(<[u8]>::to_vec),
        timestamp: letter.timestamp,
        headers: vec![("streamgauge.replayed".to_owned(), letter.origin())],
    }
}
