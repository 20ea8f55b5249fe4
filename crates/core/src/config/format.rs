//! How a source's records are written.

use std::fmt;

use super::path::{FieldPath, Step};
use super::times::Timestamp;
use crate::value::time::TimeFormat;

/// The format of a record, or of the text in a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    pub kind: FormatKind,
    /// Every line of a record is an event. JSON needs no word for it.
    pub lines: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum FormatKind {
    #[default]
    Json,
    Logfmt,
    /// Apache's and nginx's access log, without and with referrer and user agent.
    Common,
    Combined,
    /// RFC 3164 and RFC 5424.
    Syslog,
    /// What Kubernetes' components write.
    Klog,
    /// What container runtimes write.
    Cri,
    Csv {
        names: Vec<String>,
        delimiter: char,
    },
    Tsv {
        names: Vec<String>,
    },
    W3c {
        names: Vec<String>,
    },
    Cef,
    /// JSON as Graylog has it.
    Gelf,
    /// OpenTelemetry's logs: every log record of a request is an event.
    OtlpJson,
    OtlpProto,
    /// By schemas that a registry has, each record beginning with the id of its own.
    Avro,
    JsonSchema,
    Protobuf,
    /// Fields are the named groups.
    Regex {
        pattern: String,
    },
    /// The text as it is, in the field `message`.
    Raw,
}

impl FormatKind {
    /// All of them, as the config spells them.
    pub const NAMES: [&str; 19] = [
        "json",
        "logfmt",
        "common",
        "combined",
        "syslog",
        "klog",
        "cri",
        "csv",
        "tsv",
        "w3c",
        "cef",
        "gelf",
        "otlp_json",
        "otlp_proto",
        "avro",
        "json_schema",
        "protobuf",
        "regex",
        "raw",
    ];

    /// As the config spells it.
    pub fn name(&self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Logfmt => "logfmt",
            FormatKind::Common => "common",
            FormatKind::Combined => "combined",
            FormatKind::Syslog => "syslog",
            FormatKind::Klog => "klog",
            FormatKind::Cri => "cri",
            FormatKind::Csv { .. } => "csv",
            FormatKind::Tsv { .. } => "tsv",
            FormatKind::W3c { .. } => "w3c",
            FormatKind::Cef => "cef",
            FormatKind::Gelf => "gelf",
            FormatKind::OtlpJson => "otlp_json",
            FormatKind::OtlpProto => "otlp_proto",
            FormatKind::Avro => "avro",
            FormatKind::JsonSchema => "json_schema",
            FormatKind::Protobuf => "protobuf",
            FormatKind::Regex { .. } => "regex",
            FormatKind::Raw => "raw",
        }
    }

    /// Whether records have arrays, for `each` to find events in.
    pub fn has_arrays(&self) -> bool {
        matches!(self, FormatKind::Json | FormatKind::Gelf | FormatKind::JsonSchema)
    }

    /// Whether a record can only be read with its schema, which a registry has.
    pub fn needs_registry(&self) -> bool {
        matches!(self, FormatKind::Avro | FormatKind::Protobuf)
    }

    /// The field that has the time by the format's own rules, and how it is written there; `zone` is that of times which
    /// do not say theirs.
    pub fn time(&self, zone: &str) -> Option<(&'static str, TimeFormat)> {
        let zone = zone.to_owned();
        match self {
            FormatKind::Common | FormatKind::Combined => Some(("timestamp", TimeFormat::Clf { zone })),
            FormatKind::Syslog | FormatKind::Klog | FormatKind::W3c { .. } => {
                Some(("timestamp", TimeFormat::Iso8601 { zone }))
            }
            FormatKind::Cri => Some(("timestamp", TimeFormat::Rfc3339)),
            FormatKind::Gelf => Some(("timestamp", TimeFormat::Unix)),
            FormatKind::Cef => Some(("rt", TimeFormat::Unix)),
            FormatKind::OtlpJson | FormatKind::OtlpProto => Some(("timeUnixNano", TimeFormat::UnixNanos)),
            FormatKind::Json
            | FormatKind::Avro
            | FormatKind::JsonSchema
            | FormatKind::Protobuf
            | FormatKind::Logfmt
            | FormatKind::Csv { .. }
            | FormatKind::Tsv { .. }
            | FormatKind::Regex { .. }
            | FormatKind::Raw => None,
        }
    }

    /// Where the event time is if nothing is said of it. Where the format may do without one, it is the record's own then.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let (field, format) = self.time(TimeFormat::UTC)?;
        let own = Timestamp::field(FieldPath::keys([field]), format.clone());
        match self {
            FormatKind::Gelf => Some(Timestamp::FirstOf(vec![own, Timestamp::Kafka])),
            FormatKind::Cef => {
                let zone = TimeFormat::UTC.to_owned();
                let text = TimeFormat::Pattern { pattern: "%b %d %Y %H:%M:%S".to_owned(), zone };
                let text = Timestamp::field(FieldPath::keys([field]), text);
                Some(Timestamp::FirstOf(vec![own, text, Timestamp::Kafka]))
            }
            FormatKind::OtlpJson | FormatKind::OtlpProto => {
                let seen = Timestamp::field(FieldPath::keys(["observedTimeUnixNano"]), format);
                Some(Timestamp::FirstOf(vec![own, seen, Timestamp::Kafka]))
            }
            _ => Some(own),
        }
    }
}

impl Format {
    /// Whether it is what a source has that says nothing of it.
    pub fn is_plain_json(&self) -> bool {
        *self == Format::default()
    }
}

/// As the config writes it, on one line.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut options: Vec<String> = Vec::new();
        match &self.kind {
            FormatKind::Csv { names, .. } | FormatKind::Tsv { names } | FormatKind::W3c { names } => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                options.push(format!("names: [{}]", names.join(", ")));
            }
            FormatKind::Regex { pattern } => options.push(format!("pattern: {}", quoted(pattern))),
            _ => {}
        }
        if let FormatKind::Csv { delimiter, .. } = &self.kind
            && *delimiter != ','
        {
            options.push(format!("delimiter: {}", quoted(&delimiter.to_string())));
        }
        if self.lines {
            options.push("lines: true".to_owned());
        }
        match options.as_slice() {
            [] => f.write_str(self.kind.name()),
            options => write!(f, "{{ {}: {{ {} }} }}", self.kind.name(), options.join(", ")),
        }
    }
}

/// Which arrays of a record hold its events: the keys that lead from the document to the first, and from each element of
/// one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Each(pub Vec<Vec<String>>);

impl Each {
    /// What a path begins with that leads out of an element, to what its array stands in.
    pub const ENCLOSING: &'static str = "^";

    /// How many levels these steps lead out of an element.
    pub fn levels_up(steps: &[Step]) -> usize {
        steps.iter().take_while(|step| matches!(step, Step::Key(name) if name == Each::ENCLOSING)).count()
    }
}

/// As the config writes it.
impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<String> =
            self.0.iter().map(|keys| FieldPath::keys(keys.iter().map(String::as_str)).to_string()).collect();
        write!(f, "{}[]", levels.join("[]."))
    }
}

/// A field whose text becomes fields below it. Of several for one field, which stand one after the other, the first is taken
/// that the text is written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Parse {
    pub path: FieldPath,
    pub format: Format,
}
