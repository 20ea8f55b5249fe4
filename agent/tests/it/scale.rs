//! Several agents of one group on a real Kafka: one answer, one set of windows, copies that shorten a take-over.

mod cluster_query;
mod replicas;
mod watched;
mod windows;
