//! The formats again, slow and obvious: regular expressions and loops over characters.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

pub type Fields = BTreeMap<String, String>;

const QUOTED: &str = r#""((?:[^"\\]|\\.)*)""#;

fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?s){pattern}")).unwrap()
}

fn put(fields: &mut Fields, name: &str, text: &str) {
    if text != "-" {
        fields.insert(name.into(), text.into());
    }
}

pub fn access_log(line: &str) -> Option<Fields> {
    let head = regex(r#"^\s*([^\s][^ ]*) +([^ ]+) +(.*?) \[([^\]]*)\] *"((?:[^"\\]|\\.)*)" *([^ ]+) *([^ ]*) *(.*)$"#);
    let mut fields = Fields::new();
    let (vhost, line) = virtual_host(line);
    if let Some(vhost) = vhost {
        put(&mut fields, "vhost", &vhost);
    }
    let found = head.captures(&line)?;
    for (at, name) in ["host", "identity", "user", "", "message", "status", "size"].into_iter().enumerate() {
        put(&mut fields, name, &found[at + 1]);
    }
    fields.remove("");
    fields.insert("timestamp".into(), found[4].into());
    let number = regex("^(-|[0-9]*)$");
    if !number.is_match(&found[6]) || !number.is_match(&found[7]) {
        return None;
    }
    if found[7].is_empty() {
        fields.remove("size");
    }
    if let Some(request) = regex(r"^([A-Za-z_-]+) (.*)$").captures(&found[5]) {
        fields.insert("method".into(), request[1].into());
        match regex(r"^(.*) ([^ /]+/[^ ]*|[^ /][^ ]*/[^ ]*)$").captures(&request[2]) {
            Some(split) => {
                fields.insert("path".into(), split[1].into());
                fields.insert("protocol".into(), split[2].into());
            }
            None => drop(fields.insert("path".into(), request[2].into())),
        }
    }
    let mut rest = found[8].to_owned();
    for name in ["referrer", "agent"] {
        if !rest.starts_with('"') {
            break;
        }
        let quoted = regex(&format!("^{QUOTED} *(.*)$"));
        let found = quoted.captures(&rest)?;
        put(&mut fields, name, &found[1]);
        rest = found[2].to_owned();
    }
    Some(fields)
}

/// A line without its virtual host, and with one client where it has a list of them.
fn virtual_host(line: &str) -> (Option<String>, String) {
    let line = line.trim_start();
    if let Some(found) = regex(r"^([^ ]+), +(?:[^ ]*, +)*[^ ]*[^ ,](?: +(.*))?$").captures(line) {
        return (None, format!("{} {}", &found[1], found.get(2).map_or("", |rest| rest.as_str())));
    }
    let Some(found) = regex("^([^ ]+) +([^ ]+)((?: .*)?)$").captures(line) else { return (None, line.to_owned()) };
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let port = regex(r"^\[?(.*?)\]?:([0-9]+)$").captures(&found[1]);
    let has_port = port.is_some_and(|port| !is_address(&port[1]) && port[2].parse::<u16>().is_ok());
    let named = has_port && !is_address(&found[1]) && &found[2] != "-" && !found[2].starts_with('[');
    match is_address(&found[2]) || named {
        true => (Some(found[1].to_owned()), format!("{}{}", &found[2], &found[3])),
        false => (None, line.to_owned()),
    }
}

pub fn logfmt(line: &str) -> Option<Fields> {
    let pair = regex(r#"^([^\x00-\x20="]+)(?:(=)(?:"((?:[^"\\]|\\.)*)"|([^\x00-\x20"]*)))?(?:[\x00-\x20]+|$)"#);
    let escape = regex(r"\\(u[0-9a-fA-F]{4}|.)");
    let mut fields = Fields::new();
    let mut any = false;
    let mut rest = line.trim_start_matches(|c| c <= ' ');
    while !rest.is_empty() {
        let found = pair.captures(rest)?;
        any |= found.get(2).is_some();
        let value = match (found.get(3), found.get(4)) {
            (Some(quoted), _) => escape
                .replace_all(quoted.as_str(), |found: &Captures<'_>| match &found[1] {
                    "n" => "\n".to_owned(),
                    "t" => "\t".to_owned(),
                    "r" => "\r".to_owned(),
                    same @ ("\"" | "\\" | "/") => same.to_owned(),
                    code if code.len() == 5 => {
                        let code = u32::from_str_radix(&code[1..], 16).unwrap();
                        char::from_u32(code).map_or(found[0].to_owned(), String::from)
                    }
                    _ => found[0].to_owned(),
                })
                .into_owned(),
            (None, Some(bare)) => bare.as_str().to_owned(),
            (None, None) => "true".to_owned(),
        };
        fields.insert(found[1].to_owned(), value);
        rest = &rest[found[0].len()..];
    }
    any.then_some(fields)
}

/// RFC 4180, character by character.
pub fn csv(line: &str, names: &[&str]) -> Option<Fields> {
    let characters: Vec<char> = line.chars().collect();
    let mut at = 0;
    let mut columns = Vec::new();
    loop {
        let mut column = String::new();
        if characters.get(at) == Some(&'"') {
            at += 1;
            loop {
                match (characters.get(at), characters.get(at + 1)) {
                    (Some('"'), Some('"')) => {
                        column.push('"');
                        at += 2;
                    }
                    (Some('"'), _) => break,
                    (Some(c), _) => {
                        column.push(*c);
                        at += 1;
                    }
                    (None, _) if columns.len() < names.len() => return None,
                    (None, _) => break,
                }
            }
            at += 1;
        } else {
            while characters.get(at).is_some_and(|c| *c != ',') {
                column.push(characters[at]);
                at += 1;
            }
        }
        columns.push(column);
        match characters.get(at) {
            Some(',') => at += 1,
            Some(_) if columns.len() <= names.len() => return None,
            _ => break,
        }
    }
    if columns.len() < names.len() || columns[..names.len()] == *names {
        return None;
    }
    Some(names.iter().map(|name| (*name).to_owned()).zip(columns).collect())
}

/// Tabs, and nothing else.
pub fn tsv(line: &str, names: &[&str]) -> Option<Fields> {
    let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
    if columns.len() < names.len() || columns[..names.len()] == *names {
        return None;
    }
    Some(names.iter().map(|name| (*name).to_owned()).zip(columns).collect())
}

/// Of a line with tabs: what is between them, without its quotes if it is all in quotes.
fn between_tabs(line: &str, names: &[&str]) -> Option<Fields> {
    let quoted = regex(r#"^"((?:[^"]|"")*)"(?:\t|$)"#);
    let (mut rest, mut fields) = (Some(line), Fields::new());
    for name in names {
        let text = rest?;
        if let Some(found) = quoted.captures(text) {
            put(&mut fields, name, &found[1].replace("\"\"", "\""));
            rest = found[0].ends_with('\t').then(|| &text[found[0].len()..]);
        } else {
            put(&mut fields, name, text.split('\t').next()?);
            rest = text.split_once('\t').map(|(_, after)| after);
        }
    }
    Some(fields)
}

/// Words between spaces, or in quotes, character by character.
pub fn w3c(line: &str, names: &[&str]) -> Option<Fields> {
    let characters: Vec<char> = line.chars().collect();
    let (mut at, mut fields) = (0, Fields::new());
    if characters.first() == Some(&'#') {
        return None;
    }
    if line.contains('\t') {
        return between_tabs(line, names);
    }
    for name in names {
        let mut column = String::new();
        if *characters.get(at)? == '"' {
            at += 1;
            while let Some(c) = characters.get(at) {
                match (c, characters.get(at + 1)) {
                    ('"', Some('"')) => at += 1,
                    ('"', _) => break,
                    _ => {}
                }
                column.push(*c);
                at += 1;
            }
            // The quote that ends it.
            characters.get(at)?;
            at += 1;
        } else {
            while characters.get(at).is_some_and(|c| *c != ' ') {
                column.push(characters[at]);
                at += 1;
            }
            if column.is_empty() {
                return None;
            }
        }
        match characters.get(at) {
            None => {}
            Some(' ') => at += 1,
            Some(_) => return None,
        }
        while characters.get(at) == Some(&' ') {
            at += 1;
        }
        put(&mut fields, name, &column);
    }
    Some(fields)
}

pub fn klog(line: &str) -> Option<Fields> {
    let found = regex(r"^([IWEF])([0-9]{4}) +([^ ]*) +([0-9]+) ([^\]]*):([0-9]+)\] ?(.*)$").captures(line)?;
    let level = match &found[1] {
        "I" => "info",
        "W" => "warning",
        "E" => "error",
        _ => "fatal",
    };
    let named = [("id", 4), ("file", 5), ("line", 6), ("message", 7)];
    let mut fields: Fields = named.into_iter().map(|(name, at)| (name.to_owned(), found[at].to_owned())).collect();
    fields.insert("level".into(), level.into());
    Some(fields)
}

pub fn cri(line: &str) -> Option<Fields> {
    let found = regex(r"^([0-9][^ ]*) (stdout|stderr) ([FP](?::[^ ]*)?)(?: (.*))?$").captures(line)?;
    let message = found.get(4).map_or("", |message| message.as_str());
    let all = [("timestamp", &found[1]), ("stream", &found[2]), ("logtag", &found[3]), ("message", message)];
    Some(all.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
}

pub fn cef(event: &str) -> Option<Fields> {
    let part = r"((?:[^|\\]|\\.)*)\|";
    let found = regex(&format!("^.*?CEF:{part}{part}{part}{part}{part}{part}{part}(.*)$")).captures(event)?;
    let plain = |text: &str, extension: bool| {
        let escapes = if extension { r"\\([\\|=nr])" } else { r"\\([\\|=])" };
        let character = |found: &Captures<'_>| match &found[1] {
            "n" | "r" => "\n".to_owned(),
            same => same.to_owned(),
        };
        regex(escapes).replace_all(text, character).into_owned()
    };
    let names =
        ["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];
    let mut fields: Fields =
        names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), plain(found[at + 1].trim(), false))).collect();
    let extension = found[8].trim();
    let keys: Vec<_> = regex(r"(?:^| )([A-Za-z0-9_.\[\]-]+)=").captures_iter(extension).collect();
    if !extension.is_empty() && keys.first().is_none_or(|first| first.get(0).unwrap().start() > 0) {
        return None;
    }
    for (at, key) in keys.iter().enumerate() {
        let end = keys.get(at + 1).map_or(extension.len(), |next| next.get(0).unwrap().start());
        let value = extension.get(key.get(0).unwrap().end()..end).unwrap_or("");
        fields.insert(key[1].to_owned(), plain(value.trim_end(), true));
    }
    Some(fields)
}

