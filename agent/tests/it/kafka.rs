//! Real brokers for tests, ended and wiped whatever becomes of the test.
//!
//! A cluster is a `scripts/kafka session`: a process that kills its brokers when its standard input ends. The other end
//! of that pipe is held by this test process alone, so the brokers end with it: on drop, on panic, and on SIGKILL.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster of 1 or 3 brokers.
pub struct Kafka {
    dir: PathBuf,
    bootstrap: String,
    session: Child,
    _turn: Option<Turn>,
}

/// One record as a reader that sees only committed transactions finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The cluster of one broker that all tests share who only need topics and groups of their own.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| Kafka::launch(1, &[], None))
}

/// A name that no other test of this process uses, for a topic or a group.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Kafka {
    /// Starts a cluster of its own for a test that hurts brokers. One such cluster runs at a time: the machine is small.
    pub fn start(brokers: usize) -> Kafka {
        Kafka::start_with(brokers, &[])
    }

    /// The same with more options of `scripts/kafka start`, such as `--tls` or `--broker-config`, `k=v`.
    pub fn start_with(brokers: usize, options: &[&str]) -> Kafka {
        let turn = Turn::wait();
        Kafka::launch(brokers, options, Some(turn))
    }

    fn launch(brokers: usize, options: &[&str], turn: Option<Turn>) -> Kafka {
        use std::os::unix::process::CommandExt;
        let dir = std::env::temp_dir().join(format!("{}-{}", unique("streamgauge-kafka"), std::process::id()));
        let mut session = Command::new(script())
            .args(["session", "--dir", path_str(&dir), "--port", "0", "--brokers", &brokers.to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // Ctrl-C is for the test; the session ends by its standard input
            .spawn()
            .expect("scripts/kafka runs");
        let mut bootstrap = String::new();
        let stdout = session.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut bootstrap).expect("scripts/kafka writes text");
        let bootstrap = bootstrap.trim().to_owned();
        assert!(!bootstrap.is_empty(), "Kafka did not start; its message stands above");
        Kafka { dir, bootstrap, session, _turn: turn }
    }

    /// Bootstrap servers of the plain listener.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Bootstrap servers of another listener: `SSL`, `SASL_SSL` (with `--tls`), `PROXIED` (with `--proxy-port`).
    pub fn listener(&self, name: &str) -> String {
        self.script(&["bootstrap"], &[name]).trim().to_owned()
    }

    /// The cluster's directory: `1/server.log`, and with `--tls` the certificates in `tls/`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// SIGKILL to broker `i` (from 1).
    pub fn kill_broker(&self, i: usize) {
        self.broker("kill-broker", i);
    }

    /// Orderly end of broker `i`.
    pub fn stop_broker(&self, i: usize) {
        self.broker("stop-broker", i);
    }

    /// Starts broker `i` again on its data, and waits until the cluster has let it in.
    pub fn start_broker(&self, i: usize) {
        self.broker("start-broker", i);
    }

    /// SIGSTOP to broker `i`: its connections stay open, and nothing answers.
    pub fn pause_broker(&self, i: usize) {
        self.broker("pause-broker", i);
    }

    /// SIGCONT to broker `i`.
    pub fn resume_broker(&self, i: usize) {
        self.broker("resume-broker", i);
    }

    fn broker(&self, command: &str, i: usize) {
        self.script(&[command], &[&i.to_string()]);
    }

    /// Runs `scripts/kafka COMMAND --dir D ARGS` and gives its output.
    pub fn script(&self, command: &[&str], args: &[&str]) -> String {
        let out = Command::new(script())
            .args(command)
            .args(["--dir", path_str(&self.dir)])
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/kafka runs");
        assert!(out.status.success(), "scripts/kafka {command:?} {args:?}: {}", out.status);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs `scripts/kafka COMMAND ARGS`, which takes no directory, and gives its output.
    pub fn class(&self, command: &[&str], args: &[&str]) -> String {
        let out =
            Command::new(script()).args(command).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let out = out.expect("scripts/kafka runs");
        assert!(out.status.success(), "scripts/kafka {command:?} {args:?}: {}", out.status);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Client settings that reach this cluster, for the test's own clients.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// An idempotent producer.
    pub fn producer(&self) -> BaseProducer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5");
        config.create().expect("a producer")
    }

    /// Creates a topic with as many replicas as the cluster can, and waits until every partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        self.create_topic_with(name, partitions, -1, config);
    }

    /// The same with so many replicas.
    pub fn create_topic_with(&self, name: &str, partitions: i32, replicas: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let topic = config
            .iter()
            .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(replicas)), |topic, (k, v)| topic.set(k, v));
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = block_on(admin.create_topics(&[topic], &options)).expect("the controller answers");
        results.into_iter().for_each(|r| {
            r.expect("the topic is created");
        });
        wait_until(&format!("topic {name} has leaders"), || {
            let metadata = admin.inner().fetch_metadata(Some(name), TIMEOUT).expect("metadata");
            let led = metadata.topics()[0].partitions().iter().filter(|p| p.leader() >= 0).count();
            led == partitions as usize
        });
    }

    /// Adds partitions to a topic, and waits until all have leaders.
    pub fn grow_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let more = rdkafka::admin::NewPartitions::new(name, partitions as usize);
        let results = block_on(admin.create_partitions([&more], &AdminOptions::new())).expect("the controller answers");
        results.into_iter().for_each(|r| {
            r.expect("the topic grows");
        });
        wait_until(&format!("all partitions of {name} have leaders"), || self.partitions(name) == partitions);
    }

    /// Partitions of a topic that have a leader.
    pub fn partitions(&self, name: &str) -> i32 {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let metadata = admin.inner().fetch_metadata(Some(name), TIMEOUT).expect("metadata");
        metadata.topics()[0].partitions().iter().filter(|p| p.leader() >= 0).count() as i32
    }

    /// Partitions of a topic that this broker leads.
    pub fn led_by(&self, name: &str, broker: i32) -> BTreeSet<i32> {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let metadata = admin.inner().fetch_metadata(Some(name), TIMEOUT).expect("metadata");
        metadata.topics()[0].partitions().iter().filter(|p| p.leader() == broker).map(|p| p.id()).collect()
    }

    /// Deletes a topic, and waits until nobody sees it any more.
    pub fn delete_topic(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let results = block_on(admin.delete_topics(&[name], &AdminOptions::new())).expect("the controller answers");
        results.into_iter().for_each(|r| {
            r.expect("the topic is deleted");
        });
        wait_until(&format!("topic {name} is gone"), || {
            let metadata = admin.inner().fetch_metadata(None, TIMEOUT).expect("metadata");
            metadata.topics().iter().all(|topic| topic.name() != name)
        });
    }

    /// Deletes a topic, and makes one of the same name.
    pub fn recreate_topic(&self, name: &str, partitions: i32) {
        self.delete_topic(name);
        self.create_topic(name, partitions, &[]);
    }

    /// Adds partitions to a topic, up to `partitions`, and waits until every one has a leader.
    pub fn add_partitions(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let request = NewPartitions::new(name, partitions as usize);
        let results =
            block_on(admin.create_partitions(&[request], &AdminOptions::new())).expect("the controller answers");
        results.into_iter().for_each(|r| {
            r.expect("the partitions are added");
        });
        wait_until(&format!("topic {name} has {partitions} leaders"), || {
            let metadata = admin.inner().fetch_metadata(Some(name), TIMEOUT).expect("metadata");
            metadata.topics()[0].partitions().iter().filter(|p| p.leader() >= 0).count() == partitions as usize
        });
    }

    /// Deletes the records before these offsets, as retention does.
    pub fn delete_records(&self, topic: &str, before: &BTreeMap<i32, i64>) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in before {
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let deleted = block_on(admin.delete_records(&list, &options)).expect("the brokers answer");
        deleted.elements().iter().for_each(|element| element.error().expect("the records are deleted"));
    }

    /// The group's committed offsets; none for a partition that it has committed nothing of.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let consumer = self.member_of(group);
        let found = consumer.committed_offsets(list, TIMEOUT).expect("the coordinator answers");
        let offsets = found.elements().into_iter().filter_map(|e| Some((e.partition(), e.offset().to_raw()?)));
        offsets.filter(|(_, offset)| *offset >= 0).collect()
    }

    /// Sets the committed offsets of a group without members, as an operator's tool does.
    pub fn commit(&self, group: &str, topic: &str, offsets: &BTreeMap<i32, i64>) {
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in offsets {
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        }
        let member = self.member_of(group);
        // A coordinator that has just begun takes a moment.
        wait_until("the coordinator takes the offsets", || member.commit(&list, CommitMode::Sync).is_ok());
    }

    fn member_of(&self, group: &str) -> BaseConsumer {
        self.client().set("group.id", group).set("enable.auto.commit", "false").create().expect("a consumer")
    }

    /// Waits until all partitions have all their replicas in sync.
    pub fn wait_in_sync(&self) {
        let consumer = self.member_of("looker");
        wait_until("all replicas are in sync", || {
            let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(5)) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            partitions.all(|p| p.leader() >= 0 && p.isr().len() == p.replicas().len())
        });
    }

    /// Produces (key, value) pairs to one partition and waits until all are acknowledged.
    pub fn produce<'a>(&self, topic: &str, partition: i32, records: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let producer = self.producer();
        for (key, value) in records {
            let mut record = BaseRecord::to(topic).partition(partition).key(key).payload(value);
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        producer.flush(TIMEOUT).expect("all records are acknowledged");
    }

    /// Every record of the topic that a `read_committed` reader sees now, by partition and offset.
    pub fn read(&self, topic: &str) -> Vec<Record> {
        let mut config = self.client();
        config.set("group.id", "reader").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("metadata");
        let mut open: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        let mut list = TopicPartitionList::new();
        for &p in &open {
            list.add_partition_offset(topic, p, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let (mut records, until) = (Vec::new(), Instant::now() + TIMEOUT);
        while !open.is_empty() {
            assert!(Instant::now() < until, "{topic}: partitions {open:?} did not end within {TIMEOUT:?}");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(Record::of(&message)),
                Some(Err(KafkaError::PartitionEOF(p))) => open.retain(|&o| o != p),
                Some(Err(error)) => panic!("reading {topic}: {error}"),
                None => {}
            }
        }
        records.sort_by_key(|r| (r.partition, r.offset));
        records
    }
}

