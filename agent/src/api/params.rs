//! Questions as they stand in a URL: `?window=5m&by=endpoint&order=-errors`. The lists of parameters here are what is read
//! and what the OpenAPI document says.

use crate::config::parse_duration;
use std::time::Duration;
use streamgauge_proto::types::{self, Timestamp};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;

/// What a parameter's values are, for the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Duration,
    Time,
    Count,
    Flag,
    Text,
    /// Several, separated by commas.
    List,
    Quantiles,
    Matcher,
    Condition,
    Number,
    OneOf(&'static [&'static str]),
}

/// One parameter.
pub struct Param<R> {
    pub name: &'static str,
    pub shape: Shape,
    pub help: &'static str,
    /// Puts a value into the request. The error says what is wrong with it.
    read: fn(&mut R, &str) -> Result<(), String>,
}

impl<R> Param<R> {
    /// Whether it may be given more than once.
    pub fn repeats(&self) -> bool {
        matches!(self.shape, Shape::List | Shape::Quantiles | Shape::Matcher | Shape::Condition)
    }
}

/// Of `/api/v1/query/AGGREGATE`.
pub const QUERY: &[Param<pb::QueryRequest>] = &[
    Param {
        name: "window",
        shape: Shape::Duration,
        help: "Length of the windows, a multiple of the aggregate's pane. Without it: totals since the state began, or with \
               `last`, `start` and `end` one window as long as that.",
        read: |request, text| put(&mut request.window, duration(text)?),
    },
    Param {
        name: "hop",
        shape: Shape::Duration,
        help: "How far apart two windows begin. Default: as the config has it for this window, else tumbling.",
        read: |request, text| put(&mut request.hop, duration(text)?),
    },
    Param {
        name: "last_n",
        shape: Shape::Count,
        help: "The newest windows, this many. The newest is the one that ends next: it is still open.",
        read: |request, text| time(request, Time::LastN(count(text)?)),
    },
    Param {
        name: "last",
        shape: Shape::Duration,
        help: "The stretch of event time that ends with the newest pane.",
        read: |request, text| time(request, Time::Last(duration(text)?)),
    },
    Param {
        name: "start",
        shape: Shape::Time,
        help: "Only windows from this time on.",
        read: |request, text| {
            let start = Some(timestamp(text)?);
            match &mut request.time {
                Some(Time::Range(range)) if range.start.is_none() => put(&mut range.start, timestamp(text)?),
                _ => time(request, Time::Range(pb::TimeRange { start, end: None })),
            }
        },
    },
    Param {
        name: "end",
        shape: Shape::Time,
        help: "Only windows up to this time; with `start`. Default: the end of the newest pane.",
        read: |request, text| {
            let end = Some(timestamp(text)?);
            match &mut request.time {
                Some(Time::Range(range)) if range.end.is_none() => put(&mut range.end, timestamp(text)?),
                _ => time(request, Time::Range(pb::TimeRange { start: None, end })),
            }
        },
    },
    Param {
        name: "closed",
        shape: Shape::Flag,
        help: "Leave out windows that are not closed yet.",
        read: |request, text| flag(text).map(|closed| request.closed_only = closed),
    },
    Param {
        name: "where",
        shape: Shape::Matcher,
        help: "A condition on a label: `endpoint=/api/users`, `status!=200`, `status=~5..`, `region!~eu-.*`. Given more than \
               once, all have to hold.",
        read: |request, text| matcher(text).map(|matcher| request.matchers.push(matcher)),
    },
    Param {
        name: "by",
        shape: Shape::List,
        help: "Merge keys that agree in these labels; empty: all keys into one row. Default: every key is a row.",
        read: |request, text| {
            request.group_by.get_or_insert_default().labels.extend(list(text));
            Ok(())
        },
    },
    Param {
        name: "order",
        shape: Shape::Text,
        help: "Order of the rows within each window: `-errors`, largest first; `errors`, smallest first; `-duration:p99`, by a \
               statistic of the measure (count, sum, min, max, avg or a quantile). Default: by labels.",
        read: |request, text| put(&mut request.order_by, order(text)?),
    },
    Param {
        name: "limit",
        shape: Shape::Count,
        help: "Only the first rows of each window, this many. Default: all.",
        read: |request, text| count(text).map(|limit| request.limit = limit),
    },
    Param {
        name: "measure",
        shape: Shape::List,
        help: "Only these measures. Default: all.",
        read: |request, text| {
            request.measures.extend(list(text));
            Ok(())
        },
    },
    Param {
        name: "quantile",
        shape: Shape::Quantiles,
        help: "Quantiles of histograms, each within 0 and 1. Default: those of the config, which are 0.5, 0.95, 0.99 unless it says \
               others.",
        read: |request, text| {
            for text in list(text) {
                request.quantiles.push(text.parse().map_err(|_| format!("`{text}` is not a number such as 0.99"))?);
            }
            Ok(())
        },
    },
    Param {
        name: "buckets",
        shape: Shape::Flag,
        help: "Also the histograms' buckets.",
        read: |request, text| flag(text).map(|buckets| request.buckets = buckets),
    },
    Param {
        name: "page_size",
        shape: Shape::Count,
        help: "At most this many rows in an answer. Default: all.",
        read: |request, text| size(text).map(|size| request.page_size = size),
    },
    Param {
        name: "page_token",
        shape: Shape::Text,
        help: "`nextPageToken` of the page before; the rest of the question has to be the same.",
        read: |request, text| {
            request.page_token = text.to_owned();
            Ok(())
        },
    },
    Param {
        name: "scope",
        shape: Shape::OneOf(&["cluster", "local"]),
        help: "Whose partitions: the whole group's, or only those of the agent that is asked. Default: `cluster`.",
        read: |request, text| {
            let scope = match text {
                "cluster" => pb::Scope::Cluster,
                "local" => pb::Scope::Local,
                _ => return Err(format!("`{text}` is not `cluster` or `local`")),
            };
            request.set_scope(scope);
            Ok(())
        },
    },
];

