//! OTLP over HTTP: protobuf or JSON, and the answer in the same.

use super::super::exported::{NotTaken, exported};
use super::{Came, Denied, NO_ROOM, Way};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use prost::Message;
use serde::Serialize;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// What OTLP answers an error with: google.rpc.Status without its details.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

pub async fn logs(State(way): State<Way>, came: Came, body: Body) -> Response {
    let json = came.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
    let answer = match take(&way, &came, body, json).await {
        Ok(response) => encoded(StatusCode::OK, &response, json),
        Err(Denied { status, reason, retry_after }) => {
            Denied::told(retry_after, encoded(status, &Failure { code: code(status), message: reason }, json))
        }
    };
    came.answered("otlp", answer)
}

async fn take(way: &Way, came: &Came, body: Body, json: bool) -> Result<ExportLogsServiceResponse, Denied> {
    let bad = |message: String| Denied::new(StatusCode::BAD_REQUEST, message);
    let (_, content) = came.read(&way.shared.acceptor.batches, body, &[PROTOBUF, JSON]).await?;
    let request: ExportLogsServiceRequest = match json {
        true => serde_json::from_slice(&content.bytes).map_err(|error| bad(super::unreadable(&error)))?,
        false => Message::decode(content.bytes.as_slice()).map_err(|error| bad(format!("not OTLP: {error}")))?,
    };
    drop(content);
    exported(&way.logs, request, &came.taken_over).await.map_err(|not_taken| match not_taken {
        NotTaken::TooMany(reason) => Denied::new(StatusCode::PAYLOAD_TOO_LARGE, reason),
        NotTaken::Later(reason) => {
            Denied { retry_after: Some(NO_ROOM), ..Denied::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
        }
    })
}

/// gRPC's code for it.
fn code(status: StatusCode) -> i32 {
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => tonic::Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => tonic::Code::Unavailable,
        _ => tonic::Code::InvalidArgument,
    };
    code as i32
}

fn encoded<T: Message + Serialize>(status: StatusCode, message: &T, json: bool) -> Response {
    match json {
        true => super::json(status, message),
        false => (status, [(CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response(),
    }
}
