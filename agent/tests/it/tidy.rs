//! Tidiness is a test: what a reviewer would otherwise have to say again and again.

pub mod documents;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::agent::repository;

const MAX_LINES: usize = 500;

#[test]
fn every_source_file_says_first_what_its_room_is_for() {
    let bare =
        complaints(&["agent/src", "agent/tests", "agent/benches", "crates", "proto/src", "protocol-model"], |text| {
            (!text.starts_with("//!")).then(|| "does not begin with //!".to_owned())
        });
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let long = complaints(&["agent", "crates", "proto", "protocol-model"], |text| {
        let lines = text.lines().count();
        (lines > MAX_LINES).then(|| format!("has {lines} lines; {MAX_LINES} is the limit"))
    });
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_for_later_or_skipped() {
    // Spelled in halves, so that this file does not find itself.
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore"), concat!("dbg", "!(")];
    let left = complaints(&["agent", "crates", "proto", "protocol-model"], |text| {
        let line = text.lines().position(|l| words.iter().any(|w| l.contains(w)))?;
        Some(format!("line {}: {}", line + 1, text.lines().nth(line)?.trim()))
    });
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn scripts_can_be_run() {
    let scripts: Vec<_> =
        files(&repository().join("scripts"), 0).into_iter().chain([repository().join(".ci/run")]).collect();
    assert!(scripts.len() > 2, "the scripts were not found: {scripts:?}");
    for script in scripts {
        let text = fs::read_to_string(&script).expect("a readable script");
        assert!(text.starts_with("#!"), "{}: no #! line", script.display());
        let mode = fs::metadata(&script).expect("metadata").permissions().mode();
        assert!(mode & 0o111 != 0, "{} is not executable", script.display());
    }
}

/// What `complain` says about the Rust files under `folders`, each with its path.
fn complaints(folders: &[&str], complain: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let sources = folders.iter().flat_map(|folder| files(&repository().join(folder), 8));
    let rust: Vec<_> = sources.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect();
    assert!(!rust.is_empty(), "no Rust files under {folders:?}");
    let said = rust.iter().filter_map(|path| {
        let text = fs::read_to_string(path).expect("a readable source file");
        let complaint = complain(&text)?;
        Some(format!("{}: {complaint}", path.strip_prefix(repository()).unwrap_or(path).display()))
    });
    said.collect()
}

/// Files in `folder` and, down to `depth`, in the folders below; none if it is not there.
pub fn files(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_file() {
            found.push(path);
        } else if depth > 0 && !path.ends_with("target") {
            found.extend(files(&path, depth - 1));
        }
    }
    found.sort();
    found
}
