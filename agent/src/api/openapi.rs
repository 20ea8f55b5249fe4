//! The OpenAPI document of the JSON answers: schemas from the messages' descriptors, parameters from the lists that read
//! them.

use super::json::pool;
use super::params::{AGGREGATES, EVENTS, NOT_OF_WATCHES, Param, QUERY, Shape, TAIL, WATCH};
use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document. Empty if the binary has no descriptors.
pub fn document() -> Value {
    let mut schemas = Schemas::default();
    let aggregate = json!({
        "name": "aggregate", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "Name of the aggregate, as the config has it."
    });
    let source = json!({
        "name": "source", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "Name of the source, as the config has it."
    });
    let query = || std::iter::once(aggregate.clone()).chain(parameters(QUERY)).collect::<Vec<_>>();
    let paths = json!({
        "/api/v1/query/{aggregate}": { "get": {
            "operationId": "query",
            "summary": "Totals or windows of one aggregate, merged over the partitions of the group.",
            "parameters": query(),
            "responses": answers(schemas.answer("QueryResponse"), &["400", "404", "422"]),
        } },
        "/api/v1/watch/{aggregate}": { "get": {
            "operationId": "watch",
            "summary": "The answer to a query, again and again, as server-sent events: at once, and whenever commits have \
                changed it. Each event is an `answer`, a `heartbeat` or an `error`; its data is one message in JSON, its id the \
                resume token.",
            "parameters": watched(&aggregate),
            "responses": events(answers(schemas.answer("WatchResponse"), &["400", "404", "422", "503"])),
        } },
        "/api/v1/events/{source}": { "get": {
            "operationId": "listRecentEvents",
            "summary": "The newest events of a source that shows them, read from Kafka when they are asked for; /api/v1/events \
                asks for those of the only source that does. Needs the right `events`.",
            "parameters": std::iter::once(source.clone()).chain(parameters(EVENTS)).collect::<Vec<_>>(),
            "responses": answers(schemas.answer("ListRecentEventsResponse"), &["400", "404", "503"]),
        } },
        "/api/v1/tail/{source}": { "get": {
            "operationId": "tailEvents",
            "summary": "Events of such a source as they are written, as server-sent events: `events`, a `heartbeat` or an `error`. \
                Needs the right `events`.",
            "parameters": std::iter::once(source).chain(parameters(TAIL)).collect::<Vec<_>>(),
            "responses": events(answers(schemas.answer("TailEventsResponse"), &["400", "404", "503"])),
        } },
        "/api/v1/aggregates": { "get": {
            "operationId": "listAggregates",
            "summary": "The aggregates of the config, with the windows and measures that can be asked for.",
            "parameters": parameters(AGGREGATES).collect::<Vec<_>>(),
            "responses": answers(schemas.answer("ListAggregatesResponse"), &["400"]),
        } },
        "/api/v1/status": { "get": {
            "operationId": "getStatus",
            "summary": "This agent: what it owns, how far it is, and whether it is ready.",
            "responses": answers(schemas.answer("GetStatusResponse"), &["400"]),
        } },
        "/api/v1/openapi.json": { "get": {
            "operationId": "getOpenapi",
            "summary": "This document.",
            "responses": answers(json!({ "type": "object" }), &[]),
        } },
    });
    let error = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "string", "description": "One word: invalid_argument, not_found, resource_exhausted …" },
            "message": { "type": "string", "description": "What is wrong, and what to do." },
        },
    });
    schemas.done.insert("Error".to_owned(), error);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Streamgauge",
            "version": "v1",
            "description": "The answers of streamgauge.v1.QueryService in JSON, by Protobuf's mapping: 64-bit integers are \
                strings, times RFC 3339, durations seconds such as \"300s\"; a field that has its default (0, false, empty) \
                is left out.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9746" }],
        "security": [{}, { "password": [] }, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.done,
            "securitySchemes": {
                "password": { "type": "http", "scheme": "basic" },
                "token": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn watched(aggregate: &Value) -> Vec<Value> {
    let query = parameters(QUERY).filter(|parameter| NOT_OF_WATCHES.iter().all(|name| parameter["name"] != *name));
    let header = json!({
        "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" },
        "description": "As `resume_token`; what browsers send when they connect again.",
    });
    let own = parameters(WATCH).chain([header]);
    std::iter::once(aggregate.clone()).chain(query).chain(own).collect()
}

/// The same answers as a stream of server-sent events.
fn events(mut answers: Value) -> Value {
    let content = &mut answers["200"]["content"];
    let schema = content["application/json"].take();
    *content = json!({ "text/event-stream": schema });
    answers
}

fn parameters<R>(params: &[Param<R>]) -> impl Iterator<Item = Value> {
    params.iter().map(|param| {
        let text = |schema: Value| if param.repeats() { json!({ "type": "array", "items": schema }) } else { schema };
        let mut parameter = json!({
            "name": param.name, "in": "query", "description": param.help, "schema": text(schema(param.shape)),
        });
        if param.repeats() {
            // A condition may have commas of its own.
            parameter["explode"] = matches!(param.shape, Shape::Matcher | Shape::Condition).into();
        }
        parameter
    })
}

fn schema(shape: Shape) -> Value {
    match shape {
        Shape::Duration => json!({ "type": "string", "examples": ["5m", "90s", "1h30m"] }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Flag => json!({ "type": "boolean", "default": false }),
        Shape::Text | Shape::List | Shape::Matcher | Shape::Condition => json!({ "type": "string" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Quantiles => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
    }
}

fn answers(schema: Value, refused: &[&str]) -> Value {
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut answers = Map::new();
    answers.insert("200".into(), json!({ "description": "The answer.", "content": content(schema) }));
    let refusal = |code: &str| match code {
        "400" => "The question makes no sense as it is.",
        "401" => "Nobody knows who is asking.",
        "403" => "Whoever is asking may not.",
        "404" => "There is no such aggregate, or no such source that shows its events.",
        "503" => "Too many are open already, which is limits.watchers for watches; or Kafka does not answer.",
        "422" => "The answer would have more cells than limits.query_cells.",
        _ => "Not now.",
    };
    for code in refused.iter().chain(&["401", "403"]) {
        let error = json!({ "$ref": "#/components/schemas/Error" });
        answers.insert((*code).into(), json!({ "description": refusal(code), "content": content(error) }));
    }
    Value::Object(answers)
}

/// Schemas of messages, as far as they are needed.
#[derive(Default)]
struct Schemas {
    done: BTreeMap<String, Value>,
}

impl Schemas {
    /// Of a message of the services.
    fn answer(&mut self, name: &str) -> Value {
        let found = pool().ok().and_then(|pool| pool.get_message_by_name(&format!("streamgauge.v1.{name}")));
        found.map_or(Value::Bool(true), |message| self.message(&message))
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => return json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => return json!({ "type": "string", "examples": ["300s", "0.250s"] }),
            _ => {}
        }
        let name = message.full_name().trim_start_matches("streamgauge.v1.").to_owned();
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if self.done.contains_key(&name) {
            return reference;
        }
        // Before its fields: a message may hold itself.
        self.done.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        for field in message.fields() {
            let mut schema = self.field(&field);
            if let (Some(said), Value::Object(schema)) = (comment(&field.parent_file(), field.path()), &mut schema) {
                schema.insert("description".into(), said.into());
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if let Some(said) = comment(&message.parent_file(), message.path()) {
            schema["description"] = said.into();
        }
        self.done.insert(name, schema);
        reference
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            return json!({ "type": "object", "additionalProperties": self.kind(&entry.map_entry_value_field().kind()) });
        }
        let one = self.kind(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            // NaN and the infinities are words.
            Kind::Double | Kind::Float => {
                json!({ "oneOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "format": "int64" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Message(message) => self.message(message),
            Kind::Enum(words) => enumeration(words),
        }
    }
}

fn enumeration(words: &EnumDescriptor) -> Value {
    let names: Vec<_> = words.values().map(|value| value.name().to_owned()).collect();
    json!({ "type": "string", "enum": names })
}

/// What stands above something in its .proto file.
fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let file = file.file_descriptor_proto();
    let place = file.source_code_info.as_ref()?.location.iter().find(|location| location.path == path)?;
    let text = place.leading_comments.as_deref()?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}
