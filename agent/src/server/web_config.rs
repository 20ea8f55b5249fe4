//! The file of Prometheus' `--web.config.file`: what an operator has for one exporter holds for this one.

use super::tls::{ClientCa, Parts};
use crate::config::{Hidden, Identity, Right, is_bcrypt};
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Tls>,
    http_server_config: Option<serde::de::IgnoredAny>,
    rate_limit: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: Option<String>,
    key: Option<String>,
    client_ca: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
    client_ca_file: Option<String>,
    client_auth_type: Option<String>,
    #[serde(default)]
    client_allowed_sans: Vec<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    cipher_suites: Option<serde::de::IgnoredAny>,
    curve_preferences: Option<serde::de::IgnoredAny>,
    prefer_server_cipher_suites: Option<serde::de::IgnoredAny>,
}

/// What such a file asks for.
pub struct WebConfig {
    pub tls: Option<Parts>,
    /// Its users may do everything.
    pub identities: Vec<Identity>,
    /// What of it has no effect here.
    pub warnings: Vec<String>,
}

/// Reads the file's text; `read` reads a file that it names.
///
/// # Errors
/// If it is not such a file, or asks for what this door cannot do.
pub fn parse(text: &str, read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>) -> Result<WebConfig, String> {
    let file: File = match text.trim() {
        "" => File::default(),
        // The parser's error may show lines of the file, which hold hashes of passwords.
        _ => serde_saphyr::from_str(text).map_err(|error| match error.location() {
            Some(at) => format!("line {}: not in the format of Prometheus' web.config.file", at.line()),
            None => "not in the format of Prometheus' web.config.file".to_owned(),
        })?,
    };
    let mut warnings = Vec::new();
    let mut ignored = |there: bool, key: &str| {
        if there {
            warnings.push(format!("{key} has no effect here"));
        }
    };
    ignored(file.http_server_config.is_some(), "http_server_config");
    ignored(file.rate_limit.is_some(), "rate_limit");
    if let Some(tls) = &file.tls_server_config {
        ignored(tls.cipher_suites.is_some(), "cipher_suites (all that are offered are sound)");
        ignored(tls.curve_preferences.is_some(), "curve_preferences");
        ignored(tls.prefer_server_cipher_suites.is_some(), "prefer_server_cipher_suites");
        let old = matches!(tls.min_version.as_deref(), Some("TLS10" | "TLS11"));
        ignored(old, "min_version below TLS12");
    }
    let identities: Result<Vec<_>, String> = file.basic_auth_users.into_iter().map(user).collect();
    let tls = file.tls_server_config.map(|tls| self::tls(&tls, read)).transpose()?;
    Ok(WebConfig { tls, identities: identities?, warnings })
}

fn user((name, hash): (String, String)) -> Result<Identity, String> {
    if !is_bcrypt(&hash) {
        return Err(format!("basic_auth_users: the value of {name} is not a bcrypt hash of a cost from 4 to 16"));
    }
    let password_hash = Some(Hidden(hash));
    Ok(Identity { name, token_file: None, password_hash, certificate_subject: None, may: Right::ALL.to_vec() })
}

