//! The push against a receiver in this process.
