//! What librdkafka reports on a producer's main queue: deliveries, errors, logs and statistics.
//!
//! rdkafka's own `poll` comes back only at the end of its timeout, and spends the last millisecond of it asking without
//! waiting. Here the thread sleeps in librdkafka until something has come.

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;
use std::ffi::{CStr, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

/// A producer's main queue. To be dropped before the producer is.
pub(super) struct MainQueue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for MainQueue {}
// SAFETY: as above; a call on a shared queue is thread-safe in librdkafka.
unsafe impl Sync for MainQueue {}

impl MainQueue {
    pub fn of<C: ClientContext>(client: &Client<C>) -> Result<MainQueue, KafkaError> {
        // SAFETY: the client is valid; the reference is given back in `drop`.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
        NonNull::new(queue).map(MainQueue).ok_or_else(|| KafkaError::ClientCreation("no main queue".into()))
    }

    /// Ends the sleep that goes on in [`MainQueue::serve`], or the next one.
    pub fn wake(&self) {
        // SAFETY: the queue is valid until it is dropped.
        unsafe { sys::rd_kafka_queue_yield(self.0.as_ptr()) }
    }

    /// Sleeps until something has come, `wait` at most (in whole milliseconds, rounded up); then takes all that is there
    /// without waiting. Delivery reports go to `report`, the rest to the context. Says whether there was anything.
    pub fn serve<C: ClientContext>(
        &self,
        context: &C,
        wait: Duration,
        mut report: impl FnMut(&DeliveryReport),
    ) -> bool {
        let mut wait = i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let mut came = false;
        // SAFETY: the queue is valid until it is dropped.
        while let Some(event) = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0.as_ptr(), wait) }) {
            (wait, came) = (0, true);
            Event(event).hand_over(context, &mut report);
        }
        came
    }
}

impl Drop for MainQueue {
    fn drop(&mut self) {
        // SAFETY: ours, given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    fn hand_over<C: ClientContext>(&self, context: &C, report: &mut impl FnMut(&DeliveryReport)) {
        // SAFETY: a valid event, as in the calls below; what is read of it is copied or ends before it is destroyed.
        match unsafe { sys::rd_kafka_event_type(self.0.as_ptr()) } {
            sys::RD_KAFKA_EVENT_DR => self.reports(report),
            sys::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: as above.
                let (code, reason) = unsafe {
                    let reason = sys::rd_kafka_event_error_string(self.0.as_ptr());
                    (sys::rd_kafka_event_error(self.0.as_ptr()), CStr::from_ptr(reason).to_string_lossy())
                };
                context.error(KafkaError::Global(code.into()), reason.trim());
            }
            sys::RD_KAFKA_EVENT_LOG => self.log(context),
            sys::RD_KAFKA_EVENT_STATS => {
                // SAFETY: as above; the text ends with NUL.
                let text = unsafe { CStr::from_ptr(sys::rd_kafka_event_stats(self.0.as_ptr())) };
                context.stats_raw(text.to_bytes());
            }
            _ => {}
        }
    }

    fn reports(&self, report: &mut impl FnMut(&DeliveryReport)) {
        // SAFETY: a valid event; its messages live as long as it does, and none is kept.
        while let Some(message) = unsafe { sys::rd_kafka_event_message_next(self.0.as_ptr()).as_ref() } {
            report(&DeliveryReport(message));
        }
    }

    fn log<C: ClientContext>(&self, context: &C) {
        let (mut facility, mut text): (*const c_char, *const c_char) = (ptr::null(), ptr::null());
        let mut level = 0;
        // SAFETY: a valid event, and valid places for the answer, which lives as long as the event.
        unsafe {
            if sys::rd_kafka_event_log(self.0.as_ptr(), &mut facility, &mut text, &mut level) == 0 {
                let (facility, text) =
                    (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy());
                context.log(level_of(level), facility.trim(), text.trim());
            }
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// librdkafka's levels are syslog's.
fn level_of(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// What became of one message.
pub(super) struct DeliveryReport<'a>(&'a sys::rd_kafka_message_t);

impl DeliveryReport<'_> {
    /// A number that is the same for messages of the same topic while the producer lives.
    pub fn topic_handle(&self) -> usize {
        self.0.rkt as usize
    }

    pub fn topic(&self) -> &str {
        // SAFETY: the topic handle is valid as long as the message; names are NUL-terminated.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.0.rkt)) }.to_str().unwrap_or_default()
    }

    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    pub fn result(&self) -> Result<(), RDKafkaErrorCode> {
        match self.0.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            error => Err(error.into()),
        }
    }

    /// What was given along with the message.
    pub fn opaque(&self) -> usize {
        self.0._private as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use streamgauge_runtime::clock::Clock;

    #[test]
    fn waiting_for_a_report_sleeps_and_ends_when_it_comes() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
        let producer: BaseProducer<Context> = config.create_with_context(Context::default()).unwrap();
        let queue = MainQueue::of(producer.client()).unwrap();
        let clock = Clock::default();
        let minute = Duration::from_secs(60);
        let began = clock.boot_time();
        let mut reports = Vec::new();
        for payload in ["a", "b"] {
            producer.send(BaseRecord::<[u8], [u8]>::to("t").payload(payload.as_bytes())).map_err(|(e, _)| e).unwrap();
        }
        while reports.len() < 2 {
            queue.serve(&**producer.context(), minute, |report| {
                reports.push((report.topic().to_owned(), report.partition(), report.offset(), report.result()));
            });
        }
        assert!(clock.boot_time().since(began) < minute, "it came back when the reports had come");
        assert_eq!(reports, [0, 1].map(|offset| ("t".to_owned(), 0, offset, Ok(()))));
        // What rdkafka's poll does in 200 ms is the other half of this: it takes the CPU while it waits.
        let spent = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let (before, ms) = (spent(), Duration::from_millis(1));
        (0..500).for_each(|_| {
            queue.serve(&**producer.context(), ms, |_| {});
        });
        let ticks = spent() - before;
        assert!(ticks <= 15, "half a second of waiting took {ticks} hundredths of CPU");
    }
}
