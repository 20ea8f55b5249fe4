//! Checks of the locks of listeners.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::at::At;
use super::super::lock::{ClientAccess, Hidden, Identity, Lock, Right, TlsFiles, is_bcrypt};
use super::super::network::Network;
use super::super::raw::{RawClientCertificates, RawIdentities, RawIdentity, RawPeer, RawTls};
use super::Checker;

/// The keys of a listener that belong to its lock.
pub struct Keys<'a> {
    pub web_config_file: Option<&'a At<String>>,
    pub tls: Option<&'a RawTls>,
    pub identities: Option<&'a RawIdentities>,
    pub open_health: Option<bool>,
    pub trusted_proxies: &'a [At<String>],
    pub proxy_protocol: Option<&'a At<bool>>,
    /// What an identity may do that has no `may`.
    pub usual: Right,
}

pub fn lock(check: &mut Checker, raw: &Keys<'_>) -> Lock {
    let web_config_file = raw.web_config_file.map(|path| file(check, "web_config_file", path));
    if let (Some(path), true) = (raw.web_config_file, raw.tls.is_some() || raw.identities.is_some()) {
        let help = "keep the file, or write all of it here";
        check.error(path.place, "`web_config_file` goes together with neither `tls` nor `identities`", help);
    }
    let tls = raw.tls.map(|tls| self::tls(check, tls));
    let asks = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let usual = raw.usual;
    let identities = raw.identities.map_or(&[][..], |map| &map.value.0[..]);
    if let (Some(map), []) = (raw.identities, identities) {
        check.error(map.place, "nobody is in `identities`", "name somebody, or leave the key out");
    }
    if let (Some(At { value: true, place }), []) = (raw.proxy_protocol, raw.trusted_proxies) {
        let help = "name the proxies' addresses in `trusted_proxies`; nobody else's header is read";
        check.error(*place, "`proxy_protocol` is for `trusted_proxies`, and there are none", help);
    }
    Lock {
        web_config_file,
        tls,
        identities: identities.iter().map(|(name, raw)| identity(check, name, raw, asks, usual)).collect(),
        open_health: raw.open_health.unwrap_or(true),
        trusted_proxies: raw.trusted_proxies.iter().filter_map(|proxy| network(check, proxy)).collect(),
        proxy_protocol: raw.proxy_protocol.is_some_and(|at| at.value),
    }
}

fn network(check: &mut Checker, raw: &At<String>) -> Option<Network> {
    let network = raw.value.trim().parse().ok();
    if network.is_none() {
        let help = "write addresses or networks: `10.0.0.0/8`, `192.168.1.7`, `2001:db8::/32`";
        check.error(raw.place, format!("`{}` is not a network", raw.value), help);
    }
    network
}

/// How the other agents' doors are opened.
pub fn peer(check: &mut Checker, raw: Option<&RawPeer>) -> ClientAccess {
    let Some(raw) = raw else { return ClientAccess::default() };
    let mut path = |key: &str, value: &Option<At<String>>| value.as_ref().map(|value| file(check, key, value));
    let ca = path("ca", &raw.ca);
    let pair = (path("certificate", &raw.certificate), path("key", &raw.key));
    let token_file = path("token_file", &raw.token_file);
    let certificate = match pair {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let place = raw.certificate.as_ref().or(raw.key.as_ref()).map(|at| at.place).unwrap_or_default();
            check.error(place, "`certificate` and `key` go together", "add the other one");
            None
        }
    };
    ClientAccess { ca, certificate, token_file }
}

/// What to say of a door that others than this machine can reach.
pub fn open_beyond_loopback(check: &mut Checker, what: &str, address: SocketAddr, lock: &Lock) {
    if address.ip().is_loopback() || lock.web_config_file.is_some() {
        // What such a file leaves open is known when it is read.
        return;
    }
    let asks = !lock.identities.is_empty() || lock.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    match (&lock.tls, asks) {
        (_, false) => check.warn(format!(
            "{what}.listen is {address}: anyone who can reach this machine can use it without a password; {what}.tls and \
             {what}.identities lock it (docs/security.md)"
        )),
        (None, true) => check.warn(format!(
            "{what}.listen is {address} without TLS: tokens and passwords can be read on the way; set {what}.tls"
        )),
        (Some(_), true) => {}
    }
}

fn tls(check: &mut Checker, raw: &RawTls) -> TlsFiles {
    if let (Some(asked), None) = (&raw.client_certificates, &raw.client_ca) {
        check.error(asked.place, "nobody can check clients' certificates", "add `client_ca`");
    }
    TlsFiles {
        certificate: file(check, "certificate", &raw.certificate),
        key: file(check, "key", &raw.key),
        client_ca: raw.client_ca.as_ref().map(|path| file(check, "client_ca", path)),
        client_required: !matches!(
            raw.client_certificates.as_ref().map(|at| at.value),
            Some(RawClientCertificates::Optional)
        ),
    }
}

fn identity(
    check: &mut Checker,
    name: &At<String>,
    raw: &RawIdentity,
    asks_for_certificates: bool,
    usual: Right,
) -> Identity {
    if name.value.is_empty() || name.value.contains(':') || name.value.chars().any(char::is_control) {
        check.error(name.place, "this is not the name of an identity", "it is not empty and has no colon");
    }
    if raw.token_file.is_none() && raw.password_hash.is_none() && raw.certificate_subject.is_none() {
        let help = "add `token_file`, `password_hash` or `certificate_subject`";
        check.error(name.place, format!("nothing proves that a caller is `{}`", name.value), help);
    }
    if let (Some(subject), false) = (&raw.certificate_subject, asks_for_certificates) {
        check.error(subject.place, "clients are not asked for a certificate", "add `tls.client_ca`");
    }
    let may = raw.may.clone().unwrap_or_else(|| vec![usual]);
    Identity {
        name: name.value.clone(),
        token_file: raw.token_file.as_ref().map(|path| file(check, "token_file", path)),
        password_hash: raw.password_hash.as_ref().map(|hash| password_hash(check, hash)),
        certificate_subject: raw.certificate_subject.as_ref().map(|subject| text(check, subject)),
        may,
    }
}

fn password_hash(check: &mut Checker, raw: &At<String>) -> Hidden {
    let hash = text(check, raw);
    if !is_bcrypt(&hash) {
        let help = "make it with `htpasswd -nBC 10 NAME`, in single quotes; it begins with `$2`";
        check.error(raw.place, "this is not a bcrypt hash of a cost that can be afforded (4 to 16)", help);
    }
    Hidden(hash)
}

fn file(check: &mut Checker, key: &str, raw: &At<String>) -> PathBuf {
    let path = text(check, raw);
    if path.trim().is_empty() {
        check.error(raw.place, format!("`{key}` names no file"), "write its path");
    }
    path.into()
}

fn text(check: &mut Checker, raw: &At<String>) -> String {
    check.no_quoted_reference(raw.place, &raw.value);
    raw.value.clone()
}
