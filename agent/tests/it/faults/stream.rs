//! The known stream: numbered events at a steady rate, whose key, partition and hash follow from their number, and the
//! ledger of what Kafka has acknowledged.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::Kafka;
use crate::scene::unix_millis;

/// Keys of the stream; every partition has all of them.
const KEYS: u64 = 16;
/// Events are sent in bursts of this length of time.
const STEP: Duration = Duration::from_millis(10);
/// A transaction of the input holds so many bursts; every third one is aborted.
const TRANSACTION: u64 = 5;
const TIMEOUT: Duration = Duration::from_secs(120);

/// A hash of an event's number that is no linear function of it: sums of these tell sets of events apart that have the
/// same size and the same sum. 32 bits, so that a cell's sum is exact as a double.
pub fn hash(seq: u64) -> u64 {
    let mixed = (seq ^ (seq >> 31)).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB)) >> 32
}

/// What is known of the stream: the numbers that were sent and not aborted, and how far Kafka has acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Numbers that count.
    pub counted: Vec<Range<u64>>,
    /// One past the last acknowledged offset, by partition.
    acknowledged: BTreeMap<i32, i64>,
    failures: Vec<String>,
}

impl Ledger {
    fn count(&mut self, numbers: Range<u64>) {
        match self.counted.last_mut().filter(|last| last.end == numbers.start) {
            Some(last) => last.end = numbers.end,
            None => self.counted.push(numbers),
        }
    }
}

/// How the stream is sent.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Events per second.
    pub rate: u64,
    /// In transactions, of which every third is aborted.
    pub aborting: bool,
    /// Many events in a record, each as text in a field, some with a time that the config cannot read yet.
    pub packed: bool,
}

/// Events of a packed record.
const PACKED: u64 = 20;
/// Of packed events every so manieth has its time in another format.
const ODD: u64 = 23;

/// A running stream.
pub struct Stream {
    ledger: Arc<Mutex<Ledger>>,
    partitions: Arc<AtomicI32>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    pub fn start(kafka: &Kafka, topic: &str, partitions: i32, style: Style) -> Stream {
        let (ledger, ended) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
        let partitions = Arc::new(AtomicI32::new(partitions));
        let mut client = kafka.client();
        // A broker that is away for long makes an event late, never lost: nothing times out.
        client.set("enable.idempotence", "true").set("linger.ms", "2").set("message.timeout.ms", "0");
        client.set("reconnect.backoff.max.ms", "500").set("topic.metadata.refresh.interval.ms", "1000");
        if style.aborting {
            client.set("transactional.id", topic).set("message.timeout.ms", "60000");
        }
        let producer = client.create_with_context(Acknowledged(ledger.clone())).expect("a producer");
        let mut sender = Sender {
            producer,
            topic: topic.to_owned(),
            partitions: partitions.clone(),
            ledger: ledger.clone(),
            ended: ended.clone(),
            style,
            next: 0,
        };
        let thread = std::thread::spawn(move || if style.aborting { sender.run_aborting() } else { sender.run() });
        Stream { ledger, partitions, ended, thread: Some(thread) }
    }

    /// From now on events go to so many partitions.
    pub fn widen(&self, partitions: i32) {
        self.partitions.store(partitions, Ordering::Release);
    }

    /// One past the last acknowledged offset, by partition.
    pub fn acknowledged(&self) -> BTreeMap<i32, i64> {
        self.ledger.lock().expect("no panic inside").acknowledged.clone()
    }

    /// Ends the stream when all of it is acknowledged; gives the numbers that count.
    pub fn finish(&mut self) -> Vec<Range<u64>> {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stream does not panic");
        }
        let ledger = self.ledger.lock().expect("no panic inside");
        assert!(ledger.failures.is_empty(), "Kafka did not take the stream: {:?}", ledger.failures);
        ledger.counted.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Notes what has been acknowledged.
struct Acknowledged(Arc<Mutex<Ledger>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    /// Whether the event will be read: not if its transaction is to be aborted.
    type DeliveryOpaque = Box<bool>;

    fn delivery(&self, result: &DeliveryResult<'_>, counts: Box<bool>) {
        let mut ledger = self.0.lock().expect("no panic inside");
        match result {
            Ok(message) if *counts => {
                let at = ledger.acknowledged.entry(message.partition()).or_default();
                *at = (*at).max(message.offset() + 1);
            }
            Ok(_) => {}
            Err((error, message)) if *counts => {
                ledger.failures.push(format!("{}/{}: {error}", message.topic(), message.partition()));
            }
            Err(_) => {}
        }
    }
}

struct Sender {
    producer: BaseProducer<Acknowledged>,
    topic: String,
    partitions: Arc<AtomicI32>,
    ledger: Arc<Mutex<Ledger>>,
    ended: Arc<AtomicBool>,
    style: Style,
    next: u64,
}

impl Sender {
    fn run(&mut self) {
        let began = Instant::now();
        while !self.ended.load(Ordering::Acquire) {
            let sent = self.burst(began, true);
            self.ledger.lock().expect("no panic inside").count(sent);
        }
        self.producer.flush(TIMEOUT).expect("all of the stream is acknowledged");
    }

