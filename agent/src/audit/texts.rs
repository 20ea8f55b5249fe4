//! Formats of text, read naively: by regular expressions, and by loops over characters.

use crate::config::FormatKind;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// The fields of one event's text; `None` if it is not in the format. `record_time`, Unix milliseconds, is for times that lack
/// the year.
pub fn fields(text: &str, format: &FormatKind, record_time: Option<i64>) -> Option<Value> {
    let fields = match format {
        FormatKind::Json
        | FormatKind::Gelf
        | FormatKind::OtlpJson
        | FormatKind::OtlpProto
        | FormatKind::Avro
        | FormatKind::JsonSchema
        | FormatKind::Protobuf => return None,
        FormatKind::Raw => Fields::from_iter([("message".to_owned(), Value::from(text))]),
        FormatKind::Common | FormatKind::Combined => access_log(text)?,
        FormatKind::Logfmt => logfmt(text)?,
        FormatKind::Klog => klog(text, record_time)?,
        FormatKind::Cri => cri(text)?,
        FormatKind::Cef => cef(text)?,
        FormatKind::Syslog => syslog(text.trim_end(), record_time)?,
        FormatKind::Csv { names, delimiter } => named(names, &csv(text, *delimiter, names.len())?)?,
        FormatKind::Tsv { names } => named(names, &text.split('\t').map(str::to_owned).collect::<Vec<_>>())?,
        FormatKind::W3c { names } => w3c(text, names)?,
        FormatKind::Regex { pattern } => {
            let pattern = Regex::new(pattern).ok()?;
            let found = pattern.captures(text)?;
            let group = |name: &str| Some((name.to_owned(), Value::from(found.name(name)?.as_str())));
            pattern.capture_names().flatten().filter_map(group).collect()
        }
    };
    Some(Value::Object(fields))
}

fn captures<'t>(pattern: &str, text: &'t str) -> Option<Captures<'t>> {
    Regex::new(&format!("(?s){pattern}")).ok()?.captures(text)
}

fn put(fields: &mut Fields, name: &str, text: &str) {
    if text != "-" {
        fields.insert(name.to_owned(), text.into());
    }
}

