//! `PeerService`: what the group's other agents ask.

use super::GrpcState;
use crate::query;
use prost::Message;
use streamgauge_proto::peer::v1 as peer;
use tonic::{Request, Response, Status};

/// A larger answer is refused here, rather than by whoever asked after all of it has been sent. Bytes.
const MAX_ANSWER_BYTES: usize = 63 << 20;

pub struct Peer {
    pub state: GrpcState,
}

#[tonic::async_trait]
impl peer::peer_service_server::PeerService for Peer {
    async fn read(&self, request: Request<peer::ReadRequest>) -> Result<Response<peer::ReadResponse>, Status> {
        let answer = query::serve(&self.state.group.reader, request.into_inner())?;
        if answer.encoded_len() > MAX_ANSWER_BYTES {
            return Err(Status::resource_exhausted("the partial answer is too large"));
        }
        Ok(Response::new(answer))
    }
}
