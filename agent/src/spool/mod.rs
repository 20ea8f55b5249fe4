//! A bounded queue of records on disk: what is in it survives the process, and is taken out in the order in which it went in.
//!
//! Records stand one after the other in **segments**, files that are named by the number of their first record. A group of
//! records is written and synced at once; only then is it in the queue. Whoever reads says which records are done with, in any
//! order; how far all are done with is kept in a small file of its own, and segments are removed when all of them is. After a
//! crash a record may come out once more, and a record whose group was not synced may come out or not.
//!
//! Files, not a database: records stream through and nothing is looked up by a key, and a group costs one write and one sync.

#![forbid(unsafe_code)]

mod cursor;
mod segment;
#[cfg(test)]
mod tests;

use crate::failpoint;
use cursor::Cursor;
use segment::{Reading, Segment, Writing};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What may be in the queue.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All segments together. Bytes.
    pub bytes: u64,
    /// A segment that is as large gets no more records. Bytes.
    pub segment_bytes: u64,
}

/// A record on its way in, with the time that tells how long it waits: Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub time: i64,
    pub bytes: &'a [u8],
}

/// A record on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub number: u64,
    pub time: i64,
    pub bytes: Vec<u8>,
}

/// Why records did not get in. None of them did.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the spool is full")]
    Full,
    #[error("the spool cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// What was found when the queue was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that wait.
    pub records: u64,
    /// Records whose bytes are damaged or missing, although others follow them.
    pub damaged: u64,
}

/// A record that was read and is not yet done with, or is, although one before it is not.
#[derive(Debug)]
struct Out {
    time: i64,
    done: bool,
}

/// The queue in its folder. One process has it at a time.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    /// In order; the last one is written to, if `writing` has it.
    segments: VecDeque<Segment>,
    writing: Option<Writing>,
    reading: Option<Reading>,
    cursor: Cursor,
    /// The first record that is not done with.
    head: u64,
    /// The next record to be read; `out` is what lies between `head` and this one.
    next: u64,
    out: VecDeque<Out>,
    /// Of `out`, those that are done with.
    done_out_of_turn: u64,
    /// The number of the next record to be written.
    end: u64,
}

