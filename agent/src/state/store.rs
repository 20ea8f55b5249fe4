//! A task's redb file: its entries and the checkpoint they belong to, always written together.
//!
//! The file is a cache of the changelog's truth that makes a restart fast. Whatever is wrong with it, the answer is to
//! throw it away and read the changelog.

use prost::Message;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use streamgauge_proto::storage::v1::Checkpoint;

const ENTRIES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const CHECKPOINT: &str = "checkpoint";

/// The version of this file's layout; a newer one is refused.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unreadable: to be thrown away and rebuilt.
    #[error("state file {path}: {error}")]
    Corrupt { path: PathBuf, error: String },
    /// The disk says no: full, read-only, no rights.
    #[error("state file {path}: {error}; check space and rights of the state directory")]
    Unwritable { path: PathBuf, error: String },
    /// Another holder has it open; it is about to be closed.
    #[error("state file {path} is open elsewhere")]
    Busy { path: PathBuf },
    #[error(
        "state file {path} has format {found}, newer than this version's {FORMAT_VERSION}; run the newer version, or delete the file to rebuild it from the changelog"
    )]
    Newer { path: PathBuf, found: u32 },
}

/// Changes since the last write: a value, or `None` for a removed entry.
pub type Changes = std::collections::HashMap<Vec<u8>, Option<Vec<u8>>, rustc_hash::FxBuildHasher>;

type Opening = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send + Sync>;

pub struct Store {
    /// `None` after a write that failed, until the next one.
    database: Option<Database>,
    path: PathBuf,
    opening: Opening,
}