/// Of `/api/v1/watch/AGGREGATE`, beside those of a query.
pub const WATCH: &[Param<pb::WatchRequest>] = &[
    Param {
        name: "interval",
        shape: Shape::Duration,
        help: "At least this long between two answers. Default: `20ms`.",
        read: |request, text| put(&mut request.interval, duration(text)?),
    },
    Param {
        name: "resume_token",
        shape: Shape::Text,
        help: "Of the last message that was received, from any agent of the group; browsers send it by themselves as \
               `Last-Event-ID`.",
        read: |request, text| {
            request.resume_token = text.to_owned();
            Ok(())
        },
    },
];

/// What a watch of an aggregate has no use for.
pub const NOT_OF_WATCHES: [&str; 2] = ["page_size", "page_token"];

/// Of `/api/v1/aggregates`.
pub const AGGREGATES: &[Param<pb::ListAggregatesRequest>] = &[
    Param {
        name: "page_size",
        shape: Shape::Count,
        help: "At most this many. Default: all.",
        read: |request, text| size(text).map(|size| request.page_size = size),
    },
    Param {
        name: "page_token",
        shape: Shape::Text,
        help: "`nextPageToken` of the page before.",
        read: |request, text| {
            request.page_token = text.to_owned();
            Ok(())
        },
    },
];

/// Of `/api/v1/events/SOURCE`.
pub const EVENTS: &[Param<pb::ListRecentEventsRequest>] = &[
    Param {
        name: "where",
        shape: Shape::Condition,
        help: "A condition on a field: as of a query, or with `<`, `<=`, `>`, `>=` as numbers: `status>=500`. Given more than \
               once, all have to hold.",
        read: |request, text| field_condition(text).map(|condition| request.conditions.push(condition)),
    },
    Param {
        name: "page_size",
        shape: Shape::Count,
        help: "The newest records, at most this many, up to 1000. Default: 50.",
        read: |request, text| size(text).map(|size| request.page_size = size),
    },
    Param {
        name: "page_token",
        shape: Shape::Text,
        help: "`nextPageToken` of the page before; the rest of the question has to be the same.",
        read: |request, text| {
            request.page_token = text.to_owned();
            Ok(())
        },
    },
];

/// Of `/api/v1/tail/SOURCE`.
pub const TAIL: &[Param<pb::TailEventsRequest>] = &[
    Param {
        name: "where",
        shape: Shape::Condition,
        help: "A condition on a field, as of the newest events. Given more than once, all have to hold.",
        read: |request, text| field_condition(text).map(|condition| request.conditions.push(condition)),
    },
    Param {
        name: "last",
        shape: Shape::Count,
        help: "Begin with the newest ones that are there, this many, up to 1000. Default: 0.",
        read: |request, text| count(text).map(|last| request.last = last),
    },
    Param {
        name: "sample",
        shape: Shape::Number,
        help: "This share of the events, above 0 and up to 1. Default: 1.",
        read: |request, text| {
            request.sample = text.parse().map_err(|_| format!("`{text}` is not a share such as 0.01"))?;
            Ok(())
        },
    },
    Param {
        name: "events_per_second",
        shape: Shape::Count,
        help: "At most this many, up to 1000; others are counted as `skipped`. Default: 100.",
        read: |request, text| count(text).map(|pace| request.events_per_second = pace),
    },
];

/// The newest events of a source.
///
/// # Errors
/// One line: which parameter is wrong, and how it is written.
pub fn events(source: &str, given: &[(String, String)]) -> Result<pb::ListRecentEventsRequest, String> {
    let request = pb::ListRecentEventsRequest { source: source.to_owned(), ..Default::default() };
    read(EVENTS, request, given)
}

/// Events of a source as they come.
///
/// # Errors
/// One line: which parameter is wrong, and how it is written.
pub fn tail(source: &str, given: &[(String, String)]) -> Result<pb::TailEventsRequest, String> {
    let request = pb::TailEventsRequest { source: source.to_owned(), ..Default::default() };
    read(TAIL, request, given)
}

