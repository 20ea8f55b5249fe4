//! Against prost-reflect, which builds a whole tree of every event.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as Type, MapKey, MessageDescriptor, ReflectMessage, Value as Tree,
};
use rand::{RngExt, SeedableRng};

use super::super::super::Language;
use super::super::schema_twins::{ID, Owned, decoder, framed, read, schema};
use crate::config::{FieldPath, FormatKind};

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect()
}

fn text(text: &str) -> Owned {
    Owned::Text(text.to_owned())
}

const COMMON: &str = r#"syntax = "proto3"; package common;
    enum Level { LOW = 0; HIGH = 7; }
    message Host { string name = 1; uint32 port = 2; }"#;

const EVENTS: &str = r#"syntax = "proto3"; package app;
    import "common.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/wrappers.proto";
    message Other { string a = 1; message Inner { string b = 2; } map<string, string> m = 3; message Second { string c = 1; } }
    message Event {
        int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
        fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10; float float_ = 11; double double_ = 12;
        bool bool_ = 13; string string_ = 14; bytes bytes_ = 15; common.Level level = 16;
        optional int32 maybe = 17; common.Host host = 18; repeated int32 numbers = 19; repeated string words = 20;
        repeated common.Host hosts = 21; map<string, int64> counts = 22; map<int32, common.Host> by_id = 23;
        oneof either { string left = 24; common.Host right = 25; }
        google.protobuf.Timestamp at = 26; google.protobuf.Duration took = 27; google.protobuf.Int64Value wrapped = 28;
        Event parent = 29; repeated double samples = 30; repeated common.Level levels = 31; int32 statusCode = 32;
    }"#;

fn events() -> std::sync::Arc<super::super::super::Schema> {
    schema(Language::Protobuf, EVENTS, &[("common.proto", COMMON)])
}

fn descriptor() -> MessageDescriptor {
    super::File::parse(&events()).unwrap().messages().nth(1).unwrap()
}

#[test]
fn the_index_before_a_message_says_its_type() {
    let schema = events();
    let mut decoder =
        decoder(FormatKind::Protobuf, &schema, &paths(&["a", "b", "c", "host.name", "status_code", "statusCode"]));
    let none = Owned::Missing;
    let mut read = |index: &[u8], message: &[u8]| read(&mut decoder, &framed(ID, &[index, message].concat()));
    let empty = text("");
    assert_eq!(
        read(&[0], b"\x0a\x01x"),
        Ok(vec![text("x"), none.clone(), none.clone(), none.clone(), none.clone(), none.clone()])
    );
    assert_eq!(read(&[2, 0], b"").map(|values| values[0].clone()), Ok(empty));
    assert_eq!(read(&[4, 0, 0], b"\x12\x01y").map(|values| values[1].clone()), Ok(text("y")));
    // Entries of maps are no messages that count.
    assert_eq!(read(&[4, 0, 2], b"\x0a\x01z").map(|values| values[2].clone()), Ok(text("z")));
    assert_eq!(read(&[2, 2], b"\x92\x01\x03\x0a\x01h").map(|values| values[3].clone()), Ok(text("h")));
    assert_eq!(read(&[2, 2], b"\x80\x02\x05").map(|values| values[5].clone()), Ok(Owned::Int(5)));
    assert_eq!(read(&[2, 4], b""), Err("bad_schema"));
    assert_eq!(read(&[1], b""), Err("not_of_schema"));
    assert_eq!(read(&[], b""), Err("not_of_schema"));
    assert_eq!(read(&[0], b"\x0a\x09x"), Err("not_of_schema"));
}

fn scalar(kind: &Type, rng: &mut rand_pcg::Pcg64Mcg) -> Tree {
    let small = rng.random_range(0..3) == 0;
    let number: u64 = if small { rng.random_range(0..3) } else { rng.random() };
    match kind {
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => Tree::I32(number as i32),
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => Tree::I64(number as i64),
        Type::Uint32 | Type::Fixed32 => Tree::U32(number as u32),
        Type::Uint64 | Type::Fixed64 => Tree::U64(number),
        Type::Float => Tree::F32(f32::from_bits(number as u32)),
        Type::Double => Tree::F64(f64::from_bits(number)),
        Type::Bool => Tree::Bool(small),
        Type::String => Tree::String(["", "a", "ö"][rng.random_range(0..3)].to_owned()),
        Type::Bytes => Tree::Bytes(number.to_le_bytes().to_vec().into()),
        Type::Enum(_) => Tree::EnumNumber([0, 7, 3][rng.random_range(0..3)]),
        Type::Message(_) => panic!("no scalar"),
    }
}

fn one(kind: &Type, rng: &mut rand_pcg::Pcg64Mcg, depth: usize) -> Tree {
    match kind {
        Type::Message(message) => Tree::Message(filled(message, rng, depth + 1)),
        other => scalar(other, rng),
    }
}

fn filled(of: &MessageDescriptor, rng: &mut rand_pcg::Pcg64Mcg, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    if of.full_name() == "google.protobuf.Timestamp" || of.full_name() == "google.protobuf.Duration" {
        message.set_field_by_number(1, Tree::I64(rng.random_range(0..100_000_000_000)));
        message.set_field_by_number(2, Tree::I32([0, 5, 120_000_000, 999_999_999][rng.random_range(0..4)]));
        return message;
    }
    for field in of.fields() {
        if rng.random_range(0..3) == 0 || (depth > 2 && matches!(field.kind(), Type::Message(_))) {
            continue;
        }
        let value = if field.is_map() {
            let Type::Message(entry) = field.kind() else { panic!("a map") };
            let value = entry.map_entry_value_field().kind();
            let keys = (0..2).map(|number: i32| match entry.map_entry_key_field().kind() {
                Type::String => MapKey::String(format!("k{number}")),
                _ => MapKey::I32(number),
            });
            Tree::Map(keys.map(|key| (key, one(&value, rng, depth))).collect())
        } else if field.is_list() {
            Tree::List((0..rng.random_range(0..4)).map(|_| one(&field.kind(), rng, depth)).collect())
        } else {
            one(&field.kind(), rng, depth)
        };
        message.set_field(&field, value);
    }
    message
}

