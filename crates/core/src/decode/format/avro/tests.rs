//! Against apache-avro, which builds a whole tree of every event.

use apache_avro::Schema;
use apache_avro::types::Value as Tree;
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value as Json, json};

use super::super::super::Language;
use super::super::schema_twins::{ID, Owned, decoder, framed, read, schema};
use crate::config::{FieldPath, FormatKind};

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

#[expect(deprecated, reason = "the shortest way to say it")]
fn encoded(schema: &Schema, value: Tree) -> Vec<u8> {
    apache_avro::to_avro_datum(schema, value).unwrap()
}

fn texts(paths: &[&str]) -> Vec<FieldPath> {
    paths.iter().map(|text| path(text)).collect()
}

fn text(text: &str) -> Owned {
    Owned::Text(text.to_owned())
}

const REQUEST: &str = r#"{ "type": "record", "name": "Request", "namespace": "log.http", "fields": [
    { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "day", "type": { "type": "int", "logicalType": "date" } },
    { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2 } },
    { "name": "id", "type": { "type": "string", "logicalType": "uuid" } },
    { "name": "user", "type": ["null", { "type": "record", "name": "User", "fields": [
        { "name": "name", "type": "string" },
        { "name": "boss", "type": ["null", "User"], "default": null },
        { "name": "level", "type": { "type": "enum", "name": "Level", "symbols": ["low", "high"] } } ] }] },
    { "name": "former", "type": ["null", "log.http.User"] },
    { "name": "tags", "type": { "type": "map", "values": "string" } },
    { "name": "hops", "type": { "type": "array", "items": { "type": "record", "name": "Hop", "fields": [
        { "name": "host", "type": "string" }, { "name": "ms", "type": "double" } ] } } } ] }"#;

#[test]
fn what_people_write_reads_as_the_same_json_would() {
    let schema_of = Schema::parse_str(REQUEST).unwrap();
    let user = |name: &str, boss: Tree, level: u32| {
        Tree::Record(vec![
            ("name".into(), Tree::String(name.into())),
            ("boss".into(), boss),
            ("level".into(), Tree::Enum(level, ["low", "high"][level as usize].into())),
        ])
    };
    let some = |value| Tree::Union(1, Box::new(value));
    let none = || Tree::Union(0, Box::new(Tree::Null));
    let hop = |host: &str, ms| {
        Tree::Record(vec![("host".into(), Tree::String(host.into())), ("ms".into(), Tree::Double(ms))])
    };
    let event = Tree::Record(vec![
        ("at".into(), Tree::TimestampMicros(1_763_657_472_123_456)),
        ("day".into(), Tree::Date(19_860)),
        ("price".into(), Tree::Decimal(apache_avro::Decimal::from([0xff, 0x85].as_slice()))),
        ("id".into(), Tree::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap())),
        ("user".into(), some(user("ann", some(user("bob", none(), 0)), 1))),
        ("former".into(), none()),
        ("tags".into(), Tree::Map([("region".to_owned(), Tree::String("eu".into()))].into())),
        ("hops".into(), Tree::Array(vec![hop("a", 1.5), hop("b", 2.5), hop("c", 3.5)])),
    ]);
    let payload = framed(ID, &encoded(&schema_of, event));
    let paths = texts(&[
        "at",
        "day",
        "price",
        "id",
        "user.name",
        "user.boss.name",
        "user.boss.level",
        "user.level",
        "user.boss.boss",
        "former",
        "former.name",
        "tags.region",
        "tags.zone",
        "hops[0].host",
        "hops[-1].ms",
        "hops[host=b].ms",
        "hops[7].ms",
        "user",
        "hops",
    ]);
    let schema = schema(Language::Avro, REQUEST, &[]);
    let found = read(&mut decoder(FormatKind::Avro, &schema, &paths), &payload).unwrap();
    let expected = [
        Owned::Int(1_763_657_472_123_456),
        text("2024-05-17"),
        text("-1.23"),
        text("67e55044-10b1-426f-9247-bb680e5fe0c8"),
        text("ann"),
        text("bob"),
        text("low"),
        text("high"),
        Owned::Null,
        Owned::Null,
        Owned::Missing,
        text("eu"),
        Owned::Missing,
        text("a"),
        Owned::Float(3.5),
        Owned::Float(2.5),
        Owned::Missing,
        Owned::Composite,
        Owned::Composite,
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_schema_may_refer_to_others() {
    let user = r#"{ "type": "record", "name": "User", "namespace": "people", "fields": [
        { "name": "address", "type": "people.Address" } ] }"#;
    let address = r#"{ "type": "record", "name": "Address", "namespace": "people", "fields": [{ "name": "city", "type": "string" }] }"#;
    let main = r#"{ "type": "record", "name": "E", "fields": [{ "name": "user", "type": "people.User" }] }"#;
    let schema = schema(Language::Avro, main, &[("people.Address", address), ("people.User", user)]);
    let mut decoder = decoder(FormatKind::Avro, &schema, &texts(&["user.address.city"]));
    assert_eq!(read(&mut decoder, &framed(ID, b"\x06Ulm")), Ok(vec![text("Ulm")]));
}

