//! syslog messages, as RFC 5424 has them and as RFC 3164 found them.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::names::{Names, dash, word};
use super::year::dated;
use super::{Format, not_in};
use crate::value::Value;
use crate::value::time::is_abbreviation;

#[derive(Debug)]
pub(super) struct Syslog(Names<9>);

const APPNAME: usize = 0;
const FACILITY: usize = 1;
const HOSTNAME: usize = 2;
const MESSAGE: usize = 3;
const MSGID: usize = 4;
const PROCID: usize = 5;
const SEVERITY: usize = 6;
const TIMESTAMP: usize = 7;
const VERSION: usize = 8;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Syslog {
    pub fn new(wanted: Wanted) -> Syslog {
        let names =
            ["appname", "facility", "hostname", "message", "msgid", "procid", "severity", "timestamp", "version"];
        Syslog(Names::new(wanted, names))
    }

    fn message<'a>(&self, event: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        // Over TCP a message may have its length before it.
        let event = match event.split_once(" <") {
            Some((length, rest)) if !length.is_empty() && length.bytes().all(|c| c.is_ascii_digit()) => {
                event.get(event.len() - rest.len() - 1..)?
            }
            _ => event,
        };
        let priority = event.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let Some((priority, rest)) = priority else { return self.old(event, sink) };
        let priority: usize = priority.parse().ok().filter(|_| priority.len() <= 3)?;
        self.0.set(FACILITY, Value::Str(FACILITIES.get(priority / 8)?), sink);
        self.0.set(SEVERITY, Value::Str(SEVERITIES[priority % 8]), sink);
        match rest.split_once(' ') {
            Some((version, rest)) if matches!(version.as_bytes(), [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']) => {
                self.0.set(VERSION, Value::Str(version), sink);
                self.new_style(rest, sink)
            }
            _ => self.old(rest, sink),
        }
    }

    /// RFC 5424, from behind the version.
    fn new_style<'a>(&self, text: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let mut rest = text;
        for name in [TIMESTAMP, HOSTNAME, APPNAME, PROCID, MSGID] {
            let (value, after) = rest.split_once(' ')?;
            if value.is_empty() {
                return None;
            }
            self.0.set(name, dash(value), sink);
            rest = after;
        }
        let structured = match rest.strip_prefix('-') {
            Some(rest) => Some(rest),
            None => self.structured(rest, sink),
        };
        let Some(rest) = structured else {
            // Heroku leaves out the structured data, even the dash for none.
            let is_message = !rest.starts_with(['-', '[']) || (rest.starts_with('[') && !rest.contains("=\""));
            self.0.set(MESSAGE, Value::Str(rest), sink);
            return is_message.then_some(());
        };
        let message = match rest.strip_prefix(' ') {
            Some(message) => message.strip_prefix('\u{feff}').unwrap_or(message),
            None if rest.is_empty() => return Some(()),
            None => return None,
        };
        self.0.set(MESSAGE, Value::Str(message), sink);
        Some(())
    }

    /// The structured data at the beginning of `text`: one or more `[id name="value" …]`. Gives what follows.
    fn structured<'a>(&self, text: &'a str, sink: &mut Sink<'a, '_>) -> Option<&'a str> {
        let wanted = &self.0.wanted;
        let mut rest = text.strip_prefix('[')?;
        loop {
            let end = rest.find([' ', ']'])?;
            let id = rest.get(..end).filter(|id| !id.is_empty())?;
            let element = wanted.child(0, id);
            rest = &rest[end..];
            while let Some(parameter) = rest.strip_prefix(' ') {
                let parameter = parameter.trim_start_matches(' ');
                let (name, value) = parameter.split_once('=')?;
                let value = value.trim_start_matches(' ').strip_prefix('"')?;
                let end = super::names::quote(value, 0)?;
                let node = element.and_then(|element| wanted.child(element, name));
                if let Some(node) = node {
                    let place = &wanted.nodes[node];
                    match value[..end].contains('\\') {
                        false => sink.set(place, Value::Str(&value[..end])),
                        true => {
                            let start = sink.scratch.len();
                            unescape(&value[..end], sink.scratch);
                            sink.set_unescaped(place, start);
                        }
                    }
                }
                rest = &value[end + 1..];
            }
            rest = rest.strip_prefix(']')?;
            match rest.strip_prefix('[') {
                Some(next) => rest = next,
                None => return Some(rest),
            }
        }
    }

    /// RFC 3164, from behind the priority: `Nov 20 16:57:52 host tag[pid]: message`.
    fn old<'a>(&self, text: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        // Cisco numbers its messages.
        let text = text.trim_start_matches(' ');
        let text = match text.split_once(": ") {
            Some((number, rest)) if !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) => rest,
            _ => text,
        };
        let rest = self.old_time(text, sink)?;
        let (hostname, rest) = word(rest)?;
        // Some leave out the host.
        let (hostname, rest) =
            if hostname.ends_with(':') { ("-", text_from(text, hostname)?) } else { (hostname, rest) };
        self.0.set(HOSTNAME, dash(hostname), sink);
        let end = rest.find([':', '[', ' ']).filter(|&end| end > 0 && !rest[end..].starts_with(' '));
        let Some(end) = end else {
            self.0.set(MESSAGE, Value::Str(rest), sink);
            return Some(());
        };
        let (tag, mut message) = (&rest[..end], &rest[end..]);
        let mut process = None;
        if let Some((pid, after)) = message.strip_prefix('[').and_then(|after| after.split_once(']')) {
            process = Some(pid);
            message = after;
        }
        match message.strip_prefix(':') {
            Some(message) => {
                self.0.set(APPNAME, Value::Str(tag), sink);
                if let Some(process) = process {
                    self.0.set(PROCID, Value::Str(process), sink);
                }
                self.0.set(MESSAGE, Value::Str(message.strip_prefix(' ').unwrap_or(message)), sink);
            }
            None => self.0.set(MESSAGE, Value::Str(rest), sink),
        }
        Some(())
    }

    /// Reads the time at the beginning of `text`; gives what follows it.
    fn old_time<'a>(&self, text: &'a str, sink: &mut Sink<'a, '_>) -> Option<&'a str> {
        let (first, mut rest) = word(text)?;
        // Cisco marks a clock that it doubts.
        let mut first = first.trim_start_matches(['*', '.']);
        let mut year = None;
        if let (4, Ok(given)) = (first.len(), first.parse::<i16>()) {
            year = Some(given);
            (first, rest) = word(rest)?;
        }
        let Some(month) = MONTHS.iter().position(|month| *month == first) else {
            return self.numeric_time(first, rest, sink).filter(|_| year.is_none());
        };
        let (day, rest) = word(rest)?;
        let day: i8 = day.parse().ok()?;
        let (mut time, mut after) = word(rest)?;
        if let (4, Ok(given)) = (time.len(), time.parse::<i16>()) {
            year = Some(given);
            (time, after) = word(after)?;
        }
        let ends = time.ends_with(':');
        let mut text = dated(year, (month + 1) as i8, day, time.trim_end_matches(':'), sink.record_time)?;
        // The zone is not the host, which would be wrong, and the time as well.
        if let Some((zone, behind)) = word(after).filter(|_| !ends)
            && is_abbreviation(zone.trim_end_matches(':'))
        {
            text.extend([" ", zone.trim_end_matches(':')]);
            after = behind;
        }
        self.0.write(TIMESTAMP, sink, |out| out.push_str(&text));
        Some(after)
    }

    /// Newer programs write it as the other RFC does, in one word or two; gives what follows it.
    fn numeric_time<'a>(&self, first: &'a str, rest: &'a str, sink: &mut Sink<'a, '_>) -> Option<&'a str> {
        let date = first.as_bytes();
        let is_date = date.len() >= 10 && date[..4].iter().all(u8::is_ascii_digit) && date[4] == b'-';
        if !is_date {
            return None;
        }
        if date.len() >= 19 && date[10] == b'T' {
            self.0.set(TIMESTAMP, Value::Str(first), sink);
            return Some(rest);
        }
        let (time, after) = word(rest).filter(|(time, _)| time.len() >= 8 && time.as_bytes()[2] == b':')?;
        self.0.write(TIMESTAMP, sink, |out| out.extend([first, "T", time]));
        (date.len() == 10).then_some(after)
    }
}

/// What of `text` begins with `part`, which was cut out of it.
fn text_from<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    text.get(start..)
}

/// `\"`, `\\` and `\]` lose their backslash; others keep it.
fn unescape(text: &str, out: &mut String) {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('\\', Some(next @ ('"' | '\\' | ']'))) => {
                out.push(next);
                characters.next();
            }
            (c, _) => out.push(c),
        }
    }
}

impl Format for Syslog {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.message(event.trim_end(), sink).ok_or_else(|| not_in("syslog", event))
    }
}
