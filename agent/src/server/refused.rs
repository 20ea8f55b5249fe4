//! Why a call is refused.

use crate::config::Right;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, WWW_AUTHENTICATE};
use std::fmt;
use std::sync::Arc;

/// Why a call is refused.
#[derive(Debug)]
pub enum Refused {
    /// Nobody knows who is calling.
    Unknown,
    /// Its address has failed too often.
    LockedOut,
    Forbidden {
        who: Arc<str>,
        right: Right,
    },
}

impl Refused {
    /// As the metric calls it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Refused::Unknown => "unauthenticated",
            Refused::LockedOut => "locked_out",
            Refused::Forbidden { .. } => "forbidden",
        }
    }

    /// As an HTTP answer says it: the status, and how to authenticate if that would help.
    pub fn http(&self) -> (StatusCode, Option<[(HeaderName, &'static str); 1]>) {
        match self {
            Refused::Unknown => {
                (StatusCode::UNAUTHORIZED, Some([(WWW_AUTHENTICATE, "Basic realm=\"streamgauge\", Bearer")]))
            }
            Refused::Forbidden { .. } => (StatusCode::FORBIDDEN, None),
            Refused::LockedOut => (StatusCode::TOO_MANY_REQUESTS, None),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unknown => f.write_str("a valid token, password or client certificate is needed"),
            Refused::LockedOut => f.write_str("too many failed attempts from this address; try again in a minute"),
            Refused::Forbidden { who, right } => write!(f, "{who} does not have the right `{}`", right.name()),
        }
    }
}
