//! Scalars of the config that are more than a string: durations, sizes, values of conditions, librdkafka properties.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, EnumAccess, Error, VariantAccess, Visitor};

/// A duration as it was written; [`crate::config::units::parse_duration`] reads it.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct RawDuration(pub String);

impl JsonSchema for RawDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([0-9]+ *(ms|s|m|h|d) *)+$|\$\{",
            "examples": ["100ms", "30s", "5m", "2h", "7d"],
        })
    }
}

/// A size as it was written; [`crate::config::units::parse_size`] reads it.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct RawSize(pub String);

impl JsonSchema for RawSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": r"^[0-9]+ *(B|kB|KB|KiB|MB|MiB|GB|GiB)?$|\$\{",
            "examples": ["64MiB", 65536],
        })
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum RawScalar {
    Bool(bool),
    Number(f64),
    Text(String),
}

pub(super) struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = RawScalar;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string, a number, true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawScalar, E> {
        Ok(RawScalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<RawScalar, E> {
        Ok(RawScalar::Number(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<RawScalar, E> {
        Ok(RawScalar::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<RawScalar, E> {
        Ok(RawScalar::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<RawScalar, E> {
        Ok(RawScalar::Text(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for RawScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl JsonSchema for RawScalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// The value of a librdkafka property: as it was written, or in a file.
#[derive(Clone, Debug)]
pub enum RawProperty {
    Text(String),
    File(String),
}

impl<'de> Deserialize<'de> for RawProperty {
    /// Reads a scalar or `{ file: PATH }`. It asks for an enum, because that is how a scalar keeps its spelling (a
    /// password of `0123` or `1e5` is not a number) where a mapping may stand as well.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PropertyVisitor;

        impl<'de> Visitor<'de> for PropertyVisitor {
            type Value = RawProperty;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value or `{ file: PATH }`")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<RawProperty, A::Error> {
                let (text, content) = data.variant::<String>()?;
                if text == "file" {
                    return content.newtype_variant().map(RawProperty::File);
                }
                content.unit_variant()?;
                Ok(RawProperty::Text(text))
            }
        }

        deserializer.deserialize_enum("Property", &["file"], PropertyVisitor)
    }
}

impl JsonSchema for RawProperty {
    fn schema_name() -> Cow<'static, str> {
        "Property".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string", "description": "A file that holds the value." } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
