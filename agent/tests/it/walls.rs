//! The walls between rooms: who may know whom is a table in ARCHITECTURE.md, and this reads the imports against it.
//!
//! Only text is read: paths that begin with `crate::`, `super::` or the name of one of our crates, with the re-exports of
//! `mod.rs` files followed. The rooms that are crates are rooms like any other. Test modules are left out; they may look
//! anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::agent::repository;
use crate::tidy::files;

/// The crates of the house, and the room that each is; one without a name holds rooms.
const CRATES: &[(&str, &str)] =
    &[("agent", ""), ("crates/core", ""), ("crates/kafka", "kafka"), ("crates/runtime", "")];

/// Rooms that need `unsafe`, each with its reason. All others forbid it.
const UNSAFE: &[(&str, &str)] = &[
    ("kafka", "binds librdkafka"),
    ("decode", "reads bytes that have been checked once"),
    ("telemetry", "asks the system about the process"),
    ("clock", "reads the boot-time clock"),
    ("failpoint", "kills the process as SIGKILL does"),
];

#[test]
fn no_room_imports_from_a_floor_above_or_beside_it() {
    let floors = floors();
    let house = House::read();
    let mut wrong = BTreeSet::new();
    for (from, to) in house.imports() {
        let (above, below) = (room(&from), room(&to));
        if above == below || above.is_empty() {
            continue;
        }
        let floor = |name: &str| {
            *floors.get(name).unwrap_or_else(|| panic!("ARCHITECTURE.md, Floors: the room `{name}` stands on none"))
        };
        if floor(above) >= floor(below) {
            wrong.insert(format!("{} imports {}: {above} does not stand above {below}", from.join("/"), to.join("/")));
        }
    }
    let lines: Vec<_> = wrong.into_iter().collect();
    assert!(lines.is_empty(), "see Floors in ARCHITECTURE.md:\n{}", lines.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&House::read().imports());
    assert!(circles.is_empty(), "files that import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn only_the_rooms_that_say_why_may_be_unsafe() {
    let sources: Vec<_> = CRATES.iter().map(|(place, _)| repository().join(place).join("src")).collect();
    for name in floors().keys().filter(|name| UNSAFE.iter().all(|(room, _)| room != name)) {
        let files =
            sources.iter().flat_map(|source| [source.join(name).join("mod.rs"), source.join(format!("{name}.rs"))]);
        let text = files.filter_map(|file| fs::read_to_string(file).ok()).next();
        let text = text.unwrap_or_else(|| panic!("ARCHITECTURE.md, Floors: there is no room `{name}`"));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name}: says no #![forbid(unsafe_code)]");
    }
}

#[test]
fn imports_are_found_in_all_their_spellings() {
    let text = "use crate::a::{b::C, d::{E, f}};\n// use crate::not::me;\nfn x() { super::y::z(); \"crate::no\"; }\n#[cfg(test)]\nmod tests { use crate::t; }";
    let found: Vec<_> = paths(text).into_iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a::b::C", "crate::a::d::E", "crate::a::d::f", "super::y::z"]);
    let passed = passed_on("pub use a::B;\npub fn no(x: X) -> Y { Y { refuse } }\npub struct Reuse { x: u8 }");
    assert_eq!(passed, [["a", "B"]]);
    let edge = |from: &str, to: &str| (vec![from.to_owned()], vec![to.to_owned()]);
    let edges = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "d")].into();
    assert_eq!(circles(&edges), ["a, b, c"]);
}

/// A module's path from the crate's root.
type Module = Vec<String>;

fn room(module: &Module) -> &str {
    module.first().map_or("", String::as_str)
}

/// Room → number of its floor, counted from the top.
fn floors() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("## Floors").nth(1).expect("ARCHITECTURE.md has a section Floors");
    let table = section.split("```").nth(1).expect("Floors has a table between ``` lines");
    let rows = table.lines().filter(|line| !line.trim().is_empty()).enumerate();
    rows.flat_map(|(floor, line)| line.split_whitespace().map(move |name| (name.to_owned(), floor))).collect()
}

struct House {
    /// Each module with the paths it names, test modules left out.
    modules: BTreeMap<Module, Vec<Vec<String>>>,
    /// Names that a module passes on from its children: (module, name) → the child's path.
    passed_on: BTreeMap<(Module, String), Vec<String>>,
}

impl House {
    fn read() -> House {
        let mut house = House { modules: BTreeMap::new(), passed_on: BTreeMap::new() };
        for (place, room) in CRATES {
            house.read_crate(&repository().join(place).join("src"), room);
        }
        house
    }

