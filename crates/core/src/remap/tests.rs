//! Which functions programs may call, and what is said of a program that does not compile.

use std::collections::BTreeSet;

use super::program::Program;
use super::{REFUSED, Trouble};

fn troubles(text: &str) -> Vec<Trouble> {
    Program::compile(text).err().unwrap_or_default()
}

#[test]
fn what_gives_other_events_when_it_is_read_again_is_refused_by_name() {
    for name in REFUSED.iter().flat_map(|(names, _)| *names) {
        for call in [format!(".a = 1\n  .b = {name}()"), format!(".a = 1\n  .b = {name}!(.x, 1)")] {
            let found = troubles(&call);
            let first = found.first().unwrap_or_else(|| panic!("{name} may be called"));
            assert_eq!((first.line, first.column), (2, 8), "{name}: {found:?}");
            assert!(first.message.starts_with(&format!("`{name}` ")), "{name}: {found:?}");
        }
    }
    for zone in ["\"local\"", "\"\"", "s'local'"] {
        let found = troubles(&format!(".a = format_timestamp!(.t, format: \"%F\", timezone: {zone})"));
        assert!(found[0].message.contains("time zone differs"), "{found:?}");
    }
    assert_eq!(troubles(".a = format_timestamp!(.t, format: \"%F\", timezone: \"Europe/Berlin\")"), []);
}

/// A later version of VRL may have more functions: each has to be looked at.
#[test]
fn each_function_that_programs_may_call_has_been_looked_at() {
    let refused: BTreeSet<_> = REFUSED.iter().flat_map(|(names, _)| *names).copied().collect();
    let all: BTreeSet<_> = vrl::stdlib::all().iter().map(|function| function.identifier()).collect();
    let allowed: Vec<_> = all.difference(&refused).copied().collect();
    insta::assert_snapshot!("functions", allowed.join("\n"));
}

#[test]
fn what_is_wrong_has_a_place_in_the_program() {
    let shown = |text: &str| -> Vec<String> {
        troubles(text)
            .iter()
            .map(|t| format!("{}:{}+{} {} | {}", t.line, t.column, t.width, t.message, t.help))
            .collect()
    };
    let cases =
        [".a = ", ".a = 1\n.b = to_int(.x)", ".a = nosuch(.x)", "ä = 1\n.b = ä + \"x\" +", "%key = 1", ".a = x"];
    let all: Vec<String> = cases.iter().map(|text| format!("{text:?}\n  {}", shown(text).join("\n  "))).collect();
    insta::assert_snapshot!("troubles", all.join("\n"));
}
