//! Checks of how a source's records are written: their format, which events they hold, text that is parsed.

use super::super::at::{At, Place};
use super::super::error::suggest;
use super::super::format::{Each, Format, FormatKind, Parse};
use super::super::raw::{Options, RawFormat, RawSource};
use super::super::types::{Aggregate, Condition, FieldPath, Source, Timestamp};
use super::Checker;
use regex::Regex;

/// A format by its name and options; JSON if something is wrong with it.
pub fn format(check: &mut Checker, at: Place, raw: &RawFormat) -> Format {
    let formats = &raw.0.0;
    let [(name, options)] = formats.as_slice() else {
        let place = formats.get(1).map_or(at, |(name, _)| name.place);
        check.error(place, "exactly one format is needed here", "`format: json`, or `format: { NAME: { OPTION: … } }`");
        return Format::default();
    };
    let place = if name.place.line == 0 { at } else { name.place };
    let Options { lines, names, delimiter, pattern } = &options.0;
    let kind = match name.value.as_str() {
        "json" => FormatKind::Json,
        "logfmt" => FormatKind::Logfmt,
        "common" => FormatKind::Common,
        "combined" => FormatKind::Combined,
        "syslog" => FormatKind::Syslog,
        "klog" => FormatKind::Klog,
        "cri" => FormatKind::Cri,
        "csv" => FormatKind::Csv {
            names: columns(check, place, names.as_ref()),
            delimiter: delimiter.as_ref().map_or(',', |at| self::delimiter(check, at)),
        },
        "tsv" => FormatKind::Tsv { names: columns(check, place, names.as_ref()) },
        "w3c" => FormatKind::W3c { names: columns(check, place, names.as_ref()) },
        "cef" => FormatKind::Cef,
        "gelf" => FormatKind::Gelf,
        "otlp_json" => FormatKind::OtlpJson,
        "otlp_proto" => FormatKind::OtlpProto,
        "avro" => FormatKind::Avro,
        "json_schema" => FormatKind::JsonSchema,
        "protobuf" => FormatKind::Protobuf,
        "regex" => FormatKind::Regex { pattern: self::pattern(check, place, pattern.as_ref()) },
        "raw" => FormatKind::Raw,
        other => {
            let help = suggest(other, "formats", FormatKind::NAMES.iter().copied());
            check.error(place, format!("`{other}` is not a format"), help);
            return Format::default();
        }
    };
    let of = |format: &[&str]| format.contains(&kind.name());
    for (option, given, fits, help) in [
        (
            "lines",
            lines.as_ref().map(|at| at.place),
            !of(&["json", "gelf", "otlp_json", "otlp_proto", "json_schema", "avro", "protobuf"]),
            "documents one after the other are events each anyway",
        ),
        (
            "names",
            names.as_ref().map(|at| at.place),
            of(&["csv", "tsv", "w3c"]),
            "`csv`, `tsv` and `w3c` have columns that need names",
        ),
        ("delimiter", delimiter.as_ref().map(|at| at.place), of(&["csv"]), "only `csv` has one"),
        ("pattern", pattern.as_ref().map(|at| at.place), of(&["regex"]), "only `regex` has one"),
    ] {
        if let Some(at) = given.filter(|_| !fits) {
            let at = if at.line == 0 { place } else { at };
            check.error(at, format!("`{}` has no option `{option}`", kind.name()), help);
        }
    }
    Format { kind, lines: lines.as_ref().is_some_and(|lines| lines.value) }
}

fn columns(check: &mut Checker, place: Place, names: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    let Some(names) = names.filter(|names| !names.value.is_empty()) else {
        check.error(place, "`columns` is missing", "add their names in order: `names: [time, host, status]`");
        return Vec::new();
    };
    for (at, name) in names.value.iter().enumerate() {
        if names.value.iter().take(at).any(|earlier| earlier.value == name.value) {
            check.error(name.place, format!("two columns are called `{}`", name.value), "give each a name of its own");
        }
    }
    names.value.iter().map(|name| name.value.clone()).collect()
}

fn delimiter(check: &mut Checker, raw: &At<String>) -> char {
    let mut characters = raw.value.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if !['"', '\n', '\r'].contains(&one) => one,
        _ => {
            let message = format!("{:?} is not a delimiter", raw.value);
            check.error(raw.place, message, "one character, and no quote: `\";\"`");
            ','
        }
    }
}

