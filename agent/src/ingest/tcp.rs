//! Syslog over TCP and TLS. Nobody is answered: what cannot be taken now is not read, until it can.

use super::accept::Logs;
use super::event::{Event, Rejected};
use super::syslog::{Frames, event};
use crate::config::Right;
use crate::server::{Connection, Door, Lock, Need};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 256;
/// What is read at a time. Bytes.
const PIECE: usize = 32 << 10;
/// How long to wait before what found no room is handed in again.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until `shutdown` resolves, then lets connections hand in what was read.
///
/// # Errors
/// If the socket has no address.
pub async fn serve(door: Door, logs: Logs, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let lock = door.lock().clone();
    let mut connections = door.connections()?;
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(());
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            Some(Ok(connection)) = connections.next(), if open.len() < CONNECTIONS => {
                open.spawn(read(connection, lock.clone(), logs.clone(), stopped.clone()));
            }
        }
    }
    drop((connections, stop));
    while open.join_next().await.is_some() {}
    Ok(())
}

async fn read(mut connection: Connection, lock: Arc<Lock>, logs: Logs, mut stopped: watch::Receiver<()>) {
    // Its sender has a certificate to show, and nothing else.
    let caller = connection.connect_info();
    let from = caller.address;
    if let Err(refused) = lock.admit(&caller, None, Need::Right(Right::Ingest)).await {
        let outcome = refused.outcome();
        lock.count(outcome);
        tracing::warn!(target: "audit", door = lock.door(), %from, outcome, "audit: refused: {refused}");
        return;
    }
    lock.count("allowed");
    let (host, mut frames, mut piece) = (from.ip().to_string(), Frames::default(), vec![0; PIECE]);
    let event = |message: Result<Vec<u8>, Rejected>| event(&message?, &host, logs.arrival());
    loop {
        let mut messages = Vec::new();
        let ended = tokio::select! {
            read = connection.read(&mut piece) => match read {
                Ok(count @ 1..) => {
                    frames.add(&piece[..count], &mut messages);
                    false
                }
                Ok(0) | Err(_) => true,
            },
            // Its sender is gone with the agent.
            _ = stopped.changed() => true,
        };
        if ended {
            messages.extend(std::mem::take(&mut frames).end());
        }
        hand_in(&logs, messages.into_iter().map(event).collect(), &stopped, &host).await;
        if ended {
            return;
        }
    }
}

/// Hands events in until each of them is accepted, or never will be, or the agent stops.
async fn hand_in(logs: &Logs, mut events: Vec<Result<Event, Rejected>>, stopped: &watch::Receiver<()>, host: &str) {
    let headers = [].into();
    while !events.is_empty() {
        let answers = logs.door.accept(events.clone(), &headers).await;
        for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()).filter(|one| !one.may_come_again()) {
            tracing::debug!("ingest: a message over syslog is not accepted: {}", refusal.reason());
        }
        let later = |answer: &Result<String, super::accept::Refusal>| {
            answer.as_ref().err().is_some_and(|it| it.may_come_again())
        };
        events = events.into_iter().zip(&answers).filter(|(_, answer)| later(answer)).map(|(event, _)| event).collect();
        if events.is_empty() {
            return;
        }
        if stopped.has_changed().is_err() {
            return tracing::error!(
                "ingest: {} messages over syslog from {host} found no room and are lost",
                events.len()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}