#[test]
fn what_is_no_event_says_why() {
    let record = schema(Language::Avro, REQUEST, &[]);
    let decoder_of = |schema: &_, payload: &[u8]| {
        read(&mut decoder(FormatKind::Avro, schema, &texts(&["at"])), payload).map(|_| ()).unwrap_err()
    };
    assert_eq!(decoder_of(&record, b"{\"at\": 1}"), "no_schema_id");
    assert_eq!(decoder_of(&record, b"\0\0\0"), "no_schema_id");
    assert_eq!(decoder_of(&record, &framed(9, b"")), "unknown_schema");
    assert_eq!(decoder_of(&record, &framed(0, b"")), "schema_not_yet");
    assert_eq!(decoder_of(&record, &framed(ID, b"\x02")), "not_of_schema");
    let bad = |text: &str, language| decoder_of(&schema(language, text, &[]), &framed(ID, b"\x02"));
    assert_eq!(bad("{", Language::Avro), "bad_schema");
    assert_eq!(bad(r#""string""#, Language::Avro), "bad_schema");
    assert_eq!(bad("syntax = \"proto3\";", Language::Protobuf), "bad_schema");
    assert_eq!(
        bad(r#"{ "type": "record", "name": "E", "fields": [{ "name": "a", "type": "Nobody" }] }"#, Language::Avro),
        "bad_schema"
    );
}

#[test]
fn items_of_no_bytes_and_endless_depth_are_no_trap() {
    let nulls = r#"{ "type": "record", "name": "E", "fields": [
        { "name": "n", "type": { "type": "array", "items": "null" } }, { "name": "me", "type": ["null", "E"] } ] }"#;
    let schema = schema(Language::Avro, nulls, &[]);
    let mut decoder = decoder(FormatKind::Avro, &schema, &texts(&["n[0]", "me.me.n"]));
    // 2^62 nulls.
    let endless = [&[0xff; 8][..], &[0x7f, 0]].concat();
    assert_eq!(read(&mut decoder, &framed(ID, &endless)), Err("not_of_schema"));
    let deep: Vec<u8> = [0, 2].repeat(100_000);
    assert_eq!(read(&mut decoder, &framed(ID, &deep)), Err("not_of_schema"));
}

/// A schema of any kind, its names made unique by `names`.
fn schemas() -> impl Strategy<Value = Json> {
    let leaf = prop::sample::select(vec![
        json!("null"),
        json!("boolean"),
        json!("int"),
        json!("long"),
        json!("float"),
        json!("double"),
        json!("bytes"),
        json!("string"),
        json!({ "type": "fixed", "size": 5 }),
        json!({ "type": "enum", "symbols": ["A", "B", "C"] }),
        json!({ "type": "int", "logicalType": "date" }),
        json!({ "type": "long", "logicalType": "timestamp-millis" }),
        json!({ "type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 3 }),
        json!({ "type": "fixed", "size": 20, "logicalType": "decimal", "precision": 40, "scale": 0 }),
        json!({ "type": "fixed", "size": 16, "logicalType": "uuid" }),
    ]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| json!({ "type": "array", "items": of })),
            inner.clone().prop_map(|of| json!({ "type": "map", "values": of })),
            inner.clone().prop_map(|of| if of == json!("null") || of.is_array() { of } else { json!(["null", of]) }),
            prop::collection::vec(inner, 1..4).prop_map(record),
        ]
    })
}

