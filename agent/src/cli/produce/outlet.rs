//! Where events go.

use std::io::{self, BufWriter, Stdout, Write};
use std::time::Duration;

use super::door::Door;
use crate::clock::{BootTime, Clock};
use crate::kafka::event_producer::{Delivered, EventProducer, ProduceError};

pub(super) enum Outlet {
    Kafka { producer: EventProducer, topic: String },
    Door(Door),
    Print(Print),
}

/// Standard output, each event on a line of its own.
pub(super) struct Print {
    out: BufWriter<Stdout>,
    clock: Clock,
    start: BootTime,
    delivered: Delivered,
}

impl Outlet {
    /// Standard output.
    ///
    /// # Errors
    /// If there is no memory for latencies.
    pub fn print(clock: Clock) -> Result<Outlet, ProduceError> {
        let start = clock.boot_time();
        Ok(Outlet::Print(Print { out: BufWriter::new(io::stdout()), clock, start, delivered: Delivered::none()? }))
    }

    /// Hands one event over, with the moment (since the outlet was made) from which its latency counts. `false`: there is no
    /// room, wait and send it again.
    ///
    /// # Errors
    /// If no event will get through.
    pub fn send(&mut self, key: Option<&[u8]>, value: &[u8], from: Duration) -> anyhow::Result<bool> {
        match self {
            Outlet::Kafka { producer, topic } => Ok(producer.send(topic, key, value, from)?),
            Outlet::Door(door) => door.send(value, from),
            Outlet::Print(print) => {
                print.out.write_all(value)?;
                print.out.write_all(b"\n")?;
                print.delivered.acknowledged += 1;
                Ok(true)
            }
        }
    }

    /// Sends on what waits for others to go with it: what has waited for long, or all. `false`: there is something left.
    ///
    /// # Errors
    /// If no event will get through.
    pub fn flush(&mut self, all: bool) -> anyhow::Result<bool> {
        match self {
            Outlet::Kafka { .. } => Ok(true),
            Outlet::Door(door) => door.flush(all),
            Outlet::Print(print) => {
                print.out.flush()?;
                Ok(true)
            }
        }
    }

    /// Events that were handed over and have no report yet.
    pub fn outstanding(&self) -> usize {
        match self {
            Outlet::Kafka { producer, .. } => producer.outstanding(),
            Outlet::Door(door) => door.outstanding(),
            Outlet::Print(_) => 0,
        }
    }

    /// Time since it was made.
    pub fn elapsed(&self) -> Duration {
        match self {
            Outlet::Kafka { producer, .. } => producer.elapsed(),
            Outlet::Door(door) => door.elapsed(),
            Outlet::Print(print) => print.clock.boot_time().since(print.start),
        }
    }

    /// What became of the events so far.
    pub fn delivered(&self) -> Delivered {
        match self {
            Outlet::Kafka { producer, .. } => producer.delivered(),
            Outlet::Door(door) => door.delivered(),
            Outlet::Print(print) => print.delivered.clone(),
        }
    }

    /// Acknowledged and failed events so far; cheaper than [`Outlet::delivered`].
    pub fn counts(&self) -> (u64, u64) {
        match self {
            Outlet::Kafka { producer, .. } => producer.counts(),
            Outlet::Door(door) => door.counts(),
            Outlet::Print(print) => (print.delivered.acknowledged, 0),
        }
    }
}
