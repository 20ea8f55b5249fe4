//! A measure as it stands in the file, in its short and its long form.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::super::at::At;
use super::super::types::Unit;
use super::RawDuration;
use super::condition::RawWhere;
use super::label::RawFields;

/// `count`, `last_seen`, `rate` or `share`, or the long form.
#[derive(Debug)]
pub struct RawMeasure(pub Body);

/// One statistic: exactly one of `count`, `sum`, `min`, `max`, `avg`, `histogram`, `buckets`, `first`, `last`, `last_seen`,
/// `distinct`, `top`, `anomaly`, `apdex`, `ratio`, `rate`, `share` and `versus`.
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
    /// Value of a field in the earliest event, by event time.
    pub first: Option<At<Measured>>,
    /// Value of a field in the latest event, by event time.
    pub last: Option<At<Measured>>,
    /// Time of the latest event: `last_seen`, or `{ last_seen: { where: … } }`.
    pub last_seen: Option<At<Measured>>,
    /// How many different values a field had, such as users: `{ distinct: user_id }`. Exact while they are few, an estimate
    /// beyond that.
    pub distinct: Option<At<Measured>>,
    /// Which values a field had most often: `{ top: { of: element_id, k: 20 } }`, or most of something: `by: { sum: bytes }`.
    pub top: Option<At<Measured>>,
    /// How many values of a field were unusual for their key: `{ anomaly: { of: f, sigma: 3, min_count: 100, half_life: 1d } }`,
    /// or `{ anomaly: { of: f, above_quantile: 0.999 } }` for what is not normally distributed, such as latencies.
    pub anomaly: Option<At<Measured>>,
    /// How satisfied those were who waited, from 0 to 1: `{ apdex: { of: response_time_ms, target: 0.3 }, unit: ms }`.
    pub apdex: Option<At<Measured>>,
    /// One count of this aggregate by another: `{ ratio: { part: errors, of: requests } }`.
    pub ratio: Option<At<Measured>>,
    /// Events per second of the window: `rate`, or `{ rate: { where: … } }`; or of a field: `{ rate: bytes }`. Windows alone show
    /// it.
    pub rate: Option<At<Measured>>,
    /// Which part of the events of its window a row has: `share`; or of the sum of a field: `{ share: bytes }`. Windows, and
    /// queries, show it.
    pub share: Option<At<Measured>>,
    /// Events by those of the same window some time ago: `{ versus: { ago: 7d } }`; or a field: `{ versus: { of: bytes, ago: 1d } }`.
    /// 1 is as many. `retention` has to reach back so far. Windows alone show it.
    pub versus: Option<At<Measured>>,
    /// The quantiles that closed windows show of a distribution, and queries that ask for none, each within 0 and 1. Default:
    /// `[0.5, 0.95, 0.99]`.
    pub quantiles: Option<At<Vec<f64>>>,
    /// Unit of the field. Metrics are in the base unit (seconds, bytes, ratio), and their names say so. Default: none.
    pub unit: Option<At<Unit>>,
    /// `true`: negative values are measured too. A sum of them goes up and down, so that its metric is a gauge. Without it a
    /// sum, a mean or a distribution refuses a negative value, and counts that it did. Default: false.
    pub signed: Option<At<bool>>,
    /// Measure only events for which all of these hold; may also stand inside the statistic.
    #[serde(default, rename = "where")]
    pub filter: RawWhere,
    /// A metric name instead of `<aggregate>_<measure>`; `_total` and the unit still follow it.
    pub name: Option<At<String>>,
    /// Help text of the metric.
    pub help: Option<String>,
}

