//! Labels that are made of a field rather than taken from it: a part of it, a template of a path, a class, a name.
//!
//! In this order: the part that `match` finds, `lower`, then one of `template`, `class` and `map`.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use crate::config::{LabelMaking, Template};

/// How a label is made, ready to be used.
#[derive(Debug)]
pub(super) struct Making {
    part: Option<Regex>,
    lower: bool,
    last: Last,
}

#[derive(Debug)]
enum Last {
    Nothing,
    Path,
    Routes(Vec<Route>),
    Class,
    /// Names of values; what others are called, if they are not left as they are.
    Map(HashMap<Box<str>, Box<str>>, Option<Box<str>>),
}

#[derive(Debug)]
struct Route {
    segments: Vec<Segment>,
    /// As the config has it.
    shown: Box<str>,
}

#[derive(Debug)]
enum Segment {
    Literal(Box<str>),
    /// One segment, whatever it is.
    One,
    /// All that follows, if there is any.
    Rest,
}

impl Making {
    /// `None`: the label is the field as it is.
    pub fn new(config: &LabelMaking) -> Option<Making> {
        if *config == LabelMaking::default() {
            return None;
        }
        let last = match config {
            LabelMaking { template: Some(Template::Path), .. } => Last::Path,
            LabelMaking { template: Some(Template::Routes(routes)), .. } => {
                Last::Routes(routes.iter().map(|route| Route::new(route)).collect())
            }
            LabelMaking { class: true, .. } => Last::Class,
            LabelMaking { map, .. } if !map.is_empty() => {
                let (others, named): (Vec<_>, Vec<_>) = map.iter().partition(|(value, _)| value == LabelMaking::OTHERS);
                let named = named.into_iter().map(|(value, name)| (value.as_str().into(), name.as_str().into()));
                Last::Map(named.collect(), others.first().map(|(_, name)| name.as_str().into()))
            }
            _ => Last::Nothing,
        };
        // The config has been checked: a pattern that is none is not here.
        Some(Making { part: config.part.as_deref().and_then(|p| Regex::new(p).ok()), lower: config.lower, last })
    }

