//! Which events an aggregate or a measure is for.

use regex::Regex;

use crate::config::{Condition, FieldPath, Scalar, Test};
use crate::value::{self, Value};

/// Conditions that all have to hold.
#[derive(Debug, Default)]
pub struct Filter(Vec<Term>);

#[derive(Debug)]
enum Term {
    /// Slot and test.
    Field(usize, Test),
    Matches(usize, Regex),
    Any(Vec<Filter>),
    Not(Filter),
}

impl Filter {
    /// `slot` gives each field its place among an event's values.
    pub(super) fn new(conditions: &[Condition], slot: &mut dyn FnMut(&FieldPath) -> usize) -> Filter {
        let term = |condition: &Condition| match condition {
            Condition::Field { path, test } => Term::new(slot(path), test),
            Condition::Any(filters) => Term::Any(filters.iter().map(|filter| Filter::new(filter, slot)).collect()),
            Condition::Not(filter) => Term::Not(Filter::new(filter, slot)),
        };
        Filter(conditions.iter().map(term).collect())
    }

    #[inline]
    pub fn holds(&self, values: &[Value<'_>]) -> bool {
        self.0.iter().all(|term| term.holds(values))
    }
}

impl Term {
    fn new(slot: usize, test: &Test) -> Term {
        match test {
            // The config has been checked: a pattern that is none matches nothing.
            Test::Matches(pattern) => match Regex::new(pattern) {
                Ok(regex) => Term::Matches(slot, regex),
                Err(_) => Term::Any(Vec::new()),
            },
            Test::Not(tests) => Term::Not(Filter(tests.iter().map(|test| Term::new(slot, test)).collect())),
            test => Term::Field(slot, test.clone()),
        }
    }

    #[inline]
    fn holds(&self, values: &[Value<'_>]) -> bool {
        let value = |slot: usize| values.get(slot).copied().unwrap_or_default();
        match self {
            Term::Field(slot, test) => holds(test, value(*slot)),
            Term::Matches(slot, regex) => label_form(value(*slot), |text| regex.is_match(text)) == Some(true),
            Term::Any(filters) => filters.iter().any(|filter| filter.holds(values)),
            Term::Not(filter) => !filter.holds(values),
        }
    }
}

/// Whether a field's value passes a test. What is missing or null passes only `exists: false`; an array or an object only
/// `exists: true`.
fn holds(test: &Test, value: Value<'_>) -> bool {
    match test {
        Test::Eq(operand) => equals(operand, value) == Some(true),
        Test::Ne(operand) => equals(operand, value) == Some(false),
        Test::Gt(bound) => number(value).is_some_and(|number| number > *bound),
        Test::Gte(bound) => number(value).is_some_and(|number| number >= *bound),
        Test::Lt(bound) => number(value).is_some_and(|number| number < *bound),
        Test::Lte(bound) => number(value).is_some_and(|number| number <= *bound),
        Test::In(operands) => operands.iter().any(|operand| equals(operand, value) == Some(true)),
        Test::Prefix(part) => label_form(value, |text| text.starts_with(part.as_str())) == Some(true),
        Test::Suffix(part) => label_form(value, |text| text.ends_with(part.as_str())) == Some(true),
        Test::Contains(part) => label_form(value, |text| text.contains(part.as_str())) == Some(true),
        Test::Exists(wanted) => !matches!(value, Value::Missing | Value::Null) == *wanted,
        // These are terms of their own.
        Test::Matches(_) | Test::Not(_) => false,
    }
}

#[inline]
fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        Value::Digits(digits) => digits.parse().ok(),
        Value::Str(text) => number(value::number::number(text)?),
        _ => None,
    }
}

/// `None` for what is compared with nothing.
fn equals(operand: &Scalar, value: Value<'_>) -> Option<bool> {
    match (operand, value) {
        (_, Value::Missing | Value::Null | Value::Composite) => None,
        (Scalar::Number(operand), value) => Some(number(value) == Some(*operand)),
        (Scalar::Bool(operand), Value::Bool(value)) => Some(*operand == value),
        (Scalar::Bool(true), value) => label_form(value, |text| text == "true"),
        (Scalar::Bool(false), value) => label_form(value, |text| text == "false"),
        (Scalar::Text(operand), value) => label_form(value, |text| text == operand),
    }
}

