//! Which events an aggregate or a measure is for.

use regex::Regex;

use super::watch::{Hint, Watch};
use crate::config::{Condition, FieldPath, Scalar, Test};
use crate::value::{self, Value};

/// Conditions that all have to hold.
#[derive(Debug, Default)]
pub struct Filter(Vec<Term>);

#[derive(Debug)]
enum Term {
    /// One test of the value in a slot.
    Field(usize, Ask, Option<Box<Watch>>),
    Any(Vec<Filter>),
    Not(Filter),
}

#[derive(Debug)]
enum Ask {
    Test(Test),
    Matches(Regex),
}

impl Filter {
    /// `slot` gives each field its place among an event's values.
    pub(super) fn new(conditions: &[Condition], slot: &mut dyn FnMut(&FieldPath) -> usize) -> Filter {
        Filter::build(conditions, slot, true)
    }

    /// `watched`: a condition that never holds is worth a word.
    fn build(conditions: &[Condition], slot: &mut dyn FnMut(&FieldPath) -> usize, watched: bool) -> Filter {
        let term = |condition: &Condition| match condition {
            Condition::Field { path, test } => Term::new(slot(path), test, Some(path).filter(|_| watched)),
            Condition::Any(filters) => {
                Term::Any(filters.iter().map(|filter| Filter::build(filter, slot, watched)).collect())
            }
            Condition::Not(filter) => Term::Not(Filter::build(filter, slot, false)),
        };
        Filter(conditions.iter().map(term).collect())
    }

    #[inline]
    pub fn holds(&self, values: &[Value<'_>]) -> bool {
        self.0.iter().all(|term| term.holds(values))
    }

    /// What has come to be worth a word since the last call, about conditions of `whose`.
    pub(super) fn take_hints(&self, whose: &str, into: &mut Vec<Hint>) {
        self.watches(&mut |watch| into.extend(watch.take(whose)));
    }

    /// The conditions of `whose` that have held for no event so far, though some had the field.
    pub(super) fn never_held(&self, whose: &str, into: &mut Vec<Hint>) {
        self.watches(&mut |watch| into.extend(watch.never_held(whose)));
    }

    fn watches(&self, look: &mut dyn FnMut(&Watch)) {
        for term in &self.0 {
            match term {
                Term::Field(_, _, watch) => watch.iter().for_each(|watch| look(watch)),
                Term::Any(filters) => filters.iter().for_each(|filter| filter.watches(look)),
                Term::Not(filter) => filter.watches(look),
            }
        }
    }
}

impl Term {
    /// `path`, if it is to be watched.
    fn new(slot: usize, test: &Test, path: Option<&FieldPath>) -> Term {
        let watch = |path| Box::new(Watch::new(path, test));
        match test {
            // The config has been checked: a pattern that is none matches nothing.
            Test::Matches(pattern) => match Regex::new(pattern) {
                Ok(regex) => Term::Field(slot, Ask::Matches(regex), path.map(watch)),
                Err(_) => Term::Any(Vec::new()),
            },
            Test::Not(tests) => Term::Not(Filter(tests.iter().map(|test| Term::new(slot, test, None)).collect())),
            // Whether a field is there is no question of its values.
            Test::Exists(_) => Term::Field(slot, Ask::Test(test.clone()), None),
            test => Term::Field(slot, Ask::Test(test.clone()), path.map(watch)),
        }
    }

