//! A measure as it stands in the file, in its short and its long form, and the conditions of its `where`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::super::at::{At, Map};
use super::scalar::{RawScalar, ScalarVisitor};

/// `count`, or the long form.
#[derive(Debug)]
pub struct RawMeasure(pub Body);

/// One statistic: exactly one of `count`, `sum`, `min`, `max`, `avg`, `histogram` and `buckets`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Measure")]
pub struct Body {
    /// Number of events: `{ count: { where: … } }`.
    pub count: Option<At<Measured>>,
    /// Sum of a field, exact in any order.
    pub sum: Option<At<Measured>>,
    /// Smallest value of a field.
    pub min: Option<At<Measured>>,
    /// Largest value of a field.
    pub max: Option<At<Measured>>,
    /// Mean of a field.
    pub avg: Option<At<Measured>>,
    /// Distribution of a field as a base-2 exponential histogram: any quantile, within 2.2 % over three decades.
    pub histogram: Option<At<Measured>>,
    /// Distribution of a field over upper bounds of your choice: `{ buckets: { field: f, bounds: [0.1, 1] } }`.
    pub buckets: Option<At<Measured>>,
    /// Unit of the field. Metrics are in the base unit (seconds, bytes, ratio), and their names say so. Default: none.
    pub unit: Option<At<RawUnit>>,
    /// Measure only events for which all of these hold; may also stand inside the statistic.
    #[serde(default, rename = "where")]
    pub filter: Map<RawCondition>,
    /// A metric name instead of `<aggregate>_<measure>`; `_total` and the unit still follow it.
    pub name: Option<At<String>>,
    /// Help text of the metric.
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Unit")]
pub enum RawUnit {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s", alias = "seconds")]
    Seconds,
    #[serde(rename = "bytes", alias = "B")]
    Bytes,
    #[serde(rename = "kB")]
    Kilobytes,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "percent")]
    Percent,
}

/// What a statistic is made of: a field path, or a mapping.
#[derive(Debug, Default)]
pub struct Measured {
    pub field: Option<At<String>>,
    pub filter: Map<RawCondition>,
    pub bounds: Option<At<Vec<f64>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Measured")]
struct LongMeasured {
    /// Path of the field, such as `bytes` or `response.time_ms`.
    field: Option<At<String>>,
    /// Measure only events for which all of these hold.
    #[serde(default, rename = "where")]
    filter: Map<RawCondition>,
    /// Upper bounds, ascending, in the base unit of what is exposed (seconds, bytes). Only for `buckets`.
    bounds: Option<At<Vec<f64>>>,
}

/// Which values of a field are let through.
#[derive(Debug)]
pub enum RawCondition {
    /// `status: 200`
    Is(RawScalar),
    /// `region: [eu, us]`
    In(Vec<RawScalar>),
    /// `status: { gte: 400, lt: 500 }`
    Tests(Box<Tests>),
}

/// Tests that all must hold. A field that is missing or of another type passes none but `exists: false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// Equal to.
    pub eq: Option<RawScalar>,
    /// There, and not equal to.
    pub ne: Option<RawScalar>,
    pub gt: Option<f64>,
    pub gte: Option<f64>,
    pub lt: Option<f64>,
    pub lte: Option<f64>,
    /// Equal to one of these.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<RawScalar>>,
    /// A string that begins with this.
    pub prefix: Option<String>,
    /// `true`: the field is there. `false`: it is not.
    pub exists: Option<bool>,
}

impl<'de> Deserialize<'de> for RawMeasure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeasureVisitor;

        impl<'de> Visitor<'de> for MeasureVisitor {
            type Value = RawMeasure;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`count` or a mapping such as `{ histogram: FIELD, unit: ms }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawMeasure, E> {
                if text != "count" {
                    return Err(E::invalid_value(Unexpected::Str(text), &self));
                }
                let count = At { value: Measured::default(), place: Default::default() };
                Ok(RawMeasure(Body { count: Some(count), ..Body::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawMeasure, A::Error> {
                Body::deserialize(MapAccessDeserializer::new(map)).map(RawMeasure)
            }
        }

        deserializer.deserialize_any(MeasureVisitor)
    }
}

impl JsonSchema for RawMeasure {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MeasureOrCount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "count" }, generator.subschema_for::<Body>()] })
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeasuredVisitor;

        impl<'de> Visitor<'de> for MeasuredVisitor {
            type Value = Measured;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field path or a mapping such as `{ field: FIELD, where: { … } }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Measured, E> {
                let field = At { value: text.to_owned(), place: Default::default() };
                Ok(Measured { field: Some(field), ..Measured::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Measured, A::Error> {
                let LongMeasured { field, filter, bounds } =
                    LongMeasured::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Measured { field, filter, bounds })
            }
        }

        deserializer.deserialize_any(MeasuredVisitor)
    }
}

impl JsonSchema for Measured {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MeasuredOrField".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<LongMeasured>()] })
    }
}

impl<'de> Deserialize<'de> for RawCondition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConditionVisitor;

        impl<'de> Visitor<'de> for ConditionVisitor {
            type Value = RawCondition;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value, a list of values, or tests such as `{ gte: 400 }`")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<RawCondition, E> {
                ScalarVisitor.visit_bool(value).map(RawCondition::Is)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<RawCondition, E> {
                ScalarVisitor.visit_i64(value).map(RawCondition::Is)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RawCondition, E> {
                ScalarVisitor.visit_u64(value).map(RawCondition::Is)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<RawCondition, E> {
                ScalarVisitor.visit_f64(value).map(RawCondition::Is)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawCondition, E> {
                ScalarVisitor.visit_str(value).map(RawCondition::Is)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawCondition, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(RawCondition::In(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawCondition, A::Error> {
                Tests::deserialize(MapAccessDeserializer::new(map)).map(|tests| RawCondition::Tests(Box::new(tests)))
            }
        }

        deserializer.deserialize_any(ConditionVisitor)
    }
}

impl JsonSchema for RawCondition {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (scalar, tests) = (generator.subschema_for::<RawScalar>(), generator.subschema_for::<Tests>());
        json_schema!({ "anyOf": [scalar, { "type": "array", "items": scalar }, tests] })
    }
}