/// What `ask` says of the value as a label would have it; `None` if there is none.
#[inline]
fn label_form(value: Value<'_>, ask: impl FnOnce(&str) -> bool) -> Option<bool> {
    match value {
        Value::Str(text) | Value::Digits(text) => Some(ask(text)),
        Value::Int(number) => Some(ask(&number.to_string())),
        Value::Float(number) => Some(ask(&number.to_string())),
        Value::Bool(truth) => Some(ask(if truth { "true" } else { "false" })),
        Value::Missing | Value::Null | Value::Composite => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: Test, passing: &[Value<'_>], failing: &[Value<'_>]) {
        let path = FieldPath::keys(["f"]);
        let filter = Filter::new(&[Condition::Field { path, test: test.clone() }], &mut |_| 0);
        passing.iter().for_each(|&value| assert!(filter.holds(&[value]), "{test:?} {value:?}"));
        failing.iter().for_each(|&value| assert!(!filter.holds(&[value]), "{test:?} {value:?}"));
    }

    #[test]
    fn numbers_are_compared_wherever_they_stand() {
        let text = |text| Value::Str(text);
        check(
            Test::Gte(400.0),
            &[Value::Int(400), Value::Float(400.5), text("500"), text("400.0"), Value::Digits("99999999999999999999")],
            &[Value::Int(399), text("399"), text("-"), text(""), text("5xx"), text("inf"), Value::Bool(true)],
        );
        check(Test::Gt(400.0), &[Value::Int(401)], &[Value::Int(400), Value::Missing]);
        check(Test::Lt(1.0), &[Value::Float(0.5), text("-3")], &[Value::Int(1), Value::Float(f64::NAN)]);
        check(Test::Lte(1.0), &[Value::Int(1)], &[Value::Float(1.5), Value::Null]);
        let two = || Scalar::Number(2.0);
        check(
            Test::Eq(two()),
            &[Value::Int(2), Value::Float(2.0), text("2"), text("2.0")],
            &[Value::Int(3), text("b")],
        );
        check(Test::Ne(two()), &[Value::Int(3), text("3"), text("-")], &[text("2"), Value::Null, Value::Missing]);
    }

    #[test]
    fn text_is_compared_with_what_the_label_would_be() {
        let text = |text: &str| Scalar::Text(text.into());
        check(Test::Eq(text("503")), &[Value::Str("503"), Value::Int(503)], &[Value::Int(5), Value::Float(503.5)]);
        check(Test::Eq(text("a")), &[Value::Str("a")], &[Value::Str("b"), Value::Int(1), Value::Missing]);
        check(
            Test::Ne(text("a")),
            &[Value::Str("b"), Value::Int(1), Value::Bool(true)],
            &[Value::Str("a"), Value::Missing, Value::Null, Value::Composite],
        );
        check(
            Test::Eq(Scalar::Bool(true)),
            &[Value::Bool(true), Value::Str("true")],
            &[Value::Str("false"), Value::Int(1)],
        );
        check(Test::Ne(Scalar::Bool(true)), &[Value::Bool(false), Value::Str("false")], &[Value::Str("true")]);
        let either = Test::In(vec![text("a"), Scalar::Number(1.0)]);
        check(either, &[Value::Str("a"), Value::Int(1), Value::Str("1")], &[Value::Str("b"), Value::Bool(true)]);
    }

    #[test]
    fn parts_of_text_and_patterns_are_found() {
        check(
            Test::Prefix("/api".into()),
            &[Value::Str("/api/users")],
            &[Value::Str("/ap"), Value::Int(1), Value::Null],
        );
        check(Test::Suffix(".js".into()), &[Value::Str("a.js")], &[Value::Str("a.jsx"), Value::Missing]);
        check(
            Test::Contains("00".into()),
            &[Value::Str("a00"), Value::Int(5003)],
            &[Value::Int(503), Value::Composite],
        );
        check(
            Test::Matches("^5[0-9]{2}$".into()),
            &[Value::Str("503"), Value::Int(503)],
            &[Value::Int(5030), Value::Null],
        );
    }

    #[test]
    fn existing_is_having_a_value() {
        check(Test::Exists(true), &[Value::Int(0), Value::Str(""), Value::Composite], &[Value::Missing, Value::Null]);
        check(Test::Exists(false), &[Value::Missing, Value::Null], &[Value::Bool(false)]);
    }

    #[test]
    fn not_holds_exactly_where_the_other_does_not() {
        let not = Test::Not(vec![Test::Gte(400.0), Test::Lt(500.0)]);
        check(not, &[Value::Int(200), Value::Int(500), Value::Missing, Value::Null], &[Value::Str("404")]);
    }

    #[test]
    fn any_holds_where_one_does_and_all_of_its_conditions() {
        let is = |name: &str, test| Condition::Field { path: FieldPath::keys([name]), test };
        let slow = vec![is("a", Test::Gt(1.0)), is("b", Test::Exists(true))];
        let filter = vec![Condition::Any(vec![slow, vec![is("b", Test::Eq(Scalar::Text("x".into())))]])];
        let slot = &mut |path: &FieldPath| usize::from(path.to_string() == "b");
        let filter = Filter::new(&filter, slot);
        assert!(filter.holds(&[Value::Int(2), Value::Int(0)]));
        assert!(filter.holds(&[Value::Int(0), Value::Str("x")]));
        assert!(!filter.holds(&[Value::Int(2), Value::Missing]));
        assert!(!Filter::new(&[Condition::Any(vec![])], slot).holds(&[]));
    }
}
