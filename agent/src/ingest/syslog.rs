//! Syslog as log events: messages of RFC 5424 and RFC 3164, framed as RFC 6587 says. Pure.

use super::event::{Arrival, Event, Fields, Rejected, invalid, write};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A message that is longer is refused. Bytes.
pub const LONGEST: usize = 64 << 10;
/// The longest number before a message that is taken for its length.
const LENGTH_DIGITS: usize = 7;
/// Of messages without a priority: `user`, `notice`.
const USUAL_PRIORITY: usize = 13;
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const LEVELS: [&str; 8] = ["FATAL", "FATAL", "FATAL", "ERROR", "WARN", "INFO", "INFO", "DEBUG"];

/// Bytes of a connection, cut into messages: each has its length before it, or a line feed or a zero behind it.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    skip: Skip,
}

/// What of a message that was refused is still to come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Skip {
    #[default]
    Nothing,
    Bytes(usize),
    Line,
}

/// What stands at the beginning of the bytes.
enum Head {
    /// Too few bytes to tell.
    Open,
    /// A message of this length behind so many bytes.
    Counted {
        head: usize,
        length: usize,
    },
    Line,
}

impl Frames {
    /// Adds what was read, and takes out the messages that are whole.
    pub fn add(&mut self, bytes: &[u8], messages: &mut Vec<Result<Vec<u8>, Rejected>>) {
        self.bytes.extend_from_slice(bytes);
        while let Some(message) = self.next() {
            messages.push(message);
        }
    }

    /// The connection has ended: what is left is a last line, or a message that is not whole.
    pub fn end(mut self) -> Option<Result<Vec<u8>, Rejected>> {
        let skipped = self.skip != Skip::Nothing;
        let counted = matches!(head(&self.bytes), Head::Counted { .. });
        trim(&mut self.bytes);
        match (skipped || self.bytes.is_empty(), counted) {
            (true, _) => None,
            (false, true) => Some(Err(invalid("the connection ended within a message".into()))),
            (false, false) => Some(Ok(self.bytes)),
        }
    }

    fn next(&mut self) -> Option<Result<Vec<u8>, Rejected>> {
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(count) => {
                let here = count.min(self.bytes.len());
                self.bytes.drain(..here);
                self.skip = if here == count { Skip::Nothing } else { Skip::Bytes(count - here) };
            }
            Skip::Line => match self.bytes.iter().position(ends_line) {
                Some(end) => {
                    self.bytes.drain(..=end);
                    self.skip = Skip::Nothing;
                }
                None => self.bytes.clear(),
            },
        }
        if self.skip != Skip::Nothing {
            return None;
        }
        let blank = self.bytes.iter().take_while(|byte| is_blank(byte)).count();
        self.bytes.drain(..blank);
        match head(&self.bytes) {
            Head::Open => None,
            Head::Counted { head, length } if length > LONGEST => {
                self.skip = Skip::Bytes(head + length);
                Some(Err(too_long()))
            }
            Head::Counted { head, length } if self.bytes.len() >= head + length => {
                let mut message: Vec<_> = self.bytes.drain(..head + length).skip(head).collect();
                trim(&mut message);
                Some(Ok(message))
            }
            Head::Counted { .. } => None,
            Head::Line => match self.bytes.iter().position(ends_line) {
                Some(end) if end <= LONGEST => {
                    let mut message: Vec<_> = self.bytes.drain(..=end).collect();
                    trim(&mut message);
                    Some(Ok(message))
                }
                None if self.bytes.len() <= LONGEST => None,
                _ => {
                    self.skip = Skip::Line;
                    Some(Err(too_long()))
                }
            },
        }
    }
}

fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | 0)
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

fn trim(message: &mut Vec<u8>) {
    let end = message.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1);
    message.truncate(end);
}

fn too_long() -> Rejected {
    Rejected::TooLarge(format!("the message is longer than {LONGEST} bytes"))
}

fn head(bytes: &[u8]) -> Head {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (bytes.first(), bytes.get(digits), bytes.get(digits + 1)) {
        (None, ..) => Head::Open,
        (Some(b'1'..=b'9'), ..) if digits > LENGTH_DIGITS => Head::Line,
        (Some(b'1'..=b'9'), None, _) | (Some(b'1'..=b'9'), Some(b' '), None) => Head::Open,
        // A line may begin with a number, but not with that of a message behind it.
        (Some(b'1'..=b'9'), Some(b' '), Some(b'<')) => {
            let length = bytes[..digits].iter().fold(0, |sum, digit| 10 * sum + usize::from(digit - b'0'));
            Head::Counted { head: digits + 1, length }
        }
        _ => Head::Line,
    }
}

