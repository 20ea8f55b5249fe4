//! The protocol, searched: with all rules nothing breaks and nothing stalls; without one of them a counterexample is found
//! and printed (`cargo test -p streamgauge-protocol-model -- --nocapture`). `STREAMGAUGE_TEST_ALL=1` adds the larger bounds.

use std::collections::BTreeSet;
use streamgauge_protocol_model::cases::{
    BY_GENERATION, BY_GENERATION_STRICTLY, Case, KEPT, LARGE, NEEDED, NOT_MISSED, Outcome, TOGETHER,
};
use streamgauge_protocol_model::promises::Promise;
use streamgauge_protocol_model::rules::{Rule, Rules};
use streamgauge_protocol_model::scenarios::Scenario;
use streamgauge_protocol_model::search::{Found, Model, search, search_for_stalls};

fn model(scenario: Scenario, without: &[Rule]) -> Model {
    Model { scenario, rules: without.iter().fold(Rules::all(), |rules, &rule| rules.without(rule)) }
}

/// Runs a search and says what it found, with a trace if something broke.
fn tell(model: &Model, without: &[Rule], search: fn(&Model) -> Found) -> Option<&'static str> {
    let found = search(model);
    println!("{} without {without:?}: {} states", model.scenario.name, found.states);
    without.iter().for_each(|rule| println!("  off: {}", rule.sentence()));
    print!("{}", found.trace());
    found.counterexample.map(|(promise, _)| promise)
}

fn check(Case { without, scenario, outcome }: &Case) {
    let model = model(*scenario, without);
    let broken = tell(&model, without, search);
    match outcome {
        Outcome::Breaks(promise) => assert_eq!(broken, Some(promise.name()), "{without:?}"),
        Outcome::Holds => {
            assert_eq!(broken, None, "{without:?}");
            assert_eq!(tell(&model, without, search_for_stalls), None, "{without:?}");
        }
        Outcome::Stalls => {
            assert_eq!(broken, None, "{without:?}");
            assert!(tell(&model, without, search_for_stalls).is_some(), "{without:?}");
        }
    }
}

#[test]
fn with_all_rules_nothing_breaks_and_nothing_stalls() {
    for &scenario in KEPT {
        let model = model(scenario, &[]);
        assert_eq!(tell(&model, &[], search), None);
        assert_eq!(tell(&model, &[], search_for_stalls), None);
    }
}

#[test]
fn without_a_rule_that_is_needed_the_search_finds_what_breaks() {
    NEEDED.iter().for_each(check);
}

#[test]
fn rules_that_stand_in_for_each_other_are_missed_together() {
    TOGETHER.iter().for_each(check);
}

#[test]
fn a_rule_that_is_not_missed_is_known_to_be_so() {
    NOT_MISSED.iter().for_each(check);
}

#[test]
fn larger_bounds_tell_the_same() {
    #[allow(clippy::disallowed_methods, reason = "the gate's own switch for heavy tests")]
    let all = std::env::var("STREAMGAUGE_TEST_ALL").is_ok_and(|value| value == "1");
    if all {
        LARGE.iter().for_each(check);
    }
}

#[test]
fn a_fence_that_looks_at_generations_is_safe_but_drops_what_it_need_not() {
    let broken = |scenario| tell(&model(scenario, &[]), &[], search);
    assert_eq!(broken(BY_GENERATION), None);
    assert_eq!(broken(BY_GENERATION_STRICTLY), Some(Promise::NothingIsLostInVain.name()));
}

#[test]
fn each_rule_has_a_case() {
    let cases = [NEEDED, TOGETHER, NOT_MISSED, LARGE].into_iter().flatten();
    let known: BTreeSet<Rule> = cases.flat_map(|case| case.without).copied().collect();
    let missing: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !known.contains(rule)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
