//! Checks of `schema_registry`.

use std::path::PathBuf;

use http::{HeaderValue, Uri};

use super::super::at::{At, Place};
use super::super::raw::{RawProperty, RawSchemaRegistry};
use super::super::registry::{Credentials, SchemaRegistry};
use super::super::types::Source;
use super::kafka::from_file;
use super::{Checker, MILLISECOND, MINUTE, SECOND};

pub fn registry(check: &mut Checker, raw: Option<&RawSchemaRegistry>) -> Option<SchemaRegistry> {
    let raw = raw?;
    Some(SchemaRegistry {
        url: url(check, &raw.url),
        credentials: credentials(check, raw),
        certificate: raw.certificate.as_ref().map(|path| PathBuf::from(&path.value)),
        timeout: check.duration(&raw.timeout, 10 * SECOND, 10 * MILLISECOND..=MINUTE),
        schemas: check.count(&raw.schemas, 1_000, 10..=100_000),
    })
}

/// A source whose records need a schema has somebody to ask.
pub fn is_there(check: &mut Checker, place: Place, source: &Source, registry: Option<&RawSchemaRegistry>) {
    if source.format.kind.needs_registry() && registry.is_none() {
        let message = format!("records of format `{}` need a schema registry", source.format.kind.name());
        check.error(place, message, "add it to the file: `schema_registry: { url: http://localhost:8081 }`");
    }
}

fn url(check: &mut Checker, raw: &At<String>) -> String {
    check.no_quoted_reference(raw.place, &raw.value);
    let text = raw.value.trim().trim_end_matches('/').to_owned();
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let plain = uri.as_ref().is_some_and(|uri| uri.query().is_none());
    match uri.as_ref().and_then(Uri::authority) {
        Some(authority) if authority.as_str().contains('@') => {
            let help = "write them as `username` and `password: { file: PATH }`";
            check.error(raw.place, "an address must not hold credentials", help);
        }
        Some(_) if plain => {}
        _ => check.error(
            raw.place,
            "this is not the address of a schema registry",
            "write `http://host:8081` or `https://…`",
        ),
    }
    text
}

fn credentials(check: &mut Checker, raw: &RawSchemaRegistry) -> Credentials {
    let password = raw.password.as_ref().map(|value| secret(check, "password", value));
    let token = raw.token.as_ref().map(|value| secret(check, "token", value));
    match (&raw.username, password, token) {
        (None, None, None) => Credentials::None,
        (None, None, Some(token)) => {
            let place = raw.token.as_ref().map(|at| at.place).unwrap_or_default();
            // It is not shown: it is a secret.
            if HeaderValue::from_str(&token).is_err() || !token.is_ascii() {
                check.error(place, "this token cannot be sent as a header", "it has visible ASCII characters only");
            }
            Credentials::Token(token)
        }
        (Some(username), Some(password), None) => {
            check.no_quoted_reference(username.place, &username.value);
            if username.value.contains(':') {
                check.error(
                    username.place,
                    "a user's name has no colon",
                    "is the password in it? It has a key of its own",
                );
            }
            Credentials::Password { username: username.value.clone(), password }
        }
        (username, _, token) => {
            let place =
                username.as_ref().map(|at| at.place).or(raw.password.as_ref().map(|at| at.place)).unwrap_or_default();
            let (message, help) = match token {
                Some(_) => ("both a user and a token", "keep one of them"),
                None => ("`username` and `password` go together", "add the other one"),
            };
            check.error(place, message, help);
            Credentials::None
        }
    }
}

fn secret(check: &mut Checker, name: &str, raw: &At<RawProperty>) -> String {
    match &raw.value {
        RawProperty::Text(text) => {
            check.no_quoted_reference(raw.place, text);
            text.clone()
        }
        RawProperty::File(path) => from_file(check, raw.place, name, path),
    }
}
