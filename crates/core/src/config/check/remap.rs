//! Checks of `remap`: a program in VRL, compiled to see whether it can be.

use super::super::at::At;
#[cfg(feature = "vrl")]
use super::super::at::Place;
use super::super::format::{Format, FormatKind};
use super::super::raw::RawSource;
use super::Checker;
use crate::remap;

/// The program, if there is nothing wrong with it.
pub fn remap(check: &mut Checker, program: &At<String>, raw: &RawSource, format: &Format) -> Option<String> {
    if !remap::IS_HERE {
        let help = "take a released binary or image of Streamgauge, or build it with `--features vrl`; \
            for many logs `format` and `parse` do without a program";
        check.error(program.place, "`remap` needs VRL, which this build of Streamgauge does not have", help);
        return None;
    }
    if let FormatKind::OtlpJson | FormatKind::OtlpProto | FormatKind::Avro | FormatKind::Protobuf = format.kind {
        let message = format!("`remap` does not read records of format `{}`", format.kind.name());
        check.error(
            program.place,
            message,
            "it reads JSON and the formats of text: `json`, `raw`, `logfmt`, `combined` …",
        );
    }
    if let Some(each) = &raw.each {
        let help = "leave the array in `.`, and each of its elements is an event: `. = array!(.Records)`";
        check.error(each.place, "with `remap` it is the program that finds a record's events, not `each`", help);
    }
    compiles(check, program)
}

#[cfg(not(feature = "vrl"))]
fn compiles(_: &mut Checker, _: &At<String>) -> Option<String> {
    None
}

#[cfg(feature = "vrl")]
fn compiles(check: &mut Checker, program: &At<String>) -> Option<String> {
    use super::super::types::FieldPath;

    let compiled = match remap::Program::compile(&program.value) {
        Ok(compiled) => compiled,
        Err(troubles) => {
            for trouble in troubles {
                let remap::Trouble { line, column, message, help, .. } = &trouble;
                let message = format!("`remap`, line {line}, column {column} of the program: {message}");
                check.error(place(check.text, program, &trouble), message, help.as_str());
            }
            return None;
        }
    };
    for path in compiled.record_paths() {
        if !matches!(FieldPath::parse(path), Ok(FieldPath::Record(_))) {
            let help = "of a record there are `%topic`, `%partition`, `%key`, `%timestamp` and `%headers.\"x-tenant\"`";
            check.error(program.place, format!("`remap` asks for `{path}`, which records do not have"), help);
        }
    }
    Some(program.value.clone())
}

/// Where the trouble stands in the file: its line is looked for from the key on, for a block of text is indented and may be
/// folded. The program's own place where it is not found.
#[cfg(feature = "vrl")]
fn place(file: &str, program: &At<String>, trouble: &remap::Trouble) -> Place {
    let wanted = program.value.lines().nth(trouble.line - 1).unwrap_or_default().trim_end();
    let from = program.place.line.saturating_sub(1);
    let lines = file.lines().enumerate().skip(from);
    // Lines of the program that say the same come in the same order.
    let earlier = program.value.lines().take(trouble.line - 1).filter(|line| line.trim_end() == wanted).count();
    let found = lines.filter_map(|(at, line)| Some((at, line.find(wanted)?))).nth(earlier);
    match found.filter(|_| program.place.line > 0 && !wanted.trim().is_empty()) {
        Some((at, start)) => {
            let indent = file.lines().nth(at).and_then(|line| line.get(..start)).map_or(0, |text| text.chars().count());
            Place { line: at + 1, column: indent + trouble.column, width: trouble.width }
        }
        None => program.place,
    }
}
