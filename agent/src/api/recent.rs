//! Between the wire's messages and single events.

use super::translate::timestamp;
use super::unusual::Told;
use crate::recent::{Comparison, Condition, Event, Heard, Page, PageRequest, RecentError, TailRequest};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::field_condition::Operator;
use tonic::{Code, Status};

/// Records in a page, and the most that may be asked for.
const PAGE_SIZE: usize = 50;
const LARGEST_PAGE: usize = 1_000;
/// Events a second, and the most that may be asked for.
const PACE: u64 = 100;
const FASTEST: u64 = 1_000;

pub fn page_request(request: pb::ListRecentEventsRequest) -> Result<PageRequest, Status> {
    let page_size = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_SIZE,
        Ok(size) if size <= LARGEST_PAGE => size,
        _ => return Err(Status::invalid_argument(format!("page_size: use 1 to {LARGEST_PAGE}, or 0 for {PAGE_SIZE}"))),
    };
    Ok(PageRequest {
        source: request.source,
        conditions: conditions(request.conditions)?,
        page_size,
        page_token: request.page_token,
    })
}

pub fn tail_request(request: pb::TailEventsRequest) -> Result<TailRequest, Status> {
    let sample = match request.sample {
        0.0 => 1.0,
        sample if sample > 0.0 && sample <= 1.0 => sample,
        _ => return Err(Status::invalid_argument("sample: use a share above 0 and up to 1, such as 0.01")),
    };
    let per_second = match u64::from(request.events_per_second) {
        0 => PACE,
        pace if pace <= FASTEST => pace,
        _ => return Err(Status::invalid_argument(format!("events_per_second: at most {FASTEST}"))),
    };
    let last = request.last as usize;
    if last > LARGEST_PAGE {
        return Err(Status::invalid_argument(format!("last: at most {LARGEST_PAGE}")));
    }
    Ok(TailRequest { source: request.source, conditions: conditions(request.conditions)?, sample, per_second, last })
}

fn conditions(conditions: Vec<pb::FieldCondition>) -> Result<Vec<Condition>, Status> {
    conditions.into_iter().map(condition).collect()
}

fn condition(condition: pb::FieldCondition) -> Result<Condition, Status> {
    let comparison = match Operator::try_from(condition.op) {
        Ok(Operator::Unspecified | Operator::Equal) => Comparison::Equal,
        Ok(Operator::NotEqual) => Comparison::NotEqual,
        Ok(Operator::Matches) => Comparison::Matches,
        Ok(Operator::NotMatches) => Comparison::NotMatches,
        Ok(Operator::Less) => Comparison::Less,
        Ok(Operator::LessOrEqual) => Comparison::LessOrEqual,
        Ok(Operator::Greater) => Comparison::Greater,
        Ok(Operator::GreaterOrEqual) => Comparison::GreaterOrEqual,
        Err(_) => return Err(Status::invalid_argument(format!("conditions: no operator {}", condition.op))),
    };
    Ok(Condition { field: condition.field, comparison, value: condition.value })
}

pub fn page(page: Page, told: &Told) -> pb::ListRecentEventsResponse {
    let read = pb::EventCounts {
        records: page.read.records,
        events: page.read.events,
        passed_by: page.read.passed_by,
        unusable: page.read.unusable,
    };
    pb::ListRecentEventsResponse {
        events: page.events.into_iter().map(|one| event(one, told)).collect(),
        next_page_token: page.next_page_token,
        read: Some(read),
    }
}

pub fn heard((heard, told): (Heard, Told)) -> pb::TailEventsResponse {
    let events = heard.events.into_iter().map(|one| event(one, &told)).collect();
    pb::TailEventsResponse { events, skipped: heard.skipped }
}

fn event(event: Event, told: &Told) -> pb::RecentEvent {
    pb::RecentEvent {
        unusual: told.marks(&event),
        topic: event.topic.to_string(),
        partition: event.partition,
        offset: event.offset,
        event_time: Some(timestamp(event.time)),
        written_at: event.written_at.map(timestamp),
        fields: event.fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
    }
}

impl From<RecentError> for Status {
    fn from(error: RecentError) -> Status {
        let code = match &error {
            RecentError::NoneShown | RecentError::NotShown { .. } | RecentError::NoSuchSource { .. } => Code::NotFound,
            RecentError::WhichSource { .. } | RecentError::NoSuchField { .. } | RecentError::Wrong(_) => {
                Code::InvalidArgument
            }
            RecentError::Busy | RecentError::TooManyTails { .. } | RecentError::Kafka(_) | RecentError::Stopping => {
                Code::Unavailable
            }
        };
        Status::new(code, error.to_string())
    }
}
