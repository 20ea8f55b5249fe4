//! A window as it stands in the file: a text, or a mapping for sessions.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::at::At;
use super::RawDuration;

/// `1m`, `5m/1m`, `total`, or `{ session: 10m, max: 12h }`.
#[derive(Debug)]
pub enum RawWindow {
    Text(String),
    Session(RawSession),
}

/// Stretches of activity of each key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionWindow")]
pub struct RawSession {
    /// A pause this long ends a session.
    pub session: At<RawDuration>,
    /// No session is longer than this. Default: `12h`.
    pub max: Option<At<RawDuration>>,
}

impl<'de> Deserialize<'de> for RawWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WindowVisitor;

        impl<'de> Visitor<'de> for WindowVisitor {
            type Value = RawWindow;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a window such as `5m`, `5m/1m` or `{ session: 10m }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawWindow, E> {
                Ok(RawWindow::Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<RawWindow, E> {
                Ok(RawWindow::Text(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawWindow, A::Error> {
                RawSession::deserialize(MapAccessDeserializer::new(map)).map(RawWindow::Session)
            }
        }

        deserializer.deserialize_any(WindowVisitor)
    }
}

impl JsonSchema for RawWindow {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<RawSession>()] })
    }
}
