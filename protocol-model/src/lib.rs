//! The exactly-once protocol of `docs/protocol.md` as a model that is searched exhaustively.
//!
//! The model has what the protocol meets: Kafka's group coordinator ([`group`]) and transaction coordinator ([`transactions`]),
//! changelogs ([`changelog`]), and agents ([`agent`]) that fold, commit, restore, lose partitions, crash and come back.
//! Each rule of the protocol is a switch ([`rules`]). With all of them on, no order of events within a scenario's bounds
//! ([`scenarios`]) breaks a promise ([`promises`]); with one of them off, the search ([`search`]) shows an order that does.
//! `docs/model.md` tells what was found.

pub mod action;
pub mod agent;
pub mod cases;
pub mod changelog;
pub mod group;
pub mod promises;
pub mod rules;
pub mod scenarios;
pub mod search;
pub mod transactions;
pub mod world;