    fn run_aborting(&mut self) {
        self.producer.init_transactions(TIMEOUT).expect("transactions");
        let began = Instant::now();
        let mut round = 0;
        // The last one is committed: what follows the last record that counts could not be told from lag.
        while !self.ended.load(Ordering::Acquire) || round % 3 == 2 {
            let counts = round % 3 != 1;
            let from = self.next;
            self.producer.begin_transaction().expect("begun");
            for _ in 0..TRANSACTION {
                self.burst(began, counts);
            }
            if counts {
                self.producer.commit_transaction(TIMEOUT).expect("committed");
                self.ledger.lock().expect("no panic inside").count(from..self.next);
            } else {
                self.producer.flush(TIMEOUT).expect("written, to be aborted");
                self.producer.abort_transaction(TIMEOUT).expect("aborted");
            }
            round += 1;
        }
    }

    /// Sends what has come due since `began`, and waits for the next burst.
    fn burst(&mut self, began: Instant, counts: bool) -> Range<u64> {
        let due = (began.elapsed().as_micros() as u64) * self.style.rate / 1_000_000;
        // After a standstill of the brokers, no more than a second's worth at once.
        let due = due.min(self.next + self.style.rate);
        let (from, now) = (self.next, unix_millis());
        while self.next < due {
            let seqs = self.next..self.next + if self.style.packed { PACKED } else { 1 };
            self.next = seqs.end;
            self.send(seqs, now, counts);
        }
        self.producer.poll(STEP);
        from..self.next
    }

    /// Sends one record.
    fn send(&self, seqs: Range<u64>, now: i64, counts: bool) {
        let partitions = self.partitions.load(Ordering::Acquire) as u64;
        let (first, of_record) = (seqs.start, seqs.end - seqs.start);
        let (partition, key) = (((first / of_record) % partitions) as i32, key(first));
        let payload = match self.style.packed {
            false => event(first, now, false),
            true => {
                let lines = seqs.map(|seq| serde_json::json!({ "line": event(seq, now, seq.is_multiple_of(ODD)) }));
                serde_json::json!({ "shard": key, "batch": lines.collect::<Vec<_>>() }).to_string()
            }
        };
        let mut record =
            BaseRecord::with_opaque_to(&self.topic, Box::new(counts)).partition(partition).key(&key).payload(&payload);
        while let Err((error, back)) = self.producer.send(record) {
            // A partition that has just been added is unknown until the next look at the metadata, a second later.
            let waits = [RDKafkaErrorCode::QueueFull, RDKafkaErrorCode::UnknownPartition];
            assert!(error.rdkafka_error_code().is_some_and(|code| waits.contains(&code)), "{error}");
            self.producer.poll(STEP);
            record = back;
        }
    }
}

fn key(seq: u64) -> String {
    format!("key-{:02}", (hash(seq) >> 8) % KEYS)
}

/// An event as JSON; `odd`: its time is text.
fn event(seq: u64, now: i64, odd: bool) -> String {
    let hash = hash(seq);
    // One in 50 is dated back by up to 4 s: out of order, and half of them late.
    let time = now - if hash.is_multiple_of(50) { (hash / 50 % 4_000) as i64 } else { 0 };
    let time = match odd {
        false => time.to_string(),
        true => format!("\"{}\"", jiff::Timestamp::from_millisecond(time).expect("a time")),
    };
    format!(r#"{{"timestamp": {time}, "key": "{}", "seq": {seq}, "hash": {hash}}}"#, key(seq))
}
