//! A request of OpenTelemetry's, in JSON or protobuf, whatever it is.

#![cfg_attr(fuzzing, no_main)]

mod door;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

of_door!(|bytes: &[u8]| door::check(|arrival| {
    let requests = [serde_json::from_slice(bytes).ok(), ExportLogsServiceRequest::decode(bytes).ok()];
    requests.into_iter().flatten().flat_map(|request| door::otlp::events(request, arrival)).collect()
}));
