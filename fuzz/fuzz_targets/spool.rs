//! The spool reads whatever became of its files: only records that were written come out, each in its place.

#![cfg_attr(fuzzing, no_main)]

mod door;

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use door::spool::{Limits, Record, Spool};

/// The first byte: how many records there are. Then edits of their files, four bytes each.
fn check(bytes: &[u8]) {
    let Some((count, edits)) = bytes.split_first() else { return };
    let dir = std::env::temp_dir().join(format!("streamgauge-fuzz-spool-{}", process::id()));
    let _ = fs::remove_dir_all(&dir);
    let limits = Limits { bytes: 1 << 20, segment_bytes: 200 };
    let (mut spool, _) = Spool::open(&dir, limits).expect("it is empty");
    let contents: Vec<Vec<u8>> = (0..*count).map(|number| vec![number; usize::from(number % 40)]).collect();
    for bytes in &contents {
        spool.append(&[Record { time: 7, bytes }]).expect("it is written");
    }
    if let Some(first) = spool.read(&mut 0).expect("it is read") {
        spool.done(first.number);
    }
    drop(spool);
    let files = files(&dir);
    for edit in edits.chunks_exact(4) {
        let path = &files[usize::from(edit[0]) % files.len()];
        let Ok(mut text) = fs::read(path) else { continue };
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % (text.len() + 1);
        match edit[3] {
            0 => text.truncate(at),
            1 if text.len() < 4_096 => text.extend_from_within(at..),
            2 => drop(fs::remove_file(path)),
            change => text.get_mut(at).into_iter().for_each(|byte| *byte ^= change),
        }
        if edit[3] != 2 {
            fs::write(path, text).expect("it is written");
        }
    }
    let (mut spool, found) = Spool::open(&dir, limits).expect("it opens whatever is there");
    let end = spool.append(&[Record { time: 7, bytes: b"last" }]).expect("it is written");
    let (mut damaged, mut came, mut before) = (0, 0, None);
    while let Some(stored) = spool.read(&mut damaged).expect("it is read") {
        assert!(before < Some(stored.number), "in order");
        before = Some(stored.number);
        match contents.get(stored.number as usize) {
            Some(content) if stored.number < end => assert_eq!(&stored.bytes, content),
            _ => assert_eq!((stored.number, stored.bytes.as_slice()), (end, &b"last"[..])),
        }
        spool.done(stored.number);
        came += 1;
    }
    assert_eq!(before, Some(end), "what comes later is read, whatever became of the others");
    assert!(came <= found.records + 1 && spool.is_empty() && spool.records() == 0);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

of_door!(check);