/// A message as an event. `from`: who sent it, if it does not say so itself.
pub fn event(message: &[u8], from: &str, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let text = String::from_utf8_lossy(message);
    let (priority, rest) = priority(&text).unwrap_or((USUAL_PRIORITY, &text));
    let Parsed { host, app, message, time, metadata: own } =
        rest.strip_prefix("1 ").and_then(new_style).unwrap_or_else(|| old_style(rest));
    let mut metadata = Map::new();
    metadata.insert("facility".into(), FACILITIES.get(priority / 8).copied().unwrap_or("unknown").into());
    let names = [("hostname", host), ("appName", app)].into_iter().chain(own);
    metadata.extend(names.filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    write(
        &Fields {
            source: Cow::Borrowed(app.or(host).unwrap_or(from)),
            level: LEVELS[priority % 8],
            message: Cow::Owned(Value::from(message).to_string()),
            metadata: Some(Cow::Owned(Value::Object(metadata).to_string())),
            stack_trace: None,
            timestamp: time.map(str::to_owned),
        },
        arrival,
    )
}

/// What a message says.
struct Parsed<'a> {
    host: Option<&'a str>,
    app: Option<&'a str>,
    message: &'a str,
    /// RFC 3339.
    time: Option<&'a str>,
    metadata: [(&'static str, Option<&'a str>); 4],
}

fn priority(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let plain = number.len() <= 3 && number.bytes().all(|digit| digit.is_ascii_digit());
    Some((number.parse().ok().filter(|number| plain && *number < 8 * FACILITIES.len())?, rest))
}

/// RFC 5424, behind its version: `2003-10-11T22:14:15.003Z host app procid msgid [id a="b"] message`.
fn new_style(text: &str) -> Option<Parsed<'_>> {
    let mut rest = text;
    let mut word = || {
        let (word, after) = rest.split_once(' ')?;
        rest = after;
        Some((word != "-").then_some(word))
    };
    let (time, host, app, procid, msgid) = (word()?, word()?, word()?, word()?, word()?);
    if time.is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
        return None;
    }
    let (data, message) = match rest.strip_prefix('-') {
        Some(message) => (None, message),
        None => {
            let end = structured(rest)?;
            (Some(&rest[..end]), &rest[end..])
        }
    };
    let message = message.strip_prefix(' ').or(message.is_empty().then_some(""))?;
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    let metadata = [("procId", procid), ("msgId", msgid), ("structuredData", data), ("time", None)];
    Some(Parsed { host, app, message, time, metadata })
}

/// Where the elements `[id name="value"]…` end.
fn structured(text: &str) -> Option<usize> {
    let (mut inside, mut quoted, mut escaped) = (false, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if inside => quoted = !quoted,
            b']' if inside && !quoted => inside = false,
            b'[' if !inside => inside = true,
            _ if inside => {}
            _ => return (place > 0).then_some(place),
        }
    }
    (!inside && !text.is_empty()).then_some(text.len())
}

/// RFC 3164, as far as it is one: `Oct 11 22:14:15 host app[pid]: message`. Its time has neither a year nor a zone, and is
/// not the event's.
fn old_style(text: &str) -> Parsed<'_> {
    let nothing = [("procId", None), ("msgId", None), ("structuredData", None), ("time", None)];
    let plain = Parsed { host: None, app: None, message: text, time: None, metadata: nothing };
    let Some((time, rest)) = old_time(text) else { return plain };
    // Some leave out the host.
    let (host, rest) = match rest.split_once(' ') {
        Some((host, after)) if !host.ends_with(':') && !host.is_empty() => (Some(host), after),
        _ => (None, rest),
    };
    let tag = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")));
    let (app, procid, message) = match tag {
        Some((tag, message)) if !tag.is_empty() && !tag.contains(' ') => {
            match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
                Some((app, procid)) if !app.is_empty() => (Some(app), Some(procid), message),
                _ => (Some(tag), None, message),
            }
        }
        _ => (None, None, rest),
    };
    let metadata = [("procId", procid), ("msgId", None), ("structuredData", None), ("time", Some(time))];
    Parsed { host, app, message, time: None, metadata }
}

/// `Oct 11 22:14:15 `, and what follows; also a time as RFC 3339 has it, which many write today.
fn old_time(text: &str) -> Option<(&str, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if let Some((time, rest)) = text.split_once(' ').filter(|(time, _)| time.parse::<jiff::Timestamp>().is_ok()) {
        return Some((time, rest));
    }
    let (time, rest) = text.split_at_checked(15)?;
    let rest = rest.strip_prefix(' ')?;
    let like = |pattern: &str| {
        time.bytes().skip(3).zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'_' => byte.is_ascii_digit() || byte == b' ',
            wanted => byte == wanted,
        })
    };
    (MONTHS.iter().any(|month| time.starts_with(month)) && like(" _0 00:00:00")).then_some((time, rest))
}

#[cfg(test)]
mod tests {
    use super::super::routes::Routes;
    use super::*;
    use serde_json::json;