impl Store {
    /// Opens or makes the file. `cache_bytes` bounds redb's page cache for it.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Store, StoreError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|e| StoreError::Unwritable { path: path.to_owned(), error: e.to_string() })?;
        }
        let file = path.to_owned();
        Store::made_by(path, Box::new(move || Database::builder().set_cache_size(cache_bytes).create(&file)))
    }

    fn made_by(path: &Path, opening: Opening) -> Result<Store, StoreError> {
        let mut store = Store { database: None, path: path.to_owned(), opening };
        store.open_again()?;
        if let Some(checkpoint) = store.checkpoint()?
            && checkpoint.format_version > FORMAT_VERSION
        {
            return Err(StoreError::Newer { path: path.to_owned(), found: checkpoint.format_version });
        }
        Ok(store)
    }

    fn open_again(&mut self) -> Result<(), StoreError> {
        let open = || (self.opening)().map_err(|error| opening_failed(&self.path, error));
        self.database = Some(unharmed(&self.path, open)?);
        Ok(())
    }

    /// Deletes the file; the next [`Store::open`] begins with an empty one.
    pub fn discard(path: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What the entries are the state of; `None` in a new file.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        unharmed(&self.path, || self.read_checkpoint())
    }

    fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let read = self.database()?.begin_read().map_err(|e| self.corrupt(e))?;
        let table = match read.open_table(META) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            table => table.map_err(|e| self.corrupt(e))?,
        };
        let Some(bytes) = table.get(CHECKPOINT).map_err(|e| self.corrupt(e))? else { return Ok(None) };
        Checkpoint::decode(bytes.value()).map(Some).map_err(|e| self.corrupt(e))
    }

    /// Calls `each` with every entry's key and value, in key order.
    pub fn entries(&self, each: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        unharmed(&self.path, || self.read_entries(each))
    }

    fn read_entries(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let read = self.database()?.begin_read().map_err(|e| self.corrupt(e))?;
        let table = match read.open_table(ENTRIES) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table.map_err(|e| self.corrupt(e))?,
        };
        for entry in table.iter().map_err(|e| self.corrupt(e))? {
            let (key, value) = entry.map_err(|e| self.corrupt(e))?;
            each(key.value(), value.value());
        }
        Ok(())
    }

    /// Writes changes and the checkpoint they lead to, in one durable transaction; of the same key, the last one stays. May
    /// be tried again after an error.
    pub fn write<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        changes: impl IntoIterator<Item = (K, Option<V>)>,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        if self.database.is_none() {
            self.open_again()?;
        }
        let result = unharmed(&self.path, || self.write_all(changes, checkpoint));
        if result.is_err() {
            // After a failed write redb refuses all others, until the file is opened anew.
            self.close();
        }
        result
    }

    fn close(&mut self) {
        let database = self.database.take();
        // Closing writes, too; what is damaged is found out at the next opening.
        let _ = unharmed(&self.path, || {
            drop(database);
            Ok(())
        });
    }

    fn write_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<V>)>,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        let mut write = self.database()?.begin_write().map_err(|e| self.unwritable(e))?;
        write.set_durability(Durability::Immediate).map_err(|e| self.unwritable(e))?;
        {
            let mut entries = write.open_table(ENTRIES).map_err(|e| self.unwritable(e))?;
            for (key, value) in changes {
                let key = key.as_ref();
                match value {
                    Some(value) => drop(entries.insert(key, value.as_ref()).map_err(|e| self.unwritable(e))?),
                    None => drop(entries.remove(key).map_err(|e| self.unwritable(e))?),
                }
            }
            let mut meta = write.open_table(META).map_err(|e| self.unwritable(e))?;
            meta.insert(CHECKPOINT, &checkpoint.encode_to_vec()[..]).map_err(|e| self.unwritable(e))?;
        }
        write.commit().map_err(|e| self.unwritable(e))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(|| self.unwritable("closed after a write that failed"))
    }

    fn corrupt(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), error: error.to_string() }
    }

    fn unwritable(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError::Unwritable { path: self.path.clone(), error: error.to_string() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// redb trusts a file whose header is sound, and may panic over one that is damaged further in. That, too, only means
/// that the file is to be thrown away.
fn unharmed<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let damaged = |_| Err(StoreError::Corrupt { path: path.to_owned(), error: "damaged inside".into() });
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(damaged)
}

fn opening_failed(path: &Path, error: redb::DatabaseError) -> StoreError {
    let (path, text) = (path.to_owned(), error.to_string());
    match error {
        redb::DatabaseError::Storage(redb::StorageError::Io(io))
            if !matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::Unwritable { path, error: text }
        }
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::Busy { path },
        _ => StoreError::Corrupt { path, error: text },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use redb::StorageBackend;
    use redb::backends::FileBackend;
    use std::fs::File;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn checkpoint(offset: i64) -> Checkpoint {
        Checkpoint { format_version: FORMAT_VERSION, changelog_offset: offset, ..Default::default() }
    }

    fn listed(changes: &Changes) -> impl Iterator<Item = (&Vec<u8>, Option<&Vec<u8>>)> {
        changes.iter().map(|(key, value)| (key, value.as_ref()))
    }

    pub fn contents(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        store.entries(|key, value| all.push((key.to_vec(), value.to_vec()))).unwrap();
        all
    }

    #[test]
    fn entries_and_checkpoint_come_back_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("topic/0.redb");
        let mut store = Store::open(&path, 1 << 20).unwrap();
        assert_eq!(store.checkpoint().unwrap(), None);
        let mut changes = Changes::default();
        changes.insert(b"a".to_vec(), Some(b"1".to_vec()));
        changes.insert(b"b".to_vec(), Some(b"2".to_vec()));
        store.write(listed(&changes), &checkpoint(7)).unwrap();
        changes.clear();
        changes.insert(b"a".to_vec(), None);
        store.write(listed(&changes), &checkpoint(9)).unwrap();
        drop(store);
        let store = Store::open(&path, 1 << 20).unwrap();
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(9)));
        assert_eq!(contents(&store), [(b"b".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn a_file_of_garbage_is_corrupt_and_can_be_discarded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        std::fs::write(&path, vec![0x5a; 8192]).unwrap();
        assert!(matches!(Store::open(&path, 1 << 20), Err(StoreError::Corrupt { .. })));
        Store::discard(&path).unwrap();
        assert!(Store::open(&path, 1 << 20).is_ok());
    }

    #[test]
    fn damage_anywhere_in_a_file_is_an_error_or_harmless_but_never_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        let mut changes = Changes::default();
        for key in 0..2_000_u32 {
            changes.insert(key.to_be_bytes().to_vec(), Some(vec![key as u8; 40]));
        }
        Store::open(&path, 1 << 20).unwrap().write(listed(&changes), &checkpoint(7)).unwrap();
        let sound = std::fs::read(&path).unwrap();
        let mut refused = 0;
        for nth in 0..60 {
            let mut bytes = sound.clone();
            for at in (nth * 97..bytes.len()).step_by(1_000 + nth * 300) {
                bytes[at] ^= 1 << (nth % 8);
            }
            std::fs::write(&path, bytes).unwrap();
            let worked = Store::open(&path, 1 << 20).and_then(|mut store| {
                store.entries(|_, _| {})?;
                store.write(listed(&changes), &checkpoint(8))
            });
            refused += usize::from(worked.is_err());
        }
        assert!(refused > 10, "{refused} of 60 were refused");
    }

    /// A file on a disk that can be full: then nothing is written, and the file does not grow.
    #[derive(Debug)]
    struct Disk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            let full = self.is_full.load(Ordering::Relaxed);
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room().and_then(|()| self.file.set_len(len))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.file.write(offset, data))
        }
    }

    /// A store on a disk that is full while `is_full` says so.
    pub fn on_disk(path: &Path, is_full: &Arc<AtomicBool>) -> Store {
        let (full, place) = (is_full.clone(), path.to_owned());
        let opening = move || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&place)?;
            Database::builder().create_with_backend(Disk { file: FileBackend::new(file)?, is_full: full.clone() })
        };
        Store::made_by(path, Box::new(opening)).unwrap()
    }

    #[test]
    fn a_full_disk_keeps_the_last_checkpoint_and_takes_the_next_one_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        let is_full = Arc::new(AtomicBool::new(false));
        let mut store = on_disk(&path, &is_full);
        let change = |key: u32, bytes| Changes::from_iter([(key.to_be_bytes().to_vec(), Some(vec![7; bytes]))]);
        store.write(change(1, 10), &checkpoint(7)).unwrap();
        is_full.store(true, Ordering::Relaxed);
        // It has to grow for this one.
        for _ in 0..3 {
            let refused = store.write(change(2, 4 << 20), &checkpoint(8));
            assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
        }
        is_full.store(false, Ordering::Relaxed);
        store.write(change(3, 10), &checkpoint(9)).unwrap();
        drop(store);
        let store = Store::open(&path, 1 << 20).unwrap();
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(9)));
        let keys: Vec<_> = contents(&store).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [1_u32, 3].map(|key| key.to_be_bytes().to_vec()));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        let newer = Checkpoint { format_version: FORMAT_VERSION + 1, ..Default::default() };
        Store::open(&path, 1 << 20).unwrap().write(Changes::default(), &newer).unwrap();
        assert!(
            matches!(Store::open(&path, 1 << 20), Err(StoreError::Newer { found, .. }) if found == FORMAT_VERSION + 1)
        );
    }
}
