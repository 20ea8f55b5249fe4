//! A cell's stored form: protobuf with a format version. The same state has the same bytes.

use prost::Message;
use streamgauge_proto::storage::v1 as pb;

use super::cell::Cell;
use super::plan::{AggregatePlan, MeasurePlan};
use crate::measure::MeasureState;

/// The version of stored cells that this program writes, and the newest it reads.
pub const CELL_FORMAT_VERSION: u32 = 3;

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
            measures: self.measures.iter().map(MeasureState::encode).collect(),
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
            let state = MeasureState::decode(stored).ok_or_else(|| mismatch("a measure's state is malformed"))?;
            if state.fits(&measure.kind) { Ok(state) } else { Err(mismatch("a measure is of another kind")) }
        };
        let measures = message.measures.into_iter().zip(&plan.measures).map(state).collect::<Result<_, _>>()?;
        // None that was stored is new.
        let since = Some(message.since_ms).filter(|&since| since != Cell::NEW).unwrap_or(0);
        Ok(Cell { measures, last_seen: message.last_seen_ms, since })
    }
}
