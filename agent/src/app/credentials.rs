//! Files that the clients of Kafka are made of: certificates, keys, passwords. librdkafka reads them once for each client, so
//! that one of them has changed is said, with what to do: a restart takes it.

use crate::config::Kafka;
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// How often the files are looked at. Their contents are compared: Kubernetes swaps directories under them.
const LOOK: Duration = Duration::from_secs(5);
/// Such files are small.
const LARGEST: u64 = 1 << 20;

type Hash = [u8; 32];

struct Credential {
    property: String,
    path: PathBuf,
    /// Of what the clients were made of; `None`: of nothing that can be compared, such as a directory.
    used: Option<Hash>,
}

/// What the clients were made of, and what has become of it since.
pub struct Credentials {
    files: Vec<Credential>,
    notes: Mutex<Vec<String>>,
    metrics: Arc<Metrics>,
}

impl Credentials {
    /// To be called before the first client is made.
    pub fn of(kafka: &Kafka, metrics: Arc<Metrics>) -> Arc<Credentials> {
        let files = kafka.files.iter().map(|(property, path)| Credential {
            property: property.clone(),
            path: path.clone(),
            // A secret is in the config already, as it was when that was read.
            used: match kafka.properties.get(property).filter(|value| Path::new(value) != path) {
                Some(secret) => Some(hash(secret.as_bytes())),
                None => read(path).ok(),
            },
        });
        Arc::new(Credentials { files: files.collect(), notes: Mutex::default(), metrics })
    }

    /// What should be known of them, each in one line.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().clone()
    }

    /// Looks at the files until it is dropped.
    pub async fn watch(self: Arc<Self>) {
        while !self.files.is_empty() {
            tokio::time::sleep(LOOK).await;
            let credentials = self.clone();
            // It cannot panic; if it did, the next look would be as good.
            let _ = spawn_blocking(move || credentials.look()).await;
        }
    }

    fn look(&self) {
        let found: Vec<String> = self.files.iter().filter_map(Credential::note).collect();
        self.metrics.credentials_changed.set(found.len() as i64);
        let mut notes = self.notes.lock();
        found.iter().filter(|note| !notes.contains(note)).for_each(|note| tracing::warn!("{note}"));
        *notes = found;
    }
}

impl Credential {
    fn note(&self) -> Option<String> {
        let used = self.used?;
        let (path, property) = (self.path.display(), &self.property);
        match read(&self.path) {
            Ok(now) if now == used => None,
            Ok(_) => Some(format!(
                "{path} ({property}) has changed since it was read: restart the agent, so that it is used for Kafka"
            )),
            Err(error) => Some(format!(
                "{path} ({property}) cannot be read any more ({error}): the agent goes on with what it has read, a restart would fail"
            )),
        }
    }
}

/// Of the content without the newline at its end.
fn read(path: &Path) -> std::io::Result<Hash> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(hash(&bytes))
}

fn hash(content: &[u8]) -> Hash {
    let end = content.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &content[..end]).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_noted_until_it_is_what_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (ca, secret, gone) = (home.path().join("ca"), home.path().join("secret"), home.path().join("gone"));
        for (path, text) in [(&ca, "a"), (&secret, "s\n"), (&gone, "g")] {
            std::fs::write(path, text).unwrap();
        }
        let mut kafka = Kafka::reaching("x:1", Default::default());
        for (name, path) in [("ssl.ca.location", &ca), ("sasl.password", &secret), ("ssl.key.location", &gone)] {
            kafka.files.insert(name.to_owned(), path.clone());
            kafka.properties.insert(name.to_owned(), path.display().to_string());
        }
        kafka.properties.insert("sasl.password".to_owned(), "s".to_owned());
        kafka.files.insert("ssl.crl.location".to_owned(), home.path().to_owned());
        let metrics = Arc::new(Metrics::new());
        let credentials = Credentials::of(&kafka, metrics.clone());
        credentials.look();
        assert_eq!(credentials.notes(), [""; 0]);
        std::fs::write(&secret, "other").unwrap();
        std::fs::remove_file(&gone).unwrap();
        credentials.look();
        let notes = credentials.notes();
        assert!(notes[0].contains("secret (sasl.password) has changed"), "{notes:?}");
        assert!(notes[1].contains("(ssl.key.location) cannot be read any more"), "{notes:?}");
        assert_eq!((notes.len(), metrics.credentials_changed.get()), (2, 2));
        std::fs::write(&secret, "s").unwrap();
        std::fs::write(&gone, "g").unwrap();
        credentials.look();
        assert_eq!((credentials.notes().len(), metrics.credentials_changed.get()), (0, 0));
    }
}
