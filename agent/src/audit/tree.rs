//! Values of a JSON tree, found and read.

use serde_json::Value;

use crate::config::Step;

/// The number that a value is, also as text.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let text = text.trim();
            let written = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            text.parse().ok().filter(|_| written)
        }
        _ => None,
    }
}

/// What stands at a path in a tree.
pub(super) fn at<'a>(json: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(json) };
    let next = match step {
        Step::Key(name) => json.as_object()?.get(name)?,
        Step::Index(index) => {
            let items = json.as_array()?;
            let place = if *index < 0 { items.len() as i64 + i64::from(*index) } else { i64::from(*index) };
            items.get(usize::try_from(place).ok()?)?
        }
        Step::Item { name, value } => {
            let reads = |item: &&Value| plain_text(item.get(name)).as_ref() == Some(value);
            json.as_array()?.iter().find(reads)?
        }
    };
    at(next, rest)
}

/// A text, number or truth as text.
fn plain_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.as_i64().map_or(number.as_f64()?.to_string(), |whole| whole.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
