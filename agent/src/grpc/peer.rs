//! `PeerService`: what the group's other agents ask.

use crate::query::{self, Reader};
use prost::Message;
use std::sync::Arc;
use streamgauge_proto::peer::v1 as peer;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// A larger answer is refused here, rather than by whoever asked after all of it has been sent. Bytes.
const MAX_ANSWER_BYTES: usize = 63 << 20;

pub struct Peer {
    pub reader: Arc<Reader>,
}

#[tonic::async_trait]
impl peer::peer_service_server::PeerService for Peer {
    async fn read(&self, request: Request<peer::ReadRequest>) -> Result<Response<peer::ReadResponse>, Status> {
        let answer = query::serve(&self.reader, request.into_inner())?;
        if answer.encoded_len() > MAX_ANSWER_BYTES {
            return Err(Status::resource_exhausted("the partial answer is too large"));
        }
        Ok(Response::new(answer))
    }

    type GatherStream = ReceiverStream<Result<peer::ReadResponse, Status>>;

    /// A part is made when the one before it is on its way.
    async fn gather(&self, request: Request<peer::ReadRequest>) -> Result<Response<Self::GatherStream>, Status> {
        let reader = self.reader.clone();
        let (sender, receiver) = mpsc::channel(1);
        spawn_blocking(move || match query::serve_parts(&reader, request.into_inner()) {
            // Whoever asked may have gone.
            Ok(mut parts) => drop(parts.try_for_each(|part| sender.blocking_send(Ok(part)))),
            Err(error) => drop(sender.blocking_send(Err(error.into()))),
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
