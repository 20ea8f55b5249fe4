//! The schema registry of sources whose records begin with the id of their schema.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach a schema registry.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaRegistry {
    /// Without a slash at its end.
    pub url: String,
    pub credentials: Credentials,
    /// PEM file with the authority to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// Schemas that are kept; beyond that the longest unused goes.
    pub schemas: usize,
}

/// Who is asking.
#[derive(Clone, PartialEq)]
pub enum Credentials {
    None,
    Password { username: String, password: String },
    Token(String),
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Password { .. } => "Password",
            Credentials::Token(_) => "Token",
        })
    }
}
