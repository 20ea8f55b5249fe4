//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The other end of a connection; each request has it among its extensions. Behind a trusted proxy, whom it speaks for.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: SocketAddr,
    /// The subject of its certificate, which one of the door's authorities has signed.
    pub subject: Option<Arc<Subject>>,
}

impl Default for Caller {
    fn default() -> Self {
        Caller { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), subject: None }
    }
}

/// The parts of a certificate's subject, in its order: `("CN", "ops")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Vec<(String, String)>);

impl Subject {
    /// Of a certificate in DER; `None` if it has none that can be read.
    pub fn of(certificate: &[u8]) -> Option<Subject> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut parts = Vec::new();
        for part in certificate.subject().iter_attributes() {
            let kind = x509_parser::objects::oid2abbrev(part.attr_type(), x509_parser::objects::oid_registry());
            let kind = kind.map_or_else(|_| part.attr_type().to_id_string(), str::to_owned);
            parts.push((kind, part.as_str().ok()?.to_owned()));
        }
        (!parts.is_empty()).then_some(Subject(parts))
    }

    /// Whether the config means this one: by its common name alone, or by all of its parts, in any order.
    pub fn is(&self, meant: &str) -> bool {
        if !meant.contains('=') {
            let mut names = self.0.iter().filter(|(kind, _)| kind == "CN");
            // Of two names, nobody can say which one counts.
            return names.next().is_some_and(|(_, name)| name == meant) && names.next().is_none();
        }
        let parts = meant.split(',').map(|part| part.split_once('=').unwrap_or((part, "")));
        let mut meant: Vec<_> = parts.map(|(kind, value)| (kind.trim().to_owned(), value.trim().to_owned())).collect();
        let mut own = self.0.clone();
        meant.sort();
        own.sort();
        meant == own
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(kind, value)| format!("{kind}={value}")).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::Subject;

    #[test]
    fn a_subject_is_meant_by_its_common_name_or_by_all_of_it() {
        let subject = Subject(vec![("O".into(), "b".into()), ("CN".into(), "a".into())]);
        assert!(subject.is("a") && subject.is("CN=a, O=b") && subject.is("O=b,CN=a"));
        assert!(!subject.is("b") && !subject.is("CN=a") && !subject.is("CN=a,O=b,OU=c"));
        let forged = Subject(vec![("CN".into(), "a, O=b".into())]);
        assert!(!forged.is("CN=a, O=b") && !forged.is("a"));
        assert!(!Subject(vec![("CN".into(), "a".into()), ("CN".into(), "b".into())]).is("a"));
    }
}
