//! From a schema to programs, one for each type of message that events are of.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind as Type, MessageDescriptor};
use protox::file::{ChainFileResolver, File as Source, FileResolver, GoogleFileResolver};

use super::super::super::schema::{Reference, Schema};
use super::super::super::wanted::{Pick, Wanted};
use super::{Absent, Field, Kind, Message, One, Picked, Program, Scalar};
use crate::config::Step;

/// More messages no schema and config together need.
const MOST_MESSAGES: usize = 10_000;
/// What no reference is called, as the schema itself has no name.
const ITSELF: &str = "streamgauge/the-schema-itself.proto";

/// A schema's messages.
#[derive(Debug)]
pub struct File(FileDescriptor);

/// Files by the names under which they are imported.
struct Imports(Vec<Reference>);

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<Source, protox::Error> {
        match self.0.iter().find(|reference| reference.name == name) {
            Some(found) => Source::from_source(name, &found.text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

impl File {
    /// # Errors
    /// What is wrong with the schema.
    pub fn parse(schema: &Schema) -> Result<File, String> {
        let mut files = schema.references.clone();
        files.push(Reference { name: ITSELF.to_owned(), text: schema.text.clone() });
        let mut resolver = ChainFileResolver::new();
        resolver.add(Imports(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        let compiled = compiler.open_file(ITSELF).map_err(|error| error.to_string())?;
        compiled.descriptor_pool().get_file_by_name(ITSELF).map(File).ok_or_else(|| "it has no file".to_owned())
    }

    #[cfg(test)]
    pub fn messages(&self) -> impl Iterator<Item = MessageDescriptor> + '_ {
        self.0.messages()
    }

    /// The program for the message that these indexes lead to: in the file, in that message, and so on.
    ///
    /// # Errors
    /// If there is no such message, or it is too large.
    pub fn program(&self, indexes: &[usize], wanted: &Wanted) -> Result<Program, String> {
        let missing = || format!("it has no message {indexes:?}");
        let (first, inner) = indexes.split_first().ok_or_else(missing)?;
        let outermost = self.0.messages().nth(*first).ok_or_else(missing)?;
        let child = |outer: MessageDescriptor, &at: &usize| {
            // Entries of maps are messages that nobody has written.
            let child = outer.child_messages().filter(|message| !message.is_map_entry()).nth(at);
            child.ok_or_else(missing)
        };
        let message = inner.iter().try_fold(outermost, child)?;
        Compiler::program(wanted, &message)
    }
}

struct Compiler<'w> {
    wanted: &'w Wanted,
    messages: Vec<Message>,
    known: HashMap<(String, usize), usize>,
}

impl Compiler<'_> {
    fn program(wanted: &Wanted, message: &MessageDescriptor) -> Result<Program, String> {
        let mut compiler = Compiler { wanted, messages: Vec::new(), known: HashMap::new() };
        compiler.message(message, 0)?;
        Ok(Program { messages: compiler.messages, slots: wanted.slots() })
    }

    /// The place of a message of which `wanted` is wanted.
    fn message(&mut self, message: &MessageDescriptor, wanted: usize) -> Result<usize, String> {
        if self.messages.len() > MOST_MESSAGES {
            return Err("it is too large".into());
        }
        let key = (message.full_name().to_owned(), wanted);
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let at = self.messages.len();
        self.known.insert(key, at);
        self.messages.push(Message { fields: Vec::new(), defaults: Vec::new() });
        let (mut fields, mut defaults) = (Vec::new(), Vec::new());
        let all = self.wanted;
        for (name, child) in &all.nodes[wanted].children {
            let by_name = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
            let Some(descriptor) = by_name else { continue };
            let field = self.field(&descriptor, *child)?;
            if let (Some(slot), false, false) =
                (field.slot, descriptor.supports_presence(), descriptor.is_list() || descriptor.is_map())
            {
                defaults.extend(absent(&descriptor.kind()).map(|absent| (slot, absent)));
            }
            fields.push(field);
        }
        self.messages[at] = Message { fields, defaults };
        Ok(at)
    }

    fn field(&mut self, descriptor: &FieldDescriptor, wanted: usize) -> Result<Field, String> {
        let node = &self.wanted.nodes[wanted];
        let kind = if descriptor.is_map() {
            let Type::Message(entry) = descriptor.kind() else { return Err("a map without entries".into()) };
            let key = scalar(&entry.map_entry_key_field().kind()).ok_or("a map without keys")?;
            let value = entry.map_entry_value_field();
            let mut entries = Vec::new();
            for (name, child) in &node.children {
                entries.push((name.clone(), self.one_field(&value, *child)?));
            }
            Kind::Map { key, entries }
        } else if descriptor.is_list() {
            let mut picks = Vec::new();
            for (pick, child) in &node.items {
                picks.push((picked(pick, descriptor)?, self.one_field(descriptor, *child)?));
            }
            let nothing = Wanted::new();
            // What an item is, whether or not anything of it is wanted.
            let of = Compiler { wanted: &nothing, messages: Vec::new(), known: HashMap::new() }.one(descriptor, 0)?;
            Kind::Repeated { of, picks }
        } else {
            return self.one_field(descriptor, wanted);
        };
        Ok(Field { number: descriptor.number(), slot: node.slot, below: node.below.clone(), kind })
    }

    /// A field that has one value, or one item of a field that has several.
    fn one_field(&mut self, descriptor: &FieldDescriptor, wanted: usize) -> Result<Field, String> {
        let one = self.one(descriptor, wanted)?;
        let node = &self.wanted.nodes[wanted];
        Ok(Field { number: descriptor.number(), slot: node.slot, below: node.below.clone(), kind: Kind::One(one) })
    }

    fn one(&mut self, descriptor: &FieldDescriptor, wanted: usize) -> Result<One, String> {
        let Type::Message(message) = descriptor.kind() else {
            return scalar(&descriptor.kind()).map(One::Scalar).ok_or_else(|| "a type that is not known".to_owned());
        };
        Ok(match message.full_name() {
            "google.protobuf.Timestamp" => One::Timestamp(self.message(&message, wanted)?),
            "google.protobuf.Duration" => One::Duration(self.message(&message, wanted)?),
            "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue" => {
                let value = message.get_field(1).and_then(|field| scalar(&field.kind()));
                One::Wrapper(value.ok_or("a wrapper of nothing")?)
            }
            _ => One::Message(self.message(&message, wanted)?),
        })
    }
}

fn picked(pick: &Pick, items: &FieldDescriptor) -> Result<Picked, String> {
    match pick {
        Pick::At(index) => Ok(Picked::At(*index)),
        Pick::Where { name, value } => {
            let mut field = Wanted::new();
            field.put(&[Step::Key(name.to_string())], 0);
            let program = match items.kind() {
                Type::Message(message) => Compiler::program(&field, &message)?,
                _ => Program { messages: vec![Message { fields: Vec::new(), defaults: Vec::new() }], slots: 1 },
            };
            Ok(Picked::Where { program, value: value.clone() })
        }
    }
}

fn scalar(kind: &Type) -> Option<Scalar> {
    Some(match kind {
        Type::Int64 => Scalar::Int,
        Type::Int32 => Scalar::Int32,
        Type::Uint64 => Scalar::Unsigned,
        Type::Uint32 => Scalar::Unsigned32,
        Type::Sint32 | Type::Sint64 => Scalar::Zigzag,
        Type::Fixed32 => Scalar::Fixed32,
        Type::Fixed64 => Scalar::Fixed64,
        Type::Sfixed32 => Scalar::SignedFixed32,
        Type::Sfixed64 => Scalar::SignedFixed64,
        Type::Float => Scalar::Float,
        Type::Double => Scalar::Double,
        Type::Bool => Scalar::Bool,
        Type::String => Scalar::Text,
        Type::Bytes => Scalar::Bytes,
        Type::Enum(symbols) => Scalar::Enum(symbols_of(symbols)),
        Type::Message(_) => return None,
    })
}

/// Of several names for one number the first one counts.
fn symbols_of(symbols: &EnumDescriptor) -> std::sync::Arc<[(i32, Box<str>)]> {
    symbols.values().map(|value| (value.number(), value.name().into())).collect()
}

/// What a field without presence is that is not there.
fn absent(kind: &Type) -> Option<Absent> {
    Some(match kind {
        Type::Float | Type::Double => Absent::Float,
        Type::Bool => Absent::Bool,
        Type::String | Type::Bytes => Absent::Text,
        Type::Enum(symbols) => Absent::Symbol(symbols.get_value(0)?.name().into()),
        Type::Message(_) => return None,
        _ => Absent::Int,
    })
}
