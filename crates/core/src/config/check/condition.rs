//! Checks of the conditions of a `where`.

use super::super::at::Place;
use super::super::raw::{RawCondition, RawScalar, RawTerm, RawWhere, Tests};
use super::super::types::{Condition, Scalar, Test};
use super::Checker;

/// Deeper than this nobody reads.
const DEEPEST: usize = 8;

/// Appends what a `where` asks for.
pub fn conditions(check: &mut Checker, raw: &RawWhere, into: &mut Vec<Condition>) {
    at_depth(check, raw, 0, into);
    // Fields first: the order means nothing, and is that in which a config is shown.
    into.sort_by_key(|condition| match condition {
        Condition::Field { .. } => 0,
        Condition::Any(_) => 1,
        Condition::Not(_) => 2,
    });
}

fn at_depth(check: &mut Checker, raw: &RawWhere, depth: usize, into: &mut Vec<Condition>) {
    for term in &raw.0 {
        match term {
            RawTerm::Field(path, condition) => {
                let place = path.place;
                let path = check.field_path(place, &path.value);
                let tests = tests(check, place, &format!("`{path}`"), condition);
                into.extend(tests.into_iter().map(|test| Condition::Field { path: path.clone(), test }));
            }
            RawTerm::Any(at, _) | RawTerm::Not(at, _) if depth >= DEEPEST => {
                check.error(at.place, "these conditions are nested too deeply", "8 levels are the most");
            }
            RawTerm::Any(at, branches) => {
                if branches.is_empty() || branches.iter().any(|branch| branch.0.is_empty()) {
                    let help = "`any: [ { status: { gte: 500 } }, { level: error } ]`";
                    check.error(at.place, "`any` needs conditions to choose from", help);
                }
                let mut branch = |raw| {
                    let mut conditions = Vec::new();
                    at_depth(check, raw, depth + 1, &mut conditions);
                    conditions
                };
                into.push(Condition::Any(branches.iter().map(&mut branch).collect()));
            }
            RawTerm::Not(at, inner) => {
                if inner.0.is_empty() {
                    check.error(at.place, "`not` needs conditions", "`not: { path: { prefix: /health } }`");
                }
                let mut conditions = Vec::new();
                at_depth(check, inner, depth + 1, &mut conditions);
                into.push(Condition::Not(conditions));
            }
        }
    }
}

fn tests(check: &mut Checker, place: Place, what: &str, raw: &RawCondition) -> Vec<Test> {
    let tests = match raw {
        RawCondition::Is(value) => vec![Test::Eq(scalar(value))],
        RawCondition::In(values) => vec![one_of(values)],
        RawCondition::Tests(tests) => all(check, place, what, tests),
    };
    let empty = |test: &Test| matches!(test, Test::In(values) if values.is_empty());
    if tests.is_empty() || tests.iter().any(empty) {
        let help = "write a value, a list of values, or tests such as `{ gte: 400 }`";
        check.error(place, format!("{what} has no condition"), help);
    }
    tests
}

fn all(check: &mut Checker, place: Place, what: &str, raw: &Tests) -> Vec<Test> {
    let Tests { eq, ne, gt, gte, lt, lte, one_of: values, prefix, suffix, contains, matches, exists, not } = raw;
    if let Some(pattern) = matches {
        check.regex(pattern);
    }
    let all = [
        eq.as_ref().map(|value| Test::Eq(scalar(value))),
        ne.as_ref().map(|value| Test::Ne(scalar(value))),
        gt.map(Test::Gt),
        gte.map(Test::Gte),
        lt.map(Test::Lt),
        lte.map(Test::Lte),
        values.as_ref().map(|values| one_of(values)),
        prefix.clone().map(Test::Prefix),
        suffix.clone().map(Test::Suffix),
        contains.clone().map(Test::Contains),
        matches.as_ref().map(|pattern| Test::Matches(pattern.value.clone())),
        exists.map(Test::Exists),
        not.as_ref().map(|raw| Test::Not(tests(check, place, what, raw))),
    ];
    all.into_iter().flatten().collect()
}

fn one_of(values: &[RawScalar]) -> Test {
    Test::In(values.iter().map(scalar).collect())
}

fn scalar(raw: &RawScalar) -> Scalar {
    match raw {
        RawScalar::Bool(value) => Scalar::Bool(*value),
        RawScalar::Number(value) => Scalar::Number(*value),
        RawScalar::Text(value) => Scalar::Text(value.clone()),
    }
}
