//! What every door of the agent shares, under `http` and `grpc`: connections with their limits, TLS, who is calling, and
//! what they may do. A door says which right each of its paths needs, and how it refuses; everything else is here.

#![forbid(unsafe_code)]

mod allowed_names;
mod attempts;
mod caller;
mod client;
mod files;
mod forwarded;
mod guard;
mod identities;
mod listen;
mod lock;
mod locks;
mod material;
mod origins;
mod post;
mod proxied;
mod refused;
mod request;
mod tls;
mod watched;
mod web_config;

#[cfg(test)]
mod tests;

pub use attempts::network;
pub use caller::Caller;
pub use client::{Access, Calls, PeerKeys};
pub use guard::Guard;
pub use listen::{Connection, Connections, Door};
pub use lock::{Lock, Need, Protocol};
pub use locks::{Listener, Locks, listeners};
pub use origins::cors;
pub use post::{Posted, Posts};
pub use refused::Refused;
pub use request::RequestSpans;
