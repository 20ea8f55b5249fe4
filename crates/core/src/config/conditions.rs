//! The checked conditions of a `where`.

use super::path::FieldPath;

/// One condition of a `where`; all of them have to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `field op operand`. A field that is missing or null passes no test but `Exists(false)` and `Not`.
    Field { path: FieldPath, test: Test },
    /// All conditions of at least one of these hold.
    Any(Vec<Vec<Condition>>),
    /// Not all of these hold.
    Not(Vec<Condition>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Eq(Scalar),
    Ne(Scalar),
    Gt(f64),
    Gte(f64),
    Lt(f64),
    Lte(f64),
    In(Vec<Scalar>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// A regular expression that matches anywhere.
    Matches(String),
    Exists(bool),
    /// Not all of these pass.
    Not(Vec<Test>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Number(f64),
    Text(String),
}