    #[inline]
    fn holds(&self, values: &[Value<'_>]) -> bool {
        match self {
            Term::Field(slot, ask, watch) => {
                let value = values.get(*slot).copied().unwrap_or_default();
                let held = match ask {
                    Ask::Test(test) => holds(test, value),
                    Ask::Matches(regex) => label_form(value, |text| regex.is_match(text)) == Some(true),
                };
                if let Some(watch) = watch {
                    watch.see(held, value);
                }
                held
            }
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
    value.text().map(|text| ask(&text))
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
    fn ne_asks_for_a_field_that_is_there_and_not_does_not() {
        let status = || Scalar::Number(503.0);
        let others = [Value::Int(200), Value::Str("-"), Value::Bool(true)];
        let none = [Value::Missing, Value::Null];
        check(Test::Ne(status()), &others, &[&none[..], &[Value::Str("503")]].concat());
        check(
            Test::Not(vec![Test::Eq(status())]),
            &[&none[..], &others].concat(),
            &[Value::Str("503"), Value::Int(503)],
        );
    }

    #[test]
    fn not_holds_exactly_where_the_other_does_not() {
        let not = Test::Not(vec![Test::Gte(400.0), Test::Lt(500.0)]);
        check(not, &[Value::Int(200), Value::Int(500), Value::Missing, Value::Null], &[Value::Str("404")]);
    }

    #[test]
    fn a_condition_that_never_holds_though_its_field_is_there_is_told_of_once() {
        let path = |name: &str| FieldPath::keys([name]);
        let is = |name: &str, test| Condition::Field { path: path(name), test };
        let slot = &mut |path: &FieldPath| usize::from(path.to_string() == "b");
        let mut told = Vec::new();
        let mut watch = |conditions: &[Condition], values: [Value<'_>; 2], times: usize| {
            let filter = Filter::new(conditions, slot);
            for _ in 0..times {
                filter.holds(&values);
            }
            told.clear();
            filter.take_hints("it", &mut told);
            filter.take_hints("it", &mut told);
            (filter, told.clone())
        };
        let number = [Value::Str("5xx"), Value::Missing];
        let errors = is("a", Test::Gte(500.0));
        let (filter, hints) = watch(std::slice::from_ref(&errors), number, 100_000);
        let hints: Vec<_> = hints.iter().map(ToString::to_string).collect();
        assert_eq!(hints.len(), 1, "{hints:?}");
        assert!(
            hints[0].starts_with("it: the condition `a: { gte: 500 }` has held for none of the first 100000 events"),
            "{hints:?}"
        );
        assert!(hints[0].contains("the last with \"5xx\""), "{hints:?}");
        assert!(filter.holds(&[Value::Int(500), Value::Missing]));
        assert!(watch(std::slice::from_ref(&errors), number, 99_999).1.is_empty());
        // A field that is not there says nothing of its condition, nor does one that must not hold.
        assert!(watch(&[is("b", Test::Gte(500.0))], number, 100_001).1.is_empty());
        assert!(watch(&[Condition::Not(vec![errors.clone()])], number, 100_001).1.is_empty());
        assert!(watch(&[is("a", Test::Not(vec![Test::Eq(Scalar::Text("5xx".into()))]))], number, 100_001).1.is_empty());
        assert!(watch(&[is("a", Test::Exists(false))], number, 100_001).1.is_empty());
        assert_eq!(watch(&[is("a", Test::Matches("^4".into()))], number, 100_001).1.len(), 1);
        assert_eq!(watch(&[Condition::Any(vec![vec![errors.clone()], vec![]])], number, 100_001).1.len(), 1);
        told.clear();
        let filter = Filter::new(&[errors], slot);
        filter.holds(&[Value::Int(503), Value::Missing]);
        for _ in 0..100_001 {
            filter.holds(&number);
        }
        filter.take_hints("it", &mut told);
        filter.never_held("it", &mut told);
        assert!(told.is_empty(), "it has held once");
    }

    #[test]
    fn of_a_few_events_it_is_told_what_has_not_held_yet() {
        let errors = Condition::Field { path: FieldPath::keys(["a"]), test: Test::Gte(500.0) };
        let filter = Filter::new(&[errors], &mut |_| 0);
        let told = |filter: &Filter| {
            let mut told = Vec::new();
            filter.never_held("it", &mut told);
            told.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(told(&filter).is_empty(), "nobody had the field");
        for value in [Value::Int(200), Value::Missing, Value::Int(404)] {
            filter.holds(&[value]);
        }
        let twice = [told(&filter), told(&filter)];
        assert_eq!(twice[0], twice[1]);
        assert!(twice[0][0].contains("`a: { gte: 500 }` has held for none of the first 2 events"), "{twice:?}");
        filter.holds(&[Value::Int(500)]);
        assert!(told(&filter).is_empty());
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
