//! The queue against a list, through crashes at every byte.

use super::{AppendError, Found, Limits, Record, Spool};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

const ROOMY: Limits = Limits { bytes: 1 << 30, segment_bytes: 1 << 20 };

fn open(dir: &Path, limits: Limits) -> Spool {
    Spool::open(dir, limits).unwrap().0
}

fn put(spool: &mut Spool, texts: &[&str]) {
    let records: Vec<_> = texts.iter().map(|text| Record { time: text.len() as i64, bytes: text.as_bytes() }).collect();
    spool.append(&records).unwrap();
}

/// Everything that comes out, and is done with.
fn take_all(spool: &mut Spool) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(stored) = spool.read(&mut 0).unwrap() {
        spool.done(stored.number);
        texts.push(String::from_utf8(stored.bytes).unwrap());
    }
    texts
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    files.sort();
    files
}

#[test]
fn records_come_out_in_order_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    assert!(spool.is_empty() && spool.read(&mut 0).unwrap().is_none() && spool.oldest().is_none());
    put(&mut spool, &["a", "bb", "ccc"]);
    assert_eq!((spool.records(), spool.oldest()), (3, Some(1)));
    let first = spool.read(&mut 0).unwrap().unwrap();
    let second = spool.read(&mut 0).unwrap().unwrap();
    spool.done(second.number);
    assert_eq!((spool.records(), spool.oldest()), (2, Some(1)), "the first is still out");
    spool.done(first.number);
    assert_eq!((spool.records(), spool.oldest()), (1, Some(3)));
    spool.save().unwrap();
    drop(spool);
    let (mut spool, found) = Spool::open(dir.path(), ROOMY).unwrap();
    assert_eq!(found, Found { records: 1, damaged: 0 });
    put(&mut spool, &["d"]);
    assert_eq!(take_all(&mut spool), ["ccc", "d"]);
    assert!(spool.is_empty() && spool.records() == 0);
}

#[test]
fn what_was_read_and_not_done_with_comes_out_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    put(&mut spool, &["a", "b", "c"]);
    let all: Vec<_> = std::iter::from_fn(|| spool.read(&mut 0).unwrap()).collect();
    spool.done(all[0].number);
    spool.done(all[2].number);
    drop(spool);
    assert_eq!(take_all(&mut open(dir.path(), ROOMY)), ["b", "c"], "in order: `c` once more");
}

#[test]
fn a_full_spool_takes_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 200, segment_bytes: 100 };
    let mut spool = open(dir.path(), limits);
    let mut inside = Vec::new();
    let refused = (0..100).find(|number| {
        let text = format!("{number:020}");
        let result = spool.append(&[Record { time: 0, bytes: text.as_bytes() }]);
        inside.extend(result.is_ok().then_some(text));
        matches!(result, Err(AppendError::Full))
    });
    assert!(refused.is_some() && spool.bytes() <= limits.bytes + 16);
    spool.append_anyway(&[Record { time: 0, bytes: b"last" }]).unwrap();
    inside.push("last".into());
    assert_eq!(take_all(&mut spool), inside);
    put(&mut spool, &["there is room again"]);
}

#[test]
fn files_that_are_done_with_are_removed_and_their_numbers_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, segment_bytes: 64 };
    let mut spool = open(dir.path(), limits);
    (0..50).for_each(|number| put(&mut spool, &[&format!("record {number}")]));
    assert!(segments(dir.path()).len() > 10);
    assert_eq!(take_all(&mut spool).len(), 50);
    assert_eq!(segments(dir.path()).len(), 0);
    drop(spool);
    let mut spool = open(dir.path(), limits);
    put(&mut spool, &["next"]);
    assert_eq!(spool.read(&mut 0).unwrap().unwrap().number, 50);
}

#[test]
fn a_group_that_is_cut_at_any_byte_gives_its_whole_records_and_is_written_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    put(&mut spool, &["first"]);
    let synced = fs::metadata(&segments(dir.path())[0]).unwrap().len();
    put(&mut spool, &["second", "third"]);
    drop(spool);
    let file = segments(dir.path())[0].clone();
    let whole = fs::read(&file).unwrap();
    let numbers = fs::read(dir.path().join("cursor")).unwrap();
    for cut in synced as usize..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(file.file_name().unwrap()), &whole[..cut]).unwrap();
        fs::write(copy.path().join("cursor"), &numbers).unwrap();
        let mut spool = open(copy.path(), ROOMY);
        put(&mut spool, &["later"]);
        let texts = take_all(&mut spool);
        let second_is_whole = cut >= synced as usize + 20 + "second".len();
        let expected: &[&str] = if second_is_whole { &["first", "second", "later"] } else { &["first", "later"] };
        assert_eq!(texts, expected, "cut at {cut}");
    }
}

#[test]
fn a_file_cut_before_its_first_record_is_no_obstacle() {
    let name = format!("{:020}.segment", 0);
    for bytes in [&b""[..], b"SGSPO", b"SGSPOOL1\0\0\0\0\0\0\0\0", b"SGSPOOL1\0\0\0\0\0\0\0\0\x05\0\0\0"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(&name), bytes).unwrap();
        let mut spool = open(dir.path(), ROOMY);
        assert!(spool.is_empty(), "{bytes:?}");
        put(&mut spool, &["x"]);
        assert_eq!(take_all(&mut spool), ["x"]);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(&name), "something else entirely").unwrap();
    assert!(open(dir.path(), ROOMY).is_empty());
    assert!(dir.path().join(&name).with_extension("damaged").exists(), "what is not ours is kept");
}

