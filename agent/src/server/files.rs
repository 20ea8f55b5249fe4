//! Certificates, keys and tokens, read from files, with a fingerprint of what was in them.

use super::identities::{Hash, sha256};
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Such files are small: a larger one is something else.
const LARGEST: u64 = 1 << 20;

/// Reads files, and remembers what was in them.
#[derive(Default)]
pub struct Files {
    seen: RefCell<Vec<u8>>,
}

impl Files {
    /// # Errors
    /// One line: which file cannot be read, and why.
    pub fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("{} is larger than 1 MiB; is it the right file?", path.display()));
        }
        self.seen.borrow_mut().extend(sha256(&bytes));
        Ok(bytes)
    }

    /// # Errors
    /// One line: which file cannot be read, and why.
    pub fn text(&self, path: &Path) -> Result<String, String> {
        String::from_utf8(self.bytes(path)?).map_err(|_| format!("{} is not UTF-8 text", path.display()))
    }

    /// Of everything that was read, in its order.
    pub fn fingerprint(&self) -> Hash {
        sha256(&self.seen.borrow())
    }
}
