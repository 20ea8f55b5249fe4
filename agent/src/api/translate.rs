//! Between the wire's messages and the read side's types.

use crate::aggregate::AggregatePlan;
use crate::measure::{Distribution, MeasureState, Ranked, Session, Total, Unusual};
use crate::query::{self, Inputs, MatchOp, Matcher, Time};
use crate::state::Registry;
use std::time::Duration;
use streamgauge_proto::types::{Duration as PbDuration, Timestamp};
use streamgauge_proto::v1 as pb;
use tonic::Status;

/// Most quantiles of one histogram.
const MAX_QUANTILES: usize = 32;

/// What to show of histograms.
pub struct Shown {
    /// Empty: those of the measure.
    quantiles: Vec<f64>,
    buckets: bool,
}

impl Shown {
    pub fn of(request: &pb::QueryRequest) -> Result<Shown, Status> {
        let quantiles = match request.quantiles.as_slice() {
            asked if asked.len() > MAX_QUANTILES => {
                return Err(Status::invalid_argument(format!("quantiles: at most {MAX_QUANTILES}")));
            }
            asked => asked.to_vec(),
        };
        match quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            Some(q) => {
                Err(Status::invalid_argument(format!("quantile {q}: use a fraction within 0 and 1, such as 0.99")))
            }
            None => Ok(Shown { quantiles, buckets: request.buckets }),
        }
    }
}

pub fn request(request: pb::QueryRequest) -> Result<query::Request, Status> {
    let time = match request.time {
        None => None,
        Some(pb::query_request::Time::LastN(n)) => Some(Time::LastN(n)),
        Some(pb::query_request::Time::Last(last)) => Some(Time::Last(duration("last", last)?)),
        Some(pb::query_request::Time::Range(range)) => {
            let start = range.start.ok_or_else(|| Status::invalid_argument("range.start is missing"))?;
            Some(Time::Range { start: millis(start)?, end: range.end.map(millis).transpose()? })
        }
    };
    let order_by = request.order_by.map(|order| query::OrderBy {
        measure: order.measure,
        stat: order.stat,
        ascending: order.ascending,
    });
    Ok(query::Request {
        aggregate: request.aggregate,
        matchers: request.matchers.into_iter().map(matcher).collect::<Result<_, _>>()?,
        window: request.window.map(|window| duration("window", window)).transpose()?,
        hop: request.hop.map(|hop| duration("hop", hop)).transpose()?,
        time,
        closed_only: request.closed_only,
        measures: request.measures,
        group_by: request.group_by.map(|group| group.labels),
        order_by,
        limit: request.limit as usize,
        page_size: page_size(request.page_size)?,
        page_token: request.page_token,
    })
}

pub fn page_size(size: i32) -> Result<usize, Status> {
    usize::try_from(size).map_err(|_| Status::invalid_argument("page_size is negative; 0 is: everything"))
}

fn matcher(matcher: pb::LabelMatcher) -> Result<Matcher, Status> {
    let op = match pb::label_matcher::Operator::try_from(matcher.op) {
        Ok(pb::label_matcher::Operator::Unspecified | pb::label_matcher::Operator::Equal) => MatchOp::Equal,
        Ok(pb::label_matcher::Operator::NotEqual) => MatchOp::NotEqual,
        Ok(pb::label_matcher::Operator::Matches) => MatchOp::Matches,
        Ok(pb::label_matcher::Operator::NotMatches) => MatchOp::NotMatches,
        Err(_) => return Err(Status::invalid_argument(format!("matchers: no operator {}", matcher.op))),
    };
    Ok(Matcher { label: matcher.label, op, value: matcher.value })
}

fn duration(what: &str, duration: PbDuration) -> Result<Duration, Status> {
    Duration::try_from(duration)
        .map_err(|_| Status::invalid_argument(format!("{what}: not a duration: use seconds, such as \"300s\"")))
}

fn millis(timestamp: Timestamp) -> Result<i64, Status> {
    let sound = (0..1_000_000_000).contains(&timestamp.nanos);
    timestamp
        .seconds
        .checked_mul(1_000)
        .filter(|_| sound)
        .and_then(|millis| millis.checked_add(i64::from(timestamp.nanos) / 1_000_000))
        // Room enough on both sides for windows.
        .filter(|millis| millis.unsigned_abs() < 1 << 60)
        .ok_or_else(|| Status::invalid_argument("range: not a point in time"))
}

pub fn timestamp(millis: i64) -> Timestamp {
    Timestamp { seconds: millis.div_euclid(1_000), nanos: (millis.rem_euclid(1_000) * 1_000_000) as i32 }
}

