//! Any text, by a regular expression whose named groups are the fields.

use regex::{CaptureLocations, Regex};

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::{Format, not_in};
use crate::value::Value;

/// What the pattern does not match is not in the format.
#[derive(Debug)]
pub(super) struct Pattern {
    wanted: Wanted,
    /// The pattern and room for its groups; the config has been checked, so that it is there.
    regex: Option<(Regex, CaptureLocations)>,
    /// Groups that are wanted, and their nodes.
    groups: Vec<(usize, usize)>,
}

impl Pattern {
    pub fn new(wanted: Wanted, pattern: &str) -> Pattern {
        let regex = Regex::new(pattern).ok();
        let group = |(at, name): (usize, Option<&str>)| Some((at, wanted.child(0, name?)?));
        let groups = regex.iter().flat_map(|regex| regex.capture_names().enumerate().filter_map(group)).collect();
        Pattern { groups, regex: regex.map(|regex| (regex.clone(), regex.capture_locations())), wanted }
    }
}

impl Format for Pattern {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        let found =
            self.regex.as_mut().and_then(|(regex, groups)| regex.captures_read(groups, event).map(|_| &*groups));
        let Some(found) = found else { return Err(not_in("regex", event)) };
        for &(group, node) in &self.groups {
            if let Some((start, end)) = found.get(group) {
                sink.set(&self.wanted.nodes[node], Value::Str(&event[start..end]));
            }
        }
        Ok(())
    }
}
