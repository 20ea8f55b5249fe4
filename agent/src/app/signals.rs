//! What the system asks of a running agent.

use super::reload::Reload;
use crate::http::Control;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Reloads the config at each SIGHUP.
pub async fn reload_on_sighup(reload: Arc<Reload>) {
    let Ok(mut signals) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while signals.recv().await.is_some() {
        let reload = reload.clone();
        // The outcome is logged.
        let _ = tokio::task::spawn_blocking(move || reload.reload()).await;
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
