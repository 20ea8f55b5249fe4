//! A label as it stands in the file: a field path, or what it is made of.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::at::At;

/// A field path, or the long form.
#[derive(Debug)]
pub struct RawLabel(pub Label);

/// What a label is made of. Where the field is missing, null, empty, an array or an object, the label is empty, which for
/// Prometheus is no label.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Path of the field, such as `status` or `request.path`.
    pub field: Option<At<String>>,
    /// What the label is instead of empty: `none`.
    pub default: Option<At<String>>,
    /// `true`: an event without a value for the label is not counted by this aggregate. Default: false.
    pub required: Option<bool>,
}

impl<'de> Deserialize<'de> for RawLabel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelVisitor;

        impl<'de> Visitor<'de> for LabelVisitor {
            type Value = RawLabel;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field path or a mapping such as `{ field: FIELD, default: none }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawLabel, E> {
                let field = At { value: text.to_owned(), place: Default::default() };
                Ok(RawLabel(Label { field: Some(field), ..Label::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawLabel, A::Error> {
                Label::deserialize(MapAccessDeserializer::new(map)).map(RawLabel)
            }
        }

        deserializer.deserialize_any(LabelVisitor)
    }
}

impl JsonSchema for RawLabel {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LabelOrField".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<Label>()] })
    }
}
