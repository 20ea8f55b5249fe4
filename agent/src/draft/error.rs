//! Why there is no draft.

use crate::config::ConfigError;

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum NoDraft {
    #[error("there are no records to look at")]
    Empty,
    #[error(
        "the records begin with the id of a schema: they need a `schema_registry` and `format: avro` or `protobuf` (docs/formats.md)"
    )]
    Schema,
    #[error(
        "the records are neither text nor anything else that a format is known for; see `format` in `streamgauge schema`"
    )]
    Unknown,
    #[error("what was drafted is no config: {0}")]
    NoConfig(#[from] ConfigError),
}
