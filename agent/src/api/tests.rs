//! What stands in a URL, and what it is answered.

use super::params::{AGGREGATES, QUERY};
use super::{aggregates_request, json, openapi, parse_matcher, query_request};
use streamgauge_proto::types::{Duration, Timestamp};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::label_matcher::Operator;
use streamgauge_proto::v1::query_request::Time;

fn read(url: &str) -> Result<pb::QueryRequest, String> {
    let pairs = url.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    query_request("http", &pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
}

#[test]
fn matchers_are_read_as_prometheus_writes_them() {
    for (text, label, op, value) in [
        ("endpoint=/api/users", "endpoint", Operator::Equal, "/api/users"),
        ("status=~5..", "status", Operator::Matches, "5.."),
        ("status!=200", "status", Operator::NotEqual, "200"),
        ("region!~eu-.*", "region", Operator::NotMatches, "eu-.*"),
        ("query=a=b", "query", Operator::Equal, "a=b"),
        ("empty=", "empty", Operator::Equal, ""),
    ] {
        let matcher = parse_matcher(text).unwrap();
        assert_eq!((matcher.label.as_str(), matcher.op(), matcher.value.as_str()), (label, op, value), "{text}");
    }
    for text in ["", "endpoint", "=x", "status!200"] {
        assert!(parse_matcher(text).is_err(), "{text}");
    }
}

#[test]
fn a_url_asks_for_what_a_request_can_ask_for() {
    let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
    let request = read("window=5m&hop=1m&last_n=3&closed&by=endpoint,status&order=-duration:p99&limit=7").unwrap();
    let expected = pb::QueryRequest {
        aggregate: "http".into(),
        window: seconds(300),
        hop: seconds(60),
        time: Some(Time::LastN(3)),
        closed_only: true,
        group_by: Some(pb::GroupBy { labels: vec!["endpoint".into(), "status".into()] }),
        order_by: Some(pb::OrderBy { measure: "duration".into(), stat: "p99".into(), ascending: false }),
        limit: 7,
        ..Default::default()
    };
    assert_eq!(request, expected);
    let request =
        read("start=2025-11-20T16:51:00Z&end=2025-11-20T16:52:00.5Z&where=a=b&where=c!~d,e&scope=local").unwrap();
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let range = pb::TimeRange { start: at(1_763_657_460, 0), end: at(1_763_657_520, 500_000_000) };
    assert_eq!(request.time, Some(Time::Range(range)));
    assert_eq!(request.matchers[1].value, "d,e");
    assert_eq!((request.matchers.len(), request.scope()), (2, pb::Scope::Local));
    let request =
        read("by=&order=errors&measure=errors&measure=bytes,requests&quantile=0.5,0.999&buckets=true").unwrap();
    assert_eq!(request.group_by, Some(pb::GroupBy { labels: Vec::new() }));
    assert_eq!(request.order_by.map(|order| order.ascending), Some(true));
    assert_eq!((request.measures.len(), request.quantiles, request.buckets), (3, vec![0.5, 0.999], true));
}

#[test]
fn what_is_wrong_in_a_url_is_named_with_how_it_is_written() {
    for (url, words) in [
        ("windw=5m", "there is no parameter `windw`; there are: window, hop"),
        ("window=5", "`window`: `5` has no unit"),
        ("window=5m&window=1m", "`window` is given more than once"),
        ("last=5m&last_n=1", "`last_n`: only one of"),
        ("end=2025-11-20T16:52:00Z", "`end` needs a `start`"),
        ("start=yesterday", "`start`: `yesterday` is not a time such as"),
        ("limit=-1", "`limit`: `-1` is not a whole number"),
        ("where=status", "`where`: write label=value"),
        ("order=-", "`order`: write a measure"),
        ("closed=perhaps", "`closed`: `perhaps` is not `true` or `false`"),
        ("scope=mine", "`scope`: `mine` is not `cluster` or `local`"),
        ("page_size=3000000000", "`page_size`: 3000000000 is more"),
    ] {
        let problem = read(url).unwrap_err();
        assert!(problem.starts_with(words), "{url}: {problem}");
        assert_eq!(problem.lines().count(), 1);
    }
    assert!(aggregates_request(&[("window".into(), "5m".into())]).is_err());
}

#[test]
fn messages_are_json_by_protobufs_mapping() {
    let row = pb::Row {
        labels: [("endpoint".to_owned(), "/a".to_owned())].into(),
        window_start: Some(Timestamp { seconds: 1_763_657_460, nanos: 0 }),
        values: vec![pb::MeasureValue { measure: "requests".into(), count: Some(0), ..Default::default() }],
        ..Default::default()
    };
    let text = json("QueryResponse", &pb::QueryResponse { rows: vec![row], ..Default::default() }).unwrap();
    let expected = concat!(
        r#"{"rows":[{"labels":{"endpoint":"/a"},"windowStart":"2025-11-20T16:51:00Z","#,
        r#""values":[{"measure":"requests","count":"0"}]}]}"#
    );
    assert_eq!(text, expected);
    assert!(json("NoSuchMessage", &pb::Row::default()).is_err());
}

#[test]
fn the_document_has_every_parameter_and_resolves_every_reference() {
    let document = openapi();
    let named = |path: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap().iter();
        parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected: Vec<_> = std::iter::once("aggregate").chain(QUERY.iter().map(|param| param.name)).collect();
    assert_eq!(named("/api/v1/query/{aggregate}"), expected);
    assert_eq!(named("/api/v1/aggregates"), AGGREGATES.iter().map(|param| param.name).collect::<Vec<_>>());
    let text = document.to_string();
    let references = text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for name in references {
        let schema = &document["components"]["schemas"][name];
        assert!(schema["properties"].as_object().is_some_and(|fields| !fields.is_empty()), "{name}: {schema}");
    }
    let row = &document["components"]["schemas"]["Row"]["properties"];
    assert_eq!(row["windowStart"]["description"], "Absent: totals since the state began.");
}
