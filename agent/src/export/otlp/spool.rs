//! The backlog: batches of closed windows on disk until the receiver has taken them, and how far windows were taken up.
//!
//! A batch is a file that names the cursors it moves, so that both are stored at once: after a crash every window is
//! either in a file or still to be taken up. Files are written beside their place, synced and renamed.

use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use streamgauge_proto::storage::v1::{PushBatch, PushCursor, PushCursors};
use xxhash_rust::xxh3::xxh3_64;

/// One kind of window of an aggregate: the aggregate's id, length and hop in milliseconds.
pub type Kind = (u64, i64, i64);

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: u64,
    pub age_ms: i64,
}

/// Windows that were given up, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The backlog was full.
    pub size: u64,
    /// They had waited too long.
    pub age: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    bytes: u64,
    created_at_ms: i64,
    windows: u32,
    cursors: Vec<PushCursor>,
}

/// The backlog in its folder.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    waiting: VecDeque<Waiting>,
    bytes: u64,
    next: u64,
    cursors: BTreeMap<Kind, i64>,
}

const CURSORS: &str = "cursors";
const SUFFIX: &str = "batch";

impl Spool {
    /// Opens the folder, which is made if it is missing. Also tells how many files were damaged and had to go.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn open(dir: &Path, limits: Limits) -> io::Result<(Spool, u64)> {
        fs::create_dir_all(dir)?;
        let (mut numbers, mut damaged) = (Vec::new(), 0);
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(number), Some(SUFFIX)) => numbers.push(number),
                // Left behind by a crash in the middle of writing.
                (_, Some("new")) => fs::remove_file(&path)?,
                _ => {}
            }
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last| last + 1);
        let mut spool =
            Spool { dir: dir.to_owned(), limits, waiting: VecDeque::new(), bytes: 0, next, cursors: BTreeMap::new() };
        match read(&dir.join(CURSORS)).map(|bytes| bytes.and_then(|bytes| PushCursors::decode(bytes.as_slice()).ok())) {
            Ok(Some(stored)) => stored.cursors.iter().for_each(|cursor| spool.advance(cursor)),
            Ok(None) => damaged += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        for number in numbers {
            let path = spool.path(number);
            let bytes = fs::metadata(&path)?.len();
            match read(&path)?.and_then(|bytes| PushBatch::decode(bytes.as_slice()).ok()) {
                Some(batch) => {
                    batch.cursors.iter().for_each(|cursor| spool.advance(cursor));
                    spool.wait(number, bytes, &batch);
                }
                None => {
                    damaged += 1;
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok((spool, damaged))
    }

    /// How far windows of this kind were taken up: the end of the last one, Unix milliseconds.
    pub fn cursor(&self, kind: Kind) -> Option<i64> {
        self.cursors.get(&kind).copied()
    }

    /// How far the receiver has taken them, or they were given up.
    pub fn settled(&self, kind: Kind) -> Option<i64> {
        let first = self.waiting.iter().flat_map(|waiting| &waiting.cursors).find(|cursor| kind_of(cursor) == kind);
        first.map_or_else(|| self.cursor(kind), |cursor| cursor.before)
    }

    /// Windows and bytes that wait.
    pub fn backlog(&self) -> (u64, u64) {
        (self.waiting.iter().map(|waiting| u64::from(waiting.windows)).sum(), self.bytes)
    }

    /// Stores a batch; the oldest ones make room for it.
    ///
    /// # Errors
    /// If it could not be written: then nothing has moved.
    pub fn store(&mut self, batch: &PushBatch) -> io::Result<Dropped> {
        let number = self.next;
        let bytes = self.write(&format!("{number:020}.{SUFFIX}"), &batch.encode_to_vec())?;
        self.next += 1;
        batch.cursors.iter().for_each(|cursor| self.advance(cursor));
        self.wait(number, bytes, batch);
        let mut dropped = self.expire(batch.created_at_ms);
        // One batch may always wait, however small the limit is.
        while self.bytes > self.limits.bytes && self.waiting.len() > 1 {
            dropped.size += self.drop_first();
        }
        let cursor = |(&(aggregate, size_ms, hop_ms), &through): (&Kind, &i64)| PushCursor {
            aggregate,
            size_ms,
            hop_ms,
            through,
            before: None,
        };
        let cursors = PushCursors { cursors: self.cursors.iter().map(cursor).collect() };
        self.write(CURSORS, &cursors.encode_to_vec())?;
        Ok(dropped)
    }

    /// Gives up what has waited too long at `now`, Unix milliseconds.
    pub fn expire(&mut self, now: i64) -> Dropped {
        let mut dropped = Dropped::default();
        while self.waiting.front().is_some_and(|first| now.saturating_sub(first.created_at_ms) > self.limits.age_ms) {
            dropped.age += self.drop_first();
        }
        dropped
    }

    /// The oldest batch: its number and its request. `None` if nothing waits.
    ///
    /// # Errors
    /// If its file cannot be read any more.
    pub fn first(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(first) = self.waiting.front() else { return Ok(None) };
        let batch = read(&self.path(first.number))?.and_then(|bytes| PushBatch::decode(bytes.as_slice()).ok());
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a batch of the backlog is damaged");
        Ok(Some((first.number, batch.ok_or_else(damaged)?.request)))
    }

    /// The receiver has this batch, or will never take it; how many windows were in it.
    pub fn done(&mut self, number: u64) -> u64 {
        // It may have been dropped to make room while it was on its way.
        if self.waiting.front().is_some_and(|first| first.number == number) { self.drop_first() } else { 0 }
    }

    /// Gives up the oldest batch.
    pub fn drop_first(&mut self) -> u64 {
        let Some(first) = self.waiting.pop_front() else { return 0 };
        self.bytes -= first.bytes;
        // If it stays, it is pushed once more after a restart: the same numbers at the same times.
        if let Err(error) = fs::remove_file(self.path(first.number)) {
            tracing::warn!(batch = first.number, "a pushed batch could not be removed: {error}");
        }
        u64::from(first.windows)
    }

    fn wait(&mut self, number: u64, bytes: u64, batch: &PushBatch) {
        let (created_at_ms, windows, cursors) = (batch.created_at_ms, batch.windows, batch.cursors.clone());
        self.waiting.push_back(Waiting { number, bytes, created_at_ms, windows, cursors });
        self.bytes += bytes;
    }

    fn advance(&mut self, cursor: &PushCursor) {
        let through = self.cursors.entry(kind_of(cursor)).or_insert(cursor.through);
        *through = cursor.through.max(*through);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.{SUFFIX}"))
    }

    /// Writes a file that is whole or not there; its size.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<u64> {
        let new = self.dir.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&xxh3_64(content).to_le_bytes())?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(content.len() as u64 + 8)
    }
}

