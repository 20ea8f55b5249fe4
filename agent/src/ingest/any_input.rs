//! Whatever is handed in, no reader panics, and what comes out is sound: JSON within its limits, under a key within its own.

use super::bulk::items;
use super::event::{Arrival, Event, LONGEST_KEY, Rejected, log_event};
use super::loki::Push;
use super::otlp;
use super::routes::Routes;
use super::user_event::{Schema, user_event};
use crate::config::{Destination, EventField, FieldKind, UserEvents};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;

const LARGEST: usize = 500;

const LOG: &str = r#"{"source":"a\u00e9","level":"error","message":"m","metadata":{"a":[1,{"b":null}]},"stackTrace":"s","timestamp":1700000000000}"#;
const ACTION: &str =
    r#"{"user_id":"u","event_type":"click","n":-1.5e3,"flag":true,"more":{"a":[]},"timestamp":"2024-01-15T10:30:00Z"}"#;
const PUSH: &str =
    r#"{"streams":[{"stream":{"job":"j","level":"warn"},"values":[["1700000000000000000","l",{"a":"b"}],["1","x"]]}]}"#;
const BULK: &str = "{\"create\":{\"_index\":\"i\"}}\n{\"@timestamp\":1,\"message\":\"m\",\"log.level\":\"err\",\"error\":{\"stack_trace\":\"s\"}}\n{\"delete\":{}}\n";
const EXPORT: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":9,"body":{"stringValue":"m"},"attributes":[{"key":"k","value":{"doubleValue":1.5}}]}]}]}]}"#;

fn sound(events: Vec<Result<Event, Rejected>>) {
    for event in events {
        match event {
            Ok(event) => {
                assert!(event.value.len() <= LARGEST && !event.key.is_empty() && event.key.len() <= LONGEST_KEY);
                let value: Value = serde_json::from_slice(&event.value).expect("JSON");
                assert_eq!(value["eventId"], event.id);
            }
            Err(rejected) => assert!(!rejected.reason().is_empty() && !rejected.reason().contains('\n')),
        }
    }
}

fn schema() -> Schema {
    let field = |name: &str, kind, required| EventField { name: name.into(), kind, required };
    Schema::of(&UserEvents {
        destination: Destination { topic: "t".into(), routes: Vec::new() },
        fields: vec![
            field("user_id", FieldKind::String, true),
            field("event_type", FieldKind::String, true),
            field("n", FieldKind::Number, false),
            field("flag", FieldKind::Boolean, false),
            field("more", FieldKind::Object, false),
            field("timestamp", FieldKind::Timestamp, false),
        ],
        key: vec!["user_id".into(), "event_type".into()],
    })
}

/// Gives the bytes to every reader.
fn read(bytes: &[u8]) {
    let routes = Routes::to("t");
    let arrival = Arrival { time: 1_700_000_000_000, most_bytes: LARGEST, routes: &routes };
    sound(vec![log_event(bytes, arrival), user_event(bytes, &schema(), arrival)]);
    let pushes = [Push::from_json(bytes).ok(), Push::from_protobuf(bytes).ok()];
    pushes.into_iter().flatten().for_each(|push| sound(push.events(arrival)));
    if let Ok(items) = items(bytes, "usual", 100, arrival) {
        sound(items.into_iter().map(|item| item.event).collect());
    }
    let exports = [serde_json::from_slice(bytes).ok(), ExportLogsServiceRequest::decode(bytes).ok()];
    exports.into_iter().flatten().for_each(|request| sound(otlp::events(request, arrival)));
}

/// A text with some of its bytes replaced, or with something put in.
fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let pieces =
        prop_oneof![vec(any::<u8>(), 0..4), Just(b"\\u".to_vec()), Just(b"\"".to_vec()), Just(b"[[[[".to_vec())];
    vec((any::<prop::sample::Index>(), any::<bool>(), pieces), 0..4).prop_map(move |changes| {
        changes.into_iter().fold(text.as_bytes().to_vec(), |mut bytes, (at, replaces, piece)| {
            let at = at.index(bytes.len() + 1);
            let end = if replaces { (at + piece.len()).min(bytes.len()) } else { at };
            bytes.splice(at..end, piece);
            bytes
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn damaged_requests_are_sound_events_or_are_refused(
        bytes in prop_oneof![damaged(LOG), damaged(ACTION), damaged(PUSH), damaged(BULK), damaged(EXPORT)],
    ) {
        read(&bytes);
    }
}

#[test]
fn the_requests_that_are_damaged_are_good_ones() {
    let routes = Routes::to("t");
    let arrival = Arrival { time: 0, most_bytes: LARGEST, routes: &routes };
    assert!(log_event(LOG.as_bytes(), arrival).is_ok() && user_event(ACTION.as_bytes(), &schema(), arrival).is_ok());
    assert_eq!(Push::from_json(PUSH.as_bytes()).unwrap().count(), 2);
    assert_eq!(items(BULK.as_bytes(), "usual", 100, arrival).unwrap().len(), 2);
    assert_eq!(otlp::count(&serde_json::from_str(EXPORT).unwrap()), 1);
}
