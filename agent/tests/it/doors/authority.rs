//! A certificate authority of the test's own, and the files that locks name.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use tempfile::TempDir;

pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).expect("a certificate"), key }
    }

    /// Certificate and key in PEM, for a name and addresses that it is reached by.
    fn issue(&self, common_name: &str, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.certificate, &self.key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A directory with the files of locks and of their callers.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Files {
        Files(TempDir::with_prefix("streamgauge-doors-").expect("a temporary directory"))
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The same as text, for configs and arguments.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Replaced as a whole, as Kubernetes and careful people do it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).expect("it is written");
        fs::rename(new, self.path(name)).expect("it is renamed");
    }

    /// `NAME.pem`: the authority's certificate.
    pub fn authority(&self, name: &str, authority: &Authority) {
        self.write(&format!("{name}.pem"), authority.certificate.pem());
    }

    /// `NAME.pem` and `NAME.key`.
    pub fn pair(&self, name: &str, authority: &Authority, names: &[&str]) {
        let (certificate, key) = authority.issue(name, names);
        // The key first: whoever looks in between sees two that do not belong together, and looks again.
        self.write(&format!("{name}.key"), key);
        self.write(&format!("{name}.pem"), certificate);
    }
}
