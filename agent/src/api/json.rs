//! Messages as JSON, by the mapping that Protobuf defines: what grpcurl prints, from the same descriptors.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use std::sync::LazyLock;
use streamgauge_proto::FILE_DESCRIPTOR_SET;

/// The services' messages; they are part of the binary.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|error| error.to_string()));

pub fn pool() -> Result<&'static DescriptorPool, String> {
    POOL.as_ref().map_err(Clone::clone)
}

/// A message of `streamgauge.v1` as one line.
///
/// # Errors
/// If the binary has no such message.
pub fn json(name: &str, message: &impl Message) -> Result<String, String> {
    let name = format!("streamgauge.v1.{name}");
    let descriptor = pool()?.get_message_by_name(&name).ok_or_else(|| format!("there is no message {name}"))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(|error| error.to_string())?;
    serde_json::to_string(&dynamic).map_err(|error| error.to_string())
}

/// Why something is refused, as one line.
pub fn failure(code: &str, message: &str) -> String {
    serde_json::json!({ "code": code, "message": message }).to_string()
}
