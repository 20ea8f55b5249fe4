//! Locks of `http` and `grpc`.

use super::*;

const MINIMAL: &str = include_str!("../../../../examples/minimal.yaml");
const HASH: &str = "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

fn locked(section: &str) -> Result<Config, ConfigError> {
    parse(&format!("{MINIMAL}{section}"), "c.yaml", &|_| None)
}

#[test]
fn a_lock_is_read_shown_without_its_secrets_and_reads_back() {
    let section = format!(
        "http: {{ web_config_file: web.yml }}\ngrpc:\n  peer: {{ ca: ca.pem, token_file: t }}\n  tls: {{ certificate: a.pem, key: a.key, client_ca: ca.pem, client_certificates: optional }}\n  identities:\n    ops: {{ token_file: t, may: [topics, peer] }}\n    prometheus: {{ password_hash: '{HASH}' }}\n    mtls: {{ certificate_subject: 'CN=a,O=b' }}\n"
    );
    let config = locked(&section).unwrap();
    assert_eq!(config.http.lock.web_config_file, Some("web.yml".into()));
    let lock = &config.grpc.lock;
    assert_eq!(lock.tls.as_ref().map(|tls| tls.client_required), Some(false));
    assert_eq!(lock.identities[0].may, [Right::Topics, Right::Peer]);
    assert_eq!(lock.identities[1].may, [Right::Read], "nothing is changed by whom nothing is said of");
    assert!(!format!("{config:?}{}", config.redacted_yaml()).contains(HASH), "a hash is a secret");
    // The mask is no hash, of course.
    let shown = config.redacted_yaml().replace("***", HASH);
    assert_eq!(parse(&shown, "c.yaml", &|_| None).unwrap().grpc, config.grpc);
    assert_eq!(locked("").unwrap().http.lock, Lock::default());
}

#[test]
fn a_door_beyond_loopback_says_what_it_lacks() {
    let warnings =
        |keys: &str| locked(&format!("http: {{ listen: '0.0.0.0:1'{keys} }}\n")).unwrap().warnings.join("\n");
    let token = ", identities: { a: { token_file: t } }";
    let tls = ", tls: { certificate: c, key: k }";
    assert!(warnings("").contains("without a password; http.tls and http.identities lock it"));
    assert!(warnings(tls).contains("without a password"));
    assert!(warnings(token).contains("without TLS"));
    assert_eq!(warnings(&format!("{token}{tls}")), "");
    assert_eq!(warnings(", tls: { certificate: c, key: k, client_ca: ca }"), "");
}

#[test]
fn what_cannot_lock_anything_is_refused() {
    let refused = |keys: &str, expected: &str| {
        let error = locked(&format!("grpc: {{ {keys} }}\n")).unwrap_err().to_string();
        assert!(error.contains(expected), "{keys}: {error}");
    };
    refused("web_config_file: w, tls: { certificate: c, key: k }", "neither `tls` nor `identities`");
    refused("tls: { certificate: c, key: k, client_certificates: required }", "nobody can check");
    refused("peer: { certificate: c }", "go together");
    refused("identities: {}", "nobody is in `identities`");
    refused("identities: { a: {} }", "nothing proves that a caller is `a`");
    refused("identities: { 'a:b': { token_file: t } }", "not the name of an identity");
    refused("identities: { a: { certificate_subject: x } }", "not asked for a certificate");
    refused("identities: { a: { token_file: '' } }", "`token_file` names no file");
    refused("identities: { a: { password_hash: secret } }", "not a bcrypt hash");
    let slow = HASH.replace("$10$", "$31$");
    refused(&format!("identities: {{ a: {{ password_hash: '{slow}' }} }}"), "not a bcrypt hash");
}
