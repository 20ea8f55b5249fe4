//! What Streamgauge tells of itself: its own metrics and its logs.

mod count;
mod counted;
mod ingest;
mod labels;
mod logging;
mod metrics;
mod names;
mod process;
mod register;
mod signals;

pub use ingest::{EndpointLabel, IngestMetrics, RequestLabels, ToLabel};
pub use labels::{
    AggregateLabel, BrokerLabel, CommitLabels, Counters, DecodeErrorLabels, DoorLabels, Durations, Gauges, ReasonLabel,
    RebalanceLabels, SourceLabel, TaskLabels, TopicLabel,
};
pub use logging::{LoggingError, init_logging, signals};
pub use metrics::Metrics;
pub use names::{Kind, Name};
pub use process::{ProcessStats, resident_bytes, trim_heap};
pub use signals::{Context, Line, Signal, Signals, Span, parse_traceparent};
