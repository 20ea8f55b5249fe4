//! The lines of a file, each as a record.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;

use crate::clock::Clock;
use crate::sample::Record;

/// Each line of a file that is not blank; `-`: of standard input.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(std::fs::File::open(path).with_context(|| path.display().to_string())?))
    };
    let read_at = Some(Clock::System.unix_millis());
    let mut given = Vec::new();
    for line in input.split(b'\n') {
        let mut line = line.with_context(|| path.display().to_string())?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            given.push(Record { payload: Some(line), read_at, ..Record::default() });
        }
    }
    Ok(given)
}
