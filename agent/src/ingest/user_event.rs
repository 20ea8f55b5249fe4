//! A user event as it is handed in, checked against the fields of the config, and as it goes to Kafka. Pure.

use super::event::{
    Arrival, Event, LONGEST_KEY, Rejected, finish, invalid, new_id, object, present, shown, string, timestamp,
    unreadable,
};
use crate::config::{EventField, FieldKind, UserEvents};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What user events are made of.
#[derive(Debug)]
pub struct Schema {
    fields: Vec<EventField>,
    /// Their places in `fields`.
    key: Vec<usize>,
}

impl Schema {
    pub fn of(events: &UserEvents) -> Schema {
        let place = |name: &String| events.fields.iter().position(|field| field.name == *name);
        Schema { fields: events.fields.clone(), key: events.key.iter().filter_map(place).collect() }
    }
}

/// Checks an event and writes it as it goes to Kafka: with an id, and a time where there is none.
///
/// # Errors
/// What is wrong with it.
pub fn user_event(json: &[u8], schema: &Schema, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let given = given(json, schema).map_err(|error| invalid(unreadable(&error)))?;
    let id = new_id();
    let mut value = Vec::with_capacity(json.len() + 64);
    value.extend_from_slice(b"{\"eventId\":\"");
    value.extend_from_slice(id.as_bytes());
    value.push(b'"');
    for (field, raw) in schema.fields.iter().zip(&given) {
        let Some(text) = checked(field, *raw, arrival)? else { continue };
        value.extend_from_slice(b",\"");
        value.extend_from_slice(field.name.as_bytes());
        value.extend_from_slice(b"\":");
        value.extend_from_slice(text.as_bytes());
    }
    value.push(b'}');
    let key = key(schema, &given)?;
    let text = |name: &str| {
        let place = schema.fields.iter().position(|field| field.name == name)?;
        string(name, given[place]).ok()
    };
    let topic = arrival.routes.topic(text);
    finish(Event { id, urgent: false, topic, key, value }, arrival)
}

/// What a field is written as, in JSON; `None`: it is not there, and need not be.
fn checked<'a>(
    field: &EventField,
    raw: Option<&'a RawValue>,
    arrival: Arrival<'_>,
) -> Result<Option<Cow<'a, str>>, Rejected> {
    let name = field.name.as_str();
    let Some(text) = present(raw) else {
        return match field.kind {
            _ if field.required => Err(invalid(format!("`{name}` is missing"))),
            FieldKind::Timestamp => Ok(Some(Cow::Owned(format!("\"{}\"", shown(name, arrival.time)?)))),
            _ => Ok(None),
        };
    };
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let wrong = |what: &str| Err(invalid(format!("`{name}` is not {what}")));
    match field.kind {
        FieldKind::String => drop(string(name, raw)?),
        FieldKind::Integer if !is_number || text.contains(['.', 'e', 'E']) => return wrong("a whole number"),
        FieldKind::Number if !is_number => return wrong("a number"),
        FieldKind::Boolean if text != "true" && text != "false" => return wrong("true or false"),
        FieldKind::Object => object(name, text)?,
        FieldKind::Timestamp => {
            return Ok(timestamp(name, raw)?.map(|time| Cow::Owned(format!("\"{time}\""))));
        }
        FieldKind::Integer | FieldKind::Number | FieldKind::Boolean => {}
    }
    Ok(Some(Cow::Borrowed(text)))
}

/// The values of the key's fields, with `:` between them.
fn key(schema: &Schema, given: &[Option<&RawValue>]) -> Result<Vec<u8>, Rejected> {
    let mut key = Vec::new();
    for (number, &place) in schema.key.iter().enumerate() {
        let name = &schema.fields[place].name;
        let value = match schema.fields[place].kind {
            FieldKind::String => string(name, given[place])?,
            _ => present(given[place]).unwrap_or_default().into(),
        };
        if value.is_empty() {
            return Err(invalid(format!("`{name}` is empty")));
        }
        if number > 0 {
            key.push(b':');
        }
        key.extend_from_slice(value.as_bytes());
    }
    if key.len() > LONGEST_KEY {
        let names: Vec<_> = schema.key.iter().map(|&place| format!("`{}`", schema.fields[place].name)).collect();
        return Err(invalid(format!("the key of {} is longer than {LONGEST_KEY} bytes", names.join(" and "))));
    }
    Ok(key)
}

/// The values of the schema's fields, by their places.
fn given<'a>(json: &'a [u8], schema: &Schema) -> Result<Vec<Option<&'a RawValue>>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let values = Fields(&schema.fields).deserialize(&mut reader)?;
    reader.end()?;
    Ok(values)
}

struct Fields<'s>(&'s [EventField]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(place) = map.next_key_seed(Name(self.0))? {
            let value: &'de RawValue = map.next_value()?;
            if values[place].replace(value).is_some() {
                return Err(A::Error::custom(format!("duplicate field `{}`", self.0[place].name)));
            }
        }
        Ok(values)
    }
}

