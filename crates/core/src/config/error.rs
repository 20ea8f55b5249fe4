//! What is wrong with a config file, as text that can be printed: where, what, the line itself, and what to do.

use std::fmt::{self, Write};

use super::at::Place;
use super::secret;

/// Longest stretch of a line that a snippet shows, in characters.
const SNIPPET_WIDTH: usize = 120;

/// Every error that was found in a config file; its text is ready to be printed.
#[derive(Clone)]
pub struct ConfigError {
    text: String,
}

impl ConfigError {
    /// Renders problems of the file called `name`, whose content is `source`.
    pub(super) fn new(name: &str, source: &str, problems: &[Problem]) -> Self {
        let parts: Vec<String> = problems.iter().map(|problem| problem.render(name, source)).collect();
        ConfigError { text: parts.join("\n") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// One error.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub place: Place,
    pub message: String,
    /// What to do about it; empty if the message says it.
    pub help: String,
}

impl Problem {
    pub fn new(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        Problem { place, message: message.into(), help: help.into() }
    }

    fn render(&self, name: &str, source: &str) -> String {
        let Place { line, column, .. } = self.place;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = match line {
            0 => writeln!(out, "{name}: {}", printable(&self.message)),
            _ => writeln!(out, "{name}:{line}:{column}: {}", printable(&self.message)),
        };
        out.push_str(&snippet(source, self.place).unwrap_or_default());
        if !self.help.is_empty() {
            let _ = writeln!(out, "help: {}", printable(&self.help));
        }
        out
    }
}

/// The line at `place` with the place underlined; nothing if there is no such line, or if it may hold a secret.
fn snippet(source: &str, place: Place) -> Option<String> {
    let line = source.lines().nth(place.line.checked_sub(1)?)?;
    if line.trim().is_empty() || secret::line_may_hold_one(line) {
        return None;
    }
    let characters: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = place.column.saturating_sub(1).min(characters.len());
    let from = if characters.len() <= SNIPPET_WIDTH { 0 } else { column.saturating_sub(SNIPPET_WIDTH / 3) };
    let to = characters.len().min(from + SNIPPET_WIDTH);
    let shown: String = characters.get(from..to)?.iter().collect();
    let marks = place.width.clamp(1, to.saturating_sub(column).max(1));
    let (indent, marks) = (" ".repeat(column - from), "^".repeat(marks));
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let shown = shown.trim_end();
    Some(format!("{gutter} |\n{number} | {shown}\n{gutter} | {indent}{marks}\n"))
}

/// Keeps text from the file from moving the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The candidates that `name` is most likely a misspelling of, as text: `` `gt` or `gte` ``.
pub(super) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let distance = |known: &'a str| (strsim::damerau_levenshtein(name, known), known);
    let mut near: Vec<_> = candidates.into_iter().map(distance).filter(|(far, _)| *far <= allowed).collect();
    near.sort_unstable();
    let (nearest, _) = *near.first()?;
    let nearest = near.iter().take_while(|(far, _)| *far == nearest).take(3).map(|(_, known)| format!("`{known}`"));
    Some(nearest.collect::<Vec<_>>().join(" or "))
}

/// `did you mean …?`, or the names there are.
pub(super) fn suggest<'a>(name: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(known) = closest(name, candidates.clone()) {
        return format!("did you mean {known}?");
    }
    let known: Vec<String> = candidates.into_iter().map(|known| format!("`{known}`")).collect();
    if known.is_empty() { format!("there are no {what}") } else { format!("{what}: {}", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize, width: usize) -> Place {
        Place { line, column, width }
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let source = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let snippet = snippet(&source, at(1, 501, 1)).unwrap();
        let lines: Vec<&str> = snippet.lines().collect();
        assert!(lines[1].len() <= SNIPPET_WIDTH + 8, "{}", lines[1].len());
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }

    #[test]
    fn a_line_with_a_secret_is_not_shown() {
        assert_eq!(snippet("    sasl.password: hunter2", at(1, 20, 3)), None);
    }

    #[test]
    fn a_place_beyond_the_text_is_no_panic() {
        for place in [at(0, 0, 0), at(1, 99, 99), at(7, 1, 1), at(1, 0, usize::MAX)] {
            let _ = snippet("kafka: x", place);
        }
        let error = ConfigError::new("c.yaml", "a\u{1b}[31m", &[Problem::new(at(1, 1, 4), "x\u{1b}[2J", "")]);
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn only_near_names_are_suggested() {
        let check = |name, known: &[&'static str]| closest(name, known.iter().copied());
        assert_eq!(check("request", &["requests", "errors"]).as_deref(), Some("`requests`"));
        assert_eq!(check("gruop_id", &["group_id", "properties"]).as_deref(), Some("`group_id`"));
        assert_eq!(check("ge", &["gt", "gte", "lt"]).as_deref(), Some("`gt` or `gte`"));
        assert_eq!(check("zebra", &["requests", "errors"]), None);
    }
}
