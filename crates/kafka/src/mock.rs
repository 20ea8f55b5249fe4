//! librdkafka's mock cluster, for the demo: brokers inside this process. It knows no transactions, has no admin API, and
//! keeps about 5 MB a partition.

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A mock cluster of one broker; it ends with this value.
pub struct MockKafka(MockCluster<'static, DefaultProducerContext>);

impl MockKafka {
    /// Starts it on free loopback ports.
    pub fn start() -> KafkaResult<MockKafka> {
        MockCluster::new(1).map(MockKafka)
    }

    pub fn bootstrap_servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    pub fn create_topic(&self, name: &str, partitions: i32) -> KafkaResult<()> {
        self.0.create_topic(name, partitions, 1)
    }
}