fn pb_duration(duration: Duration) -> PbDuration {
    PbDuration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: duration.subsec_nanos() as i32 }
}

pub fn answer(answer: query::Answer, shown: &Shown) -> pb::QueryResponse {
    let (plan, labels, measures) = (&answer.plan, &answer.labels, &answer.measures);
    let row = |row: query::Row| pb::Row {
        labels: labels.iter().cloned().zip(row.labels).collect(),
        overflow: row.overflow,
        window_start: row.span.map(|span| timestamp(span.start)),
        window_end: row.span.map(|span| timestamp(span.end)),
        closed: row.closed,
        values: measures.iter().zip(&row.states).map(|(&at, state)| value(state, plan, at, shown)).collect(),
    };
    pb::QueryResponse {
        rows: answer.rows.into_iter().map(row).collect(),
        next_page_token: answer.next_page_token,
        as_of: answer.as_of.iter().map(query::status_to_proto).collect(),
        missing: answer
            .missing
            .into_iter()
            .map(|missing| pb::MissingPartition {
                topic: missing.id.topic.to_string(),
                partition: missing.id.partition,
                reason: missing.reason,
            })
            .collect(),
    }
}

fn value(state: &MeasureState, plan: &AggregatePlan, at: usize, shown: &Shown) -> pb::MeasureValue {
    let kind = &plan.measures[at].kind;
    let quantile = |&q: &f64| query::quantile(state, kind, q).map(|value| pb::QuantileValue { quantile: q, value });
    let own = plan.config.measures[at].quantiles();
    let quantiles = if shown.quantiles.is_empty() { own } else { &shown.quantiles };
    let bucket = |(upper_bound, count)| pb::Bucket { upper_bound, count };
    let buckets = shown.buckets.then(|| query::buckets(state, kind)).flatten().unwrap_or_default();
    let (top, top_error) = match state.total() {
        Total::Ranking(top) => {
            let (ranked, error) = top.ranked();
            let item = |ranked: Ranked| pb::TopItem { item: ranked.item, value: ranked.weight.to_f64() };
            (ranked.into_iter().map(item).collect(), Some(error.to_f64()))
        }
        _ => (Vec::new(), None),
    };
    let session = |(session, closed): (Session, bool)| pb::Session {
        start: Some(timestamp(session.start)),
        end: Some(timestamp(session.end)),
        events: session.events,
        closed,
    };
    let unusual = |unusual: &Unusual| pb::UnusualValue {
        event_time: Some(timestamp(unusual.at)),
        value: unusual.value,
        above: unusual.above,
    };
    let told = if let MeasureState::Anomaly(anomaly) = state { anomaly.told() } else { &[] };
    let sessions = if let MeasureState::Sessions(sessions) = state { sessions.told() } else { Vec::new() };
    pb::MeasureValue {
        sessions: sessions.into_iter().map(session).collect(),
        unusual: told.iter().map(unusual).collect(),
        top,
        top_error,
        measure: plan.config.measures[at].name.clone(),
        quantiles: quantiles.iter().filter_map(quantile).collect(),
        quantile_relative_error: match state.distribution() {
            Some(Distribution::Exponential(histogram)) => Some(histogram.relative_error()),
            Some(Distribution::Explicit(_)) | None => None,
        },
        buckets: buckets.into_iter().map(bucket).collect(),
        ..state.stats().publish()
    }
}

pub fn aggregate_info(inputs: &Inputs, plan: &AggregatePlan, registry: &Registry) -> pb::AggregateInfo {
    let config = &plan.config;
    let window = |window: &crate::config::Window| pb::WindowInfo {
        size: Some(pb_duration(window.size)),
        hop: Some(pb_duration(window.hop)),
    };
    let measure = |measure: &crate::config::Measure| pb::MeasureInfo {
        name: measure.name.clone(),
        kind: measure.kind.word().to_owned(),
        field: measure.field.as_ref().map(ToString::to_string).unwrap_or_default(),
        unit: measure.exposed_unit().to_owned(),
    };
    pb::AggregateInfo {
        name: config.name.clone(),
        source: config.sources.first().cloned().unwrap_or_default(),
        sources: config.sources.clone(),
        topics: inputs.topics(registry).iter().map(ToString::to_string).collect(),
        labels: config.by.iter().map(|by| by.label.clone()).collect(),
        pane: Some(pb_duration(config.pane)),
        windows: config.windows.iter().map(window).collect(),
        grace: Some(pb_duration(config.grace)),
        retention: Some(pb_duration(config.retention)),
        measures: config.measures.iter().map(measure).collect(),
        metrics: config.families().iter().flat_map(|family| family.sample_names()).collect(),
    }
}
