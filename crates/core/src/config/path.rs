//! Where a value stands: in an event, or in the record that brought it.

use std::fmt;

/// Deeper than this nobody writes.
const DEEPEST: usize = 16;

/// A path into an event, or to something of its record. Parsed once; [`fmt::Display`] writes it so that it parses back.
///
/// `request.headers."User-Agent"[0]`: names with a dot between them, in quotes where they have dots, brackets or quotes in
/// them; an item of an array by its place, `[-1]` from the end, or `[name=Host]` by what one of its fields says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldPath {
    Event(Vec<Step>),
    Record(RecordField),
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The field of this name of an object.
    Key(String),
    /// An item of an array: 0 is the first, -1 the last.
    Index(i32),
    /// The first item of an array that is an object whose field `name` reads `value`.
    Item { name: String, value: String },
}

/// What every record has beside its payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordField {
    Topic,
    Partition,
    Key,
    /// The last header of this name.
    Header(String),
    /// The record's own time, Unix milliseconds.
    Timestamp,
}

impl Default for FieldPath {
    fn default() -> Self {
        FieldPath::Event(Vec::new())
    }
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPath {
    /// The character that it is wrong from.
    pub at: usize,
    pub message: String,
    pub help: &'static str,
}

impl FieldPath {
    /// A path of names, whatever is in them.
    pub fn keys<'a>(names: impl IntoIterator<Item = &'a str>) -> FieldPath {
        FieldPath::Event(names.into_iter().map(|name| Step::Key(name.to_owned())).collect())
    }

    /// Reads a path.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn parse(text: &str) -> Result<FieldPath, BadPath> {
        let mut reader = Reader { text, at: 0 };
        if text.starts_with('%') {
            return reader.record_field().map(FieldPath::Record);
        }
        let mut steps = vec![Step::Key(reader.name()?)];
        while let Some(next) = reader.peek() {
            match next {
                '.' => {
                    reader.at += 1;
                    steps.push(Step::Key(reader.name()?));
                }
                '[' => steps.push(reader.selector()?),
                _ => return Err(reader.wrong("a `.` or `[` is missing here", NAMES)),
            }
            if steps.len() > DEEPEST {
                return Err(BadPath {
                    at: 0,
                    message: "this field path is too deep".into(),
                    help: "16 names are the most",
                });
            }
        }
        Ok(FieldPath::Event(steps))
    }

    /// The steps into the event; none for what is not in it.
    pub fn steps(&self) -> &[Step] {
        match self {
            FieldPath::Event(steps) => steps,
            FieldPath::Record(_) => &[],
        }
    }

    /// The names of a path that has nothing else.
    pub fn names(&self) -> Option<Vec<&str>> {
        let FieldPath::Event(steps) = self else { return None };
        steps
            .iter()
            .map(|step| match step {
                Step::Key(name) => Some(name.as_str()),
                Step::Index(_) | Step::Item { .. } => None,
            })
            .collect()
    }
}

const NAMES: &str = "names with a dot between them and no spaces around: `status`, `request.path`; in quotes where a name has dots: `\"log.level\"`";
const SELECTORS: &str =
    "`[0]` is the first item of an array, `[-1]` the last, `[name=Host]` the one whose `name` is `Host`";
const RECORD: &str = "`%topic`, `%partition`, `%key`, `%headers.NAME` and `%timestamp` are the record's own; a field that begins with `%` stands in quotes";

struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn wrong(&self, message: impl Into<String>, help: &'static str) -> BadPath {
        BadPath { at: self.text[..self.at].chars().count(), message: message.into(), help }
    }

    /// A name, in quotes or bare.
    fn name(&mut self) -> Result<String, BadPath> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let rest = self.rest();
        let name = &rest[..rest.find(['.', '[', ']', '"']).unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(self.wrong("a name is missing here", NAMES));
        }
        if name.trim() != name {
            return Err(self.wrong("a name has space around it", NAMES));
        }
        let name = name.to_owned();
        self.at += name.len();
        Ok(name)
    }

    /// What stands in quotes; `\"` and `\\` are a quote and a backslash.
    fn quoted(&mut self) -> Result<String, BadPath> {
        let unclosed = self.wrong("this quote is not closed", NAMES);
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(name);
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('"' | '\\'))) => name.push(c),
                    _ => {
                        self.at += at;
                        return Err(self.wrong("a backslash stands before a quote or another backslash", NAMES));
                    }
                },
                c => name.push(c),
            }
        }
        Err(unclosed)
    }

    /// `[0]`, `[-1]`, `[name=Host]`.
    fn selector(&mut self) -> Result<Step, BadPath> {
        let begin = self.at;
        self.at += 1;
        let rest = self.rest();
        let number = &rest[..rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len())];
        if let (Ok(index), Some(']')) = (number.parse(), rest[number.len()..].chars().next()) {
            self.at += number.len() + 1;
            return Ok(Step::Index(index));
        }
        let quoted = self.peek() == Some('"');
        let name = match quoted {
            true => self.quoted()?,
            false => {
                let rest = self.rest();
                let name = rest[..rest.find(['=', ']', '"', '[']).unwrap_or(rest.len())].to_owned();
                self.at += name.len();
                name
            }
        };
        if self.peek() != Some('=') || (!quoted && (name.is_empty() || name.trim() != name)) {
            self.at = begin;
            return Err(self.wrong("these brackets say neither which place nor which field", SELECTORS));
        }
        self.at += 1;
        let value = match self.peek() {
            Some('"') => self.quoted()?,
            _ => {
                let rest = self.rest();
                let value = rest[..rest.find([']', '"']).unwrap_or(rest.len())].to_owned();
                self.at += value.len();
                value
            }
        };
        if self.peek() != Some(']') {
            self.at = begin;
            return Err(self.wrong("this bracket is not closed", SELECTORS));
        }
        self.at += 1;
        Ok(Step::Item { name, value })
    }

    /// What begins with `%`.
    fn record_field(&mut self) -> Result<RecordField, BadPath> {
        let field = match self.text {
            "%topic" => RecordField::Topic,
            "%partition" => RecordField::Partition,
            "%key" => RecordField::Key,
            "%timestamp" => RecordField::Timestamp,
            _ => match self.text.strip_prefix("%headers.") {
                Some(_) => {
                    self.at = "%headers.".len();
                    let name = self.name()?;
                    if !self.rest().is_empty() {
                        return Err(self.wrong("a header has nothing below it", RECORD));
                    }
                    RecordField::Header(name)
                }
                None => return Err(self.wrong(format!("a record has no `{}`", self.text), RECORD)),
            },
        };
        Ok(field)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = match self {
            FieldPath::Event(steps) => steps,
            FieldPath::Record(field) => return field.fmt(f),
        };
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Key(name) => {
                    f.write_str(if at == 0 { "" } else { "." })?;
                    let bare = !(at == 0 && name.starts_with('%'));
                    f.write_str(&shown(name, bare))?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Item { name, value } => {
                    // A name of digits alone and an empty one would be read as something else without quotes.
                    let name_bare =
                        !name.is_empty() && name.trim() == name && !name.contains(['=', ']', '"', '[', '\\']);
                    let value_bare = !value.contains([']', '"', '\\']);
                    let name = if name_bare { name.clone() } else { in_quotes(name) };
                    let value = if value_bare { value.clone() } else { in_quotes(value) };
                    write!(f, "[{name}={value}]")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for RecordField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordField::Topic => f.write_str("%topic"),
            RecordField::Partition => f.write_str("%partition"),
            RecordField::Key => f.write_str("%key"),
            RecordField::Header(name) => write!(f, "%headers.{}", shown(name, true)),
            RecordField::Timestamp => f.write_str("%timestamp"),
        }
    }
}

/// A name as a path has it: bare if it may be and reads back.
fn shown(name: &str, bare: bool) -> String {
    let plain = !name.is_empty() && name.trim() == name && !name.contains(['.', '[', ']', '"']);
    if bare && plain { name.to_owned() } else { in_quotes(name) }
}

fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    fn item(name: &str, value: &str) -> Step {
        Step::Item { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_path_has_names_quoted_names_and_items() {
        for (text, steps) in [
            ("status", vec![key("status")]),
            ("request.path", vec![key("request"), key("path")]),
            (r#""log.level""#, vec![key("log.level")]),
            (
                r#"request.headers."User-Agent"[0]"#,
                vec![key("request"), key("headers"), key("User-Agent"), Step::Index(0)],
            ),
            ("tags[-1].name", vec![key("tags"), Step::Index(-1), key("name")]),
            ("a[1][2]", vec![key("a"), Step::Index(1), Step::Index(2)]),
            ("h[name=Host].value", vec![key("h"), item("name", "Host"), key("value")]),
            (r#"a[key="service.name"].v"#, vec![key("a"), item("key", "service.name"), key("v")]),
            (r#"a["k.1"="x]"]"#, vec![key("a"), item("k.1", "x]")]),
            ("a[k=]", vec![key("a"), item("k", "")]),
            (r#""a\"b\\".c d"#, vec![key("a\"b\\"), key("c d")]),
            (r#"":authority""#, vec![key(":authority")]),
            ("@t", vec![key("@t")]),
            (r#""%topic""#, vec![key("%topic")]),
            (r#""""#, vec![key("")]),
        ] {
            assert_eq!(FieldPath::parse(text), Ok(FieldPath::Event(steps)), "{text}");
        }
    }

    #[test]
    fn what_is_the_records_own_begins_with_a_percent_sign() {
        for (text, field) in [
            ("%topic", RecordField::Topic),
            ("%partition", RecordField::Partition),
            ("%key", RecordField::Key),
            ("%timestamp", RecordField::Timestamp),
            ("%headers.tenant", RecordField::Header("tenant".into())),
            (r#"%headers."x-tenant.id""#, RecordField::Header("x-tenant.id".into())),
        ] {
            assert_eq!(FieldPath::parse(text), Ok(FieldPath::Record(field)), "{text}");
        }
    }

    #[test]
    fn every_error_says_where_it_is() {
        for (text, at) in [
            ("", 0),
            (".", 0),
            ("a.", 2),
            ("a..b", 2),
            ("a. b", 2),
            ("a ", 0),
            (r#""a"#, 0),
            (r#""a"b"#, 3),
            (r#"a"b""#, 1),
            (r#""a\n""#, 2),
            ("é.[0]", 2),
            ("a[", 1),
            ("a[]", 1),
            ("a[x]", 1),
            ("a[1", 1),
            ("a[99999999999]", 1),
            ("a[k=v", 1),
            ("a[=v]", 1),
            ("a]", 1),
            ("[0]", 0),
            ("%offset", 0),
            ("%topic.x", 0),
            ("%headers.a.b", 10),
            ("%headers.", 9),
            ("%headers", 0),
        ] {
            let bad = FieldPath::parse(text).expect_err(text);
            assert_eq!(bad.at, at, "{text}: {bad:?}");
        }
        assert!(FieldPath::parse(&vec!["a"; 16].join(".")).is_ok());
        assert!(FieldPath::parse(&vec!["a"; 17].join(".")).is_err());
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let text = || prop_oneof![any::<String>(), "[-a\\]\\[.\"= \\\\%0-9]{0,5}"];
        prop_oneof![
            3 => text().prop_map(Step::Key),
            1 => any::<i32>().prop_map(Step::Index),
            1 => (text(), text()).prop_map(|(name, value)| Step::Item { name, value }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_path_is_shown_reads_back(first in any::<String>(), more in prop::collection::vec(any_step(), 0..6)) {
            let steps = [Step::Key(first)].into_iter().chain(more).collect();
            let path = FieldPath::Event(steps);
            prop_assert_eq!(FieldPath::parse(&path.to_string()), Ok(path.clone()), "{}", path);
        }

        #[test]
        fn no_text_stops_the_parser_and_what_it_takes_it_shows(text in "[-a.\\]\\[\"=\\\\% é0-9]{0,12}") {
            if let Ok(path) = FieldPath::parse(&text) {
                prop_assert_eq!(FieldPath::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
