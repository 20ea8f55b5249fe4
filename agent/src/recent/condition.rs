//! Conditions on what is shown of an event. They see no more than people do: a hash is compared as a hash.

use super::error::RecentError;
use crate::config::{RecentEvents, Show};
use regex::{Regex, RegexBuilder};

/// Largest compiled regular expression, bytes.
const REGEX_LIMIT: usize = 1 << 20;

/// What a field's value has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub field: String,
    pub comparison: Comparison,
    pub value: String,
}

/// As text, where a field that is not there is empty; the last four as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    NotMatches(Regex),
    Number(fn(&f64, &f64) -> bool, f64),
}

/// Conditions that all have to hold, ready to be used.
#[derive(Debug, Default)]
pub struct Conditions(Vec<(usize, Test)>);

impl Conditions {
    /// # Errors
    /// If there is no such field, a regular expression is none, or what is compared as a number is none.
    pub fn new(conditions: &[Condition], shown: &RecentEvents) -> Result<Conditions, RecentError> {
        let test = |condition: &Condition| {
            let at = shown.fields.iter().position(|field| field.name == condition.field).ok_or_else(|| {
                let names = shown.fields.iter().map(|field| field.name.clone()).collect();
                RecentError::NoSuchField { field: condition.field.clone(), shown: names }
            })?;
            Ok((at, Test::new(condition, shown.fields[at].show)?))
        };
        conditions.iter().map(test).collect::<Result<_, _>>().map(Conditions)
    }

    /// `values`: the shown ones, by field.
    pub fn hold(&self, values: &[Option<String>]) -> bool {
        self.0.iter().all(|(at, test)| {
            let value = values.get(*at).and_then(Option::as_deref).unwrap_or_default();
            match test {
                Test::Equal(wanted) => value == wanted,
                Test::NotEqual(unwanted) => value != unwanted,
                Test::Matches(regex) => regex.is_match(value),
                Test::NotMatches(regex) => !regex.is_match(value),
                Test::Number(compare, bound) => value.parse().is_ok_and(|number: f64| compare(&number, bound)),
            }
        })
    }
}

impl Test {
    fn new(condition: &Condition, show: Show) -> Result<Test, RecentError> {
        let Condition { field, comparison, value } = condition;
        let regex = || {
            let whole = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(REGEX_LIMIT).build();
            whole.map_err(|_| RecentError::Wrong(format!("`{value}` is not a regular expression")))
        };
        let compare: fn(&f64, &f64) -> bool = match comparison {
            Comparison::Equal => return Ok(Test::Equal(value.clone())),
            Comparison::NotEqual => return Ok(Test::NotEqual(value.clone())),
            Comparison::Matches => return regex().map(Test::Matches),
            Comparison::NotMatches => return regex().map(Test::NotMatches),
            Comparison::Less => f64::lt,
            Comparison::LessOrEqual => f64::le,
            Comparison::Greater => f64::gt,
            Comparison::GreaterOrEqual => f64::ge,
        };
        if show != Show::Plain {
            return Err(RecentError::Wrong(format!("`{field}` is not shown as it is: it has no size to compare")));
        }
        match value.parse() {
            Ok(bound) => Ok(Test::Number(compare, bound)),
            Err(_) => Err(RecentError::Wrong(format!("`{field}`: `{value}` is not a number such as 500"))),
        }
    }
}
