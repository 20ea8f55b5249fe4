//! The only room that knows librdkafka.

pub mod event_producer;
