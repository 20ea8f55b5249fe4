//! What a source shows of its newest events, as it stands in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::at::{At, Map};
use super::super::recent::Show;

/// Lets people see single events of the source: the newest ones (`ListRecentEvents`) and those that come (`TailEvents`,
/// `streamgauge tap`). They are read from Kafka when somebody asks, and kept nowhere else.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RecentEvents")]
pub struct RawRecentEvents {
    /// The fields that are shown, and no others: `{ endpoint: request.path }`, or with a way to show it
    /// `{ user: { field: user_id, show: hashed } }`.
    pub fields: At<Map<At<RawShownField>>>,
    /// Key of the hashes, 16 characters at least, the same for all agents of the group: a value then always has the same
    /// hash. Default: one that an agent makes up when it starts.
    pub hash_key: Option<At<String>>,
}

/// A field path, or the long form.
#[derive(Debug)]
pub struct RawShownField(pub RawShown);

/// A field of events that people may see.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ShownField")]
pub struct RawShown {
    /// Path of the field, such as `status` or `request.path`.
    pub field: At<String>,
    /// `plain`: as it is. `hashed`: 16 hexadecimal digits that are the same for the same value, by HMAC-SHA-256. `masked`:
    /// its first two characters and `***`; all of it is masked if it has fewer than eight. Default: `plain`.
    pub show: Option<Show>,
}

impl<'de> Deserialize<'de> for RawShownField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShownVisitor;

        impl<'de> Visitor<'de> for ShownVisitor {
            type Value = RawShownField;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field path, or a mapping such as `{ field: user_id, show: hashed }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawShownField, E> {
                let field = At { value: text.to_owned(), place: Default::default() };
                Ok(RawShownField(RawShown { field, show: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawShownField, A::Error> {
                RawShown::deserialize(MapAccessDeserializer::new(map)).map(RawShownField)
            }
        }

        deserializer.deserialize_any(ShownVisitor)
    }
}

impl JsonSchema for RawShownField {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ShownFieldOrPath".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<RawShown>()] })
    }
}