/// Every path of an event, and what stands there.
fn all(message: &DynamicMessage, at: &str, found: &mut Vec<(String, Owned)>) {
    for field in message.descriptor().fields() {
        let name = if at.is_empty() { field.name().to_owned() } else { format!("{at}.{}", field.name()) };
        let may_be_missing = field.is_list() || field.is_map() || field.supports_presence();
        if may_be_missing && !message.has_field(&field) {
            found.push((name, Owned::Missing));
            continue;
        }
        value(&field, &message.get_field(&field), &name, found);
    }
}

fn value(field: &FieldDescriptor, tree: &Tree, at: &str, found: &mut Vec<(String, Owned)>) {
    let owned = match tree {
        Tree::List(items) => {
            for (number, item) in items.iter().enumerate() {
                value(field, item, &format!("{at}[{number}]"), found);
                value(field, item, &format!("{at}[-{}]", items.len() - number), found);
            }
            Owned::Composite
        }
        Tree::Map(entries) => {
            let Type::Message(entry) = field.kind() else { panic!("a map") };
            for (key, item) in entries {
                let key = match key {
                    MapKey::String(key) => key.clone(),
                    MapKey::I32(key) => key.to_string(),
                    other => panic!("{other:?}"),
                };
                value(&entry.map_entry_value_field(), item, &format!("{at}.\"{key}\""), found);
            }
            Owned::Composite
        }
        Tree::Message(message) => {
            let part = |number| message.get_field_by_number(number).unwrap().into_owned();
            match message.descriptor().full_name() {
                "google.protobuf.Timestamp" => {
                    let (Tree::I64(seconds), Tree::I32(nanos)) = (part(1), part(2)) else { panic!("a time") };
                    Owned::Text(jiff::Timestamp::new(seconds, nanos).unwrap().to_string())
                }
                "google.protobuf.Duration" => {
                    let (Tree::I64(seconds), Tree::I32(nanos)) = (part(1), part(2)) else { panic!("a duration") };
                    let nanos = if nanos == 0 {
                        String::new()
                    } else {
                        format!(".{nanos:09}").trim_end_matches('0').to_owned()
                    };
                    Owned::Text(format!("{seconds}{nanos}s"))
                }
                "google.protobuf.Int64Value" => {
                    let Tree::I64(number) = part(1) else { panic!("a wrapper") };
                    Owned::Int(number)
                }
                _ => {
                    all(message, at, found);
                    Owned::Composite
                }
            }
        }
        Tree::Bool(truth) => Owned::Bool(*truth),
        Tree::I32(number) => Owned::Int((*number).into()),
        Tree::I64(number) => Owned::Int(*number),
        Tree::U32(number) => Owned::Int((*number).into()),
        Tree::U64(number) => i64::try_from(*number).map_or(Owned::Float(*number as f64), Owned::Int),
        Tree::F32(number) => Owned::float((*number).into()),
        Tree::F64(number) => Owned::float(*number),
        Tree::String(text) => Owned::Text(text.clone()),
        Tree::Bytes(bytes) => Owned::bytes(bytes),
        Tree::EnumNumber(number) => match field.kind() {
            Type::Enum(symbols) => symbols
                .get_value(*number)
                .map_or(Owned::Int((*number).into()), |symbol| Owned::Text(symbol.name().to_owned())),
            other => panic!("{other:?}"),
        },
    };
    found.push((at.to_owned(), owned));
}

proptest! {
    #[test]
    fn every_field_of_every_event_is_what_prost_reflect_says(seed: u64) {
        let event = filled(&descriptor(), &mut rand_pcg::Pcg64Mcg::seed_from_u64(seed), 0);
        let mut found = Vec::new();
        all(&event, "", &mut found);
        let payload = framed(ID, &[&[2, 2][..], &event.encode_to_vec()].concat());
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        let got = read(&mut decoder(FormatKind::Protobuf, &events(), &paths(&texts)), &payload).unwrap();
        for ((path, expected), got) in found.iter().zip(&got) {
            prop_assert_eq!(expected, got, "{}", path);
        }
    }

    #[test]
    fn broken_events_are_no_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let paths = paths(&["i32", "hosts[name=a].port", "numbers[-1]", "counts.a", "at", "parent.parent.level", "samples[0]"]);
        let mut decoder = decoder(FormatKind::Protobuf, &events(), &paths);
        let _ = read(&mut decoder, &framed(ID, &[&[2, 2][..], &payload].concat()));
    }
}

#[test]
fn an_item_is_found_by_what_it_says() {
    let host = |name: &str, port: u8| [&[0x0a, name.len() as u8], name.as_bytes(), &[0x10, port]].concat();
    let hosts: Vec<u8> = [host("a", 1), host("b", 2)]
        .iter()
        .flat_map(|host| [&[0xaa, 0x01, host.len() as u8], &host[..]].concat())
        .collect();
    let mut decoder = decoder(FormatKind::Protobuf, &events(), &paths(&["hosts[name=b].port", "hosts[name=x].port"]));
    let found = read(&mut decoder, &framed(ID, &[&[2, 2][..], &hosts].concat()));
    assert_eq!(found, Ok(vec![Owned::Int(2), Owned::Missing]));
}
