//! What one look finds.

use crate::overview::{Agent, Overview};
use streamgauge_proto::v1 as pb;

/// What the page shows.
pub struct Look {
    pub status: pb::GetStatusResponse,
    /// With what came per second since the look before, by measure.
    pub aggregates: Vec<(Overview, Vec<Option<f64>>)>,
    pub agents: Vec<Agent>,
    /// Unix milliseconds.
    pub at: i64,
    /// Questions that were refused, and why.
    pub refused: Vec<String>,
}
