//! What a label makes of its field, by regular expressions.

use crate::config::{LabelMaking, Template};
use regex::Regex;

/// The label that a text makes; `None`: its pattern finds nothing.
pub fn made(text: &str, making: &LabelMaking) -> Option<String> {
    let mut text = text.to_owned();
    if let Some(pattern) = &making.part {
        let pattern = Regex::new(pattern).ok()?;
        let found = pattern.captures(&text)?;
        text = found.get(1).or(found.get(0))?.as_str().to_owned();
    }
    if making.lower {
        text = text.to_lowercase();
    }
    if making.class {
        let status = text.trim();
        let is_class = Regex::new("^[1-5][0-9][0-9]$").is_ok_and(|class| class.is_match(status));
        return Some(if is_class { format!("{}xx", &status[..1]) } else { "other".to_owned() });
    }
    if !making.map.is_empty() {
        let name = |wanted: &str| making.map.iter().find(|(value, _)| value == wanted).map(|(_, name)| name.clone());
        return name(&text).filter(|_| text != "_").or_else(|| name("_")).or(Some(text));
    }
    match &making.template {
        None => Some(text),
        Some(Template::Path) => {
            let shown = |part| if is_id(part) { ":id" } else { part };
            Some(path_of(&text)?.split('/').map(shown).collect::<Vec<_>>().join("/"))
        }
        Some(Template::Routes(routes)) => {
            let path = path_of(&text)?;
            let path = path.trim_matches('/');
            Some(routes.iter().find(|route| fits(route, path)).cloned().unwrap_or_else(|| "other".to_owned()))
        }
    }
}

fn path_of(url: &str) -> Option<String> {
    let url = Regex::new(r"^(?<site>[^/?#]*?://[^/?#]*)?(?<path>[^?#]*)").ok()?.captures(url)?;
    let path = &url["path"];
    Some(if path.is_empty() && url.name("site").is_some() { "/".to_owned() } else { path.to_owned() })
}

fn fits(route: &str, path: &str) -> bool {
    let route = route.trim_matches('/');
    let (fixed, rest) = match route.strip_suffix('*') {
        Some(fixed) => (fixed.trim_end_matches('/'), true),
        None => (route, false),
    };
    let part = |part: &str| if part.starts_with(':') { "[^/]+".to_owned() } else { regex::escape(part) };
    let pattern: Vec<_> = fixed.split('/').map(part).collect();
    let pattern = match (pattern.join("/"), rest) {
        (pattern, false) => format!("^{pattern}$"),
        (pattern, true) if pattern.is_empty() => "^".to_owned(),
        (pattern, true) => format!("^{pattern}(/|$)"),
    };
    Regex::new(&pattern).is_ok_and(|regex| regex.is_match(path))
}

/// Whether a segment of a path names one thing among many.
fn is_id(part: &str) -> bool {
    let is = |pattern: &str| Regex::new(pattern).is_ok_and(|regex| regex.is_match(part));
    let uuid = is("^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$");
    let token = is("^[0-9A-Za-z_+=.~-]{20,}$") && is("[A-Z]") && is("[a-z]");
    is("[0-9]") && (is("^[0-9]+$") || uuid || is("^[0-9a-fA-F]{8,}$") || is("^[0-9A-Za-z]{20,}$") || token)
}
