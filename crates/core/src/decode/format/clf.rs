//! The access logs of Apache and nginx: `common`, and `combined`, which has the referrer and the user agent besides; each
//! with a virtual host before it or not.

use std::net::IpAddr;

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::names::{Names, dash, quote, word};
use super::{Format, not_in};
use crate::value::Value;

/// Reads both: a line of the one in a log of the other only lacks what it does not have.
#[derive(Debug)]
pub(super) struct AccessLog {
    names: Names<13>,
    format: &'static str,
}

const HOST: usize = 0;
const IDENTITY: usize = 1;
const USER: usize = 2;
const TIMESTAMP: usize = 3;
const MESSAGE: usize = 4;
const METHOD: usize = 5;
const PATH: usize = 6;
const PROTOCOL: usize = 7;
const STATUS: usize = 8;
const SIZE: usize = 9;
const REFERRER: usize = 10;
const AGENT: usize = 11;
const VHOST: usize = 12;

impl AccessLog {
    pub fn new(wanted: Wanted, format: &'static str) -> AccessLog {
        let names = [
            "host",
            "identity",
            "user",
            "timestamp",
            "message",
            "method",
            "path",
            "protocol",
            "status",
            "size",
            "referrer",
            "agent",
            "vhost",
        ];
        AccessLog { names: Names::new(wanted, names), format }
    }

    fn fields<'a>(&self, line: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let names = &self.names;
        let (vhost, host, rest) = client(line.trim_start())?;
        let (identity, behind) = rest.split_at(rest.find(' ')?);
        let rest = behind.trim_start_matches(' ');
        let spaces = behind.len() - rest.len();
        // A user's name may have spaces, or be nothing at all.
        let (user, rest) = match rest.strip_prefix("- [") {
            Some(rest) => ("-", rest),
            None if spaces > 1 && rest.starts_with('[') => ("", &rest[1..]),
            None => rest.split_once(" [")?,
        };
        let (timestamp, rest) = rest.split_once(']')?;
        let rest = rest.trim_start_matches(' ').strip_prefix('"')?;
        let end = quote(rest, 0)?;
        let (message, rest) = (&rest[..end], &rest[end + 1..]);
        let (status, rest) = word(rest.trim_start_matches(' '))?;
        let (size, rest) = word(rest).unwrap_or(("-", ""));
        let number = |text: &str| text == "-" || text.bytes().all(|c| c.is_ascii_digit());
        if !number(status) || !number(size) {
            return None;
        }
        if let Some(vhost) = vhost {
            names.set(VHOST, dash(vhost), sink);
        }
        names.set(HOST, dash(host), sink);
        names.set(IDENTITY, dash(identity), sink);
        names.set(USER, dash(user), sink);
        names.set(TIMESTAMP, Value::Str(timestamp), sink);
        names.set(MESSAGE, dash(message), sink);
        names.set(STATUS, dash(status), sink);
        names.set(SIZE, dash(size), sink);
        if let Some((method, path, protocol)) = request(message) {
            names.set(METHOD, Value::Str(method), sink);
            names.set(PATH, Value::Str(path), sink);
            if !protocol.is_empty() {
                names.set(PROTOCOL, Value::Str(protocol), sink);
            }
        }
        // What follows these two is anybody's own.
        let Some(rest) = rest.strip_prefix('"') else { return Some(()) };
        let end = quote(rest, 0)?;
        names.set(REFERRER, dash(&rest[..end]), sink);
        let Some(rest) = rest[end + 1..].trim_start_matches(' ').strip_prefix('"') else { return Some(()) };
        let end = quote(rest, 0)?;
        names.set(AGENT, dash(&rest[..end]), sink);
        Some(())
    }
}

/// The virtual host, if one is before it, and the client that a line begins with.
fn client(line: &str) -> Option<(Option<&str>, &str, &str)> {
    let (first, rest) = word(line)?;
    // `X-Forwarded-For` in the client's place: who asked the first proxy, then the proxies.
    if let Some(host) = first.strip_suffix(',').filter(|host| !host.is_empty()) {
        let mut proxies = rest;
        loop {
            let (proxy, behind) = word(proxies)?;
            proxies = behind;
            if !proxy.ends_with(',') {
                return Some((None, host, proxies));
            }
        }
    }
    match word(rest) {
        Some((second, behind)) if is_vhost(first, second) => Some((Some(first), second, behind)),
        _ => Some((None, first, rest)),
    }
}

/// Whether the first of these is a virtual host, and the second the client: no user's identity is an address, and no client
/// has a port unless it is one.
fn is_vhost(first: &str, second: &str) -> bool {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let has_port = || {
        first.rsplit_once(':').is_some_and(|(name, port)| {
            !is_address(name.trim_matches(['[', ']'])) && port.parse::<u16>().is_ok() && !is_address(first)
        })
    };
    is_address(second) || (second != "-" && !second.starts_with('[') && has_port())
}

/// Method, path and protocol of a request's first line; the protocol is empty in those of HTTP/0.9.
fn request(line: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    if method.is_empty() || !method.bytes().all(|c| c.is_ascii_alphabetic() || c == b'-' || c == b'_') {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((path, protocol)) if protocol.contains('/') && !protocol.starts_with('/') => {
            Some((method, path, protocol))
        }
        _ => Some((method, rest, "")),
    }
}

impl Format for AccessLog {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.fields(event, sink).ok_or_else(|| not_in(self.format, event))
    }
}
