//! The wire formats of Streamgauge: what is stored in the changelog and in redb, and the gRPC services.

/// Stored records and values.
pub mod storage {
    pub mod v1 {
        tonic::include_proto!("streamgauge.storage.v1");
    }
}

/// Times and durations of the services' messages.
pub use prost_types as types;

/// The gRPC services.
pub mod v1 {
    tonic::include_proto!("streamgauge.v1");
}

/// Prometheus' protobuf exposition.
pub mod prometheus {
    tonic::include_proto!("io.prometheus.client");
}

/// Descriptors of every message and service, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
