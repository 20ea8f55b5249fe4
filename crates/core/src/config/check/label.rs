//! Checks of what labels are made of.

use super::super::at::At;
use super::super::raw::{Label, RawLabel, RawScalar, RawTemplate};
use super::super::types::{FieldPath, LabelField, LabelMaking, Template};
use super::Checker;

/// More names, routes or fields than this are a table, not a label.
const MOST: usize = 1_000;

/// Labels that the metrics or Prometheus itself put on.
const RESERVED_LABELS: [&str; 9] =
    ["le", "quantile", "window", "hop", "topic", "partition", "job", "instance", "otel_metric_overflow"];

/// An error unless series can have a label of that name.
pub fn name(check: &mut Checker, label: &At<String>) {
    if RESERVED_LABELS.contains(&label.value.as_str()) || label.value.starts_with("__") {
        let help = format!("choose another name, such as `event_{}`", label.value.trim_start_matches('_'));
        check.error(label.place, format!("the label `{}` is reserved", label.value), help);
    } else {
        check.identifier(label.place, &label.value, "a label");
    }
}

/// One label; its name has been checked.
pub fn label(check: &mut Checker, name: &At<String>, raw: &At<RawLabel>) -> LabelField {
    let Label { field, default, required, .. } = &raw.value.0;
    let paths = field.iter().flat_map(|field| field.value.0.iter().map(|path| (path, field.place)));
    let mut paths: Vec<FieldPath> = paths
        .map(|(path, list)| {
            let known = [path.place, list, raw.place].into_iter().find(|place| place.line > 0);
            check.field_path(known.unwrap_or_default(), &path.value)
        })
        .collect();
    if paths.is_empty() {
        let help = format!("`{}: FIELD`, or `{}: {{ field: FIELD, … }}`", name.value, name.value);
        check.error(raw.place, format!("the field of `{}` is missing", name.value), help);
        paths.push(FieldPath::default());
    }
    let required = required.unwrap_or(false);
    if let (Some(default), true) = (default, required) {
        check.error(default.place, "a required label cannot have a `default`", "keep one of them");
    }
    LabelField {
        label: name.value.clone(),
        path: paths.remove(0),
        or: paths,
        required,
        default: default.as_ref().map(|default| default.value.clone()).filter(|default| !default.is_empty()),
        making: making(check, &raw.value.0),
    }
}

fn making(check: &mut Checker, raw: &Label) -> LabelMaking {
    let class = raw.class.as_ref().filter(|class| class.value);
    let given = [
        raw.template.as_ref().map(|at| ("template", at.place)),
        class.map(|at| ("class", at.place)),
        raw.map.as_ref().map(|at| ("map", at.place)),
    ];
    let given: Vec<_> = given.into_iter().flatten().collect();
    if let [(first, _), (second, place), ..] = given.as_slice() {
        check.error(*place, format!("a label is made by `{first}` or by `{second}`, not both"), "keep one of them");
    }
    if let Some(pattern) = &raw.part {
        check.regex(pattern);
    }
    LabelMaking {
        part: raw.part.as_ref().map(|pattern| pattern.value.clone()),
        lower: raw.lower.unwrap_or(false),
        template: raw.template.as_ref().map(|at| template(check, at)),
        class: class.is_some(),
        map: map(check, raw),
    }
}

fn template(check: &mut Checker, raw: &At<RawTemplate>) -> Template {
    const HELP: &str =
        "routes begin with `/`; `:name` is one segment, and `*` at the end all that follow: `/users/:id`, `/files/*`";
    match &raw.value {
        RawTemplate::Word(word) => {
            if word != "path" {
                let help = "`path`, or a list of routes: `[/users/:id, /files/*]`";
                check.error(raw.place, format!("`{word}` is not a template"), help);
            }
            Template::Path
        }
        RawTemplate::Routes(routes) => {
            if routes.is_empty() || routes.len() > MOST {
                check.error(raw.place, format!("a template has 1 to {MOST} routes"), HELP);
            }
            for route in routes {
                let text = &route.value;
                let stars = text.strip_suffix("/*").unwrap_or(text).contains('*');
                if !text.starts_with('/') || stars || text.contains(['?', '#']) {
                    check.error(route.place, format!("`{text}` is not a route"), HELP);
                }
            }
            Template::Routes(routes.iter().map(|route| route.value.clone()).collect())
        }
    }
}

fn map(check: &mut Checker, raw: &Label) -> Vec<(String, String)> {
    let Some(at) = &raw.map else { return Vec::new() };
    let named = at.value.0.iter().map(|(value, name)| (value.value.clone(), words(name)));
    let named: Vec<(String, String)> = named.collect();
    if named.is_empty() || named.len() > MOST {
        let help = "values and what they are called: `{ 30: info, 40: warn, _: other }`";
        check.error(at.place, format!("a map has 1 to {MOST} names"), help);
    }
    named
}

fn words(raw: &RawScalar) -> String {
    match raw {
        RawScalar::Bool(value) => value.to_string(),
        RawScalar::Number(value) => value.to_string(),
        RawScalar::Text(value) => value.clone(),
    }
}