    fn read_crate(&mut self, source: &Path, room: &str) {
        for file in files(source, 8).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
            let mut module = module_of(file.strip_prefix(source).expect("a file of the house"));
            if !room.is_empty() {
                module.insert(0, room.to_owned());
            }
            let name = module.last().map_or("", String::as_str);
            let for_tests = ["tests", "testing", "samples"].contains(&name);
            if for_tests || name.ends_with("_tests") || name.starts_with("test_") {
                continue;
            }
            let text = as_one_crate(&fs::read_to_string(&file).expect("a readable source file"), room);
            for path in passed_on(&text) {
                let last = path.last().cloned().expect("a path has a name");
                self.passed_on.insert((module.clone(), last), path);
            }
            self.modules.entry(module).or_default().extend(paths(&text));
        }
    }

    /// Which module imports which; never itself.
    fn imports(&self) -> BTreeSet<(Module, Module)> {
        let mut found = BTreeSet::new();
        for (module, paths) in &self.modules {
            for path in paths {
                if let Some(target) = self.resolve(module, path).filter(|target| target != module) {
                    found.insert((module.clone(), target));
                }
            }
        }
        found
    }

    /// The module in which what `path` names stands.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut at: Module = match path.first()?.as_str() {
            "crate" => Vec::new(),
            _ => from.split_last()?.1.to_vec(),
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|name| name == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        self.descend(at, rest)
    }

    fn descend(&self, mut at: Module, mut rest: &[String]) -> Option<Module> {
        while let Some((name, after)) = rest.split_first() {
            let child: Module = at.iter().chain([name]).cloned().collect();
            if self.modules.contains_key(&child) {
                (at, rest) = (child, after);
            } else if let Some(path) = self.passed_on.get(&(at.clone(), name.clone())) {
                return self.descend(at, path);
            } else {
                break;
            }
        }
        (!at.is_empty()).then_some(at)
    }
}

/// The text as it would stand if the whole house were one crate.
fn as_one_crate(text: &str, room: &str) -> String {
    let text = if room.is_empty() { text.to_owned() } else { text.replace("crate::", &format!("crate::{room}::")) };
    let text = text.replace("streamgauge_kafka::", "crate::kafka::");
    text.replace("streamgauge_core::", "crate::").replace("streamgauge_runtime::", "crate::")
}

fn module_of(file: &Path) -> Module {
    let mut parts: Module = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Paths of `use child::Name` lines that pass names on.
fn passed_on(text: &str) -> Vec<Vec<String>> {
    let text = plain(text);
    let mut found = Vec::new();
    for line in text.split(';') {
        let line = line.trim_start();
        // A word of its own, and not the end of another.
        let is_word = |at: &usize| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let Some(at) = line.rmatch_indices("use ").map(|(at, _)| at).find(is_word) else { continue };
        if !line[..at].contains("pub") || line[at..].contains('}') && !line[at..].contains('{') {
            continue;
        }
        expand(&line[at + 4..], &mut Vec::new(), &mut found);
    }
    found.retain(|path| !matches!(path[0].as_str(), "crate" | "super"));
    for path in &mut found {
        if path[0] == "self" {
            path.remove(0);
        }
    }
    found.retain(|path| path.len() > 1);
    found
}

/// Every path in `text` that begins with `crate::` or `super::`, braces opened.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = plain(text);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::").chain(text.match_indices("super::")) {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        if !(before.is_alphanumeric() || matches!(before, '_' | ':' | '$' | '('))
            || before == '(' && !text[..at].ends_with("pub(")
        {
            expand(&text[at..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Follows one path, and into its braces; gives what is left behind it.
fn expand<'a>(text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let depth = before.len();
    let mut rest = text.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') && !rest.is_empty() {
                rest = expand(rest, before, found);
                rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            break;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end == 0 {
            // A glob, or no path at all.
            rest = rest.get(1..).unwrap_or("");
            found.push(before.clone());
            break;
        }
        before.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after.trim_start(),
            None => {
                found.push(before.clone());
                rest = rest
                    .strip_prefix(" as ")
                    .map_or(rest, |after| after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
                break;
            }
        }
    }
    before.truncate(depth);
    rest
}

/// Source text without comments, strings and the test module at its end.
fn plain(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or(line));
    let outside = |line: &str| line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    lines.map(outside).collect::<Vec<_>>().join("\n")
}

/// Sets of modules that reach each other, as one line each.
fn circles(imports: &BTreeSet<(Module, Module)>) -> Vec<String> {
    let mut reach: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (from, _) in imports {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            let after = imports.iter().filter(|(a, _)| a == at).map(|(_, b)| b);
            next.extend(after.filter(|b| seen.insert(*b)));
        }
        reach.insert(from, seen);
    }
    let mut found = BTreeSet::new();
    for (module, seen) in &reach {
        if seen.contains(module) {
            let ring = seen.iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(module)));
            found.insert(ring.map(|module| module.join("/")).collect::<Vec<_>>().join(", "));
        }
    }
    found.into_iter().collect()
}