/// A field's name, read as its place.
struct Name<'s>(&'s [EventField]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        self.0.iter().position(|field| field.name == name).ok_or_else(|| {
            let known: Vec<_> = self.0.iter().map(|field| format!("`{}`", field.name)).collect();
            let shown: String = name.chars().take(100).collect();
            E::custom(format!("unknown field `{}`, expected one of {}", shown.escape_debug(), known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::routes::Routes;
    use super::*;
    use crate::config::Destination;
    use serde_json::{Value, json};

    fn field(name: &str, kind: FieldKind, required: bool) -> EventField {
        EventField { name: name.into(), kind, required }
    }

    fn usual() -> Schema {
        schema(
            vec![
                field("user_id", FieldKind::String, true),
                field("event_type", FieldKind::String, true),
                field("element_id", FieldKind::String, false),
                field("timestamp", FieldKind::Timestamp, false),
            ],
            &["user_id", "event_type"],
        )
    }

    fn schema(fields: Vec<EventField>, key: &[&str]) -> Schema {
        let destination = Destination { topic: "user_events".into(), routes: Vec::new() };
        Schema::of(&UserEvents { destination, fields, key: key.iter().map(|name| (*name).to_owned()).collect() })
    }

    fn read(schema: &Schema, text: &str) -> Result<(Event, Value), String> {
        let routes = Routes::to("user_events");
        let arrival = Arrival { time: 1_700_000_000_123, most_bytes: 2_000, routes: &routes };
        let event = user_event(text.as_bytes(), schema, arrival).map_err(|rejected| rejected.reason().to_owned())?;
        let mut value: Value = serde_json::from_slice(&event.value).unwrap();
        assert_eq!(value.as_object_mut().unwrap().remove("eventId").unwrap(), event.id);
        Ok((event, value))
    }

    #[test]
    fn an_event_is_written_with_its_id_and_keyed_by_user_and_type() {
        let text = r#"{"user_id":"user_001","event_type":"button_click","element_id":"btn_submit","timestamp":"2024-01-15T10:30:00Z"}"#;
        let (event, value) = read(&usual(), text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(
            (event.key.as_slice(), event.urgent, &*event.topic),
            (&b"user_001:button_click"[..], false, "user_events")
        );
        let (_, value) = read(&usual(), r#"{"user_id":"u","event_type":"page_view","element_id":null}"#).unwrap();
        assert_eq!(
            value,
            json!({ "user_id": "u", "event_type": "page_view", "timestamp": "2023-11-14T22:13:20.123Z" })
        );
    }

    #[test]
    fn every_type_of_field_is_checked_and_written_as_it_came() {
        let schema = schema(
            vec![
                field("id", FieldKind::Integer, true),
                field("price", FieldKind::Number, false),
                field("member", FieldKind::Boolean, false),
                field("more", FieldKind::Object, false),
                field("at", FieldKind::Timestamp, true),
            ],
            &["id"],
        );
        let text = r#"{"id": 18446744073709551615, "price": 1.10e2, "member": true, "more": {"a":[1]}, "at": 1000}"#;
        let (event, value) = read(&schema, text).unwrap();
        assert_eq!(event.key, b"18446744073709551615");
        assert!(String::from_utf8(event.value).unwrap().contains("\"price\":1.10e2,"));
        assert_eq!(value["at"], "1970-01-01T00:00:01.000Z");
        for (bad, words) in [
            (r#"{"at":1}"#, "`id` is missing"),
            (r#"{"id":1}"#, "`at` is missing"),
            (r#"{"id":1.5,"at":1}"#, "`id` is not a whole number"),
            (r#"{"id":"1","at":1}"#, "`id` is not a whole number"),
            (r#"{"id":1,"at":1,"price":"1"}"#, "`price` is not a number"),
            (r#"{"id":1,"at":1,"member":1}"#, "`member` is not true or false"),
            (r#"{"id":1,"at":1,"more":[]}"#, "`more` is not an object"),
            (r#"{"id":1,"at":"noon"}"#, "`at` is neither"),
        ] {
            let said = read(&schema, bad).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let long = format!(r#"{{"user_id":"{}","event_type":"x"}}"#, "u".repeat(1_100));
        let large = format!(r#"{{"user_id":"u","event_type":"x","element_id":"{}"}}"#, "e".repeat(2_000));
        for (bad, words) in [
            (r#"{"user_id":"u"}"#, "`event_type` is missing"),
            (r#"{"user_id":"","event_type":"x"}"#, "`user_id` is empty"),
            (r#"{"user_id":7,"event_type":"x"}"#, "`user_id` is not a string"),
            (r#"{"user_id":"u","event_type":"x","page":"/"}"#, "unknown field `page`, expected one of `user_id`"),
            (r#"{"user_id":"u","user_id":"v","event_type":"x"}"#, "duplicate field `user_id`"),
            (r#"{"user_id":"\ud800","event_type":"x"}"#, "`user_id` is not valid Unicode"),
            (r#"{"user_id":"u","event_type":"x"} x"#, "not valid JSON"),
            ("[]", "expected a JSON object"),
            ("{", "not valid JSON"),
            (long.as_str(), "is longer than 1024 bytes"),
            (large.as_str(), "2000 are allowed"),
        ] {
            let said = read(&usual(), bad).unwrap_err();
            assert!(said.contains(words) && !said.contains('\n'), "{said:?} lacks {words:?}");
        }
        assert!(read(&usual(), &format!(r#"{{"user_id":{}"#, "[".repeat(100_000))).is_err(), "and the stack holds");
    }

    #[test]
    fn a_field_s_value_decides_the_topic() {
        use crate::config::{Route, Rule};
        let rule = Rule::Where(vec![("event_type".into(), vec!["purchase".into()])]);
        let routes = vec![Route { rule, topic: "purchases".into() }];
        let routes = Routes::of(&Destination { topic: "user_events".into(), routes });
        let arrival = Arrival { time: 0, most_bytes: 2_000, routes: &routes };
        let topic = |text: &str| user_event(text.as_bytes(), &usual(), arrival).unwrap().topic.to_string();
        assert_eq!(topic(r#"{"user_id":"u","event_type":"purchase"}"#), "purchases");
        assert_eq!(topic(r#"{"user_id":"purchase","event_type":"view"}"#), "user_events");
    }
}
