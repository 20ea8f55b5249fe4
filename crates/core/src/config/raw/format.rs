//! A format as it stands in the file: its name, or its name and options.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::at::{At, Map};
use super::super::format::FormatKind;

/// `combined`, or with options `{ combined: { lines: true } }`.
#[derive(Debug)]
pub struct RawFormat(pub Map<RawFormatOptions>);

/// What may be said of a format.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FormatOptions")]
pub struct RawFormatOptions {
    /// `true`: every line of a record is an event. JSON needs no word for it. Default: false.
    pub lines: Option<At<bool>>,
}

impl<'de> Deserialize<'de> for RawFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormatVisitor;

        impl<'de> Visitor<'de> for FormatVisitor {
            type Value = RawFormat;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a format such as `json`, or a mapping such as `{ FORMAT: { OPTION: … } }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawFormat, E> {
                let name = At { value: text.to_owned(), place: Default::default() };
                Ok(RawFormat(Map(vec![(name, RawFormatOptions::default())])))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawFormat, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(RawFormat)
            }
        }

        deserializer.deserialize_any(FormatVisitor)
    }
}

impl JsonSchema for RawFormat {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FormatOrName".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<RawFormatOptions>();
        let properties: serde_json::Map<_, _> =
            FormatKind::NAMES.iter().map(|name| ((*name).to_owned(), options.clone().into())).collect();
        json_schema!({ "anyOf": [
            { "enum": FormatKind::NAMES },
            { "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": 1 },
        ] })
    }
}
