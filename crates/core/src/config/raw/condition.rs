//! The conditions of a `where`, as they stand in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::at::At;
use super::scalar::{RawScalar, ScalarVisitor};

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

/// Conditions that all have to hold, in the order of the file.
#[derive(Debug, Default)]
pub struct RawWhere(pub Vec<RawTerm>);

/// One entry of a `where`.
#[derive(Debug)]
pub enum RawTerm {
    /// `status: …`
    Field(At<String>, RawCondition),
    /// `any: [ { … }, { … } ]`: all conditions of at least one of them.
    Any(At<String>, Vec<RawWhere>),
    /// `not: { … }`: not all of these conditions.
    Not(At<String>, RawWhere),
}

/// Tests that all must hold. A field that is missing or null passes none but `exists: false` and `not`. Numbers are compared
/// with numbers and with numbers in text; text with what a label made of the field would be.
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
    /// Begins with this.
    pub prefix: Option<String>,
    /// Ends with this.
    pub suffix: Option<String>,
    /// Has this in it.
    pub contains: Option<String>,
    /// A regular expression that matches anywhere, unless it says `^` or `$`.
    pub matches: Option<At<String>>,
    /// `true`: the field is there and not null. `false`: it is not.
    pub exists: Option<bool>,
    /// Does not pass this: a value, a list of values, or tests.
    pub not: Option<Box<RawCondition>>,
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

impl<'de> Deserialize<'de> for RawWhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhereVisitor;

        impl<'de> Visitor<'de> for WhereVisitor {
            type Value = RawWhere;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("conditions such as `{ status: { gte: 400 } }`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawWhere, A::Error> {
                let mut terms = Vec::new();
                while let Some(key) = map.next_key::<At<String>>()? {
                    terms.push(match key.value.as_str() {
                        "any" => match map.next_value()? {
                            Branches::Any(branches) => RawTerm::Any(key, branches),
                            Branches::OfField(condition) => RawTerm::Field(key, condition),
                        },
                        "not" => RawTerm::Not(key, map.next_value()?),
                        _ => RawTerm::Field(key, map.next_value()?),
                    });
                }
                Ok(RawWhere(terms))
            }
        }

        deserializer.deserialize_map(WhereVisitor)
    }
}

/// What stands behind `any`: a list of `where`s, or what a field of that name has to be.
enum Branches {
    Any(Vec<RawWhere>),
    OfField(RawCondition),
}

/// One item of such a list.
enum Branch {
    Where(RawWhere),
    Value(RawScalar),
}

impl<'de> Deserialize<'de> for Branches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BranchesVisitor;

        impl<'de> Visitor<'de> for BranchesVisitor {
            type Value = Branches;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of conditions such as `[ { status: 500 }, { level: error } ]`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Branches, A::Error> {
                let items = Vec::<Branch>::deserialize(SeqAccessDeserializer::new(seq))?;
                let values = items.iter().all(|item| matches!(item, Branch::Value(_))) && !items.is_empty();
                let (mut branches, mut scalars) = (Vec::new(), Vec::new());
                for item in items {
                    match item {
                        Branch::Where(branch) => branches.push(branch),
                        Branch::Value(value) => scalars.push(value),
                    }
                }
                match (values, scalars.is_empty()) {
                    (true, _) => Ok(Branches::OfField(RawCondition::In(scalars))),
                    (false, true) => Ok(Branches::Any(branches)),
                    (false, false) => Err(A::Error::custom("either conditions or values, not both")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Branches, A::Error> {
                RawCondition::deserialize(MapAccessDeserializer::new(map)).map(Branches::OfField)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Branches, E> {
                ScalarVisitor.visit_bool(value).map(|value| Branches::OfField(RawCondition::Is(value)))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Branches, E> {
                ScalarVisitor.visit_f64(value).map(|value| Branches::OfField(RawCondition::Is(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Branches, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Branches, E> {
                self.visit_f64(value as f64)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Branches, E> {
                ScalarVisitor.visit_str(value).map(|value| Branches::OfField(RawCondition::Is(value)))
            }
        }

        deserializer.deserialize_any(BranchesVisitor)
    }
}

impl<'de> Deserialize<'de> for Branch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BranchVisitor;

        impl<'de> Visitor<'de> for BranchVisitor {
            type Value = Branch;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("conditions such as `{ status: { gte: 400 } }`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Branch, A::Error> {
                RawWhere::deserialize(MapAccessDeserializer::new(map)).map(Branch::Where)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Branch, E> {
                ScalarVisitor.visit_bool(value).map(Branch::Value)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Branch, E> {
                ScalarVisitor.visit_f64(value).map(Branch::Value)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Branch, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Branch, E> {
                self.visit_f64(value as f64)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Branch, E> {
                ScalarVisitor.visit_str(value).map(Branch::Value)
            }
        }

        deserializer.deserialize_any(BranchVisitor)
    }
}

impl JsonSchema for RawWhere {
    fn schema_name() -> Cow<'static, str> {
        "Where".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (condition, this) = (generator.subschema_for::<RawCondition>(), generator.subschema_for::<RawWhere>());
        let any = "All conditions of at least one of these hold.";
        let not = "Not all of these conditions hold.";
        json_schema!({
            "description": "Conditions that all have to hold, by field path; `any` and `not` combine others.",
            "type": "object",
            "properties": {
                "any": { "description": any, "anyOf": [{ "type": "array", "items": this }, condition] },
                "not": { "description": not, "allOf": [this] },
            },
            "additionalProperties": condition,
        })
    }
}
