//! The gRPC client of the verbs that ask an agent.

use anyhow::Context;
use std::time::Duration;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

/// Where an agent answers unless its config says otherwise.
pub const GRPC: &str = "http://127.0.0.1:9747";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

pub type Client = QueryServiceClient<Channel>;

/// Connects the client of queries to `address`.
pub async fn connect(address: &str) -> anyhow::Result<Client> {
    let channel = endpoint(address)?.timeout(CALL_TIMEOUT);
    // The server limits the cells of an answer, not the client its bytes.
    Ok(QueryServiceClient::new(open(address, channel).await?).max_decoding_message_size(usize::MAX))
}

/// A connection for calls that take as long as they take.
pub async fn channel(address: &str) -> anyhow::Result<Channel> {
    open(address, endpoint(address)?).await
}

fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Endpoint::from_shared(url).with_context(|| format!("`{address}` is no address such as {GRPC}"))
}

async fn open(address: &str, endpoint: Endpoint) -> anyhow::Result<Channel> {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .connect()
        .await
        .with_context(|| format!("no agent answers at {address}; is it running, and is that its grpc.listen?"))
}

/// What the agent refused, in its own words.
pub fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

/// Runs the future of a verb.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?.block_on(future)
}
