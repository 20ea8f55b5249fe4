//! `QueryService` as it is, whichever door it is asked through: gRPC and JSON over HTTP both answer from here, so that there
//! is one answer to a question.

#![forbid(unsafe_code)]

mod error;
mod ingest;
mod json;
mod openapi;
mod params;
mod recent;
mod service;
mod translate;
mod unusual;
mod watch;

#[cfg(test)]
mod tests;

pub use error::{http_status, name as error_name};
pub use json::{failure, json};
pub use openapi::document as openapi;
pub use params::{
    aggregates as aggregates_request, events as events_request, field_condition as parse_field_condition,
    matcher as parse_matcher, query as query_request, tail as tail_request, watch as watch_request,
};
pub use service::Api;
pub use translate::page_size;
pub use watch::{Message as WatchMessage, Watch, Watches};