/// A query of an aggregate.
///
/// # Errors
/// One line: which parameter is wrong, and how it is written.
pub fn query(aggregate: &str, given: &[(String, String)]) -> Result<pb::QueryRequest, String> {
    let request = pb::QueryRequest { aggregate: aggregate.to_owned(), ..pb::QueryRequest::default() };
    let request = read(QUERY, request, given)?;
    match &request.time {
        Some(Time::Range(range)) if range.start.is_none() => Err("`end` needs a `start`".to_owned()),
        _ => Ok(request),
    }
}

/// A watch of an aggregate.
///
/// # Errors
/// One line: which parameter is wrong, and how it is written.
pub fn watch(aggregate: &str, given: &[(String, String)]) -> Result<pb::WatchRequest, String> {
    let is_own = |(name, _): &&(String, String)| WATCH.iter().any(|param| param.name == name);
    let (own, rest): (Vec<_>, Vec<_>) = given.iter().partition(is_own);
    let own: Vec<_> = own.into_iter().cloned().collect();
    let rest: Vec<_> = rest.into_iter().cloned().collect();
    let request = read(WATCH, pb::WatchRequest::default(), &own)?;
    Ok(pb::WatchRequest { query: Some(query(aggregate, &rest)?), ..request })
}

/// # Errors
/// One line: which parameter is wrong, and how it is written.
pub fn aggregates(given: &[(String, String)]) -> Result<pb::ListAggregatesRequest, String> {
    read(AGGREGATES, pb::ListAggregatesRequest::default(), given)
}

pub(super) fn read<R>(params: &[Param<R>], mut request: R, given: &[(String, String)]) -> Result<R, String> {
    for (at, (name, value)) in given.iter().enumerate() {
        let Some(param) = params.iter().find(|param| param.name == name) else {
            let known: Vec<_> = params.iter().map(|param| param.name).collect();
            return Err(format!("there is no parameter `{name}`; there are: {}", known.join(", ")));
        };
        if !param.repeats() && given[..at].iter().any(|(before, _)| before == name) {
            return Err(format!("`{name}` is given more than once"));
        }
        (param.read)(&mut request, value).map_err(|problem| format!("`{name}`: {problem}"))?;
    }
    Ok(request)
}

/// Reads `label=value`, `label!=value`, `label=~regex` or `label!~regex`.
///
/// # Errors
/// How it is written.
pub fn matcher(text: &str) -> Result<pb::LabelMatcher, String> {
    use pb::label_matcher::Operator;
    let parse = || {
        let at = text.find(['=', '!'])?;
        let (label, rest) = text.split_at(at);
        let operators = [
            ("=~", Operator::Matches),
            ("!~", Operator::NotMatches),
            ("!=", Operator::NotEqual),
            ("=", Operator::Equal),
        ];
        let (op, value) = operators.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)))?;
        let label = label.trim();
        (!label.is_empty()).then(|| pb::LabelMatcher { label: label.into(), op: op.into(), value: value.into() })
    };
    parse().ok_or_else(|| "write label=value, label!=value, label=~regex or label!~regex".to_owned())
}

/// Reads `field=value`, with `!=`, `=~`, `!~`, `<`, `<=`, `>` or `>=` in the middle.
///
/// # Errors
/// How it is written.
pub fn field_condition(text: &str) -> Result<pb::FieldCondition, String> {
    use pb::field_condition::Operator;
    let parse = || {
        let at = text.find(['=', '!', '<', '>'])?;
        let (field, rest) = text.split_at(at);
        let operators = [
            ("=~", Operator::Matches),
            ("!~", Operator::NotMatches),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("=", Operator::Equal),
        ];
        let (op, value) = operators.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)))?;
        let field = field.trim();
        (!field.is_empty()).then(|| pb::FieldCondition { field: field.into(), op: op.into(), value: value.into() })
    };
    parse().ok_or_else(|| "write field=value, or `!=`, `=~`, `!~`, `<`, `<=`, `>`, `>=` in its middle".to_owned())
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

fn time(request: &mut pb::QueryRequest, time: Time) -> Result<(), String> {
    match request.time {
        None => put(&mut request.time, time),
        Some(_) => Err("only one of `last_n`, `last`, and `start` with `end` can be asked for".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<types::Duration, String> {
    let duration: Duration = parse_duration(text)?;
    types::Duration::try_from(duration).map_err(|error| error.to_string())
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("`{text}` is not a time such as 2025-11-20T16:51:00Z"))?;
    Ok(Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number such as 10"))
}

fn size(text: &str) -> Result<i32, String> {
    let size = count(text)?;
    i32::try_from(size).map_err(|_| format!("{size} is more than there can be"))
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is not `true` or `false`")),
    }
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn order(text: &str) -> Result<pb::OrderBy, String> {
    let (ascending, by) = text.strip_prefix('-').map_or((true, text), |by| (false, by));
    let (measure, stat) = by.split_once(':').unwrap_or((by, ""));
    if measure.is_empty() {
        return Err("write a measure, such as `-errors`".to_owned());
    }
    Ok(pb::OrderBy { measure: measure.to_owned(), stat: stat.to_owned(), ascending })
}