fn tls(tls: &Tls, read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>) -> Result<Parts, String> {
    let mut part = |key: &str, text: &Option<String>, file: &Option<String>| match (text, file) {
        (Some(_), Some(_)) => Err(format!("both {key} and {key}_file are there: keep one")),
        (Some(text), None) => Ok(Some((key.to_owned(), text.clone().into_bytes()))),
        (None, Some(path)) => Ok(Some((path.clone(), read(path)?))),
        (None, None) => Ok(None),
    };
    let missing = |key: &str| format!("tls_server_config needs {key}");
    let certificate = part("cert", &tls.cert, &tls.cert_file)?.ok_or_else(|| missing("cert_file"))?;
    let key = part("key", &tls.key, &tls.key_file)?.ok_or_else(|| missing("key_file"))?;
    let client_ca = part("client_ca", &tls.client_ca, &tls.client_ca_file)?;
    if !tls.client_allowed_sans.is_empty() && client_ca.is_none() {
        return Err("client_allowed_sans needs client_ca_file and a client_auth_type that verifies".into());
    }
    let required = match tls.client_auth_type.as_deref().unwrap_or_default() {
        "" | "NoClientCert" if client_ca.is_none() => false,
        "VerifyClientCertIfGiven" => false,
        "RequireAndVerifyClientCert" => true,
        "" | "NoClientCert" => return Err("client_ca_file needs a client_auth_type that verifies".into()),
        other => {
            return Err(format!(
                "client_auth_type {other} would trust certificates that nobody has verified; write \
                 RequireAndVerifyClientCert or VerifyClientCertIfGiven"
            ));
        }
    };
    let client_ca = match (client_ca, tls.client_auth_type.as_deref()) {
        (None, Some("VerifyClientCertIfGiven" | "RequireAndVerifyClientCert")) => {
            return Err(missing("client_ca_file"));
        }
        (ca, _) => {
            let allowed_names = tls.client_allowed_sans.clone();
            ca.map(|(name, pem)| ClientCa { name, pem, required, allowed_names })
        }
    };
    Ok(Parts { certificate, key, client_ca, versions: versions(tls)? })
}

fn versions(tls: &Tls) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, String> {
    let lowest = match tls.min_version.as_deref() {
        None | Some("TLS10" | "TLS11" | "TLS12") => 2,
        Some("TLS13") => 3,
        Some(other) => return Err(format!("min_version: there is no {other}")),
    };
    let highest = match tls.max_version.as_deref() {
        None | Some("TLS13") => 3,
        Some("TLS12") => 2,
        Some(other) => return Err(format!("max_version: {other} cannot be offered; TLS12 is the lowest")),
    };
    match (lowest, highest) {
        (2, 3) => Ok(vec![&TLS13, &TLS12]),
        (2, 2) => Ok(vec![&TLS12]),
        (3, 3) => Ok(vec![&TLS13]),
        _ => Err("min_version is above max_version".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WebConfig, String> {
        parse(text, &mut |path| Ok(path.as_bytes().to_vec()))
    }

    const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

    #[test]
    fn an_operators_file_is_taken_as_it_is() {
        let text = format!(
            "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [a.example.com]\n  min_version: TLS13\n  cipher_suites: [X]\nhttp_server_config:\n  http2: true\nbasic_auth_users:\n  alice: {HASH}\n"
        );
        let config = read(&text).unwrap();
        let tls = config.tls.unwrap();
        let authority = tls.client_ca.unwrap();
        assert_eq!((tls.certificate.1, authority.required), (b"a.crt".to_vec(), true));
        assert_eq!(authority.allowed_names, ["a.example.com"]);
        assert_eq!(tls.versions, [&TLS13]);
        assert_eq!((config.identities[0].name.as_str(), config.identities[0].may.len()), ("alice", Right::ALL.len()));
        assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
        assert!(read("").unwrap().tls.is_none());
    }

    #[test]
    fn what_would_lock_less_than_it_says_is_refused_without_showing_a_secret() {
        let refused = |text: &str, expected: &str| {
            let error = read(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(expected), "{text}: {error}");
        };
        let tls = |keys: &str| format!("tls_server_config: {{ cert_file: a, key_file: b, {keys} }}\n");
        refused("basic_auth_users: { a: secret }", "is not a bcrypt hash");
        refused("basic_auth_user: { a: secret }", "not in the format");
        refused("tls_server_config: { cert_file: a }", "key_file");
        refused(&tls("client_auth_type: RequireAnyClientCert, client_ca_file: c"), "nobody has verified");
        refused(&tls("client_auth_type: RequireAndVerifyClientCert"), "client_ca_file");
        refused(&tls("client_ca_file: c"), "client_auth_type");
        refused(&tls("client_allowed_sans: [x]"), "client_allowed_sans needs client_ca_file");
        refused(&tls("min_version: TLS13, max_version: TLS12"), "above");
        assert!(!read("basic_auth_users: { a: [hunter2] }").err().unwrap().contains("hunter2"));
    }
}
