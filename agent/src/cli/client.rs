//! The gRPC client of the verbs that ask an agent.

use crate::config::ClientAccess;
use crate::server::{Access, Calls, Posts};
use anyhow::Context;
use std::path::PathBuf;
use std::time::Duration;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::Endpoint;

/// Where an agent answers unless its config says otherwise.
pub const GRPC: &str = "http://127.0.0.1:9747";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

pub type Client = QueryServiceClient<Calls>;

/// What an agent's lock is opened with (docs/security.md).
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AccessArgs {
    /// PEM file: the authority that signed the agent's certificate; with it, TLS is spoken [default with https://: the system's].
    #[arg(long, env = "STREAMGAUGE_TLS_CA", value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,
    /// PEM file: your certificate.
    #[arg(long, env = "STREAMGAUGE_TLS_CERT", value_name = "FILE", requires = "tls_key", global = true)]
    tls_cert: Option<PathBuf>,
    /// PEM file: the key of your certificate.
    #[arg(long, env = "STREAMGAUGE_TLS_KEY", value_name = "FILE", requires = "tls_cert", global = true)]
    tls_key: Option<PathBuf>,
    /// File whose first line is your token.
    #[arg(long, env = "STREAMGAUGE_TOKEN_FILE", value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

impl AccessArgs {
    fn config(&self) -> ClientAccess {
        ClientAccess {
            ca: self.tls_ca.clone(),
            certificate: self.tls_cert.clone().zip(self.tls_key.clone()),
            token_file: self.token_file.clone(),
        }
    }

    fn read(&self) -> anyhow::Result<Access> {
        Access::read(&self.config()).map_err(anyhow::Error::msg)
    }

    /// A client for requests over HTTP.
    pub fn posts(&self, address: &str) -> anyhow::Result<Posts> {
        Posts::new(&self.config(), address).map_err(anyhow::Error::msg)
    }
}

/// Connects the client of queries to `address`.
pub async fn connect(address: &str, access: &AccessArgs) -> anyhow::Result<Client> {
    let access = access.read()?;
    let channel = endpoint(address, &access)?.timeout(CALL_TIMEOUT);
    // The server limits the cells of an answer, not the client its bytes.
    Ok(QueryServiceClient::new(open(address, channel, &access).await?).max_decoding_message_size(usize::MAX))
}

/// A connection for calls that take as long as they take.
pub async fn channel(address: &str, access: &AccessArgs) -> anyhow::Result<Calls> {
    let access = access.read()?;
    open(address, endpoint(address, &access)?, &access).await
}

fn endpoint(address: &str, access: &Access) -> anyhow::Result<Endpoint> {
    // The address of this machine is written without TLS; whoever has certificates means it.
    let address = if address == GRPC { address.trim_start_matches("http://") } else { address };
    access.endpoint(address).map_err(anyhow::Error::msg)
}

async fn open(address: &str, endpoint: Endpoint, access: &Access) -> anyhow::Result<Calls> {
    let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await.with_context(|| {
        format!(
            "no agent answers at {address}; is it running, is that its grpc.listen, and does it ask for TLS (--tls-ca)?"
        )
    })?;
    Ok(access.calls(channel))
}

/// What the agent refused, in its own words.
pub fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

/// Runs the future of a verb.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?.block_on(future)
}

/// A message of `streamgauge.v1` as grpcurl prints it.
///
/// # Errors
/// If the binary has no such message.
pub fn pretty(name: &str, message: &impl prost::Message) -> anyhow::Result<String> {
    let line = crate::api::json(name, message).map_err(anyhow::Error::msg)?;
    let value: serde_json::Value = serde_json::from_str(&line)?;
    Ok(format!("{value:#}\n"))
}