impl Record {
    fn of(message: &impl Message) -> Record {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
        });
        Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_errors();
        }
        drop(self.session.stdin.take());
        self.session.wait().expect("the session ends");
    }
}

impl Kafka {
    /// After a failed test: what the brokers complained about.
    fn print_errors(&self) {
        for i in 1..=3 {
            let mut log = String::new();
            let read =
                std::fs::File::open(self.dir.join(format!("{i}/server.log"))).map(|mut f| f.read_to_string(&mut log));
            if read.is_ok() {
                log.lines().filter(|l| l.contains(" ERROR ")).take(10).for_each(|l| eprintln!("broker {i}: {l}"));
            }
        }
    }
}

/// Runs a future of rdkafka's admin client, which needs no runtime but its own thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Runs a future that talks over the network.
pub fn block_on_io<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Waits until `done` holds, a minute at most.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !done() {
        assert!(Instant::now() < until, "waited {TIMEOUT:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn script() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka");
    std::env::var_os("STREAMGAUGE_KAFKA").map_or(default, PathBuf::from)
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// The right to run a cluster beside the shared one; dropped with the cluster.
struct Turn;

static BUSY: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Turn {
        let mut busy = FREE.wait_while(BUSY.lock().expect("no panic inside"), |busy| *busy).expect("no panic inside");
        *busy = true;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *BUSY.lock().expect("no panic inside") = false;
        FREE.notify_one();
    }
}
