//! A label as it stands in the file: a field path, or what it is made of.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::at::{At, Map};
use super::scalar::RawScalar;

/// A field path, or the long form.
#[derive(Debug)]
pub struct RawLabel(pub Label);

/// What a label is made of. Where the field is missing, null, empty, an array or an object, the label is empty, which for
/// Prometheus is no label.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Path of the field, such as `status` or `request.path`; or a list of them: the first that has a value.
    pub field: Option<At<RawFields>>,
    /// A regular expression: the label is its first group, or all that it matches. What it does not match has no value.
    #[serde(rename = "match")]
    pub part: Option<At<String>>,
    /// `true`: in lower case. Default: false.
    pub lower: Option<bool>,
    /// `path`: of a path or URL, without its query, and with `:id` for segments that are numbers, UUIDs, hex of 8 or more
    /// digits, or 20 and more letters and digits as in base64. Or a list of routes such as `/users/:id` and `/files/*`: the
    /// first that fits, else `other`.
    pub template: Option<At<RawTemplate>>,
    /// `true`: `2xx` for 204, and so on from 1xx to 5xx; `other` for all else. Default: false.
    pub class: Option<At<bool>>,
    /// Names of values: `{ 30: info, 40: warn, _: other }`. `_` is for all others, which else stay as they are.
    pub map: Option<At<Map<RawScalar>>>,
    /// What the label is instead of empty: `none`.
    pub default: Option<At<String>>,
    /// `true`: an event without a value for the label is not counted by this aggregate. Default: false.
    pub required: Option<bool>,
}

/// A field path, or a list of them.
#[derive(Debug, Default)]
pub struct RawFields(pub Vec<At<String>>);

/// A word, or a list of them.
#[derive(Debug, Default)]
pub struct RawWords(pub Vec<At<String>>);

/// `path`, or routes.
#[derive(Debug)]
pub enum RawTemplate {
    Word(String),
    Routes(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for RawFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_or_many(deserializer, "a field path, or a list of them").map(|found| match found {
            Ok(path) => RawFields(vec![At { value: path, place: Default::default() }]),
            Err(paths) => RawFields(paths),
        })
    }
}

impl<'de> Deserialize<'de> for RawWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = one_or_many(deserializer, "a word, or a list of them")?;
        Ok(RawWords(found.map_or_else(|words| words, |word| vec![At { value: word, place: Default::default() }])))
    }
}

impl<'de> Deserialize<'de> for RawTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = one_or_many(deserializer, "`path`, or a list of routes such as `/users/:id`")?;
        Ok(found.map_or_else(RawTemplate::Routes, RawTemplate::Word))
    }
}

/// A text, or (as `Err`) a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<Result<String, Vec<At<String>>>, D::Error> {
    struct OneOrMany(&'static str);

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Result<String, Vec<At<String>>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Ok(text.to_owned()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(items)).map(Err)
        }
    }

    deserializer.deserialize_any(OneOrMany(expected))
}

/// The schema of a text or a list of texts.
fn one_or_many_schema() -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

impl JsonSchema for RawFields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many_schema()
    }
}

impl JsonSchema for RawWords {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many_schema()
    }
}

impl JsonSchema for RawTemplate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many_schema()
    }
}

impl<'de> Deserialize<'de> for RawLabel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelVisitor;

        impl<'de> Visitor<'de> for LabelVisitor {
            type Value = RawLabel;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field path, a list of them, or a mapping such as `{ field: FIELD, default: none }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawLabel, E> {
                let field = RawFields(vec![At { value: text.to_owned(), place: Default::default() }]);
                let field = At { value: field, place: Default::default() };
                Ok(RawLabel(Label { field: Some(field), ..Label::default() }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, fields: A) -> Result<RawLabel, A::Error> {
                let fields = Vec::deserialize(SeqAccessDeserializer::new(fields))?;
                let field = At { value: RawFields(fields), place: Default::default() };
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
        let fields = generator.subschema_for::<RawFields>();
        json_schema!({ "anyOf": [fields, generator.subschema_for::<Label>()] })
    }
}
