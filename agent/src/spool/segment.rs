//! One file of the queue: a head with its first record's number, then records with their checksums.

use super::{Record, Stored, sync_dir};
use crate::failpoint;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAGIC: &[u8; 8] = b"SGSPOOL1";
/// The magic and the first record's number.
const HEAD: u64 = 16;
/// A record's length, time and checksum.
const RECORD_HEAD: u64 = 4 + 8 + 8;
/// No record is larger: a length beyond it is damage.
const LARGEST: u32 = 1 << 30;
const SUFFIX: &str = "segment";

/// What is known of a file without reading it.
#[derive(Clone, Debug)]
pub struct Segment {
    pub first: u64,
    /// The number behind its last record.
    pub end: u64,
    /// Up to the end of its last record.
    pub bytes: u64,
}

impl Segment {
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{SUFFIX}", self.first))
    }

    /// Makes a file for records from `first` on.
    pub fn create(dir: &Path, first: u64) -> io::Result<(Segment, Writing)> {
        let segment = Segment { first, end: first, bytes: HEAD };
        let path = segment.path(dir);
        // What is there under this name has no whole record.
        let made = File::create(&path).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&first.to_le_bytes())?;
            failpoint::hit("spool.created");
            sync_dir(dir)?;
            Ok(Writing { file, buffer: Vec::new() })
        });
        if made.is_err() {
            drop(fs::remove_file(&path));
        }
        Ok((segment, made?))
    }
}

/// The files of a folder in order, and how many records between them are missing or damaged.
pub fn list(dir: &Path) -> io::Result<(VecDeque<Segment>, u64)> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some(SUFFIX)) = (number, path.extension().and_then(|extension| extension.to_str())) {
            firsts.push(number);
        }
    }
    firsts.sort_unstable();
    let (mut segments, mut damaged) = (VecDeque::<Segment>::new(), 0);
    for first in firsts {
        let segment = scan(dir, first)?;
        if let Some(before) = segments.back() {
            damaged += first.saturating_sub(before.end);
        }
        if segment.end > segment.first {
            segments.push_back(segment);
        } else {
            // Made, and the process died before its first record was whole.
            match fs::remove_file(segment.path(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok((segments, damaged))
}

/// Reads a file to the end of its last whole record.
fn scan(dir: &Path, first: u64) -> io::Result<Segment> {
    let mut segment = Segment { first, end: first, bytes: HEAD };
    let mut reading = match Reading::open(dir, &segment, first) {
        Ok(reading) => reading,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(segment),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            // Not one of ours, or damaged: kept for whoever wants to look, and out of the way.
            let path = segment.path(dir);
            tracing::error!("{} is not a spool's file any more; it is renamed to …damaged", path.display());
            fs::rename(&path, path.with_extension("damaged"))?;
            return Ok(segment);
        }
        Err(error) => return Err(error),
    };
    reading.end = u64::MAX;
    while reading.read()?.is_some() {
        segment.end += 1;
        segment.bytes = reading.position;
    }
    Ok(segment)
}

/// The open end of the last file.
#[derive(Debug)]
pub struct Writing {
    file: File,
    /// Used again for each group.
    buffer: Vec<u8>,
}

/// What records take on disk.
pub fn size_of(records: &[Record<'_>]) -> u64 {
    records.iter().map(|record| RECORD_HEAD + record.bytes.len() as u64).sum()
}

impl Writing {
    /// Writes and syncs a group behind the segment's end; on success the segment has it.
    pub fn append(&mut self, segment: &mut Segment, records: &[Record<'_>]) -> io::Result<()> {
        self.buffer.clear();
        for (number, record) in (segment.end..).zip(records) {
            let length = u32::try_from(record.bytes.len()).ok().filter(|length| *length <= LARGEST);
            let length =
                length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the record is too large"))?;
            self.buffer.extend_from_slice(&length.to_le_bytes());
            self.buffer.extend_from_slice(&record.time.to_le_bytes());
            self.buffer.extend_from_slice(&checksum(number, length, record.time, record.bytes).to_le_bytes());
            self.buffer.extend_from_slice(record.bytes);
        }
        self.file.seek(SeekFrom::Start(segment.bytes))?;
        self.file.write_all(&self.buffer)?;
        if failpoint::hit("spool.written") {
            return Err(io::Error::other("failpoint"));
        }
        self.file.sync_data()?;
        failpoint::hit("spool.synced");
        segment.end += records.len() as u64;
        segment.bytes += self.buffer.len() as u64;
        Ok(())
    }
}

/// A file that is read from one of its records on.
#[derive(Debug)]
pub struct Reading {
    file: BufReader<File>,
    first: u64,
    next: u64,
    end: u64,
    /// Of the next record, bytes.
    position: u64,
}

impl Reading {
    /// Opens a file at the record of that number.
    pub fn open(dir: &Path, segment: &Segment, number: u64) -> io::Result<Reading> {
        let mut file = BufReader::new(File::open(segment.path(dir))?);
        let mut head = [0; HEAD as usize];
        file.read_exact(&mut head)?;
        let (magic, first) = head.split_at(8);
        if magic != MAGIC || first != segment.first.to_le_bytes() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a spool's file"));
        }
        let mut reading = Reading { file, first: segment.first, next: segment.first, end: segment.end, position: HEAD };
        while reading.next < number {
            let Some((length, ..)) = reading.head()? else { break };
            reading.file.seek_relative(i64::from(length))?;
            reading.passed(length);
        }
        Ok(reading)
    }

    pub fn is_at(&self, first: u64, next: u64) -> bool {
        self.first == first && self.next == next
    }

    /// The number behind the last record that may be read.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Records up to this one have been written.
    pub fn reaches(&mut self, end: u64) {
        self.end = end;
    }

    /// The next record; `None` if there is none that is whole.
    pub fn read(&mut self) -> io::Result<Option<Stored>> {
        let result = self.read_at_position();
        if !matches!(result, Ok(Some(_))) {
            // The next attempt begins at the same place.
            self.file.seek(SeekFrom::Start(self.position))?;
        }
        result
    }

    fn read_at_position(&mut self) -> io::Result<Option<Stored>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let Some((length, time, sum)) = self.head()? else { return Ok(None) };
        let mut bytes = Vec::new();
        (&mut self.file).take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() != length as usize || checksum(self.next, length, time, &bytes) != sum {
            return Ok(None);
        }
        let number = self.next;
        self.passed(length);
        Ok(Some(Stored { number, time, bytes }))
    }

    /// The time of the next record, which stays the next one.
    pub fn peek_time(&mut self) -> io::Result<Option<i64>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let head = self.head();
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(head?.map(|(_, time, _)| time))
    }

    fn passed(&mut self, length: u32) {
        self.next += 1;
        self.position += RECORD_HEAD + u64::from(length);
    }

    /// Length, time and checksum of the next record.
    fn head(&mut self) -> io::Result<Option<(u32, i64, u64)>> {
        let mut head = [0; RECORD_HEAD as usize];
        match self.file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let [length, time, sum] = [&head[..4], &head[4..12], &head[12..]].map(|part| {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            u64::from_le_bytes(number)
        });
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Ok((length <= LARGEST).then_some((length, time as i64, sum)))
    }
}

/// Of the bytes and of where they stand: a record of an older file at the same place is not this one.
fn checksum(number: u64, length: u32, time: i64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, number ^ (u64::from(length) << 32) ^ time as u64)
}
