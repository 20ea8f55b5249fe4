//! Avro and Protobuf as plain trees, read by the crates that everybody reads them with.

use apache_avro::schema::{RecordField, Schema as AvroSchema};
use apache_avro::types::Value as Avro;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value as Proto};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A schema as its registry has it.
#[derive(Clone, Debug)]
pub struct SchemaText {
    pub text: String,
    /// Name and text of each that it refers to.
    pub references: Vec<(String, String)>,
}

/// Who knows the schemas: by their ids.
pub type SchemaTexts<'a> = dyn Fn(u32) -> Option<SchemaText> + 'a;

/// The id that a payload begins with, and what is behind it.
fn parts(payload: &[u8]) -> Option<(u32, &[u8])> {
    match payload {
        [0, a, b, c, d, rest @ ..] => Some((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        _ => None,
    }
}

/// JSON behind an id, if there is one.
pub fn without_id(payload: &[u8]) -> &[u8] {
    parts(payload).map_or(payload, |(_, rest)| rest)
}

pub fn from_avro(payload: &[u8], schemas: &SchemaTexts<'_>) -> Option<Value> {
    let (id, mut rest) = parts(payload)?;
    let SchemaText { text, references } = schemas(id)?;
    let others = references.iter().map(|(_, text)| text);
    let (schema, others) = AvroSchema::parse_str_with_list(&text, others).ok()?;
    let mut named = HashMap::new();
    for schema in others.iter().chain([&schema]) {
        names(schema, &mut named);
    }
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema);
    let reader = reader.writer_schemata(others.iter().collect()).ok()?.build().ok()?;
    let tree = avro(&reader.read_value(&mut rest).ok()?, &schema, &named);
    tree.is_object().then_some(tree)
}

type Named<'s> = HashMap<String, &'s AvroSchema>;

/// Schemas by their own names, without what stands before the last point.
fn names<'s>(schema: &'s AvroSchema, named: &mut Named<'s>) {
    match schema {
        AvroSchema::Record(record) => {
            named.insert(record.name.name().to_owned(), schema);
            record.fields.iter().for_each(|field| names(&field.schema, named));
        }
        AvroSchema::Array(array) => names(&array.items, named),
        AvroSchema::Map(map) => names(&map.types, named),
        AvroSchema::Union(union) => union.variants().iter().for_each(|variant| names(variant, named)),
        AvroSchema::Ref { .. } => {}
        other => {
            if let Some(name) = other.name() {
                named.insert(name.name().to_owned(), schema);
            }
        }
    }
}

/// The schema says no more than a decimal's scale.
fn avro(value: &Avro, schema: &AvroSchema, named: &Named<'_>) -> Value {
    let schema = match schema {
        AvroSchema::Ref { name } => named.get(name.name()).copied().unwrap_or(schema),
        schema => schema,
    };

    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_or(json!([]), Value::String);
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(truth) => json!(truth),
        Avro::Int(number) | Avro::TimeMillis(number) => json!(number),
        Avro::Long(number)
        | Avro::TimeMicros(number)
        | Avro::TimestampMillis(number)
        | Avro::TimestampMicros(number)
        | Avro::TimestampNanos(number)
        | Avro::LocalTimestampMillis(number)
        | Avro::LocalTimestampMicros(number)
        | Avro::LocalTimestampNanos(number) => json!(number),
        Avro::Float(number) => json!(f64::from(*number)),
        Avro::Double(number) => json!(number),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => text(bytes),
        Avro::String(text) | Avro::Enum(_, text) => json!(text),
        Avro::Union(branch, inner) => match schema {
            AvroSchema::Union(union) => {
                union.variants().get(*branch as usize).map_or(Value::Null, |of| avro(inner, of, named))
            }
            _ => Value::Null,
        },
        Avro::Array(items) => match schema {
            AvroSchema::Array(array) => items.iter().map(|item| avro(item, &array.items, named)).collect(),
            _ => Value::Null,
        },
        Avro::Map(entries) => match schema {
            AvroSchema::Map(map) => {
                let entry = |(key, value): (&String, &Avro)| (key.clone(), avro(value, &map.types, named));
                Value::Object(entries.iter().map(entry).collect())
            }
            _ => Value::Null,
        },
        Avro::Record(fields) => match schema {
            AvroSchema::Record(record) => {
                let pairs = fields.iter().zip(&record.fields);
                let field = |((key, value), field): (&(String, Avro), &RecordField)| {
                    (key.clone(), avro(value, &field.schema, named))
                };
                Value::Object(pairs.map(field).collect())
            }
            _ => Value::Null,
        },
        Avro::Date(days) => {
            let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(*days));
            day.map_or(Value::Null, |day| json!(day.to_string()))
        }
        Avro::Uuid(uuid) => json!(uuid.to_string()),
        Avro::Decimal(decimal) => match schema {
            AvroSchema::Decimal(of) => json!(decimal_text(&num_bigint::BigInt::from(decimal.clone()), of.scale)),
            _ => Value::Null,
        },
        Avro::BigDecimal(_) | Avro::Duration(_) => json!([]),
    }
}