fn record(fields: Vec<Json>) -> Json {
    let fields = fields.into_iter().enumerate().map(|(at, of)| json!({ "name": format!("f{at}"), "type": of }));
    json!({ "type": "record", "fields": fields.collect::<Vec<_>>() })
}

fn names(schema: &mut Json, next: &mut usize) {
    if let Some(members) = schema.as_object_mut() {
        if matches!(members["type"].as_str(), Some("record" | "enum" | "fixed")) {
            *next += 1;
            members.insert("name".into(), format!("N{next}").into());
        }
        members.values_mut().for_each(|value| names(value, next));
    } else if let Some(items) = schema.as_array_mut() {
        items.iter_mut().for_each(|item| names(item, next));
    }
}

fn tree(schema: &Schema, rng: &mut rand_pcg::Pcg64Mcg) -> Tree {
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    match schema {
        Schema::Null => Tree::Null,
        Schema::Boolean => Tree::Boolean(rng.random()),
        Schema::Int => Tree::Int(rng.random()),
        Schema::Long => Tree::Long(rng.random()),
        Schema::Float => Tree::Float(f32::from_bits(rng.random())),
        Schema::Double => Tree::Double(f64::from_bits(rng.random())),
        Schema::Bytes => Tree::Bytes(bytes(3)),
        Schema::String => Tree::String(["", "a", "ö\u{1f600}"][rng.random_range(0..3)].into()),
        Schema::Fixed(fixed) => Tree::Fixed(fixed.size, bytes(fixed.size)),
        Schema::Enum(symbols) => {
            let at = rng.random_range(0..symbols.symbols.len());
            Tree::Enum(at as u32, symbols.symbols[at].clone())
        }
        Schema::Date => Tree::Date(rng.random_range(-800_000..3_000_000)),
        Schema::TimestampMillis => Tree::TimestampMillis(rng.random()),
        Schema::Decimal(decimal) => match &decimal.inner {
            apache_avro::schema::InnerDecimalSchema::Fixed(fixed) => Tree::Decimal(bytes(fixed.size).into()),
            apache_avro::schema::InnerDecimalSchema::Bytes => {
                let count = rng.random_range(1..24);
                let mut bytes = vec![0; count];
                rng.fill_bytes(&mut bytes);
                Tree::Decimal(bytes.into())
            }
        },
        Schema::Uuid(_) => Tree::Uuid(apache_avro::Uuid::from_slice(&bytes(16)).unwrap()),
        Schema::Union(union) => {
            let at = rng.random_range(0..union.variants().len());
            Tree::Union(at as u32, Box::new(tree(&union.variants()[at], rng)))
        }
        Schema::Array(array) => Tree::Array((0..rng.random_range(0..4)).map(|_| tree(&array.items, rng)).collect()),
        Schema::Map(map) => {
            Tree::Map((0..rng.random_range(0..3)).map(|at| (format!("k{at}"), tree(&map.types, rng))).collect())
        }
        Schema::Record(record) => {
            Tree::Record(record.fields.iter().map(|field| (field.name.clone(), tree(&field.schema, rng))).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// Every path of an event, and what stands there.
fn all(schema: &Schema, tree: &Tree, at: &str, found: &mut Vec<(String, Owned)>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let owned = match (schema, tree) {
        (Schema::Union(union), Tree::Union(branch, inner)) => {
            return all(&union.variants()[*branch as usize], inner, at, found);
        }
        (Schema::Record(record), Tree::Record(fields)) => {
            for (field, (name, value)) in record.fields.iter().zip(fields) {
                all(&field.schema, value, &below(name), found);
            }
            Owned::Composite
        }
        (Schema::Map(map), Tree::Map(entries)) => {
            entries.iter().for_each(|(key, value)| all(&map.types, value, &below(key), found));
            Owned::Composite
        }
        (Schema::Array(array), Tree::Array(items)) => {
            for (number, item) in items.iter().enumerate() {
                all(&array.items, item, &format!("{at}[{number}]"), found);
                all(&array.items, item, &format!("{at}[-{}]", items.len() - number), found);
            }
            Owned::Composite
        }
        (_, Tree::Null) => Owned::Null,
        (_, Tree::Boolean(truth)) => Owned::Bool(*truth),
        (_, Tree::Int(number)) => Owned::Int((*number).into()),
        (_, Tree::Long(number) | Tree::TimestampMillis(number)) => Owned::Int(*number),
        (_, Tree::Float(number)) => Owned::float((*number).into()),
        (_, Tree::Double(number)) => Owned::float(*number),
        (_, Tree::Bytes(bytes) | Tree::Fixed(_, bytes)) => Owned::bytes(bytes),
        (_, Tree::String(text) | Tree::Enum(_, text)) => Owned::Text(text.clone()),
        (_, Tree::Uuid(uuid)) => Owned::Text(uuid.to_string()),
        (_, Tree::Date(days)) => {
            let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(*days));
            day.map_or(Owned::Null, |day| Owned::Text(day.to_string()))
        }
        (Schema::Decimal(schema), Tree::Decimal(decimal)) => {
            let digits = num_bigint::BigInt::from(decimal.clone());
            let negative = if digits.sign() == num_bigint::Sign::Minus { "-" } else { "" };
            let digits = format!("{:0>width$}", digits.magnitude().to_string(), width = schema.scale + 1);
            let (whole, rest) = digits.split_at(digits.len() - schema.scale);
            Owned::Text(if rest.is_empty() {
                format!("{negative}{whole}")
            } else {
                format!("{negative}{whole}.{rest}")
            })
        }
        other => panic!("{other:?}"),
    };
    if !at.is_empty() {
        found.push((at.to_owned(), owned));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_field_of_every_event_is_what_apache_avro_says(fields in prop::collection::vec(schemas(), 1..4), seed: u64) {
        let mut written = record(fields);
        names(&mut written, &mut 0);
        let schema_of = Schema::parse(&written).unwrap();
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        let event = tree(&schema_of, &mut rng);
        let mut found = Vec::new();
        all(&schema_of, &event, "", &mut found);
        let payload = framed(ID, &encoded(&schema_of, event));
        let paths: Vec<FieldPath> = found.iter().map(|(text, _)| path(text)).collect();
        let expected: Vec<Owned> = found.into_iter().map(|(_, value)| value).collect();
        let schema = schema(Language::Avro, &written.to_string(), &[]);
        // All at once, and each alone, with everything else passed over.
        let together = read(&mut decoder(FormatKind::Avro, &schema, &paths), &payload);
        prop_assert_eq!(together.as_deref(), Ok(expected.as_slice()));
        for (path, value) in paths.into_iter().zip(expected) {
            let alone = read(&mut decoder(FormatKind::Avro, &schema, &[path]), &payload);
            prop_assert_eq!(alone, Ok(vec![value]));
        }
    }

    #[test]
    fn broken_events_are_no_panic(payload in prop::collection::vec(any::<u8>(), 0..80), cut in 0..80usize) {
        let schema = schema(Language::Avro, REQUEST, &[]);
        let mut decoder = decoder(FormatKind::Avro, &schema, &texts(&["day", "user.boss.level", "hops[host=a].ms", "tags.x"]));
        let _ = read(&mut decoder, &framed(ID, &payload));
        let _ = read(&mut decoder, &payload[..cut.min(payload.len())]);
    }
}
