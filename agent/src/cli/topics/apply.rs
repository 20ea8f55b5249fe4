//! `topics apply`: reads the file, shows what differs, asks the brokers whether they would do all of it, and does it.

use super::{Server, agreed, show};
use crate::cli::USAGE;
use crate::cli::client::refused;
use crate::cli::target::Output;
use crate::topics::apply::{Actual, Desired, Step, plan, read};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use streamgauge_proto::v1 as pb;
use tonic::{Code, Status};

#[derive(Args)]
pub struct ApplyArgs {
    /// The file that says how the topics should be, such as examples/topics.yaml.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Carry out the plan without asking.
    #[arg(short, long)]
    yes: bool,
    /// Show the plan and change nothing; exit code 2 if there is anything to change.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Instead of the file's replication factors, for a cluster with fewer brokers.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    replication_factor: Option<i32>,
}

/// Nothing was to do, or it was done: 0. A plan that was not carried out, or a difference that no call can mend: 2.
pub async fn run(args: &ApplyArgs, server: &Server, output: Output) -> anyhow::Result<ExitCode> {
    let wanted = match load(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("streamgauge: {}: {error}", args.file.display());
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut steps = Vec::new();
    for topic in &wanted {
        steps.extend(plan(topic, actual(server, topic).await?.as_ref()));
    }
    let (cannot, todo): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| matches!(step, Step::Cannot { .. }));
    if output == Output::Table {
        cannot.iter().chain(&todo).for_each(|step| print!("{}", text(step)));
        if todo.is_empty() {
            println!("{} topics: nothing to change", wanted.len());
        }
    }
    // All of it is asked for before any of it is done.
    for step in &todo {
        carry_out(server, step, true).await.map_err(refused)?;
    }
    let go = todo.is_empty() || args.yes || (!args.dry_run && agreed(&format!("Make these {} changes?", todo.len()))?);
    if go {
        for (at, step) in todo.iter().enumerate() {
            if let Err(status) = carry_out(server, step, false).await {
                anyhow::bail!(
                    "{}; {at} of {} changes were made, apply again goes on from here",
                    status.message(),
                    todo.len()
                );
            }
        }
    }
    match output {
        Output::Json => {
            let plan: Vec<Value> = cannot.iter().chain(&todo).map(value).collect();
            println!("{:#}", json!({ "applied": go, "plan": plan }));
        }
        Output::Table if go && !todo.is_empty() => println!("done"),
        Output::Table if !go => println!("nothing was changed; --yes carries out the plan"),
        Output::Table => {}
    }
    Ok(if go && cannot.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn load(args: &ApplyArgs) -> Result<Vec<Desired>, String> {
    let text = std::fs::read_to_string(&args.file).map_err(|error| format!("cannot read it: {error}"))?;
    read(&text, args.replication_factor)
}

async fn actual(server: &Server, wanted: &Desired) -> anyhow::Result<Option<Actual>> {
    match server.get_topic(pb::GetTopicRequest { name: wanted.name.clone() }).await {
        Ok(topic) => Ok(Some(Actual {
            partitions: topic.partition_count,
            replication: topic.replication_factor,
            configs: topic.configs.into_iter().map(|c| (c.name, (c.value, !c.is_default))).collect(),
        })),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(refused(status)),
    }
}

async fn carry_out(server: &Server, step: &Step, validate_only: bool) -> Result<(), Status> {
    match step {
        Step::Create(new) => {
            let request = pb::CreateTopicRequest {
                name: new.name.clone(),
                partitions: new.partitions.unwrap_or(0),
                replication_factor: new.replication.unwrap_or(0),
                configs: new.configs.iter().cloned().collect(),
                validate_only,
            };
            server.create_topic(request).await.map(drop)
        }
        Step::Grow { topic, to, .. } => {
            let request = pb::CreatePartitionsRequest { name: topic.clone(), total: *to, validate_only };
            server.create_partitions(request).await.map(drop)
        }
        Step::Update { topic, change, .. } => {
            let request = pb::UpdateTopicRequest {
                name: topic.clone(),
                set: change.set.iter().cloned().collect(),
                reset: change.reset.clone(),
                validate_only,
            };
            server.update_topic(request).await.map(drop)
        }
        Step::Cannot { .. } => Ok(()),
    }
}

fn text(step: &Step) -> String {
    let count = |count: Option<i32>| count.map_or("the brokers' default".to_owned(), |count| count.to_string());
    match step {
        Step::Create(new) => {
            let (partitions, replicas) = (count(new.partitions), count(new.replication));
            let mut text = format!("+ {}: create; partitions {partitions}, replicas {replicas}\n", new.name);
            for (key, value) in &new.configs {
                text += &format!("    {key} = {}\n", show::readable(key, value));
            }
            text
        }
        Step::Grow { topic, from, to } => format!("~ {topic}: partitions {from} -> {to}\n"),
        Step::Update { topic, change, before } => {
            let lines = change.set.iter().zip(before).map(|((key, value), before)| {
                if before.as_ref() == Some(value) {
                    let value = show::readable(key, value);
                    return format!("~ {topic}: {key} = {value}, so far only as the brokers' default\n");
                }
                let before = before.as_deref().map_or("unset".to_owned(), |before| show::readable(key, before));
                format!("~ {topic}: {key} {before} -> {}\n", show::readable(key, value))
            });
            lines.collect()
        }
        Step::Cannot { topic, why } => format!("! {topic}: {why}\n"),
    }
}

fn value(step: &Step) -> Value {
    match step {
        Step::Create(new) => json!({
            "topic": new.name,
            "action": "create",
            "partitions": new.partitions,
            "replication_factor": new.replication,
            "configs": new.configs.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }),
        Step::Grow { topic, from, to } => json!({ "topic": topic, "action": "grow", "from": from, "to": to }),
        Step::Update { topic, change, .. } => json!({
            "topic": topic,
            "action": "update",
            "set": change.set.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }),
        Step::Cannot { topic, why } => json!({ "topic": topic, "action": "cannot", "why": why }),
    }
}
