//! How far all records are done with: a file with two places that are written in turn, so that one of them is always whole.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "cursor";
/// A number and its checksum.
const PLACE: usize = 16;

#[derive(Debug)]
pub struct Cursor {
    file: File,
    number: u64,
    /// The place that is written next.
    place: u64,
}

impl Cursor {
    pub fn open(dir: &Path) -> io::Result<Cursor> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(dir.join(NAME))?;
        let mut bytes = Vec::new();
        file.by_ref().take(2 * PLACE as u64).read_to_end(&mut bytes)?;
        let numbers = bytes.chunks(PLACE).map(read);
        // The other one is written next.
        let newest = (0..).zip(numbers).filter_map(|(place, number)| Some((number?, place))).max();
        let (number, place) = newest.map_or((0, 0), |(number, place)| (number, 1 - place));
        Ok(Cursor { file, number, place })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Stores it, if it has moved. It is not synced: a power cut has records come out once more, and costs none.
    pub fn store(&mut self, number: u64) -> io::Result<()> {
        if number == self.number {
            return Ok(());
        }
        let mut bytes = [0; PLACE];
        let (text, sum) = bytes.split_at_mut(8);
        text.copy_from_slice(&number.to_le_bytes());
        sum.copy_from_slice(&xxh3_64(text).to_le_bytes());
        self.file.write_all_at(&bytes, self.place * PLACE as u64)?;
        (self.number, self.place) = (number, 1 - self.place);
        Ok(())
    }
}

fn read(place: &[u8]) -> Option<u64> {
    let (text, sum) = place.split_at_checked(8)?;
    (xxh3_64(text).to_le_bytes() == sum).then_some(())?;
    Some(u64::from_le_bytes(text.try_into().ok()?))
}
