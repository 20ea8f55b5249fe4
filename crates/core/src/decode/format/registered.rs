//! Events that begin with the id of their schema, which a registry has: Avro and Protobuf.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::super::ahead::Step;
use super::super::error::DecodeError;
use super::super::schema::{self, FoundSchema, Language, NoSchemas, Schemas};
use super::super::wanted::{Sink, Wanted};
use super::json::Elements;
use super::wire::Fields;
use super::{Records, avro, protobuf};

/// Programs that are kept. With more than so many schemas at once they are made again and again, which costs time alone.
const MOST_PROGRAMS: usize = 1_000;
/// Messages in messages whose type a record may be of.
const MOST_INDEXES: u64 = 32;

/// Reads events by their schemas, each made into a program once.
#[derive(Debug)]
pub(in super::super) struct Registered {
    language: Language,
    schemas: Arc<dyn Schemas>,
    wanted: Wanted,
    known: HashMap<u32, Usable>,
    /// Which program reads the payload at hand, and where what it reads begins.
    now: Option<(u32, Vec<usize>)>,
}

/// The program for a message by the indexes that lead to its type, or why there can be none.
type OfIndexes = (Vec<usize>, Result<protobuf::Program, Box<str>>);

/// A schema, ready to be used.
#[derive(Debug)]
enum Usable {
    Avro(avro::Program),
    Protobuf(protobuf::File, Vec<OfIndexes>),
    Not(Box<str>),
}

impl Registered {
    pub fn new(language: Language, wanted: Wanted) -> Registered {
        Registered { language, schemas: Arc::new(NoSchemas), wanted, known: HashMap::new(), now: None }
    }

    pub fn set_schemas(&mut self, schemas: Arc<dyn Schemas>) {
        self.schemas = schemas;
        self.known.clear();
    }

    fn name(&self) -> &'static str {
        match self.language {
            Language::Avro => "avro",
            Language::Protobuf => "protobuf",
            Language::Json => "json_schema",
        }
    }

    /// Has the schema ready.
    fn prepare(&mut self, id: u32) -> Result<(), DecodeError> {
        if self.known.contains_key(&id) {
            return Ok(());
        }
        let usable = match self.schemas.find(id) {
            FoundSchema::NotYet(why) => return Err(DecodeError::SchemaNotYet { id, why }),
            FoundSchema::Unknown(why) => return Err(DecodeError::UnknownSchema { id, why }),
            FoundSchema::Known(schema) => self.usable(&schema),
        };
        if self.known.len() >= MOST_PROGRAMS {
            self.known.clear();
        }
        self.known.insert(id, usable);
        Ok(())
    }

    fn usable(&self, schema: &schema::Schema) -> Usable {
        let made = match (self.language, schema.language) {
            (Language::Avro, Language::Avro) => avro::compile(schema, &self.wanted).and_then(|program| {
                let whole = program.has_fields().then_some(program);
                whole.map(Usable::Avro).ok_or_else(|| "its values are no records, and have no fields".to_owned())
            }),
            (Language::Protobuf, Language::Protobuf) => {
                protobuf::File::parse(schema).map(|file| Usable::Protobuf(file, Vec::new()))
            }
            (_, other) => Err(format!("it is one of {other:?}, and the source's `format` is `{}`", self.name())),
        };
        made.unwrap_or_else(|why| Usable::Not(why.into()))
    }
}

/// The indexes that lead to a message's type, and how many bytes they take. A single zero stands for the first message.
fn indexes(payload: &[u8]) -> Option<(Vec<usize>, usize)> {
    let mut fields = Fields::of(payload);
    let mut zigzag = || {
        let number = fields.varint()?;
        (number & 1 == 0).then_some(number >> 1)
    };
    let count = zigzag()?;
    if count > MOST_INDEXES {
        return None;
    }
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(usize::try_from(zigzag()?).ok()?);
    }
    if all.is_empty() {
        all.push(0);
    }
    Some((all, fields.at))
}

impl Records for Registered {
    type Payload = [u8];

    fn open<'a>(&mut self, payload: &'a [u8], _: &'a mut String) -> Result<&'a [u8], DecodeError> {
        let (id, rest) = schema::id(payload)?;
        self.prepare(id)?;
        let Registered { known, wanted, now, language, .. } = self;
        let bad = |why: &str| DecodeError::BadSchema { id, why: why.into() };
        match known.get_mut(&id) {
            None | Some(Usable::Avro(_)) => {
                match now {
                    Some((last, _)) => *last = id,
                    None => *now = Some((id, Vec::new())),
                }
                Ok(rest)
            }
            Some(Usable::Not(why)) => Err(bad(why)),
            Some(Usable::Protobuf(file, programs)) => {
                let format = if *language == Language::Protobuf { "protobuf" } else { "avro" };
                let broken = DecodeError::NotOfSchema { format, id, at: 0, bytes: rest.len() };
                let (indexes, taken) = indexes(rest).ok_or(broken)?;
                if !programs.iter().any(|(known, _)| *known == indexes) {
                    let program = file.program(&indexes, wanted).map_err(Into::into);
                    if programs.len() >= MOST_PROGRAMS {
                        programs.clear();
                    }
                    programs.push((indexes.clone(), program));
                }
                if let Some((_, Err(why))) = programs.iter().find(|(known, _)| *known == indexes) {
                    return Err(bad(why));
                }
                *now = Some((id, indexes));
                Ok(rest.get(taken..).unwrap_or_default())
            }
        }
    }

    fn read<'a>(
        &mut self,
        _: usize,
        payload: &'a [u8],
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError> {
        let bytes = payload.get(range).unwrap_or_default();
        let Some((id, indexes)) = &self.now else { return Err(DecodeError::Empty) };
        let broken = |format, at| DecodeError::NotOfSchema { format, id: *id, at, bytes: bytes.len() };
        match self.known.get(id) {
            Some(Usable::Avro(program)) => program.read(bytes, sink).map_err(|at| broken("avro", at)),
            Some(Usable::Protobuf(_, programs)) => {
                let program = programs.iter().find(|(known, _)| known == indexes);
                match program {
                    Some((_, Ok(program))) => program.read(bytes, sink).ok_or_else(|| broken("protobuf", 0)),
                    _ => Err(DecodeError::Empty),
                }
            }
            _ => Err(DecodeError::Empty),
        }
    }

    fn documents(&mut self, _: &[u8]) -> Option<Vec<Range<usize>>> {
        None
    }

    fn elements(&mut self, _: usize, _: &[u8], range: Range<usize>) -> Result<Elements, DecodeError> {
        // The config has been checked: there is one level.
        Ok((range, Vec::new()))
    }

    fn alone(payload: &[u8], document: Range<usize>, _: &[Step]) -> Vec<u8> {
        payload.get(document).unwrap_or_default().to_vec()
    }
}
