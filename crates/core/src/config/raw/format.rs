//! A format as it stands in the file: its name, or its name and options.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::at::{At, Map};
use super::super::format::FormatKind;

/// `combined`, or with options `{ combined: { lines: true } }`.
#[derive(Debug)]
pub struct RawFormat(pub Map<RawFormatOptions>);

/// A format, or a list of them: the first that the text is written in.
#[derive(Debug)]
pub struct RawFormats(pub Vec<At<RawFormat>>);

/// What is said of a format: options, or a text, which is the pattern of `regex`.
#[derive(Debug, Default)]
pub struct RawFormatOptions(pub Options);

/// What may be said of a format.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FormatOptions")]
pub struct Options {
    /// `true`: every line of a record is an event. JSON needs no word for it. Default: false.
    pub lines: Option<At<bool>>,
    /// Of `csv`, `tsv` and `w3c`: the names of the columns, in their order.
    pub names: Option<At<Vec<At<String>>>>,
    /// Of `csv`: what stands between two columns. Default: `,`.
    pub delimiter: Option<At<String>>,
    /// Of `regex`: a regular expression whose named groups are the fields: `^(?<host>\\S+) (?<path>\\S+)$`.
    pub pattern: Option<At<String>>,
}

impl<'de> Deserialize<'de> for RawFormatOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;

        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = RawFormatOptions;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("options such as `{ names: [time, host] }`, or the pattern of `regex`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawFormatOptions, E> {
                let pattern = At { value: text.to_owned(), place: Default::default() };
                Ok(RawFormatOptions(Options { pattern: Some(pattern), ..Options::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawFormatOptions, A::Error> {
                Options::deserialize(MapAccessDeserializer::new(map)).map(RawFormatOptions)
            }
        }

        deserializer.deserialize_any(OptionsVisitor)
    }
}

impl JsonSchema for RawFormatOptions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FormatOptionsOrPattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Options>(), { "type": "string" }] })
    }
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

impl<'de> Deserialize<'de> for RawFormats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormatsVisitor;

        impl<'de> Visitor<'de> for FormatsVisitor {
            type Value = RawFormats;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "a format such as `json`, a mapping such as `{ FORMAT: { OPTION: … } }`, or a list of these",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawFormats, E> {
                let name = At { value: text.to_owned(), place: Default::default() };
                let format = RawFormat(Map(vec![(name, RawFormatOptions::default())]));
                Ok(RawFormats(vec![At { value: format, place: Default::default() }]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawFormats, A::Error> {
                let format = RawFormat(Map::deserialize(MapAccessDeserializer::new(map))?);
                Ok(RawFormats(vec![At { value: format, place: Default::default() }]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, formats: A) -> Result<RawFormats, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(formats)).map(RawFormats)
            }
        }

        deserializer.deserialize_any(FormatsVisitor)
    }
}

impl JsonSchema for RawFormats {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Formats".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<RawFormat>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl JsonSchema for RawFormat {
    fn schema_name() -> Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<Options>();
        let or_pattern = generator.subschema_for::<RawFormatOptions>();
        let of = |name: &str| if name == "regex" { or_pattern.clone() } else { options.clone() };
        let properties: serde_json::Map<_, _> =
            FormatKind::NAMES.iter().map(|name| ((*name).to_owned(), of(name).into())).collect();
        json_schema!({ "anyOf": [
            { "enum": FormatKind::NAMES },
            { "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": 1 },
        ] })
    }
}
