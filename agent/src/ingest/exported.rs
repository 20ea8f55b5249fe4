//! A request of OpenTelemetry's, whichever way it came: what is accepted of it, and the answer.

use super::accept::{Headers, Logs};
use super::otlp::{count, events};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};

/// Why nothing of a request counts as taken: one line.
pub enum NotTaken {
    TooMany(String),
    /// It may be sent again later.
    Later(String),
}

/// Accepts its records; those that are rejected are told as a partial success.
///
/// # Errors
/// If there are too many; or if one of them may be sent again: senders give up what is rejected, so that all of it has to
/// be asked for.
pub async fn exported(
    logs: &Logs,
    request: ExportLogsServiceRequest,
    headers: &Headers,
) -> Result<ExportLogsServiceResponse, NotTaken> {
    let most = logs.door.config.batch_events;
    if count(&request) > most {
        return Err(NotTaken::TooMany(format!("the batch has more than {most} events")));
    }
    let answers = logs.door.accept(events(request, logs.arrival()), headers).await;
    let refusals: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    if let Some(later) = refusals.iter().find(|refusal| refusal.may_come_again()) {
        return Err(NotTaken::Later(later.reason().to_owned()));
    }
    let partial_success = refusals.first().map(|first| ExportLogsPartialSuccess {
        rejected_log_records: refusals.len() as i64,
        error_message: first.reason().to_owned(),
    });
    Ok(ExportLogsServiceResponse { partial_success })
}
