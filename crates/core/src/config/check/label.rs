//! Checks of what labels are made of.

use super::super::at::At;
use super::super::raw::{Label, RawLabel};
use super::super::types::{FieldPath, LabelField};
use super::Checker;

/// One label; its name has been checked.
pub fn label(check: &mut Checker, name: &At<String>, raw: &At<RawLabel>) -> LabelField {
    let Label { field, default, required } = &raw.value.0;
    let path = match field {
        Some(field) => check.field_path(if field.place.line == 0 { raw.place } else { field.place }, &field.value),
        None => {
            let help = format!("`{}: FIELD`, or `{}: {{ field: FIELD, … }}`", name.value, name.value);
            check.error(raw.place, format!("it is not said which field `{}` is made of", name.value), help);
            FieldPath::default()
        }
    };
    let required = required.unwrap_or(false);
    if let (Some(default), true) = (default, required) {
        check.error(default.place, "a label that is required has no use for a `default`", "keep one of them");
    }
    LabelField {
        label: name.value.clone(),
        path,
        required,
        default: default.as_ref().map(|default| default.value.clone()).filter(|default| !default.is_empty()),
    }
}
