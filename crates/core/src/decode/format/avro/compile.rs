//! From a schema to a program.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, Name, UuidSchema};

use super::super::super::schema;
use super::super::super::wanted::{Pick, Wanted};
use super::{Array, Entry, Kind, Node, Picked, Program, probe};
use crate::config::Step;

/// Schemas in schemas in schemas: deeper than this nobody writes.
const DEEPEST: usize = 256;
/// More nodes no schema and config together need.
const MOST_NODES: usize = 100_000;
/// A decimal with more digits behind its point is no number that anybody measures.
const LARGEST_SCALE: usize = 256;

/// The program that reads what is wanted of events of this schema; or what is wrong with the schema.
pub fn compile(schema: &schema::Schema, wanted: &Wanted) -> Result<Program, String> {
    let references = schema.references.iter().map(|reference| reference.text.as_str());
    let (main, others) = Schema::parse_str_with_list(&schema.text, references).map_err(|error| error.to_string())?;
    let mut named = HashMap::new();
    for schema in others.iter().chain([&main]) {
        name_all(schema, None, &mut named, 0)?;
    }
    Compiler::new(wanted, &named).program(&main, None)
}

type Named<'s> = HashMap<String, &'s Schema>;

/// Notes every schema that has a name.
fn name_all<'s>(schema: &'s Schema, space: Option<&str>, named: &mut Named<'s>, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("it is nested too deeply".into());
    }
    let mut note = |name: &Name| named.insert(name.fullname(space), schema);
    match schema {
        Schema::Record(record) => {
            note(&record.name);
            let own = record.name.fully_qualified_name(space).into_owned();
            for field in &record.fields {
                name_all(&field.schema, own.namespace(), named, depth + 1)?;
            }
        }
        Schema::Array(array) => name_all(&array.items, space, named, depth + 1)?,
        Schema::Map(map) => name_all(&map.types, space, named, depth + 1)?,
        Schema::Union(union) => {
            for variant in union.variants() {
                name_all(variant, space, named, depth + 1)?;
            }
        }
        other => {
            if let Some(name) = other.name().filter(|_| !matches!(other, Schema::Ref { .. })) {
                note(name);
            }
        }
    }
    Ok(())
}

struct Compiler<'s, 'w> {
    named: &'w Named<'s>,
    wanted: &'w Wanted,
    nodes: Vec<Node>,
    /// Nodes of schemas with names, by what is wanted of them: a schema may lead to itself.
    known: HashMap<(String, Option<usize>), usize>,
}

impl<'s, 'w> Compiler<'s, 'w> {
    fn new(wanted: &'w Wanted, named: &'w Named<'s>) -> Self {
        Compiler { named, wanted, nodes: Vec::new(), known: HashMap::new() }
    }

    fn program(mut self, schema: &'s Schema, space: Option<&str>) -> Result<Program, String> {
        let root = self.node(schema, space, Some(0), 0)?;
        Ok(Program { nodes: self.nodes, root, slots: self.wanted.slots() })
    }

    /// The node of a schema of which `wanted` is wanted.
    fn node(
        &mut self,
        schema: &'s Schema,
        space: Option<&str>,
        wanted: Option<usize>,
        depth: usize,
    ) -> Result<usize, String> {
        if depth > DEEPEST || self.nodes.len() > MOST_NODES {
            return Err("it is too large".into());
        }
        let slot = wanted.and_then(|at| self.wanted.nodes[at].slot);
        // What nobody wants anything of is passed over all the same.
        let wanted = wanted.filter(|&at| slot.is_some() || !self.wanted.nodes[at].is_leaf());
        let (schema, name) = match schema.name() {
            None => (schema, None),
            Some(name) => {
                let full = name.fullname(space);
                let found = match schema {
                    Schema::Ref { .. } => {
                        *self.named.get(&full).ok_or_else(|| format!("it refers to `{full}`, which is not there"))?
                    }
                    schema => schema,
                };
                if let Some(&known) = self.known.get(&(full.clone(), wanted)) {
                    return Ok(known);
                }
                (found, Some(full))
            }
        };
        let at = self.nodes.len();
        self.nodes.push(Node { kind: Kind::Later, slot });
        let own = name.as_deref().and_then(|full| full.rsplit_once('.')).map(|(space, _)| space.to_owned());
        if let Some(full) = name {
            self.known.insert((full, wanted), at);
        }
        let space = own.as_deref().or(space);
        let kind = self.kind(schema, space, wanted, depth + 1)?;
        self.nodes[at].kind = kind;
        Ok(at)
    }

