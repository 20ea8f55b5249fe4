//! What Streamgauge tells of itself: its own metrics and its logs.

mod metrics;
mod names;
mod process;

pub use metrics::Metrics;
pub use names::{Kind, Name};
pub use process::ProcessStats;