impl Body {
    /// The statistics that it asks for, by their words.
    pub fn statistics(&self) -> Vec<(&'static str, &At<Measured>)> {
        let Body { count, sum, min, max, avg, histogram, buckets, first, last, last_seen, distinct, .. } = self;
        let Body { top, anomaly, apdex, ratio, rate, share, versus, .. } = self;
        let all = [
            ("count", count),
            ("sum", sum),
            ("min", min),
            ("max", max),
            ("avg", avg),
            ("histogram", histogram),
            ("buckets", buckets),
            ("first", first),
            ("last", last),
            ("last_seen", last_seen),
            ("distinct", distinct),
            ("top", top),
            ("anomaly", anomaly),
            ("apdex", apdex),
            ("ratio", ratio),
            ("rate", rate),
            ("share", share),
            ("versus", versus),
        ];
        all.into_iter().filter_map(|(word, measured)| Some((word, measured.as_ref()?))).collect()
    }
}

/// What a statistic is made of: a field path, or a mapping.
#[derive(Debug, Default)]
pub struct Measured {
    pub field: Option<At<RawFields>>,
    pub filter: RawWhere,
    pub bounds: Option<At<Vec<f64>>>,
    pub from: Option<At<String>>,
    pub to: Option<At<String>>,
    pub format: Option<At<String>>,
    pub zone: Option<At<String>>,
    pub error: Option<At<f64>>,
    pub k: Option<At<u32>>,
    pub by: Option<At<RawRankedBy>>,
    pub label: Option<At<String>>,
    pub sigma: Option<At<f64>>,
    pub above_quantile: Option<At<f64>>,
    pub min_count: Option<At<u64>>,
    pub half_life: Option<At<RawDuration>>,
    pub target: Option<At<f64>>,
    pub part: Option<At<String>>,
    pub ago: Option<At<RawDuration>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Measured")]
struct LongMeasured {
    /// Path of the field, such as `bytes` or `response.time_ms`: a number, or text such as `12.5`, `231ms` or `1.5MiB`, with a
    /// suffix where `unit` is one of its kind. Or a list of paths: the first that has a value.
    field: Option<At<RawFields>>,
    /// The same as `field`.
    of: Option<At<RawFields>>,
    /// Measure only events for which all of these hold.
    #[serde(default, rename = "where")]
    filter: RawWhere,
    /// Upper bounds, ascending, in the base unit of what is exposed (seconds, bytes). Only for `buckets`.
    bounds: Option<At<Vec<f64>>>,
    /// Instead of a field, the time between two: `{ from: started, to: ended }`.
    from: Option<At<String>>,
    to: Option<At<String>>,
    /// How `from` and `to` are written, as in `timestamp`. Default: `rfc3339`.
    format: Option<At<String>>,
    /// Their zone, if they do not say it. Default: `UTC`.
    zone: Option<At<String>>,
    /// As a fraction. Of `distinct`, the standard error of the estimate: 0.004 to 0.13; default: 0.016. Of `histogram`, how far a
    /// quantile may be from the exact one over five decades: 0.0014 to 0.18; default: as little as 160 buckets allow. A
    /// smaller one takes more memory.
    error: Option<At<f64>>,
    /// How many items are shown, at most 100. Only for `top`. Default: 10.
    k: Option<At<u32>>,
    /// `count`, or `{ sum: FIELD }`. Only for `top`. Default: `count`.
    by: Option<At<RawRankedBy>>,
    /// The label that the series of closed windows have the item in. Only for `top`. Default: `item`.
    label: Option<At<String>>,
    /// How many standard deviations from the mean are still usual. Only for `anomaly`. Default: 3.
    sigma: Option<At<f64>>,
    /// Instead of `sigma`: values above this quantile of their key's values so far at the same hour of the day (UTC) are
    /// unusual, such as 0.999. Each that exceeds it by 9 % is counted, and none that does not exceed it. Only for `anomaly`.
    above_quantile: Option<At<f64>>,
    /// No value is judged before the key has had this many; with `above_quantile`, at that hour of the day. Only for `anomaly`.
    /// Default: 100.
    min_count: Option<At<u64>>,
    /// A value of this age weighs half in what others are compared with; at least `1h` with `above_quantile`. Only for
    /// `anomaly`. Default: all weigh the same.
    half_life: Option<At<RawDuration>>,
    /// Who waits at most this long is satisfied, in the base unit of what is exposed (seconds). Only for `apdex`. Default: 0.5.
    target: Option<At<f64>>,
    /// The count that is divided, by its measure's name; `of` has the one that it is divided by. Only for `ratio`.
    part: Option<At<String>>,
    /// How long before. Only for `versus`. Default: `1d`.
    ago: Option<At<RawDuration>>,
}

impl LongMeasured {
    fn measured(self) -> Result<Measured, &'static str> {
        let LongMeasured { field, of, filter, bounds, from, to, format, zone, error, k, by, label, .. } = self;
        let LongMeasured { sigma, above_quantile, min_count, half_life, target, part, ago, .. } = self;
        if field.is_some() && of.is_some() {
            return Err("`field` and `of` say the same: keep one of them");
        }
        let field = field.or(of);
        let measured =
            Measured { field, filter, bounds, from, to, format, zone, error, k, by, label, ..Measured::default() };
        Ok(Measured { sigma, above_quantile, min_count, half_life, target, part, ago, ..measured })
    }
}

