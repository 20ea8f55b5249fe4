//! A user event in JSON, whatever it is, by a schema with a field of each type.

#![cfg_attr(fuzzing, no_main)]

mod door;

use std::sync::LazyLock;

use config::{Destination, EventField, FieldKind, UserEvents};
use door::user_event::{Schema, user_event};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let field = |name: &str, kind, required| EventField { name: name.to_owned(), kind, required };
    Schema::of(&UserEvents {
        destination: Destination { topic: "events".into(), routes: Vec::new() },
        fields: vec![
            field("s", FieldKind::String, true),
            field("i", FieldKind::Integer, true),
            field("n", FieldKind::Number, false),
            field("b", FieldKind::Boolean, false),
            field("t", FieldKind::Timestamp, false),
            field("o", FieldKind::Object, false),
        ],
        key: vec!["s".into(), "i".into()],
    })
});

of_door!(|bytes: &[u8]| door::check(|arrival| vec![user_event(bytes, &SCHEMA, arrival)]));
