//! Lines of a file as they are written to it, or of standard input.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError};

/// A longer line is left out. Bytes.
const LONGEST: usize = 1 << 20;
/// Lines of standard input that are read ahead.
const AHEAD: usize = 1_000;
/// How long one is waited for before the caller may look around.
const WAIT: Duration = Duration::from_millis(100);

/// Whether there is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Event,
    /// Perhaps later.
    NotYet,
    End,
}

/// Where lines come from. Blank ones are left out.
pub(super) struct Lines {
    from: From,
    /// Lines that were too long.
    pub too_long: u64,
}

enum From {
    File(Tail),
    /// Read on a thread of its own: a read that waits cannot be told to stop.
    Stdin(Receiver<io::Result<Read>>),
}

enum Read {
    Line(Vec<u8>),
    TooLong,
}

impl Lines {
    /// `path`: `-` is standard input. `follow`: the end of the file is not the end, and a file that takes its place goes on.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, follow: bool) -> anyhow::Result<Lines> {
        let from = match path.as_os_str() == "-" {
            true => From::Stdin(stdin().context("no thread for standard input")?),
            false => From::File(Tail::open(path, follow).with_context(|| path.display().to_string())?),
        };
        Ok(Lines { from, too_long: 0 })
    }

    /// The next line, without its end.
    pub fn next(&mut self, line: &mut Vec<u8>) -> anyhow::Result<Next> {
        loop {
            let read = match &mut self.from {
                From::File(tail) => tail.next().with_context(|| tail.path.display().to_string())?,
                From::Stdin(lines) => match lines.recv_timeout(WAIT) {
                    Ok(read) => Some(read.context("standard input")?),
                    Err(RecvTimeoutError::Timeout) => return Ok(Next::NotYet),
                    Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
                },
            };
            match read {
                Some(Read::Line(read)) if read.iter().all(u8::is_ascii_whitespace) => {}
                Some(Read::Line(read)) => {
                    *line = read;
                    return Ok(Next::Event);
                }
                Some(Read::TooLong) => {
                    self.too_long += 1;
                    if self.too_long == 1 {
                        eprintln!("a line is longer than 1 MiB and left out, as are others like it");
                    }
                }
                None if matches!(&self.from, From::File(tail) if tail.follow) => return Ok(Next::NotYet),
                None => return Ok(Next::End),
            }
        }
    }
}