fn decimal_text(unscaled: &num_bigint::BigInt, scale: usize) -> String {
    let sign = if unscaled.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.magnitude().to_string(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

struct Imports(Vec<(String, String)>);

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

pub fn from_protobuf(payload: &[u8], schemas: &SchemaTexts<'_>) -> Option<Value> {
    let (id, mut rest) = parts(payload)?;
    let SchemaText { text, mut references } = schemas(id)?;
    let mut indexes = Vec::new();
    for _ in 0..zigzag(&mut rest)? {
        indexes.push(zigzag(&mut rest)?);
    }
    references.push(("audited.proto".to_owned(), text));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Imports(references));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    let pool = compiler.open_file("audited.proto").ok()?.descriptor_pool();
    let file = pool.get_file_by_name("audited.proto")?;
    let mut of: MessageDescriptor = file.messages().nth(indexes.first().copied().unwrap_or(0))?;
    for index in indexes.iter().skip(1) {
        let inner = of.child_messages().filter(|child| !child.is_map_entry()).nth(*index);
        of = inner?;
    }
    Some(message(&DynamicMessage::decode(of, rest).ok()?))
}

fn zigzag(rest: &mut &[u8]) -> Option<usize> {
    let number = prost::encoding::decode_varint(rest).ok()?;
    (number % 2 == 0).then_some(())?;
    usize::try_from(number / 2).ok()
}

/// A message's fields by both of their names.
fn message(message: &DynamicMessage) -> Value {
    let mut fields = Map::new();
    for field in message.descriptor().fields() {
        let several = field.is_list() || field.is_map();
        if (several || field.supports_presence()) && !message.has_field(&field) {
            continue;
        }
        let value = one(&field, &message.get_field(&field));
        fields.insert(field.json_name().to_owned(), value.clone());
        fields.insert(field.name().to_owned(), value);
    }
    Value::Object(fields)
}

fn one(field: &FieldDescriptor, value: &Proto) -> Value {
    match value {
        Proto::Bool(truth) => json!(truth),
        Proto::I32(number) => json!(number),
        Proto::I64(number) => json!(number),
        Proto::U32(number) => json!(number),
        Proto::U64(number) => json!(number),
        Proto::F32(number) => json!(f64::from(*number)),
        Proto::F64(number) => json!(number),
        Proto::String(text) => json!(text),
        Proto::Bytes(bytes) => String::from_utf8(bytes.to_vec()).map_or(json!([]), Value::String),
        Proto::EnumNumber(number) => match field.kind() {
            Kind::Enum(symbols) => symbols.get_value(*number).map_or(json!(number), |symbol| json!(symbol.name())),
            _ => json!(number),
        },
        Proto::List(items) => items.iter().map(|item| one(field, item)).collect(),
        Proto::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return json!({}) };
            let of = entry.map_entry_value_field();
            Value::Object(entries.iter().map(|(key, value)| (key_text(key), one(&of, value))).collect())
        }
        Proto::Message(inner) => known(inner).unwrap_or_else(|| message(inner)),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// Messages that Protobuf writes as text or as what they wrap.
fn known(message: &DynamicMessage) -> Option<Value> {
    let descriptor = message.descriptor();
    let part = |number| message.get_field_by_number(number).map(|value| value.into_owned());
    let name = descriptor.full_name().strip_prefix("google.protobuf.")?;
    match (name, part(1)?, part(2)) {
        ("Timestamp", Proto::I64(seconds), Some(Proto::I32(nanos))) => {
            Some(jiff::Timestamp::new(seconds, nanos).map_or(json!(""), |time| json!(time.to_string())))
        }
        ("Duration", Proto::I64(seconds), Some(Proto::I32(nanos))) => {
            let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            let digits = format!("{:09}", nanos.unsigned_abs() % 1_000_000_000);
            let digits = digits.trim_end_matches('0');
            let point = if digits.is_empty() { "" } else { "." };
            let sign = if nanos < 0 { "-" } else { "" };
            Some(json!(format!("{sign}{}{point}{digits}s", nanos.unsigned_abs() / 1_000_000_000)))
        }
        (name, value, None) if name.ends_with("Value") => Some(one(&descriptor.get_field(1)?, &value)),
        _ => None,
    }
}