/// RFC 5424 with its structured data as `id.name`.
pub fn syslog(line: &str) -> Option<Fields> {
    let value = r#"(?:[^"\\]|\\.)*"#;
    let parameter = format!(r#" +([^= ][^=]*|)= *"({value})""#);
    let element = format!(r#"\[([^ \]]+)((?: +(?:[^= ][^=]*|)= *"{value}")*)\]"#);
    let head = format!(
        r"^<([0-9]{{1,3}})>([1-9][0-9]?) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (-|(?:{element})+)(?: (.*))?$"
    );
    let without = r"^<([0-9]{1,3})>([1-9][0-9]?) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^-].*)$";
    let line = line.trim_end();
    let found = regex(&head).captures(line).or_else(|| {
        let found = regex(without).captures(line)?;
        (!found[8].starts_with('[') || !found[8].contains("=\"")).then_some(found)
    })?;
    let facilities = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clockd local0 local1 local2 local3 local4 local5 local6 local7";
    let severities = "emerg alert crit err warning notice info debug";
    let priority: usize = found[1].parse().unwrap();
    let mut fields = Fields::new();
    fields.insert("facility".into(), facilities.split(' ').nth(priority / 8)?.into());
    fields.insert("severity".into(), severities.split(' ').nth(priority % 8)?.into());
    fields.insert("version".into(), found[2].into());
    for (at, name) in ["timestamp", "hostname", "appname", "procid", "msgid"].into_iter().enumerate() {
        put(&mut fields, name, &found[at + 3]);
    }
    for each in regex(&element).captures_iter(if found.len() == 9 { "" } else { &found[8] }) {
        for pair in regex(&parameter).captures_iter(&each[2]) {
            let text = regex(r#"\\(["\\\]])"#).replace_all(&pair[2], "$1").into_owned();
            fields.insert(format!("{}.{}", &each[1], &pair[1]), text);
        }
    }
    if found.len() == 9 {
        fields.insert("message".into(), found[8].into());
    } else if let Some(message) = found.get(found.len() - 1) {
        let message = message.as_str();
        fields.insert("message".into(), message.strip_prefix('\u{feff}').unwrap_or(message).into());
    }
    Some(fields)
}
