//! From the registry's answers to a schema with all that it refers to.

use super::client::{Answer, Client};
use crate::decode::{Language, Reference, Schema};
use serde::Deserialize;
use std::collections::BTreeSet;

/// References of references of references: deeper than this, or more of them, nobody writes.
const DEEPEST: usize = 32;
const MOST_REFERENCES: usize = 500;

/// What became of asking for a schema.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Found(Schema),
    None { why: String },
    Later { why: String },
}

#[derive(Deserialize)]
struct Said {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    references: Vec<SaidReference>,
}

#[derive(Deserialize)]
struct SaidReference {
    name: String,
    subject: String,
    version: i64,
}

/// A null where there are none.
fn or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SaidReference>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Asks for a schema and what it refers to.
pub async fn schema(client: &Client, id: u32) -> Asked {
    let main = match ask(client, &format!("/schemas/ids/{id}")).await {
        Ok(main) => main,
        Err(not) => return not,
    };
    let language = match main.kind.as_deref() {
        None | Some("AVRO") => Language::Avro,
        Some("PROTOBUF") => Language::Protobuf,
        Some("JSON") => Language::Json,
        Some(other) => return Asked::None { why: format!("it is written in {other}, which this version cannot read") },
    };
    match references(client, main.references).await {
        Ok(references) => Asked::Found(Schema { language, text: main.schema, references }),
        Err(not) => not,
    }
}

async fn ask(client: &Client, path: &str) -> Result<Said, Asked> {
    match client.get(path).await {
        Answer::Found(body) => serde_json::from_slice(&body)
            .map_err(|error| Asked::Later { why: format!("{path} is answered with no schema: {error}") }),
        Answer::None { why } => Err(Asked::None { why }),
        Answer::Later { why } => Err(Asked::Later { why }),
    }
}

/// A step on the way through what refers to what: look at a reference, or put down what has been read, whose own
/// references all are there by then.
enum Step {
    Look(SaidReference, usize),
    Put(Reference),
}

async fn references(client: &Client, first: Vec<SaidReference>) -> Result<Vec<Reference>, Asked> {
    let too_many = || Asked::None { why: "it refers to too many others".to_owned() };
    let look = |of: Vec<SaidReference>, depth| of.into_iter().rev().map(move |one| Step::Look(one, depth));
    let mut steps: Vec<Step> = look(first, 0).collect();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(step) = steps.pop() {
        match step {
            Step::Put(reference) => found.push(reference),
            Step::Look(one, depth) => {
                if !seen.insert(one.name.clone()) {
                    continue;
                }
                if depth >= DEEPEST || seen.len() > MOST_REFERENCES {
                    return Err(too_many());
                }
                // A version that was deleted still is what was written with.
                let path = format!("/subjects/{}/versions/{}?deleted=true", quoted(&one.subject), one.version);
                let said = ask(client, &path).await.map_err(|not| match not {
                    Asked::None { why } => Asked::None { why: format!("it refers to {}: {why}", one.name) },
                    other => other,
                })?;
                steps.push(Step::Put(Reference { name: one.name, text: said.schema }));
                steps.extend(look(said.references, depth + 1));
            }
        }
    }
    Ok(found)
}

/// A name as a part of an address.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
