//! Connections of a door: accepted up to a limit, greeted with TLS, and closed when nothing happens on them.

use super::caller::{Caller, Subject};
use super::lock::{Lock, Protocol};
use super::proxied;
use crate::clock::Clock;
use crate::config;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Open connections; further ones wait in the system's queue.
const CONNECTIONS: usize = 1024;
/// How long a proxy may take to name the caller, and TLS to be agreed upon.
const GREETING: Duration = Duration::from_secs(10);
/// How long an HTTP connection may be silent. Longer than any usual scrape interval. gRPC's end by its keep-alive.
const SILENCE: Duration = Duration::from_secs(300);
/// After an accept that failed, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// A socket with its lock.
pub struct Door {
    listener: TcpListener,
    lock: Arc<Lock>,
}

impl Door {
    pub fn new(listener: TcpListener, lock: Arc<Lock>) -> Door {
        Door { listener, lock }
    }

    /// A door without a lock.
    pub fn open(listener: TcpListener, protocol: Protocol) -> Result<Door, String> {
        let lock = Lock::read(protocol, &config::Lock::default(), Clock::default(), Arc::default())?;
        Ok(Door::new(listener, Arc::new(lock)))
    }

    pub fn lock(&self) -> &Arc<Lock> {
        &self.lock
    }

    /// Begins to accept; ends when what it returns is dropped.
    ///
    /// # Errors
    /// If the socket has no address.
    pub fn connections(self) -> io::Result<Connections> {
        let address = self.listener.local_addr()?;
        let (sender, ready) = mpsc::channel(1);
        let accepting = Box::pin(async move {
            let watch = async {
                match self.lock.has_files() {
                    true => self.lock.files.clone().watch().await,
                    false => std::future::pending().await,
                }
            };
            tokio::join!(accept(&self, &sender), watch);
        });
        Ok(Connections { address, accepting, ready })
    }
}

async fn accept(door: &Door, sender: &mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is closed by nobody.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, address) = match door.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("{}: no connection could be accepted: {error}", door.lock.door());
                sleep(PAUSE).await;
                continue;
            }
        };
        // An answer is many small writes; a socket that refuses this is only slower.
        drop(stream.set_nodelay(true));
        let (lock, sender) = (door.lock.clone(), sender.clone());
        // Nobody waits for a client that is slow to greet.
        tokio::spawn(async move {
            match greet(stream, address, &lock).await {
                Ok((stream, caller)) => {
                    let silence = (!lock.protocol().may_be_silent()).then(|| Box::pin(sleep(SILENCE)));
                    // If nobody takes it, the door is closing.
                    let _ = sender.send(Connection { stream, caller, silence, _place: place }).await;
                }
                Err(why) => {
                    lock.count("handshake_failed");
                    tracing::debug!(target: "audit", door = lock.door(), from = %address, "no connection: {why}");
                }
            }
        });
    }
}

async fn greet(mut stream: TcpStream, peer: SocketAddr, lock: &Lock) -> Result<(Stream, Caller), String> {
    let in_time = async {
        let mut address = peer;
        if lock.is_told_by(peer) {
            address = proxied::read_header(&mut stream).await?.unwrap_or(peer);
        }
        match lock.tls() {
            None => Ok((Stream::Plain(stream), Caller { address, subject: None })),
            Some(config) => agree_on_tls(stream, address, config).await,
        }
    };
    timeout(GREETING, in_time).await.unwrap_or_else(|_| Err("the client was too slow".into()))
}

async fn agree_on_tls(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<(Stream, Caller), String> {
    let stream = TlsAcceptor::from(config).accept(stream).await.map_err(|error| format!("no TLS: {error}"))?;
    let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let subject = own.and_then(|certificate| Subject::of(certificate)).map(Arc::new);
    Ok((Stream::Tls(Box::new(stream)), Caller { address, subject }))
}

/// Connections that are ready for their first request.
pub struct Connections {
    address: SocketAddr,
    /// Has the socket: when this is dropped, the socket is closed.
    accepting: Pin<Box<dyn Future<Output = ()> + Send>>,
    ready: mpsc::Receiver<Connection>,
}

impl axum::serve::Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let connection = std::future::poll_fn(|context| self.poll_connection(context)).await;
        let address = connection.caller.address;
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl tokio_stream::Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_connection(context).map(|connection| Some(Ok(connection)))
    }
}

impl Connections {
    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<Connection> {
        // It never ends.
        let _ = self.accepting.as_mut().poll(context);
        match self.ready.poll_recv(context) {
            Poll::Ready(Some(connection)) => Poll::Ready(connection),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One of them.
pub struct Connection {
    stream: Stream,
    caller: Caller,
    /// Ends the connection, unless something happens on it before.
    silence: Option<Pin<Box<Sleep>>>,
    /// Given back when it ends.
    _place: OwnedSemaphorePermit,
}

impl Connected<IncomingStream<'_, Connections>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.io().caller.clone()
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl Connection {
    #[allow(clippy::disallowed_methods, reason = "tokio's timers have a clock of their own; nothing is counted by it")]
    fn happened(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.as_mut().reset(Instant::now() + SILENCE);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buf),
        };
        if polled.is_ready() {
            self.happened();
        } else if self.silence.as_mut().is_some_and(|silence| silence.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, buf),
        };
        if polled.is_ready() {
            self.happened();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
        };
        if polled.is_ready() {
            self.happened();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