fn access_log(line: &str) -> Option<Fields> {
    let head = r#"^\s*([^\s][^ ]*) +([^ ]+) +(.*?) \[([^\]]*)\] *"((?:[^"\\]|\\.)*)" *(-|[0-9]+)(?: +(-|[0-9]*)(?: +(.*))?)?$"#;
    let (vhost, line) = virtual_host(line);
    let found = captures(head, &line)?;
    let mut fields = Fields::new();
    put(&mut fields, "vhost", vhost.as_deref().unwrap_or("-"));
    for (name, at) in [("host", 1), ("identity", 2), ("user", 3), ("message", 5), ("status", 6)] {
        put(&mut fields, name, &found[at]);
    }
    fields.insert("timestamp".to_owned(), found[4].into());
    put(&mut fields, "size", found.get(7).map_or("-", |size| size.as_str()));
    if let Some(request) = captures(r"^([A-Za-z_-]+) (.*)$", &found[5]) {
        fields.insert("method".to_owned(), request[1].into());
        let split = request[2].rsplit_once(' ').filter(|(_, end)| end.contains('/') && !end.starts_with('/'));
        if let Some((_, protocol)) = split {
            fields.insert("protocol".to_owned(), protocol.into());
        }
        fields.insert("path".to_owned(), split.map_or(&request[2], |(path, _)| path).into());
    }
    let mut rest = found.get(8).map_or(String::new(), |rest| rest.as_str().to_owned());
    for name in ["referrer", "agent"] {
        if rest.starts_with('"') {
            let quoted = captures(r#"^"((?:[^"\\]|\\.)*)" *(.*)$"#, &rest)?;
            put(&mut fields, name, &quoted[1]);
            let after = quoted[2].to_owned();
            rest = after;
        }
    }
    Some(fields)
}

/// The virtual host that a line begins with, and the line without it, or without all but the first of a list of clients.
fn virtual_host(line: &str) -> (Option<String>, String) {
    let line = line.trim_start();
    if let Some(found) = captures(r"^([^ ]+), +(?:[^ ]*, +)*[^ ]*[^ ,](?: +(.*))?$", line) {
        return (None, format!("{} {}", &found[1], found.get(2).map_or("", |rest| rest.as_str())));
    }
    let Some(found) = captures("^([^ ]+) +([^ ]+)((?: .*)?)$", line) else { return (None, line.to_owned()) };
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let port = captures(r"^\[*(.*?)\]*:([0-9]+)$", &found[1]);
    let has_port = port.is_some_and(|port| !is_address(&port[1]) && port[2].parse::<u16>().is_ok());
    let is_named = has_port && !is_address(&found[1]) && &found[2] != "-" && !found[2].starts_with('[');
    match is_address(&found[2]) || is_named {
        true => (Some(found[1].to_owned()), format!("{}{}", &found[2], &found[3])),
        false => (None, line.to_owned()),
    }
}

fn logfmt(line: &str) -> Option<Fields> {
    let pair = r#"^([^\x00-\x20="]+)(?:(=)(?:"((?:[^"\\]|\\.)*)"|([^\x00-\x20"]*)))?(?:[\x00-\x20]+|$)"#;
    let escape = Regex::new(r"(?s)\\(u[0-9a-fA-F]{4}|.)").ok()?;
    let mut fields = Fields::new();
    let mut any = false;
    let mut rest = line.trim_start_matches(|c| c <= ' ');
    while !rest.is_empty() {
        let found = captures(pair, rest)?;
        any |= found.get(2).is_some();
        let value = match (found.get(3), found.get(4)) {
            (Some(quoted), _) => Value::from(escape.replace_all(quoted.as_str(), |found: &Captures<'_>| {
                let code =
                    found[1].get(1..).and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
                match (&found[1], code) {
                    ("n", _) => "\n".to_owned(),
                    ("t", _) => "\t".to_owned(),
                    ("r", _) => "\r".to_owned(),
                    (same @ ("\"" | "\\" | "/"), _) => same.to_owned(),
                    (_, Some(code)) if found[1].len() == 5 => code.to_string(),
                    _ => found[0].to_owned(),
                }
            })),
            (None, Some(bare)) => bare.as_str().into(),
            (None, None) => true.into(),
        };
        fields.insert(found[1].to_owned(), value);
        rest = &rest[found[0].len()..];
    }
    any.then_some(fields)
}

fn klog(line: &str, record_time: Option<i64>) -> Option<Fields> {
    let found = captures(r"^([IWEF])([0-9]{2})([0-9]{2}) +([^ ]*) +([0-9]+) ([^\]]*):([0-9]+)\] ?(.*)$", line)?;
    let level = [("I", "info"), ("W", "warning"), ("E", "error"), ("F", "fatal")];
    let level = level.iter().find(|(letter, _)| *letter == &found[1])?.1;
    let mut fields = Fields::from_iter([("level".to_owned(), Value::from(level))]);
    for (name, at) in [("id", 5), ("file", 6), ("line", 7), ("message", 8)] {
        fields.insert(name.to_owned(), found[at].into());
    }
    if let Some(time) = in_its_year(&found[2], &found[3], &found[4], record_time) {
        fields.insert("timestamp".to_owned(), time.into());
    }
    Some(fields)
}

/// The time of the year that is nearest to the record's, as RFC 3339.
fn in_its_year(month: &str, day: &str, time: &str, record_time: Option<i64>) -> Option<String> {
    let record = jiff::Timestamp::from_millisecond(record_time?).ok()?;
    let year: i64 = record.to_string().get(..4)?.parse().ok()?;
    let all = (year - 1..=year + 1).filter_map(|year| {
        let time: jiff::Timestamp = format!("{year:04}-{month:0>2}-{day:0>2}T{time}Z").parse().ok()?;
        Some(time)
    });
    // It is the clock of some zone that shows it: the config says of which.
    let nearest = all.min_by_key(|time| (time.as_second() - record.as_second()).abs());
    nearest.map(|time| time.to_string().trim_end_matches('Z').to_owned())
}

