//! Which events a measure measures.

use super::event::Value;
use crate::config::{Scalar, Test};

/// Whether a field's value passes a test. Of another type than the operand, or missing, it passes only `exists`.
pub(super) fn holds(test: &Test, value: Value<'_>) -> bool {
    match test {
        Test::Eq(operand) => equals(operand, value) == Some(true),
        Test::Ne(operand) => equals(operand, value) == Some(false),
        Test::Gt(bound) => number(value).is_some_and(|number| number > *bound),
        Test::Gte(bound) => number(value).is_some_and(|number| number >= *bound),
        Test::Lt(bound) => number(value).is_some_and(|number| number < *bound),
        Test::Lte(bound) => number(value).is_some_and(|number| number <= *bound),
        Test::In(operands) => operands.iter().any(|operand| equals(operand, value) == Some(true)),
        Test::Prefix(prefix) => matches!(value, Value::Str(text) if text.starts_with(prefix.as_str())),
        Test::Exists(wanted) => (value != Value::Missing) == *wanted,
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    }
}

/// `None` if the types differ.
fn equals(operand: &Scalar, value: Value<'_>) -> Option<bool> {
    match (operand, value) {
        (Scalar::Bool(operand), Value::Bool(value)) => Some(*operand == value),
        (Scalar::Text(operand), Value::Str(value)) => Some(operand == value),
        (Scalar::Number(operand), value) => number(value).map(|value| *operand == value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: Test, passing: &[Value<'_>], failing: &[Value<'_>]) {
        passing.iter().for_each(|&value| assert!(holds(&test, value), "{test:?} {value:?}"));
        failing.iter().for_each(|&value| assert!(!holds(&test, value), "{test:?} {value:?}"));
    }

    #[test]
    fn comparisons_take_both_kinds_of_numbers() {
        check(Test::Gte(400.0), &[Value::Int(400), Value::Float(400.5)], &[Value::Int(399), Value::Str("500")]);
        check(Test::Gt(400.0), &[Value::Int(401)], &[Value::Int(400), Value::Missing]);
        check(Test::Lt(1.0), &[Value::Float(0.5)], &[Value::Int(1), Value::Float(f64::NAN)]);
        check(Test::Lte(1.0), &[Value::Int(1)], &[Value::Float(1.5), Value::Null]);
        check(Test::Eq(Scalar::Number(2.0)), &[Value::Int(2), Value::Float(2.0)], &[Value::Int(3), Value::Str("2")]);
    }

    #[test]
    fn another_type_is_neither_equal_nor_unequal() {
        let text = || Scalar::Text("a".into());
        check(Test::Eq(text()), &[Value::Str("a")], &[Value::Str("b"), Value::Int(1), Value::Missing]);
        check(Test::Ne(text()), &[Value::Str("b")], &[Value::Str("a"), Value::Int(1), Value::Missing, Value::Null]);
        check(Test::Ne(Scalar::Bool(true)), &[Value::Bool(false)], &[Value::Bool(true), Value::Str("false")]);
        let either = Test::In(vec![text(), Scalar::Number(1.0)]);
        check(either, &[Value::Str("a"), Value::Int(1)], &[Value::Str("b"), Value::Bool(true)]);
    }

    #[test]
    fn existing_is_having_any_value() {
        check(Test::Exists(true), &[Value::Null, Value::Int(0), Value::Composite], &[Value::Missing]);
        check(Test::Exists(false), &[Value::Missing], &[Value::Null, Value::Bool(false)]);
        check(Test::Prefix("/api".into()), &[Value::Str("/api/users")], &[Value::Str("/ap"), Value::Int(1)]);
    }
}