fn stdin() -> io::Result<Receiver<io::Result<Read>>> {
    let (sender, receiver) = crossbeam_channel::bounded(AHEAD);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let (mut input, mut part) = (io::stdin().lock(), Part::default());
        loop {
            let read = match part.fill(&mut input) {
                Ok(Some(read)) => Ok(read),
                Ok(None) => {
                    part.rest().into_iter().for_each(|last| drop(sender.send(Ok(last))));
                    return;
                }
                Err(error) => Err(error),
            };
            let ends = read.is_err();
            if sender.send(read).is_err() || ends {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// What has been read of a line.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    /// It is too long, and the rest of it is thrown away.
    over: bool,
    /// Bytes that were taken from the file.
    taken: u64,
}

impl Part {
    /// Reads on to the line's end; `None`: there is no more yet.
    fn fill(&mut self, input: &mut impl BufRead) -> io::Result<Option<Read>> {
        loop {
            let piece = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let content = &piece[..end.unwrap_or(piece.len())];
            if self.bytes.len() + content.len() > LONGEST {
                (self.over, self.bytes) = (true, Vec::new());
            }
            if !self.over {
                self.bytes.extend_from_slice(content);
            }
            let used = content.len() + usize::from(end.is_some());
            input.consume(used);
            self.taken += used as u64;
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    /// A last line that has no end.
    fn rest(&mut self) -> Option<Read> {
        (self.over || !self.bytes.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Read {
        let mut line = std::mem::take(&mut self.bytes);
        if std::mem::take(&mut self.over) {
            return Read::TooLong;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Read::Line(line)
    }
}

/// A file that may grow, be cut to nothing, or be replaced by another one of the same name.
struct Tail {
    path: PathBuf,
    follow: bool,
    file: BufReader<File>,
    part: Part,
    /// Another file has the name now: this one is read to its end, and then that one.
    replaced: bool,
}

impl Tail {
    fn open(path: &Path, follow: bool) -> io::Result<Tail> {
        let file = BufReader::new(File::open(path)?);
        Ok(Tail { path: path.to_owned(), follow, file, part: Part::default(), replaced: false })
    }

    /// The next line; `None`: there is no more, or not yet.
    fn next(&mut self) -> io::Result<Option<Read>> {
        loop {
            if let Some(read) = self.part.fill(&mut self.file)? {
                return Ok(Some(read));
            }
            if !self.follow {
                return Ok(self.part.rest());
            }
            if self.replaced {
                // Its writer may have written to it until it was told: what it wrote has just been read.
                let Ok(file) = File::open(&self.path) else { return Ok(None) };
                (self.file, self.replaced) = (BufReader::new(file), false);
                let rest = self.part.rest();
                self.part = Part::default();
                if rest.is_some() {
                    return Ok(rest);
                }
                continue;
            }
            let here = self.file.get_ref().metadata()?;
            // It may be gone for a moment, between its renaming and the next file.
            match std::fs::metadata(&self.path) {
                Ok(now) if !is_same(&here, &now) => self.replaced = true,
                _ if here.len() < self.part.taken => {
                    self.file.seek(SeekFrom::Start(0))?;
                    let rest = self.part.rest();
                    self.part = Part::default();
                    if rest.is_some() {
                        return Ok(rest);
                    }
                }
                _ => return Ok(None),
            }
        }
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(lines: &mut Lines) -> Vec<String> {
        let (mut found, mut line) = (Vec::new(), Vec::new());
        while matches!(lines.next(&mut line).unwrap(), Next::Event) {
            found.push(String::from_utf8(line.clone()).unwrap());
        }
        found
    }

    fn append(path: &Path, text: &str) {
        std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_is_its_lines_without_blank_and_endless_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, &format!("one\r\n\n  \n{}\ntwo\nlast", "x".repeat(LONGEST + 1)));
        let mut lines = Lines::open(&path, false).unwrap();
        assert_eq!((all(&mut lines), lines.too_long), (vec!["one".into(), "two".into(), "last".into()], 1));
        assert!(Lines::open(&dir.path().join("none"), false).is_err());
    }

    #[test]
    fn a_file_that_grows_is_followed_by_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one\ntw");
        let mut lines = Lines::open(&path, true).unwrap();
        assert_eq!(all(&mut lines), ["one"]);
        append(&path, "o\n");
        assert_eq!(all(&mut lines), ["two"]);
        assert!(all(&mut lines).is_empty());
    }

    #[test]
    fn a_file_that_is_renamed_is_read_to_its_end_and_then_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        append(&path, "one\n");
        let mut lines = Lines::open(&path, true).unwrap();
        assert_eq!(all(&mut lines), ["one"]);
        std::fs::rename(&path, &old).unwrap();
        append(&old, "two\n");
        assert_eq!(all(&mut lines), ["two"], "there is no next one yet");
        append(&old, "three\ncut");
        append(&path, "four\n");
        assert_eq!(all(&mut lines), ["three", "cut", "four"]);
        std::fs::rename(&path, &old).unwrap();
        append(&path, "five\n");
        assert_eq!(all(&mut lines), ["five"]);
    }

    #[test]
    fn a_file_that_is_cut_to_nothing_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one\ntwo\nthree\n");
        let mut lines = Lines::open(&path, true).unwrap();
        assert_eq!(all(&mut lines).len(), 3);
        File::create(&path).unwrap();
        append(&path, "four\n");
        assert_eq!(all(&mut lines), ["four"]);
    }
}