impl Spool {
    /// Opens the folder, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn open(dir: &Path, limits: Limits) -> io::Result<(Spool, Found)> {
        fs::create_dir_all(dir)?;
        let (mut segments, damaged) = segment::list(dir)?;
        let cursor = Cursor::open(dir)?;
        let mut found = Found { records: 0, damaged };
        let done = cursor.number();
        while segments.front().is_some_and(|first| first.end <= done) {
            segments.pop_front().iter().try_for_each(|segment| fs::remove_file(segment.path(dir)))?;
        }
        let head = segments.front().map_or(done, |first| first.first.max(done));
        let end = segments.back().map_or(done, |last| last.end).max(done);
        found.records = segments.iter().map(|segment| segment.end - segment.first.max(head)).sum();
        let spool = Spool {
            dir: dir.to_owned(),
            limits,
            segments,
            writing: None,
            reading: None,
            cursor,
            head,
            next: head,
            out: VecDeque::new(),
            done_out_of_turn: 0,
            end,
        };
        Ok((spool, found))
    }

    /// Records that are in the queue and not done with.
    pub fn records(&self) -> u64 {
        let waiting = |segment: &Segment| segment.end.saturating_sub(segment.first.max(self.head));
        self.segments.iter().map(waiting).sum::<u64>() - self.done_out_of_turn
    }

    pub fn is_empty(&self) -> bool {
        self.head == self.end
    }

    /// Size of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The time of the first record that is not done with; `None` if there is none, or it cannot be read.
    pub fn oldest(&mut self) -> Option<i64> {
        if let Some(first) = self.out.front() {
            return Some(first.time);
        }
        let position = self.find_next().ok()??;
        position.peek_time().ok().flatten()
    }

    /// What the limit leaves. Bytes.
    pub fn room(&self) -> u64 {
        self.limits.bytes.saturating_sub(self.bytes())
    }

    /// Writes records and syncs them; the number of the first.
    ///
    /// # Errors
    /// If they do not fit, or could not be written and synced: then none of them is in the queue.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<u64, AppendError> {
        let size = segment::size_of(records);
        if size > self.room() {
            return Err(AppendError::Full);
        }
        self.append_anyway(records)
    }

    /// The same, whatever the limit is: for what would be lost otherwise.
    ///
    /// # Errors
    /// If they could not be written and synced.
    pub fn append_anyway(&mut self, records: &[Record<'_>]) -> Result<u64, AppendError> {
        let first_number = self.end;
        if records.is_empty() {
            return Ok(first_number);
        }
        let full = |segment: &Segment| segment.bytes >= self.limits.segment_bytes;
        if self.segments.back().is_none_or(full) {
            self.writing = None;
        }
        let writing = match &mut self.writing {
            Some(writing) => writing,
            None => {
                let (segment, writing) = Segment::create(&self.dir, self.end)?;
                self.segments.push_back(segment);
                self.writing.insert(writing)
            }
        };
        let Some(segment) = self.segments.back_mut() else { return Ok(first_number) };
        match writing.append(segment, records) {
            Ok(()) => {
                self.end = segment.end;
                Ok(first_number)
            }
            Err(error) => {
                // What stands behind its end is read by nobody, and a file whose sync has failed is not trusted again.
                self.writing = None;
                if segment.first == segment.end {
                    let path = segment.path(&self.dir);
                    self.segments.pop_back();
                    fs::remove_file(path)?;
                }
                Err(error.into())
            }
        }
    }

    /// The next record that was not read since the queue was opened. Damaged ones are passed over; `damaged` gets how many.
    ///
    /// # Errors
    /// If the disk cannot be read; the next call tries it again.
    pub fn read(&mut self, damaged: &mut u64) -> io::Result<Option<Stored>> {
        loop {
            let Some(reading) = self.find_next()? else { return Ok(None) };
            let end = reading.end();
            match reading.read()? {
                Some(stored) => {
                    self.next = stored.number + 1;
                    self.out.push_back(Out { time: stored.time, done: false });
                    return Ok(Some(stored));
                }
                None => {
                    // The rest of this segment is lost.
                    *damaged += end - self.next;
                    self.done_out_of_turn += end - self.next;
                    self.out.extend((self.next..end).map(|_| Out { time: 0, done: true }));
                    self.next = end;
                    self.advance();
                }
            }
        }
    }

    /// This record is done with.
    pub fn done(&mut self, number: u64) {
        let place = number.checked_sub(self.head).and_then(|place| usize::try_from(place).ok());
        if let Some(out) = place.and_then(|place| self.out.get_mut(place)) {
            self.done_out_of_turn += u64::from(!out.done);
            out.done = true;
            self.advance();
        }
    }

    /// Stores how far all records are done with. What is not stored when the process dies comes out once more.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&mut self) -> io::Result<()> {
        self.cursor.store(self.head)?;
        failpoint::hit("spool.saved");
        Ok(())
    }

    /// Moves the head past what is done with, and removes segments that lie behind it.
    fn advance(&mut self) {
        while self.out.front().is_some_and(|first| first.done) {
            self.out.pop_front();
            self.done_out_of_turn -= 1;
            self.head += 1;
        }
        while let Some(first) = self.segments.front() {
            // The last one stays until it is full: a new file for each record costs more than the record.
            let is_last = self.segments.len() == 1;
            if first.end > self.head || (is_last && first.bytes < self.limits.segment_bytes) {
                break;
            }
            let path = first.path(&self.dir);
            self.segments.pop_front();
            if is_last {
                self.writing = None;
            }
            if self.reading.as_ref().is_some_and(|reading| reading.end() <= self.head) {
                self.reading = None;
            }
            // Before the file goes, so that its number is not given again.
            let removed = self.save().and_then(|()| fs::remove_file(&path));
            failpoint::hit("spool.removed");
            if let Err(error) = removed {
                tracing::warn!(
                    "a spool's file that is no longer needed cannot be removed: {}: {error}",
                    path.display()
                );
            }
        }
    }

    /// Where the next record is read; `None` if all of them have been.
    fn find_next(&mut self) -> io::Result<Option<&mut Reading>> {
        let Some(segment) = self.segments.iter().find(|segment| segment.end > self.next) else { return Ok(None) };
        if segment.first > self.next {
            // Numbers are missing here. What lies before them is finished first, so that the head can step over them.
            if !self.out.is_empty() {
                return Ok(None);
            }
            (self.head, self.next) = (segment.first, segment.first);
        }
        let open = self.reading.as_ref().is_some_and(|reading| reading.is_at(segment.first, self.next));
        if !open {
            self.reading = Some(Reading::open(&self.dir, segment, self.next)?);
        }
        if let Some(reading) = &mut self.reading {
            reading.reaches(segment.end);
        }
        Ok(self.reading.as_mut())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // If it fails, records come out once more.
        let _ = self.save();
    }
}

/// Makes a folder's changes last.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
