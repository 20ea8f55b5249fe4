//! The state directory: locked by one process, and home of this agent's stable id.

use super::TaskId;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("{path} is no state directory: there is no instance-id in it; -c FILE or --dir names the right one")]
    NotThere { path: PathBuf },
    #[error("state directory {path} is in use by another process; give each agent a directory of its own (state.dir)")]
    Locked { path: PathBuf },
    #[error("state directory {path}: {error}; make it writable for this user, or set state.dir")]
    Unwritable { path: PathBuf, error: std::io::Error },
}

/// A locked state directory. The lock ends with this value, or with the process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    instance: String,
    _lock: File,
}

impl StateDir {
    /// Locks `path`, which is made if it is missing; takes the agent's id from it, or gives it one.
    pub fn open(path: &Path) -> Result<StateDir, StateDirError> {
        let unwritable = |error| StateDirError::Unwritable { path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(unwritable)?;
        let file = path.join("instance-id");
        let mut lock =
            File::options().read(true).write(true).create(true).truncate(false).open(file).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let mut instance = String::new();
        lock.read_to_string(&mut instance).map_err(unwritable)?;
        let mut instance = instance.trim().to_owned();
        if instance.is_empty() {
            instance = format!("sg-{:016x}", rand::random::<u64>());
            lock.write_all(instance.as_bytes()).and_then(|()| lock.sync_all()).map_err(unwritable)?;
        }
        Ok(StateDir { path: path.to_owned(), instance, _lock: lock })
    }

    /// Locks a directory that an agent has left; makes nothing.
    pub fn existing(path: &Path) -> Result<StateDir, StateDirError> {
        if !path.join("instance-id").is_file() {
            return Err(StateDirError::NotThere { path: path.to_owned() });
        }
        StateDir::open(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tasks' files that are there, by topic and partition.
    pub fn task_files(&self) -> std::io::Result<Vec<(TaskId, PathBuf)>> {
        let mut found = Vec::new();
        for topic in entries_of(&self.path.join("tasks"))? {
            let name: Arc<str> = topic.file_name().unwrap_or_default().to_string_lossy().into();
            for file in entries_of(&topic)? {
                let stem = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".redb")?.parse().ok());
                if let Some(partition) = stem {
                    found.push((TaskId { topic: name.clone(), partition }, file));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Stable id of the agent that owns this directory.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Where accepted events wait for the brokers.
    pub fn ingest_dir(&self) -> PathBuf {
        self.path.join("ingest")
    }

    /// Where what is to be pushed over OTLP waits.
    pub fn otlp_dir(&self) -> PathBuf {
        self.path.join("otlp")
    }

    /// Where a task's redb file is.
    pub fn task_file(&self, topic: &str, partition: i32) -> PathBuf {
        self.path.join("tasks").join(topic).join(format!("{partition}.redb"))
    }
}

/// What is in a directory; nothing if there is none.
fn entries_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_a_second_holder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        let id = first.instance().to_owned();
        assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::Locked { .. })));
        drop(first);
        assert_eq!(StateDir::open(dir.path()).unwrap().instance(), id);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDir::open(file.path()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