fn kind_of(cursor: &PushCursor) -> Kind {
    (cursor.aggregate, cursor.size_ms, cursor.hop_ms)
}

/// A file's content; `None` if its checksum does not hold.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = fs::read(path)?;
    let Some((sum, content)) = bytes.split_at_checked(8) else { return Ok(None) };
    Ok((xxh3_64(content).to_le_bytes() == sum).then(|| content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = (7, 60_000, 60_000);
    const ROOMY: Limits = Limits { bytes: 1 << 20, age_ms: 1_000 };

    fn batch(at: i64, through: i64) -> PushBatch {
        let (aggregate, size_ms, hop_ms) = KIND;
        let before = (through > 60_000).then(|| through - 60_000);
        PushBatch {
            created_at_ms: at,
            windows: 1,
            cursors: vec![PushCursor { aggregate, size_ms, hop_ms, through, before }],
            request: vec![through as u8; 1_000],
        }
    }

    #[test]
    fn batches_come_out_in_order_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), ROOMY).unwrap();
        for minute in 1..=3 {
            assert_eq!(spool.store(&batch(0, minute * 60_000)).unwrap(), Dropped::default());
        }
        let (first, request) = spool.first().unwrap().unwrap();
        assert_eq!(request, batch(0, 60_000).request);
        assert_eq!((spool.settled(KIND), spool.cursor(KIND)), (None, Some(180_000)));
        assert_eq!(spool.done(first), 1);
        assert_eq!(spool.settled(KIND), Some(60_000));
        drop(spool);

        let (mut spool, damaged) = Spool::open(dir.path(), ROOMY).unwrap();
        assert_eq!((damaged, spool.backlog().0, spool.cursor(KIND)), (0, 2, Some(180_000)));
        let (second, request) = spool.first().unwrap().unwrap();
        assert_eq!(request, batch(0, 120_000).request);
        assert_eq!(spool.done(first), 0, "what is gone is not counted twice");
        spool.done(second);
        spool.drop_first();
        assert_eq!((spool.settled(KIND), spool.backlog()), (Some(180_000), (0, 0)));
        drop(spool);
        let (spool, _) = Spool::open(dir.path(), ROOMY).unwrap();
        assert_eq!(spool.cursor(KIND), Some(180_000), "what was pushed is not taken up again");
    }

    #[test]
    fn a_full_backlog_drops_its_oldest_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), Limits { bytes: 2_500, age_ms: 1_000 }).unwrap();
        spool.store(&batch(0, 60_000)).unwrap();
        spool.store(&batch(0, 120_000)).unwrap();
        assert_eq!(spool.store(&batch(0, 180_000)).unwrap(), Dropped { size: 1, age: 0 });
        assert_eq!(spool.first().unwrap().unwrap().1, batch(0, 120_000).request);
        assert!(spool.backlog().1 <= 2_500);
        assert_eq!(spool.expire(1_000), Dropped::default());
        assert_eq!(spool.expire(1_001), Dropped { size: 0, age: 2 });
        assert!(spool.first().unwrap().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the cursors alone are left");
    }

    #[test]
    fn a_crash_between_a_batch_and_the_cursors_loses_and_repeats_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), ROOMY).unwrap();
        spool.store(&batch(0, 60_000)).unwrap();
        let before = fs::read(dir.path().join(CURSORS)).unwrap();
        spool.store(&batch(0, 120_000)).unwrap();
        fs::write(dir.path().join(CURSORS), before).unwrap();
        fs::write(dir.path().join("00000000000000000009.batch.new"), "half").unwrap();
        let (spool, damaged) = Spool::open(dir.path(), ROOMY).unwrap();
        assert_eq!((damaged, spool.cursor(KIND), spool.backlog().0), (0, Some(120_000), 2));
    }

    #[test]
    fn damaged_files_are_counted_and_hold_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), ROOMY).unwrap();
        spool.store(&batch(0, 60_000)).unwrap();
        spool.store(&batch(0, 120_000)).unwrap();
        fs::write(dir.path().join(CURSORS), "x").unwrap();
        let first = spool.path(0);
        let mut bytes = fs::read(&first).unwrap();
        bytes[500] ^= 1;
        fs::write(&first, bytes).unwrap();
        assert_eq!(spool.first().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (spool, damaged) = Spool::open(dir.path(), ROOMY).unwrap();
        assert_eq!((damaged, spool.backlog().0, spool.cursor(KIND)), (2, 1, Some(120_000)));
    }
}