    fn kind(
        &mut self,
        schema: &'s Schema,
        space: Option<&str>,
        wanted: Option<usize>,
        depth: usize,
    ) -> Result<Kind, String> {
        Ok(match schema {
            Schema::Null => Kind::Null,
            Schema::Boolean => Kind::Boolean,
            Schema::Int | Schema::TimeMillis => Kind::Int,
            Schema::Date => Kind::Date,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Kind::Long,
            Schema::Float => Kind::Float,
            Schema::Double => Kind::Double,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Kind::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Kind::Text,
            Schema::Uuid(UuidSchema::Fixed(FixedSchema { size: 16, .. })) => Kind::Uuid,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Kind::Fixed(fixed.size)
            }
            Schema::Decimal(decimal) => {
                let size = match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                };
                if decimal.scale > LARGEST_SCALE {
                    return Err(format!("a decimal of scale {} is none that can be read", decimal.scale));
                }
                Kind::Decimal { scale: decimal.scale, size }
            }
            Schema::Enum(symbols) => Kind::Enum(symbols.symbols.iter().map(|symbol| symbol.as_str().into()).collect()),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.node(branch, space, wanted, depth));
                Kind::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let field = |field: &'s apache_avro::schema::RecordField| {
                    let child = wanted.and_then(|at| self.wanted.child(at, &field.name));
                    self.node(&field.schema, space, child, depth)
                };
                Kind::Record(record.fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            Schema::Map(map) => self.map(&map.types, space, wanted, depth)?,
            Schema::Array(array) => self.array(&array.items, space, wanted, depth)?,
            Schema::Ref { name } => return Err(format!("it refers to `{name}`, which is not there")),
        })
    }

    fn map(
        &mut self,
        values: &'s Schema,
        space: Option<&str>,
        wanted: Option<usize>,
        depth: usize,
    ) -> Result<Kind, String> {
        let skip = self.node(values, space, None, depth)?;
        let children = wanted.map(|at| &self.wanted.nodes[at].children).into_iter().flatten();
        let entry = |(key, child): &(Box<str>, usize)| {
            let below = self.wanted.nodes[*child].below.clone();
            Ok(Entry { key: key.clone(), node: self.node(values, space, Some(*child), depth)?, below })
        };
        let entries: Result<_, String> = children.map(entry).collect();
        Ok(Kind::Map { skip, wanted: entries? })
    }

    fn array(
        &mut self,
        items: &'s Schema,
        space: Option<&str>,
        wanted: Option<usize>,
        depth: usize,
    ) -> Result<Kind, String> {
        let skip = self.node(items, space, None, depth)?;
        let mut picks = Vec::new();
        for (pick, child) in wanted.map(|at| &self.wanted.nodes[at].items).into_iter().flatten() {
            let picked = match (pick, probe(pick)) {
                (Pick::At(index), _) => Picked::At(*index),
                (_, Some((name, value))) => {
                    let mut field = Wanted::new();
                    field.put(&[Step::Key(name.to_owned())], 0);
                    let program = Compiler::new(&field, self.named).program(items, space)?;
                    Picked::Where { program, value: value.into() }
                }
                (Pick::Where { .. }, None) => continue,
            };
            picks.push((picked, self.node(items, space, Some(*child), depth)?));
        }
        Ok(Kind::Array(Box::new(Array { skip, picks })))
    }
}
