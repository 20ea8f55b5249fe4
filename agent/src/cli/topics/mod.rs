//! `streamgauge topics`: list, describe, create, delete and apply, straight against Kafka or through an agent.

mod apply;
mod show;

use super::client::{self, block_on};
use super::target::{Output, TargetArgs};
use crate::grpc::TopicApi;
use crate::server::Calls;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::topic_service_client::TopicServiceClient;
use streamgauge_proto::v1::topic_service_server::TopicService;
use tonic::{Request, Status};

#[derive(Args)]
pub struct TopicsArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    output: Output,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the topics.
    List {
        /// Only names that this regular expression matches.
        #[arg(long, value_name = "REGEX", default_value = "")]
        name: String,
        /// Also Kafka's own topics.
        #[arg(long)]
        internal: bool,
    },
    /// Show a topic's partitions, leaders, replicas, settings and size.
    Describe {
        topic: String,
        /// Every setting, not only the ones that were set for this topic.
        #[arg(long)]
        all: bool,
    },
    /// Create a topic.
    Create {
        topic: String,
        /// Default: the brokers' own.
        #[arg(long, default_value_t = 0)]
        partitions: i32,
        /// Default: the brokers' own.
        #[arg(long, default_value_t = 0)]
        replication_factor: i32,
        /// A topic setting, such as retention.ms=86400000. Can be repeated.
        #[arg(long = "config", value_name = "NAME=VALUE", value_parser = super::values::parse_property)]
        configs: Vec<(String, String)>,
        /// Only ask whether it could be created.
        #[arg(long)]
        validate_only: bool,
    },
    /// Delete a topic and all it holds.
    Delete {
        topic: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Only look whether it is there and may be deleted.
        #[arg(long)]
        validate_only: bool,
    },
    /// Make the topics as a file wants them: shows the plan first, and changes only what differs.
    Apply(apply::ApplyArgs),
}

/// Whoever answers.
enum Server {
    Kafka(TopicApi),
    Agent(TopicServiceClient<Calls>),
}

/// One method for each call, whoever answers it.
macro_rules! calls {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {
        impl Server {
            $(async fn $name(&self, request: $request) -> Result<$answer, Status> {
                match self {
                    Server::Kafka(api) => api.$name(Request::new(request)).await,
                    Server::Agent(client) => client.clone().$name(request).await,
                }
                .map(tonic::Response::into_inner)
            })*
        }
    };
}

calls! {
    list_topics(pb::ListTopicsRequest) -> pb::ListTopicsResponse;
    get_topic(pb::GetTopicRequest) -> pb::Topic;
    create_topic(pb::CreateTopicRequest) -> pb::Topic;
    update_topic(pb::UpdateTopicRequest) -> pb::Topic;
    create_partitions(pb::CreatePartitionsRequest) -> pb::Topic;
    delete_topic(pb::DeleteTopicRequest) -> pb::DeleteTopicResponse;
}

/// Runs the verb. Exit code 0: done; 1: it failed; 2: there is a plan that was not carried out; 64: a wrong file.
pub fn run(args: TopicsArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        let server = match &args.target.agent {
            Some(address) => {
                Server::Agent(TopicServiceClient::new(client::channel(address, &args.target.access).await?))
            }
            None => Server::Kafka(TopicApi { topics: args.target.topics()? }),
        };
        match args.verb {
            Verb::List { name, internal } => list(&server, name, internal, args.output).await,
            Verb::Describe { topic, all } => {
                let topic = server.get_topic(pb::GetTopicRequest { name: topic }).await.map_err(client::refused)?;
                match args.output {
                    Output::Table => print!("{}", show::one(&topic, all)),
                    Output::Json => println!("{:#}", show::json(&topic)),
                }
                Ok(ExitCode::SUCCESS)
            }
            Verb::Create { topic, partitions, replication_factor, configs, validate_only } => {
                let request = pb::CreateTopicRequest {
                    name: topic,
                    partitions,
                    replication_factor,
                    configs: configs.into_iter().collect(),
                    validate_only,
                };
                let topic = server.create_topic(request).await.map_err(client::refused)?;
                done(args.output, &topic.name, if validate_only { "could be created" } else { "created" })
            }
            Verb::Delete { topic, yes, validate_only } => {
                let look = pb::DeleteTopicRequest { name: topic.clone(), validate_only: true };
                server.delete_topic(look).await.map_err(client::refused)?;
                if validate_only {
                    return done(args.output, &topic, "could be deleted");
                }
                if !yes && !agreed(&format!("Delete topic {topic} and all it holds?"))? {
                    eprintln!("streamgauge: nothing was deleted; --yes deletes without asking");
                    return Ok(ExitCode::from(2));
                }
                let request = pb::DeleteTopicRequest { name: topic.clone(), validate_only: false };
                server.delete_topic(request).await.map_err(client::refused)?;
                done(args.output, &topic, "deleted")
            }
            Verb::Apply(apply) => apply::run(&apply, &server, args.output).await,
        }
    })
}

async fn list(server: &Server, name: String, internal: bool, output: Output) -> anyhow::Result<ExitCode> {
    let mut topics = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            pb::ListTopicsRequest { page_size: 0, page_token, name_pattern: name.clone(), include_internal: internal };
        let page = server.list_topics(request).await.map_err(client::refused)?;
        topics.extend(page.topics);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    match output {
        Output::Table => print!("{}", show::list(&topics)),
        Output::Json => println!("{:#}", serde_json::Value::from_iter(topics.iter().map(show::json))),
    }
    Ok(ExitCode::SUCCESS)
}

fn done(output: Output, topic: &str, what: &str) -> anyhow::Result<ExitCode> {
    match output {
        Output::Table => println!("topic {topic}: {what}"),
        Output::Json => println!("{}", serde_json::json!({ "topic": topic, "result": what })),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the person at the terminal; nobody there is a no.
fn agreed(question: &str) -> anyhow::Result<bool> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
