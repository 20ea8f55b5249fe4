//! What Streamgauge tells of itself: its own metrics and its logs.

mod logging;
mod metrics;
mod names;
mod process;

pub use logging::{LoggingError, init_logging};
pub use metrics::Metrics;
pub use names::{Kind, Name};
pub use process::ProcessStats;
