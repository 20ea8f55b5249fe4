//! `/metrics` on its way out: written by a thread that may block, in pieces, in gzip for those who take it.

use super::HttpState;
use crate::export::prometheus::{Style, render};
use crate::telemetry::ProcessStats;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body::Frame;
use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Pages that are written at a time; who comes later waits.
pub const PAGES_AT_A_TIME: usize = 4;
/// Size of the pieces that are handed to the connection, bytes, and how many may wait there.
const PIECE: usize = 64 << 10;
const WAITING: usize = 4;
/// A client that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins to write the page; the body has it as it comes. `permit` is given back at its end.
pub fn stream(state: HttpState, style: Style, gzip: bool, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE, Pieces { sender: sender.clone(), runtime: runtime.clone() });
        let process = ProcessStats::read();
        let page = |sink: &mut dyn Write| {
            render(&state.publisher, &state.metrics, &state.cluster, process.as_ref(), style, sink)
        };
        let written = if gzip {
            // The fastest level: labels repeat so much that it makes a tenth of most pages.
            let mut encoder = GzEncoder::new(&mut out, Compression::fast());
            page(&mut encoder).and_then(|()| encoder.finish().map(drop))
        } else {
            page(&mut out)
        };
        match written.and_then(|()| out.flush()) {
            // A client that went away is not an error; neither is there anyone left to be told.
            Ok(()) => drop(runtime.block_on(sender.send(None))),
            Err(error) => tracing::debug!("/metrics was not read to its end: {error}"),
        }
        drop(permit);
    });
    Body::new(Streamed { receiver })
}

/// Where pieces of the page go to the connection.
struct Pieces {
    sender: mpsc::Sender<Option<Bytes>>,
    runtime: Handle,
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let piece = &piece[..piece.len().min(PIECE)];
        let send = self.sender.send_timeout(Some(Bytes::copy_from_slice(piece)), PATIENCE);
        match self.runtime.block_on(send) {
            Ok(()) => Ok(piece.len()),
            Err(error) => Err(io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pieces as a body. If they end without the closing `None`, it fails: half a page must not pass for a whole one.
struct Streamed {
    receiver: mpsc::Receiver<Option<Bytes>>,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match ready!(self.receiver.poll_recv(context)) {
            Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(None) => Poll::Ready(None),
            None => Poll::Ready(Some(Err(io::Error::other("the page could not be written")))),
        }
    }
}