/// What items are ranked by.
#[derive(Debug)]
pub enum RawRankedBy {
    Count,
    Sum(At<String>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RankedBySum")]
struct RankedBySum {
    /// Path of the field that is summed.
    sum: At<String>,
}

impl<'de> Deserialize<'de> for RawRankedBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RankedByVisitor;

        impl<'de> Visitor<'de> for RankedByVisitor {
            type Value = RawRankedBy;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`count` or `{ sum: FIELD }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawRankedBy, E> {
                if text == "count" {
                    Ok(RawRankedBy::Count)
                } else {
                    Err(E::invalid_value(Unexpected::Str(text), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawRankedBy, A::Error> {
                RankedBySum::deserialize(MapAccessDeserializer::new(map)).map(|by| RawRankedBy::Sum(by.sum))
            }
        }

        deserializer.deserialize_any(RankedByVisitor)
    }
}

impl JsonSchema for RawRankedBy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RankedBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "count" }, generator.subschema_for::<RankedBySum>()] })
    }
}

impl<'de> Deserialize<'de> for RawMeasure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeasureVisitor;

        impl<'de> Visitor<'de> for MeasureVisitor {
            type Value = RawMeasure;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "`count`, `last_seen`, `rate`, `share`, or a mapping such as `{ histogram: FIELD, unit: ms }`",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawMeasure, E> {
                let plain = Some(At { value: Measured::default(), place: Default::default() });
                match text {
                    "count" => Ok(RawMeasure(Body { count: plain, ..Body::default() })),
                    "last_seen" => Ok(RawMeasure(Body { last_seen: plain, ..Body::default() })),
                    "rate" => Ok(RawMeasure(Body { rate: plain, ..Body::default() })),
                    "share" => Ok(RawMeasure(Body { share: plain, ..Body::default() })),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
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
        json_schema!({ "anyOf": [{ "enum": ["count", "last_seen", "rate", "share"] }, generator.subschema_for::<Body>()] })
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeasuredVisitor;

        impl<'de> Visitor<'de> for MeasuredVisitor {
            type Value = Measured;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field path, a list of them, or a mapping such as `{ field: FIELD, where: { … } }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Measured, E> {
                let field = RawFields(vec![At { value: text.to_owned(), place: Default::default() }]);
                let field = At { value: field, place: Default::default() };
                Ok(Measured { field: Some(field), ..Measured::default() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, fields: A) -> Result<Measured, A::Error> {
                let fields = Vec::deserialize(SeqAccessDeserializer::new(fields))?;
                let field = At { value: RawFields(fields), place: Default::default() };
                Ok(Measured { field: Some(field), ..Measured::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Measured, A::Error> {
                LongMeasured::deserialize(MapAccessDeserializer::new(map))?.measured().map_err(A::Error::custom)
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
        let fields = generator.subschema_for::<RawFields>();
        json_schema!({ "anyOf": [fields, generator.subschema_for::<LongMeasured>()] })
    }
}
