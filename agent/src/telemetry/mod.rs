//! What Streamgauge tells of itself: its own metrics and its logs.

mod count;
mod logging;
mod metrics;
mod names;
mod process;
mod signals;

pub use logging::{LoggingError, init_logging, signals};
pub use metrics::{
    AggregateLabel, BrokerLabel, CommitLabels, Counters, DecodeErrorLabels, DoorLabels, Durations, Gauges, Metrics,
    ReasonLabel, RebalanceLabels, SourceLabel, TaskLabels, TopicLabel,
};
pub use names::{Kind, Name};
pub use process::{ProcessStats, resident_bytes, trim_heap};
pub use signals::{Context, Line, RequestSpans, Signal, Signals, Span};
