//! The producer of load tests: hands events over in batches and takes their reports in batches, on the caller's thread,
//! so that a test measures Kafka and not its client.

use super::events::MainQueue;
use super::login::{self, LoggedIn};
use super::{Context, Settings};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use std::ffi::{CString, c_void};
use std::ptr;
use std::time::Duration;

/// The partitioner decides.
const ANY_PARTITION: i32 = -1;

/// How events are produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// `all`, `1` or `0`.
    pub acks: &'static str,
    pub compression: &'static str,
    pub linger: Duration,
    /// Bytes.
    pub batch_bytes: u32,
    /// At most this many events are under way.
    pub in_flight: usize,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was given with it.
    pub tag: u64,
    pub result: Result<(), RDKafkaErrorCode>,
}

/// Events to be handed over at once. The memory is used again.
#[derive(Default)]
pub struct LoadBatch {
    bytes: Vec<u8>,
    /// Tag, end of the key, end of the value; an event begins where the one before it ends.
    events: Vec<(u64, usize, usize)>,
    messages: Vec<sys::rd_kafka_message_t>,
}

// SAFETY: `messages` has pointers only within `send`, into memory that the batch owns or that is the producer's.
unsafe impl Send for LoadBatch {}

impl LoadBatch {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.events.clear();
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Adds an event. An empty key is none. `value` appends to the bytes it is given.
    pub fn push(&mut self, tag: u64, key: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        value(&mut self.bytes);
        self.events.push((tag, key_end, self.bytes.len()));
    }

    /// The events from `first` on as librdkafka wants them.
    fn messages(&mut self, first: usize) -> &mut [sys::rd_kafka_message_t] {
        self.messages.clear();
        let mut begin = first.checked_sub(1).map_or(0, |before| self.events[before].2);
        let base = self.bytes.as_ptr();
        for &(tag, key_end, end) in &self.events[first..] {
            let key_len = key_end - begin;
            // SAFETY: the bounds are within `bytes`, which does not change before the messages are used.
            let (key, payload) = unsafe { (base.add(begin), base.add(key_end)) };
            self.messages.push(sys::rd_kafka_message_t {
                err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition: ANY_PARTITION,
                payload: payload as *mut c_void,
                len: end - key_end,
                key: if key_len == 0 { ptr::null_mut() } else { key as *mut c_void },
                key_len,
                offset: 0,
                _private: tag as usize as *mut c_void,
            });
            begin = end;
        }
        &mut self.messages
    }
}

pub struct LoadProducer {
    // Dropped before the client it belongs to.
    queue: MainQueue,
    producer: LoggedIn<BaseProducer<Context>>,
    topic: *mut sys::rd_kafka_topic_t,
    in_flight: usize,
    limit: usize,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for LoadProducer {}

impl LoadProducer {
    /// Makes it; does not wait for a broker.
    pub fn create(settings: &Settings, topic: &str, options: &LoadOptions) -> KafkaResult<LoadProducer> {
        let mut config = settings.load();
        config.set("enable.idempotence", if options.acks == "all" { "true" } else { "false" });
        config.set("acks", options.acks);
        config.set("compression.type", options.compression);
        config.set("linger.ms", format!("{}", options.linger.as_secs_f64() * 1_000.0));
        config.set("batch.size", options.batch_bytes.to_string());
        // What was reported and not yet taken by us still counts there.
        config.set("queue.buffering.max.messages", (2 * options.in_flight).to_string());
        config.set("queue.buffering.max.kbytes", "1048576");
        let producer: LoggedIn<BaseProducer<Context>> = login::client(&config, Context::of(&config))?;
        let name = CString::new(topic).map_err(|_| KafkaError::Subscription("a zero in the topic's name".into()))?;
        let queue = MainQueue::of(producer.client())?;
        // SAFETY: the client is valid; the handle is destroyed in `drop`, before it.
        let topic = unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Ok(LoadProducer { queue, producer, topic, in_flight: 0, limit: options.in_flight })
    }

    /// Waits until the topic's partitions are known, so that the first events need not.
    pub fn prepare(&self, topic: &str, timeout: Duration) -> KafkaResult<()> {
        self.producer.client().fetch_metadata(Some(topic), timeout).map(drop)
    }

    /// Events that were handed over and have no report yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many more may be handed over now.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.in_flight)
    }

    /// Hands over the events of a batch from the one of number `first` on, and says how many were taken; the others found
    /// the queue full.
    ///
    /// # Errors
    /// If an event is refused for good, such as one that is larger than `message.max.bytes`.
    pub fn send(&mut self, batch: &mut LoadBatch, first: usize) -> KafkaResult<usize> {
        let messages = batch.messages(first);
        let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        // SAFETY: the topic is valid; keys and values live through the call, which copies them.
        let taken = unsafe {
            sys::rd_kafka_produce_batch(
                self.topic,
                ANY_PARTITION,
                sys::RD_KAFKA_MSG_F_COPY,
                messages.as_mut_ptr(),
                count,
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        self.in_flight += taken;
        if taken == messages.len() {
            return Ok(taken);
        }
        let refused = messages.iter().map(|message| RDKafkaErrorCode::from(message.err));
        match refused.clone().find(|code| !matches!(code, RDKafkaErrorCode::NoError | RDKafkaErrorCode::QueueFull)) {
            Some(code) => Err(KafkaError::MessageProduction(code)),
            None => Ok(taken),
        }
    }

    /// Takes all reports that are there, waiting for the first of them.
    pub fn poll(&mut self, wait: Duration, mut report: impl FnMut(Report)) {
        // Rounded down: what is due in a fraction of a millisecond more is asked for again.
        let wait = Duration::from_millis(wait.as_millis() as u64);
        let in_flight = &mut self.in_flight;
        self.queue.serve(&**self.producer.context(), wait, |delivered| {
            *in_flight = in_flight.saturating_sub(1);
            report(Report { tag: delivered.opaque() as u64, result: delivered.result() });
        });
    }

    /// The latest trouble the client reported by itself.
    pub fn last_error(&self) -> Option<String> {
        self.producer.context().last_error()
    }

    /// Drops what is not yet acknowledged; each such event is reported as failed.
    pub fn give_up(&self) {
        self.producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
    }
}

impl Drop for LoadProducer {
    fn drop(&mut self) {
        // SAFETY: ours, valid, and not used afterwards; the client goes after it.
        unsafe { sys::rd_kafka_topic_destroy(self.topic) }
    }
}