#[test]
fn damaged_records_are_counted_and_hold_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, segment_bytes: 60 };
    let mut spool = open(dir.path(), limits);
    (0..6).for_each(|number| put(&mut spool, &[&format!("record {number}")]));
    drop(spool);
    let files = segments(dir.path());
    assert_eq!(files.len(), 3, "two records each");
    let mut bytes = fs::read(&files[0]).unwrap();
    // The first byte of the second record's content.
    let place = 16 + 20 + 8 + 20;
    bytes[place] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let (mut spool, found) = Spool::open(dir.path(), limits).unwrap();
    assert_eq!(found, Found { records: 5, damaged: 1 });
    assert_eq!(take_all(&mut spool), ["record 0", "record 2", "record 3", "record 4", "record 5"]);
    assert!(spool.is_empty());
}

#[test]
fn damage_that_comes_while_it_is_open_is_counted_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), Limits { bytes: 1 << 20, segment_bytes: 60 });
    (0..4).for_each(|number| put(&mut spool, &[&format!("record {number}")]));
    let file = &segments(dir.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[16 + 20] ^= 1;
    fs::write(file, bytes).unwrap();
    let mut damaged = 0;
    let first = spool.read(&mut damaged).unwrap().unwrap();
    assert_eq!((first.bytes.as_slice(), damaged), (&b"record 2"[..], 2));
}

#[test]
fn half_a_cursor_has_records_come_out_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    put(&mut spool, &["a", "b", "c"]);
    for _ in 0..2 {
        let stored = spool.read(&mut 0).unwrap().unwrap();
        spool.done(stored.number);
        spool.save().unwrap();
    }
    drop(spool);
    let path = dir.path().join("cursor");
    let whole = fs::read(&path).unwrap();
    assert_eq!(take_all(&mut open(dir.path(), ROOMY)), ["c"]);
    for damage in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[damage] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        let mut spool = open(dir.path(), ROOMY);
        let first = spool.read(&mut 0).unwrap().unwrap();
        assert!([1, 2].contains(&first.number), "byte {damage}: {first:?}");
        std::mem::forget(spool);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Vec<u8>>),
    Read,
    /// The place among those that are out.
    Done(usize),
    Save,
    /// A crash: the disk as it is, and bytes of an unfinished group at the end of the newest file.
    Crash(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        3 => prop::collection::vec(bytes(40), 0..5).prop_map(Step::Append),
        4 => Just(Step::Read),
        3 => (0..4_usize).prop_map(Step::Done),
        1 => Just(Step::Save),
        1 => bytes(60).prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 128 } else { 1024 }))]

    /// Whatever happens, what comes out is what went in, in order; after a crash from a record on that was not done with
    /// when it was saved last.
    #[test]
    fn the_spool_is_a_queue_that_survives_crashes(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 1 << 20, segment_bytes: 150 };
        let mut spool = open(dir.path(), limits);
        let mut went_in: Vec<Vec<u8>> = Vec::new();
        let (mut next, mut done) = (0_u64, Vec::<bool>::new());
        let mut out: VecDeque<u64> = VecDeque::new();
        for step in steps {
            match step {
                Step::Append(records) => {
                    let all: Vec<_> = records.iter().map(|bytes| Record { time: 7, bytes }).collect();
                    spool.append(&all).unwrap();
                    done.extend(records.iter().map(|_| false));
                    went_in.extend(records);
                }
                Step::Read => match spool.read(&mut 0).unwrap() {
                    None => prop_assert_eq!(next, went_in.len() as u64),
                    Some(stored) => {
                        prop_assert_eq!(stored.number, next);
                        prop_assert_eq!(&stored.bytes, &went_in[next as usize]);
                        out.push_back(next);
                        next += 1;
                    }
                },
                Step::Done(place) => {
                    if let Some(number) = out.remove(place) {
                        spool.done(number);
                        done[number as usize] = true;
                    }
                }
                Step::Save => spool.save().unwrap(),
                Step::Crash(torn) => {
                    // No destructor runs.
                    std::mem::forget(spool);
                    if let Some(newest) = segments(dir.path()).last() {
                        let mut bytes = fs::read(newest).unwrap();
                        bytes.extend(torn);
                        fs::write(newest, bytes).unwrap();
                    }
                    spool = open(dir.path(), limits);
                    let (is_empty, first) = (spool.is_empty(), spool.read(&mut 0).unwrap());
                    prop_assert_eq!(is_empty, first.is_none());
                    next = first.as_ref().map_or(went_in.len() as u64, |first| first.number);
                    out.clear();
                    // Everything before it was done with.
                    prop_assert!(done[..next as usize].iter().all(|done| *done), "record {} was skipped", next);
                    if let Some(first) = first {
                        prop_assert_eq!(&first.bytes, &went_in[next as usize]);
                        out.push_back(next);
                        next += 1;
                    }
                }
            }
            let waiting = went_in.len() as u64 - done.iter().filter(|done| **done).count() as u64;
            prop_assert!(spool.records() >= waiting, "what is done with may come out again, and nothing else");
        }
    }
}
