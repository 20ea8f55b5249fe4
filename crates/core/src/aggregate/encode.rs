//! A cell's stored form: protobuf with a format version. The same state has the same bytes.

use prost::Message;
use streamgauge_proto::storage::v1 as pb;

use super::cell::Cell;
use super::histogram::{Dense, Histogram};
use super::measure::{Average, Buckets, MeasureState, Nanos};
use super::plan::{AggregatePlan, MeasurePlan};

/// The version of stored cells that this program writes, and the newest it reads.
pub const CELL_FORMAT_VERSION: u32 = 2;

/// Why stored bytes are not a cell of an aggregate.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("written in format {found} by a newer streamgauge; this one knows formats up to {known}: upgrade it")]
    Newer { found: u32, known: u32 },
    #[error("no readable cell: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("not a cell of aggregate `{aggregate}`: {problem}")]
    Mismatch { aggregate: String, problem: &'static str },
}

/// Just enough of a cell to tell its version, whatever else a newer format has made of it.
#[derive(Clone, PartialEq, prost::Message)]
struct Version {
    #[prost(uint32, tag = "1")]
    format_version: u32,
}

impl Cell {
    /// Appends the stored form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = pb::Cell {
            format_version: CELL_FORMAT_VERSION,
            last_seen_ms: self.last_seen,
            measures: self.measures.iter().map(measure_to_proto).collect(),
            since_ms: self.began().unwrap_or(0),
        };
        out.reserve(message.encoded_len());
        message.encode_raw(out);
    }

    /// The inverse of [`Cell::encode`].
    ///
    /// # Errors
    /// If the bytes are not a cell of that aggregate, or of a newer format.
    pub fn decode(plan: &AggregatePlan, bytes: &[u8]) -> Result<Cell, FormatError> {
        let message = pb::Cell::decode(bytes);
        // A newer format need not be readable to be named.
        let found = match &message {
            Ok(message) => message.format_version,
            Err(_) => Version::decode(bytes)?.format_version,
        };
        if found > CELL_FORMAT_VERSION {
            return Err(FormatError::Newer { found, known: CELL_FORMAT_VERSION });
        }
        let mismatch = |problem| FormatError::Mismatch { aggregate: plan.config.name.clone(), problem };
        if found == 0 {
            return Err(mismatch("it has no format version"));
        }
        let message = message?;
        if message.measures.len() != plan.measures.len() {
            return Err(mismatch("it has another number of measures"));
        }
        let state = |(stored, measure): (pb::MeasureState, &MeasurePlan)| {
            let state = measure_from_proto(stored).ok_or_else(|| mismatch("a measure's state is malformed"))?;
            if state.fits(measure) { Ok(state) } else { Err(mismatch("a measure is of another kind")) }
        };
        let measures = message.measures.into_iter().zip(&plan.measures).map(state).collect::<Result<_, _>>()?;
        // None that was stored is new.
        let since = Some(message.since_ms).filter(|&since| since != Cell::NEW).unwrap_or(0);
        Ok(Cell { measures, last_seen: message.last_seen_ms, since })
    }
}

/// A single measure's stored form, for what is sent to another agent rather than kept.
pub fn measure_to_proto(state: &MeasureState) -> pb::MeasureState {
    use pb::measure_state::State;
    let extreme = |value: f64| pb::Extreme { value: value.is_finite().then_some(value) };
    let state = match state {
        MeasureState::Count(count) => State::Count(*count),
        MeasureState::Sum(sum) => State::Sum(nanos_to_proto(sum.get())),
        MeasureState::Min(min) => State::Min(extreme(*min)),
        MeasureState::Max(max) => State::Max(extreme(*max)),
        MeasureState::Avg(average) => {
            State::Avg(pb::Average { count: average.count, sum: Some(nanos_to_proto(average.sum.get())) })
        }
        MeasureState::Histogram(histogram) => State::Histogram(histogram_to_proto(histogram)),
        MeasureState::Buckets(buckets) => State::Buckets(pb::Buckets {
            counts: buckets.counts.to_vec(),
            sum: Some(nanos_to_proto(buckets.sum.get())),
        }),
    };
    pb::MeasureState { state: Some(state) }
}

/// The inverse of [`measure_to_proto`] for a state of `plan`'s measure; `None` if it is none.
pub fn measure_of(plan: &MeasurePlan, message: pb::MeasureState) -> Option<MeasureState> {
    measure_from_proto(message).filter(|state| state.fits(plan))
}

/// `None` if the message lacks something or contradicts itself.
fn measure_from_proto(message: pb::MeasureState) -> Option<MeasureState> {
    use pb::measure_state::State;
    Some(match message.state? {
        State::Count(count) => MeasureState::Count(count),
        State::Sum(sum) => MeasureState::Sum(Nanos::new(nanos_from_proto(&sum))),
        State::Min(min) => MeasureState::Min(min.value.unwrap_or(f64::INFINITY)),
        State::Max(max) => MeasureState::Max(max.value.unwrap_or(f64::NEG_INFINITY)),
        State::Avg(average) => {
            let sum = Nanos::new(nanos_from_proto(&average.sum?));
            MeasureState::Avg(Box::new(Average { count: average.count, sum }))
        }
        State::Histogram(histogram) => MeasureState::Histogram(Box::new(histogram_from_proto(histogram)?)),
        State::Buckets(buckets) => {
            let sum = Nanos::new(nanos_from_proto(&buckets.sum?));
            MeasureState::Buckets(Box::new(Buckets { counts: buckets.counts.into_boxed_slice(), sum }))
        }
    })
}

fn nanos_to_proto(nanos: i128) -> pb::Nanos {
    let zigzag = ((nanos << 1) ^ (nanos >> 127)) as u128;
    pb::Nanos { zigzag_low: zigzag as u64, zigzag_high: (zigzag >> 64) as u64 }
}

fn nanos_from_proto(nanos: &pb::Nanos) -> i128 {
    let zigzag = u128::from(nanos.zigzag_high) << 64 | u128::from(nanos.zigzag_low);
    (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128)
}

fn histogram_to_proto(histogram: &Histogram) -> pb::Histogram {
    pb::Histogram {
        scale: histogram.scale(),
        zero_count: histogram.zero_count(),
        positive: range_to_proto(histogram.positive()),
        negative: range_to_proto(histogram.negative()),
        sum: Some(nanos_to_proto(histogram.sum_nanos())),
        min: histogram.min(),
        max: histogram.max(),
    }
}

fn range_to_proto(dense: &Dense) -> Option<pb::BucketRange> {
    dense.range().map(|(offset, _)| pb::BucketRange { offset, counts: dense.counts().to_vec() })
}

fn histogram_from_proto(message: pb::Histogram) -> Option<Histogram> {
    let dense = |range: Option<pb::BucketRange>| {
        let pb::BucketRange { offset, counts } = range.unwrap_or_default();
        Dense::new(offset, counts)
    };
    let buckets = [dense(message.positive)?, dense(message.negative)?];
    let sum = nanos_from_proto(&message.sum?);
    Histogram::from_parts(message.scale, message.zero_count, buckets, sum, message.min.zip(message.max))
}
