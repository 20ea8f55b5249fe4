//! What Streamgauge tells of itself: its own metrics and its logs.

mod count;
mod counted;
mod labels;
mod logging;
mod metrics;
mod names;
mod process;
mod signals;

pub use labels::{
    AggregateLabel, BrokerLabel, CommitLabels, Counters, DecodeErrorLabels, DoorLabels, Durations, EndpointLabel,
    Gauges, ReasonLabel, RebalanceLabels, RequestLabels, SourceLabel, TaskLabels, ToLabel, TopicLabel,
};
pub use logging::{LoggingError, init_logging, signals};
pub use names::{Kind, Metrics, Name};
pub use process::{ProcessStats, resident_bytes, trim_heap};
pub use signals::{Context, Line, Signal, Signals, Span, parse_traceparent};
