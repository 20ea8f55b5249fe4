//! Documents that people read: how wide and how long they are, and that their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use crate::agent::repository;

/// Columns of a line of text or of a command. Rows of tables cannot be broken in Markdown, and a line of a log is as long
/// as it is: blocks without a language hold those.
const MAX_COLUMNS: usize = 120;
const MAX_LINES_OF_THE_README: usize = 120;

/// The Markdown files of the repository, by their paths in it.
pub fn documents() -> Vec<(String, String)> {
    let root = repository();
    let folders = [("docs", 3), ("deploy", 4)];
    let below = folders.iter().flat_map(|(folder, depth)| files(&root.join(folder), *depth));
    let all: Vec<_> = files(root, 0)
        .into_iter()
        .chain(below)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            (name, fs::read_to_string(&path).expect("a readable document"))
        })
        .collect();
    assert!(all.len() > 40, "only {} documents were found", all.len());
    all
}

/// A line of Markdown, and the language of the block that it stands in: `Some("")` for a block without one.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
    let mut block = None;
    text.lines().enumerate().map(move |(at, line)| {
        let before = block;
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            block = if before.is_some() { None } else { Some(fence) };
            return (at + 1, line, None);
        }
        (at + 1, line, before)
    })
}

#[test]
fn no_line_is_wider_than_a_screen() {
    let mut wide = Vec::new();
    for (name, text) in documents() {
        let readme = name == "README.md";
        for (at, line, block) in lines(&text) {
            let exempt = !readme && (line.starts_with('|') || block == Some(""));
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !exempt {
                wide.push(format!("{name}:{at}: {columns} columns"));
            }
        }
    }
    assert!(wide.is_empty(), "{MAX_COLUMNS} columns are the limit:\n{}", wide.join("\n"));
}

#[test]
fn the_readme_is_read_at_one_go() {
    let lines = fs::read_to_string(repository().join("README.md")).expect("README.md").lines().count();
    assert!(lines <= MAX_LINES_OF_THE_README, "README.md has {lines} lines; {MAX_LINES_OF_THE_README} are the limit");
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let documents = documents();
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> =
        documents.iter().map(|(name, text)| (PathBuf::from(name), anchors(text))).collect();
    let mut broken = Vec::new();
    let mut checked = 0;
    for (name, text) in &documents {
        let home = Path::new(name).parent().expect("a file has a parent");
        for link in links(text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { PathBuf::from(name) } else { plain(&home.join(path)) };
            checked += 1;
            if !repository().join(&target).exists() {
                broken.push(format!("{name}: {link}: no such file"));
            } else if !anchor.is_empty() && !anchors.get(&target).is_some_and(|known| known.contains(anchor)) {
                broken.push(format!("{name}: {link}: no such heading"));
            }
        }
    }
    assert!(checked > 150, "only {checked} links were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let documents = documents();
    let (_, summary) = documents.iter().find(|(name, _)| name == "docs/SUMMARY.md").expect("docs/SUMMARY.md");
    let mut listed: Vec<String> = links(summary).iter().map(|link| format!("docs/{link}")).collect();
    let mut pages: Vec<String> = documents.iter().map(|(name, _)| name.clone()).collect();
    pages.retain(|name| name.starts_with("docs/") && name != "docs/SUMMARY.md");
    listed.sort();
    pages.sort();
    assert_eq!(listed, pages);
}

/// A path without `..`, so that it can be looked up among the documents.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            std::path::Component::ParentDir => drop(path.pop()),
            std::path::Component::CurDir => {}
            part => path.push(part),
        }
        path
    })
}

/// Targets of `](…)` and `[name]: …` outside of blocks that are files or headings of this repository.
fn links(text: &str) -> Vec<String> {
    let text: Vec<&str> = lines(text).filter(|(_, _, block)| block.is_none()).map(|(_, line, _)| line).collect();
    let inline = text.iter().flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next());
    let named =
        text.iter().filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|(_, target)| target.trim()));
    inline
        .chain(named)
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// What the headings of a document are linked by, as GitHub and mdBook make it.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter(|(_, line, block)| block.is_none() && line.starts_with('#'));
    let mut found = BTreeSet::new();
    for (_, line, _) in headings {
        let anchor = slug(line.trim_start_matches('#').trim());
        let mut numbered = anchor.clone();
        for number in 1.. {
            if found.insert(numbered) {
                break;
            }
            numbered = format!("{anchor}-{number}");
        }
    }
    found
}

/// A heading in small letters, with dashes for spaces and without signs.
pub fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_are_found_where_markdown_has_them() {
    let text = "See [a](a.md), [b](docs/b.md#part), [web](https://example.org/x), [here](#there), ![p](p.svg \"t\").\n\
                ```sh\necho '[no](no.md)'\n```\n[c]: c.md\n[w]: https://example.org\n";
    assert_eq!(links(text), ["a.md", "docs/b.md#part", "#there", "p.svg", "c.md"]);
}

#[test]
fn headings_are_linked_as_their_hosts_link_them() {
    let text = "# Rights (ACLs)\n## What's *new*: `a.b`\n```sh\n# no heading\n```\n## Limits\n## Limits\n";
    let expected = ["limits", "limits-1", "rights-acls", "whats-new-ab"];
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
}
