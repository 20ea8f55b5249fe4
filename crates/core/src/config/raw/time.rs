//! `timestamp`: where the event time is, as it stands in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::at::At;

/// One place, or a list of them: the first that is there.
#[derive(Debug)]
pub enum RawTimes {
    One(Box<RawTimestamp>),
    FirstOf(Vec<At<RawTimestamp>>),
}

/// Where the event time is: `{ field: timestamp, format: unix_ms }`, or `{ from: kafka }` for the record's own timestamp. A list
/// of such: the first that is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Timestamp")]
pub struct RawTimestamp {
    /// Path of the field that holds it, such as `timestamp` or `request.time`.
    pub field: Option<At<String>>,
    /// How the field is written: `unix_s`, `unix_ms`, `unix_us`, `unix_ns` (a number since 1970, also in a string), `unix` (of
    /// these the one that its magnitude says), `rfc3339`, `iso8601` (with an offset or without one), `clf`
    /// (`17/May/2015:08:05:32 +0000`, or HAProxy's `15/Jun/2026:12:11:18.838`), or a pattern of strftime such as
    /// `%d.%m.%Y %H:%M:%S`.
    pub format: Option<At<String>>,
    /// The zone of times that do not say their own, such as `Europe/Berlin`. Default: `UTC`.
    pub zone: Option<At<String>>,
    /// A regular expression: the time is its first group, or all that it matches: `^(\\d+\\.\\d+):`.
    #[serde(rename = "match")]
    pub part: Option<At<String>>,
    /// Instead of `field`, a field with whole seconds since 1970, and beside it `nanos`.
    pub seconds: Option<At<String>>,
    /// The field with the nanoseconds that are added to `seconds`; none are 0.
    pub nanos: Option<At<String>>,
    /// `kafka`: the record's own timestamp, instead of a field.
    pub from: Option<RawTimeFrom>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TimeFrom")]
pub enum RawTimeFrom {
    Kafka,
}

impl<'de> Deserialize<'de> for RawTimes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimesVisitor;

        impl<'de> Visitor<'de> for TimesVisitor {
            type Value = RawTimes;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping such as `{ field: timestamp, format: unix_ms }`, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTimes, A::Error> {
                RawTimestamp::deserialize(MapAccessDeserializer::new(map)).map(|one| RawTimes::One(Box::new(one)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<RawTimes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(RawTimes::FirstOf)
            }
        }

        deserializer.deserialize_any(TimesVisitor)
    }
}

impl JsonSchema for RawTimes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<RawTimestamp>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}