fn pattern(check: &mut Checker, place: Place, raw: Option<&At<String>>) -> String {
    let Some(raw) = raw else {
        check.error(place, "the pattern is missing", "`{ regex: '^(?<host>\\S+) (?<path>\\S+)$' }`");
        return String::new();
    };
    let raw = At { value: raw.value.clone(), place: if raw.place.line == 0 { place } else { raw.place } };
    let before = check.problems.len();
    check.regex(&raw);
    let named = Regex::new(&raw.value).is_ok_and(|regex| regex.capture_names().flatten().next().is_some());
    if check.problems.len() == before && !named {
        check.error(
            raw.place,
            "this pattern has no named group, so that there would be no field",
            "write `(?<host>\\S+)`",
        );
    }
    raw.value
}

/// Which arrays hold the events.
pub fn each(check: &mut Checker, raw: &At<String>, format: &Format) -> Option<Each> {
    if !format.kind.has_arrays() {
        let message = format!("records of format `{}` have no arrays", format.kind.name());
        check.error(raw.place, message, "remove `each`, or use `lines: true` if each line is an event");
        return None;
    }
    let text = raw.value.trim().strip_suffix("[]").unwrap_or(raw.value.trim());
    let mut levels = Vec::new();
    for (at, part) in text.split("[]").enumerate() {
        let path = check.field_path(raw.place, if at == 0 { part } else { part.trim_start_matches('.') });
        let Some(names) = path.names() else {
            check.error(
                raw.place,
                format!("`{part}` is not a path to an array"),
                "names alone lead to it: `detail.Records`",
            );
            return None;
        };
        levels.push(names.into_iter().map(str::to_owned).collect());
    }
    if levels.len() > 8 {
        check.error(raw.place, "these are too many arrays, one in the other", "8 are the most");
        return None;
    }
    Some(Each(levels))
}

/// Fields whose text is parsed.
pub fn parse(check: &mut Checker, raw: &RawSource) -> Vec<Parse> {
    let mut rules = Vec::new();
    for (field, formats) in &raw.parse.0 {
        let path = check.field_path(field.place, &field.value);
        if formats.value.0.is_empty() {
            check.error(
                formats.place,
                format!("it is not said what `{path}` is parsed as"),
                "`json`, or `[json, combined]`",
            );
        }
        for rule in &formats.value.0 {
            let place = if rule.place.line == 0 { formats.place } else { rule.place };
            let format = format(check, place, &rule.value);
            let of_records =
                matches!(format.kind, FormatKind::OtlpJson | FormatKind::OtlpProto | FormatKind::JsonSchema);
            if of_records || format.kind.needs_registry() {
                let message = format!("`{}` is a format of records, not of text in a field", format.kind.name());
                check.error(place, message, "use it as the source's `format`");
            }
            rules.push(Parse { path: path.clone(), format });
        }
    }
    rules
}

/// Paths that lead out of an element lead to something.
pub fn enclosing(check: &mut Checker, place: Place, source: &Source, aggregates: &[Aggregate]) {
    let levels = source.each.as_ref().map_or(0, |each| each.0.len());
    let mut paths: Vec<&FieldPath> = source.parse.iter().map(|rule| &rule.path).collect();
    times(&source.timestamp, &mut paths);
    conditions(&source.filter, &mut paths);
    let reading = || aggregates.iter().filter(|aggregate| aggregate.reads(&source.name));
    let of_aggregates: Vec<FieldPath> = reading().flat_map(|aggregate| aggregate.within(source).paths()).collect();
    paths.extend(&of_aggregates);
    paths.sort();
    paths.dedup();
    for path in paths {
        let up = Each::levels_up(path.steps());
        if up > levels {
            let message = format!("`{path}` leads out of the record");
            let help = match levels {
                0 => "`^` is what encloses an element of `each`, which this source does not have".to_owned(),
                levels => format!("`each` names {levels} arrays, so that there can be {levels} `^` at most"),
            };
            check.error(place, message, help);
        } else if up > 0 && up == path.steps().len() {
            check.error(place, format!("`{path}` is not a field"), "name one: `^.account`");
        }
    }
}

fn times<'a>(timestamp: &'a Timestamp, paths: &mut Vec<&'a FieldPath>) {
    match timestamp {
        Timestamp::Kafka => {}
        Timestamp::Field { path, .. } => paths.push(path),
        Timestamp::Parts { seconds, nanos } => paths.extend([seconds, nanos]),
        Timestamp::FirstOf(all) => all.iter().for_each(|one| times(one, paths)),
    }
}

fn conditions<'a>(filter: &'a [Condition], paths: &mut Vec<&'a FieldPath>) {
    for condition in filter {
        match condition {
            Condition::Field { path, .. } => paths.push(path),
            Condition::Any(branches) => branches.iter().for_each(|branch| conditions(branch, paths)),
            Condition::Not(inner) => conditions(inner, paths),
        }
    }
}
