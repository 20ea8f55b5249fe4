//! Schemas by the id that a record begins with, as Confluent's serializers write it. Who knows them is handed in: nothing
//! is asked for here.

use std::fmt::Debug;
use std::sync::Arc;

use super::error::DecodeError;

/// Who knows the schemas.
pub trait Schemas: Send + Sync + Debug {
    /// The schema of an id, if it is known by now.
    fn find(&self, id: u32) -> FoundSchema;
}

/// What is known of a schema.
#[derive(Clone, Debug)]
pub enum FoundSchema {
    Known(Arc<Schema>),
    /// There is none.
    Unknown(Arc<str>),
    /// Nobody could say so far, and why.
    NotYet(Arc<str>),
}

/// A schema as its registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub language: Language,
    pub text: String,
    /// What it refers to, directly or through others: each after those that it refers to itself.
    pub references: Vec<Reference>,
}

/// What a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Avro,
    Protobuf,
    Json,
}

/// Another schema, by the name under which it is referred to: a file of Protobuf, a full name in Avro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    pub text: String,
}

/// Where there is no registry, no schema is known.
#[derive(Debug)]
pub(super) struct NoSchemas;

impl Schemas for NoSchemas {
    fn find(&self, _: u32) -> FoundSchema {
        FoundSchema::NotYet("there is no `schema_registry`".into())
    }
}

/// Bytes before what is encoded: a zero and the id.
pub(super) const HEADER: usize = 5;

/// The id that a payload begins with, and what follows it.
///
/// # Errors
/// If it begins with none.
#[inline]
pub(super) fn id(payload: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    match payload.split_first_chunk::<HEADER>() {
        Some((&[0, a, b, c, d], rest)) => Ok((u32::from_be_bytes([a, b, c, d]), rest)),
        _ => Err(DecodeError::NoSchemaId { first: payload.first().copied().unwrap_or(0), bytes: payload.len() }),
    }
}