    /// Appends the label that `text` makes; `false` if `match` finds nothing in it.
    pub fn make(&self, text: &str, out: &mut Vec<u8>) -> bool {
        let part = match &self.part {
            None => text,
            Some(regex) => match regex.captures(text).and_then(|found| found.get(1).or(found.get(0))) {
                Some(part) => part.as_str(),
                None => return false,
            },
        };
        let part = if self.lower { lower(part) } else { Cow::Borrowed(part) };
        let mut push = |text: &str| out.extend_from_slice(text.as_bytes());
        match &self.last {
            Last::Nothing => push(&part),
            Last::Path => push_template(path_of(&part), out),
            Last::Routes(routes) => {
                let path = path_of(&part);
                push(routes.iter().find(|route| route.fits(path)).map_or(LabelMaking::OTHER, |route| &route.shown));
            }
            Last::Class => push(class(&part)),
            Last::Map(named, others) => match named.get(&*part) {
                Some(name) => push(name),
                None => push(others.as_deref().unwrap_or(&part)),
            },
        }
        true
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    let as_it_is = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if as_it_is { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

/// A URL's path, without query and fragment.
fn path_of(url: &str) -> &str {
    let end = url.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
    let url = &url[..end];
    // In a path, `://` would be one of its own.
    if url.starts_with('/') {
        return url;
    }
    match url.find("://") {
        Some(scheme) => {
            let rest = &url[scheme + 3..];
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        None => url,
    }
}

impl Route {
    fn new(route: &str) -> Route {
        let parts = route.trim_matches('/').split('/');
        let segment = |part: &str| match part {
            "*" => Segment::Rest,
            part if part.starts_with(':') => Segment::One,
            part => Segment::Literal(part.into()),
        };
        Route { segments: parts.map(segment).collect(), shown: route.into() }
    }

    fn fits(&self, path: &str) -> bool {
        let mut parts = path.trim_matches('/').split('/');
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Rest, _) => return true,
                (Segment::One, Some(part)) if !part.is_empty() => {}
                (Segment::Literal(literal), Some(part)) if **literal == *part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// Appends the path with `:id` for each segment that names one thing among many.
fn push_template(path: &str, out: &mut Vec<u8>) {
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            out.push(b'/');
        }
        let shown = if is_id(segment.as_bytes()) { LabelMaking::ID } else { segment };
        out.extend_from_slice(shown.as_bytes());
    }
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const UPPER: u8 = 4;
const LOWER: u8 = 8;
/// What base64 and tokens have beside letters and digits.
const MARK: u8 = 16;

/// What each byte is.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | HEX,
            b'a'..=b'f' => LOWER | HEX,
            b'A'..=b'F' => UPPER | HEX,
            b'g'..=b'z' => LOWER,
            b'G'..=b'Z' => UPPER,
            b'-' | b'_' | b'+' | b'=' | b'.' | b'~' => MARK,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// A number; a UUID or other long hex; a long mix of letters and digits, as base64, ULIDs and tokens are. Words with hyphens
/// between them are none.
fn is_id(segment: &[u8]) -> bool {
    let (mut some, mut all) = (0, DIGIT | HEX);
    for &byte in segment {
        let class = CLASSES[byte as usize];
        if class == 0 {
            return false;
        }
        some |= class;
        all &= class;
    }
    let has = |class: u8| some & class != 0;
    let is_uuid = || {
        let is = |(at, byte): (usize, &u8)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        segment.len() == 36 && segment.iter().enumerate().all(is)
    };
    has(DIGIT)
        && (all & DIGIT != 0
            || (all & HEX != 0 && segment.len() >= 8)
            || is_uuid()
            || (segment.len() >= 20 && (!has(MARK) || (has(UPPER) && has(LOWER)))))
}

/// `2xx` for 200 to 299, and so on from 100 to 599.
fn class(text: &str) -> &'static str {
    match text.trim_ascii().as_bytes() {
        [b'1', b'0'..=b'9', b'0'..=b'9'] => "1xx",
        [b'2', b'0'..=b'9', b'0'..=b'9'] => "2xx",
        [b'3', b'0'..=b'9', b'0'..=b'9'] => "3xx",
        [b'4', b'0'..=b'9', b'0'..=b'9'] => "4xx",
        [b'5', b'0'..=b'9', b'0'..=b'9'] => "5xx",
        _ => LabelMaking::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(config: LabelMaking, cases: &[(&str, Option<&str>)]) {
        let making = Making::new(&config).unwrap();
        for (text, label) in cases {
            let mut out = Vec::new();
            let found = making.make(text, &mut out);
            assert_eq!(found.then(|| String::from_utf8(out).unwrap()).as_deref(), *label, "{text}");
        }
    }

    fn path() -> LabelMaking {
        LabelMaking { template: Some(Template::Path), ..LabelMaking::default() }
    }

    #[test]
    fn a_paths_template_has_no_query_and_an_id_for_what_names_one_thing() {
        made(
            path(),
            &[
                ("/users/4711?tab=1", Some("/users/:id")),
                ("/users/4711/orders/9#top", Some("/users/:id/orders/:id")),
                ("https://shop.example/a/1/", Some("/a/:id/")),
                ("https://shop.example", Some("/")),
                ("/proxy/https://x/1", Some("/proxy/https://x/:id")),
                ("/o/6f1c0a52-7a0e-4bd5-9a0b-0d5b6f3f1a77", Some("/o/:id")),
                ("/o/6F1C0A52-7A0E-4BD5-9A0B-0D5B6F3F1A77", Some("/o/:id")),
                ("/o/892d038f23cc3587", Some("/o/:id")),
                ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", Some("/o/:id")),
                ("/o/dGhpcyBpcyBhIHRlc3Q0NQ==", Some("/o/:id")),
                ("/v1/facade/item2", Some("/v1/facade/item2")),
                ("/blog/my-very-long-article-of-2026", Some("/blog/my-very-long-article-of-2026")),
                ("/straße/7", Some("/straße/:id")),
                ("/", Some("/")),
                ("", Some("")),
            ],
        );
    }

    #[test]
    fn the_first_route_that_fits_is_the_label_or_other() {
        let routes = ["/users/:id", "/users/me", "/files/*", "/"].map(str::to_owned).to_vec();
        let config = LabelMaking { template: Some(Template::Routes(routes)), ..LabelMaking::default() };
        made(
            config,
            &[
                ("/users/7?x", Some("/users/:id")),
                ("/users/me", Some("/users/:id")),
                ("/users/7/", Some("/users/:id")),
                ("/users", Some("other")),
                ("/users/7/orders", Some("other")),
                ("/files/a/b.txt", Some("/files/*")),
                ("/files", Some("/files/*")),
                ("http://x/files/1", Some("/files/*")),
                ("/", Some("/")),
                ("", Some("/")),
            ],
        );
    }

    #[test]
    fn classes_maps_parts_and_case() {
        let class = LabelMaking { class: true, ..LabelMaking::default() };
        made(class, &[("204", Some("2xx")), ("503", Some("5xx")), ("600", Some("other")), ("-", Some("other"))]);
        let map = [("30", "info"), ("40", "warn"), ("_", "rest")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        let closed = LabelMaking { map: map.clone(), ..LabelMaking::default() };
        made(closed, &[("30", Some("info")), ("35", Some("rest")), ("_", Some("rest"))]);
        let open = LabelMaking { map: map[..2].to_vec(), ..LabelMaking::default() };
        made(open, &[("40", Some("warn")), ("35", Some("35"))]);
        let part = LabelMaking { part: Some(r"^(\S+) ".into()), lower: true, ..LabelMaking::default() };
        made(part, &[("GET /a HTTP/1.1", Some("get")), ("ÄÖ x", Some("äö")), ("nonsense", None)]);
        let all = LabelMaking { part: Some("[0-9]+".into()), ..LabelMaking::default() };
        made(all, &[("HTTP/2.0", Some("2"))]);
    }

    proptest! {
        /// What a template makes of its own labels is the same: there are no more labels of labels.
        #[test]
        fn a_template_of_a_template_is_the_same(text in "(https?://[a-z.]{0,9})?(/[a-zA-Z0-9._~?#:-]{0,24}){0,4}") {
            let making = Making::new(&path()).unwrap();
            let make = |text: &str| {
                let mut out = Vec::new();
                making.make(text, &mut out);
                String::from_utf8(out).unwrap()
            };
            let once = make(&text);
            prop_assert_eq!(make(&once), once);
        }
    }
}