fn cri(line: &str) -> Option<Fields> {
    let found = captures(r"^([0-9][^ ]*) (stdout|stderr) ([FP](?::[^ ]*)?)(?: (.*))?$", line)?;
    let text = |at| Value::from(found.get(at).map_or("", |group| group.as_str()));
    let names = ["timestamp", "stream", "logtag", "message"];
    Some(names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), text(at + 1))).collect())
}

fn cef(event: &str) -> Option<Fields> {
    let part = r"((?:[^|\\]|\\.)*)\|";
    let found = captures(&format!("^.*?CEF:{}(.*)$", part.repeat(7)), event)?;
    let plain = |text: &str, escapes: &str| {
        let escapes = Regex::new(&format!(r"\\([{escapes}])")).ok()?;
        let instead =
            |found: &Captures<'_>| if "nr".contains(&found[1]) { "\n".to_owned() } else { found[1].to_owned() };
        Some(Value::from(escapes.replace_all(text, instead)))
    };
    let names =
        ["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];
    let mut fields = Fields::new();
    for (at, name) in names.iter().enumerate() {
        fields.insert((*name).to_owned(), plain(found[at + 1].trim(), r"\\|=")?);
    }
    let extension = found[8].trim();
    let keys = Regex::new(r"(?:^| )([A-Za-z0-9_.\[\]-]+)=").ok()?;
    let keys: Vec<(usize, usize, String)> = keys
        .captures_iter(extension)
        .filter_map(|found| found.get(0).map(|all| (all.start(), all.end(), found[1].to_owned())))
        .collect();
    if !extension.is_empty() && keys.first().is_none_or(|(start, _, _)| *start > 0) {
        return None;
    }
    for (at, (_, begin, key)) in keys.iter().enumerate() {
        let end = keys.get(at + 1).map_or(extension.len(), |(start, _, _)| *start);
        let value = extension.get(*begin..end).unwrap_or_default();
        fields.insert(key.clone(), plain(value.trim_end(), r"\\|=nr")?);
    }
    Some(fields)
}

fn syslog(message: &str, record_time: Option<i64>) -> Option<Fields> {
    let message = captures(r"^[0-9]+ (<.*)$", message).map_or(message.to_owned(), |found| found[1].to_owned());
    let mut fields = Fields::new();
    let mut rest = message.clone();
    if let Some(found) = captures(r"^<([^>]*)>(.*)$", &message) {
        let priority: usize = found[1].parse().ok().filter(|_| found[1].len() <= 3)?;
        let facilities = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clockd \
            local0 local1 local2 local3 local4 local5 local6 local7";
        let severities = "emerg alert crit err warning notice info debug";
        fields.insert("facility".to_owned(), facilities.split_whitespace().nth(priority / 8)?.into());
        fields.insert("severity".to_owned(), severities.split_whitespace().nth(priority % 8)?.into());
        rest = found[2].to_owned();
        if let Some(found) = captures(r"^([1-9][0-9]?) (.*)$", &rest) {
            fields.insert("version".to_owned(), found[1].into());
            return structured(&found[2], fields);
        }
    }
    let rest = rest.trim_start_matches(' ');
    let rest = captures("^[0-9]+: (.*)$", rest).map_or(rest.to_owned(), |found| found[1].to_owned());
    let head = r"^[*.]*(?:(?:([0-9]{4}) +)?([A-Z][a-z]{2}) +([0-9]+) +(?:([0-9]{4}) +)?([0-9:.]+)|([0-9]{4}-[0-9]{2}-[0-9]{2}(?:T| +)[^ ]+)) +(.*)$";
    let found = captures(head, &rest)?;
    let mut rest = found[7].to_owned();
    let time = match (found.get(6), found.get(4).or(found.get(1))) {
        (Some(dated), _) => Regex::new(" +").ok()?.replace(dated.as_str(), "T").into_owned(),
        (None, year) => {
            let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
            let month = (months.split(' ').position(|month| month == &found[2])? + 1).to_string();
            let clock = found[5].trim_end_matches(':');
            let mut time = match year {
                Some(year) => format!("{}-{month:0>2}-{:0>2}T{clock}", year.as_str(), &found[3]),
                None => in_its_year(&month, &found[3], clock, record_time)?,
            };
            if let Some(zone) = captures("^([A-Z]+):* +(.*)$", &rest)
                .filter(|zone| clock == &found[5] && crate::value::time::is_abbreviation(&zone[1]))
            {
                time = format!("{time} {}", &zone[1]);
                rest = zone[2].to_owned();
            }
            time
        }
    };
    fields.insert("timestamp".to_owned(), time.into());
    let (host, rest) = match captures(r"^([^ ]*[^ :]) +(.*)$", &rest) {
        Some(found) => (found[1].to_owned(), found[2].to_owned()),
        None => ("-".to_owned(), rest),
    };
    put(&mut fields, "hostname", &host);
    match captures(r"^([^:\[ ]+)(?:\[([^\]]*)\])?: ?(.*)$", &rest) {
        Some(found) => {
            fields.insert("appname".to_owned(), found[1].into());
            if let Some(process) = found.get(2) {
                fields.insert("procid".to_owned(), process.as_str().into());
            }
            fields.insert("message".to_owned(), found[3].into());
        }
        None => drop(fields.insert("message".to_owned(), rest.into())),
    }
    Some(fields)
}

/// RFC 5424 from behind the version.
fn structured(text: &str, mut fields: Fields) -> Option<Fields> {
    let parameter = r#" +([^= ]*)= *"((?:[^"\\]|\\.)*)""#;
    let element = r#"\[([^ \]]+)((?: +[^= ]*= *"(?:[^"\\]|\\.)*")*)\]"#;
    let head = r"^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (.*)$";
    let found = captures(head, text)?;
    for (at, name) in ["timestamp", "hostname", "appname", "procid", "msgid"].iter().enumerate() {
        put(&mut fields, name, &found[at + 1]);
    }
    let mut rest = found[6].to_owned();
    if let Some(after) = rest.strip_prefix('-') {
        rest = after.to_owned();
    } else {
        let one = format!("^{element}(.*)$");
        let (each, escape) = (Regex::new(&format!("(?s){parameter}")).ok()?, Regex::new(r#"\\(["\\\]])"#).ok()?);
        let mut any = false;
        while let Some(found) = captures(&one, &rest) {
            any = true;
            let mut parameters = Fields::new();
            for found in each.captures_iter(&found[2]) {
                let value = escape.replace_all(&found[2], "$1").into_owned();
                parameters.insert(found[1].to_owned(), value.into());
            }
            fields.insert(found[1].to_owned(), json!(parameters));
            let after = found[found.len() - 1].to_owned();
            rest = after;
        }
        // Without structured data all of it is the message.
        let is_none = !any || !(rest.is_empty() || rest.starts_with(' '));
        if is_none {
            let is_message = !found[6].starts_with('[') || !found[6].contains("=\"");
            fields.insert("message".to_owned(), found[6].into());
            return is_message.then_some(fields);
        }
    }
    match rest.strip_prefix(' ') {
        Some(message) => drop(fields.insert("message".to_owned(), message.trim_start_matches('\u{feff}').into())),
        None if rest.is_empty() => {}
        None => return None,
    }
    Some(fields)
}

/// Columns by their names; a heading is no event.
fn named(names: &[String], columns: &[String]) -> Option<Fields> {
    if columns.len() < names.len() || columns.iter().zip(names).all(|(column, name)| column == name) {
        return None;
    }
    Some(names.iter().cloned().zip(columns.iter().map(|column| Value::from(column.as_str()))).collect())
}

/// RFC 4180, character by character, as many columns as there are names.
fn csv(line: &str, delimiter: char, wanted: usize) -> Option<Vec<String>> {
    let characters: Vec<char> = line.chars().collect();
    let mut columns = Vec::new();
    let mut at = 0;
    while columns.len() < wanted {
        let mut column = String::new();
        if characters.get(at) == Some(&'"') {
            at += 1;
            loop {
                match (characters.get(at)?, characters.get(at + 1)) {
                    ('"', Some('"')) => {
                        column.push('"');
                        at += 2;
                    }
                    ('"', _) => break,
                    (other, _) => {
                        column.push(*other);
                        at += 1;
                    }
                }
            }
            at += 1;
        } else {
            while let Some(other) = characters.get(at).filter(|c| **c != delimiter) {
                column.push(*other);
                at += 1;
            }
        }
        columns.push(column);
        match characters.get(at) {
            Some(c) if *c == delimiter => at += 1,
            Some(_) => return None,
            None => break,
        }
    }
    Some(columns)
}

fn w3c(line: &str, names: &[String]) -> Option<Fields> {
    if line.starts_with('#') {
        return None;
    }
    let column = match line.contains('\t') {
        true => r#"(?s)^(?:"((?:[^"]|"")*)"|([^\t]*))(?:\t|$)"#,
        false => r#"(?s)^(?:"((?:[^"]|"")*)"|([^" ][^ ]*))(?: +|$)"#,
    };
    let column = Regex::new(column).ok()?;
    let mut rest = line;
    let mut fields = Fields::new();
    let mut ended = false;
    for name in names {
        let found = column.captures(rest).filter(|_| !ended)?;
        ended = line.contains('\t') && !found[0].ends_with('\t');
        match (found.get(1), found.get(2)) {
            (Some(quoted), _) => put(&mut fields, name, &quoted.as_str().replace("\"\"", "\"")),
            (None, Some(bare)) => put(&mut fields, name, bare.as_str()),
            (None, None) => return None,
        }
        rest = &rest[found[0].len()..];
    }
    if !names.iter().any(|name| name == "timestamp") {
        let part = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let time = format!("{}T{}", part("date"), part("time"));
        fields.insert("timestamp".to_owned(), time.into());
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T00:00:00Z.
    const RECORD_TIME: i64 = 1_767_312_000_000;

    #[test]
    fn what_stands_before_clients_and_behind_times_is_told_apart() {
        let read = |format: &FormatKind, line: &str, names: &[&str]| {
            let found = fields(line, format, Some(RECORD_TIME)).unwrap_or_else(|| panic!("{line}"));
            names.iter().map(|name| found[name].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>().join("|")
        };
        for (line, expected) in [
            ("a.example:443 203.0.113.7 - bob [T] R 200 5", "a.example:443|203.0.113.7|bob"),
            ("a.example:80 client.example - - [T] R 200 5", "a.example:80|client.example|-"),
            ("203.0.113.7, 10.0.0.1 - bob [T] R 200 5", "-|203.0.113.7|bob"),
            ("203.0.113.7:4711 bob - [T] R 200 5", "-|203.0.113.7:4711|-"),
        ] {
            let line = line.replace("[T] R", r#"[10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1""#);
            assert_eq!(read(&FormatKind::Combined, &line, &["vhost", "host", "user"]), expected, "{line}");
        }
        for (line, expected) in [
            ("<158>1 2026-01-01T10:00:00Z host heroku router - at=info", "2026-01-01T10:00:00Z|host|heroku|at=info"),
            ("<34>1 2026-01-01T10:00:00Z h app web.1 - [2026 10] x", "2026-01-01T10:00:00Z|h|app|[2026 10] x"),
            ("<189>47: *Jan 1 10:00:00.1 CET: %SYS-5-X: y", "2026-01-01T10:00:00.1 CET|-|%SYS-5-X|y"),
            ("<13>Jan 1 10:00:00 UTC h su: x", "2026-01-01T10:00:00 UTC|h|su|x"),
            ("<13>Jan 1 10:00:00 h su: x", "2026-01-01T10:00:00|h|su|x"),
            ("<13> 2026 Jan 1 10:00:00 h su: x", "2026-01-01T10:00:00|h|su|x"),
            ("<13>2026-01-01 10:00:00 h su[1]: x", "2026-01-01T10:00:00|h|su|x"),
        ] {
            let names = ["timestamp", "hostname", "appname", "message"];
            assert_eq!(read(&FormatKind::Syslog, line, &names), expected, "{line}");
        }
        let names = ["ts", "user_agent", "status"].map(str::to_owned).to_vec();
        let kind = FormatKind::W3c { names };
        assert_eq!(read(&kind, "1\tMozilla/5.0 (X11\t200", &["ts", "user_agent", "status"]), "1|Mozilla/5.0 (X11|200");
        assert_eq!(read(&kind, "1 a 200", &["ts", "user_agent", "status"]), "1|a|200");
        assert!(fields("1\ta", &kind, None).is_none());
    }
}