    fn read(message: &[u8]) -> Value {
        let routes = Routes::to("logs");
        let arrival = Arrival { time: 0, most_bytes: 100_000, routes: &routes };
        let event = event(message, "192.0.2.1", arrival).unwrap();
        let mut value: Value = serde_json::from_slice(&event.value).unwrap();
        value.as_object_mut().unwrap().remove("eventId");
        value
    }

    #[test]
    fn a_message_of_rfc_5424_is_an_event_with_all_that_it_had() {
        let text = "<165>1 2003-10-11T22:14:15.003Z web-1 shop 77 ID47 [a@1 k=\"v \\\"] x\"][b@2] \u{feff}it broke [1]";
        let expected = json!({
            "timestamp": "2003-10-11T22:14:15.003Z", "source": "shop", "level": "INFO", "message": "it broke [1]",
            "metadata": {
                "facility": "local4", "hostname": "web-1", "appName": "shop", "procId": "77", "msgId": "ID47",
                "structuredData": "[a@1 k=\"v \\\"] x\"][b@2]",
            },
        });
        assert_eq!(read(text.as_bytes()), expected);
        let bare = read(b"<0>1 - - - - - -");
        assert_eq!(
            (&bare["source"], &bare["level"], &bare["message"]),
            (&json!("192.0.2.1"), &json!("FATAL"), &json!(""))
        );
        let level = |priority: u8| read(format!("<{priority}>1 - h a - - - m").as_bytes())["level"].clone();
        assert_eq!(
            (level(3), level(4), level(5), level(7)),
            ("ERROR".into(), "WARN".into(), "INFO".into(), "DEBUG".into())
        );
    }

    #[test]
    fn a_message_of_rfc_3164_is_read_as_far_as_it_is_one() {
        let event = read(b"<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed");
        let metadata = json!({
            "facility": "auth", "hostname": "mymachine", "appName": "su", "procId": "230", "time": "Oct 11 22:14:15",
        });
        assert_eq!((&event["source"], &event["level"], &event["metadata"]), (&json!("su"), &json!("FATAL"), &metadata));
        assert_eq!(
            (&event["message"], &event["timestamp"]),
            (&json!("'su root' failed"), &json!("1970-01-01T00:00:00.000Z"))
        );
        for (message, source, text) in [
            ("<13>Jan  1 00:00:00 tag: no host", "tag", "no host"),
            ("<13>2024-01-15T10:30:00+01:00 web-1 shop: new time", "shop", "new time"),
            ("<13>Jan  1 00:00:00 web-1 no tag here", "web-1", "no tag here"),
            ("no priority", "192.0.2.1", "no priority"),
            ("<999>no such priority", "192.0.2.1", "<999>no such priority"),
            ("<13>1 when what", "192.0.2.1", "1 when what"),
        ] {
            let event = read(message.as_bytes());
            assert_eq!((&event["source"], &event["message"]), (&json!(source), &json!(text)), "{message}");
        }
        assert_eq!(read(b"<13>caf\xe9")["message"], "caf\u{fffd}", "what is no UTF-8 is marked");
    }

    /// What comes out if bytes come in pieces of this size.
    fn cut(bytes: &[u8], piece: usize) -> Vec<Result<String, String>> {
        let (mut frames, mut messages) = (Frames::default(), Vec::new());
        bytes.chunks(piece).for_each(|piece| frames.add(piece, &mut messages));
        messages.extend(frames.end());
        let shown = |message: Result<Vec<u8>, Rejected>| match message {
            Ok(message) => Ok(String::from_utf8(message).unwrap()),
            Err(rejected) => Err(rejected.reason().to_owned()),
        };
        messages.into_iter().map(shown).collect()
    }

    #[test]
    fn both_framings_are_known_in_whatever_pieces_they_come() {
        let bytes =
            b"<1>one\n<2>two\r\n\n\x00<2>zero\x008 <3>a\nbc\n7 <4>abcd3 lines of text\n12345678 <5>no length\nlast";
        let expected =
            ["<1>one", "<2>two", "<2>zero", "<3>a\nbc", "<4>abcd", "3 lines of text", "12345678 <5>no length", "last"];
        for piece in [1, 2, 3, 7, 1_000] {
            assert_eq!(cut(bytes, piece), expected.map(|text| Ok(text.to_owned())), "{piece}");
        }
        assert_eq!(cut(b"20 <1>cut", 4), [Err("the connection ended within a message".into())]);
    }

    #[test]
    fn what_is_too_long_is_told_and_passed_over() {
        let long = "x".repeat(LONGEST + 1);
        let told = || Err(format!("the message is longer than {LONGEST} bytes"));
        let counted = format!("{} <1>{long}<2>next\n", long.len() + 3);
        let line = format!("<1>{long}\n<2>next\n{long}");
        for piece in [1_000, 70_000, 200_000] {
            assert_eq!(cut(counted.as_bytes(), piece), [told(), Ok("<2>next".into())]);
            assert_eq!(cut(line.as_bytes(), piece), [told(), Ok("<2>next".into()), told()]);
        }
    }
}
