//! Programs in VRL, the language of Vector's transforms, that make a source's events of what its records hold.
//!
//! A program has no clock, no chance and no machine to ask: reading a record again gives the same events, which exactly-once
//! stands on. Functions that have are refused ([`REFUSED`]). They come with the cargo feature `vrl`; without it there is only
//! [`IS_HERE`] to say so.

#![forbid(unsafe_code)]

#[cfg(feature = "vrl")]
mod program;

#[cfg(feature = "vrl")]
pub use program::{Failure, Program};
#[cfg(feature = "vrl")]
pub use vrl::value::{KeyString, ObjectMap, Value};

/// Whether this build can run programs.
pub const IS_HERE: bool = cfg!(feature = "vrl");

/// What is wrong with a program, and where: line and column count from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub line: usize,
    pub column: usize,
    /// Characters that it concerns.
    pub width: usize,
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
}

/// Functions that no program may call, and why: they would give other events when a record is read again.
pub const REFUSED: &[(&[&str], &str)] = &[
    (&["now"], "asks the clock"),
    (&["random_bool", "random_bytes", "random_float", "random_int", "uuid_v4", "uuid_v7"], "is left to chance"),
    (
        &["parse_syslog", "parse_klog", "parse_linux_authorization"],
        "takes the year of a time that has none from the clock",
    ),
    (&["parse_groks"], "takes the offset of a time zone as it is by the clock"),
    (&["log"], "would write a line to the agent's log for every event"),
    (&["get_env_var"], "asks the environment, which differs from machine to machine"),
    (&["get_hostname", "get_timezone_name"], "asks the machine, and each has another answer"),
    (&["dns_lookup", "reverse_dns", "http_request"], "asks the network"),
    (&["encode_proto", "parse_proto", "parse_etld", "validate_json_schema"], "reads a file, which may change"),
    (
        &[
            "crc",
            "decrypt",
            "decrypt_ip",
            "encrypt",
            "encrypt_ip",
            "hmac",
            "md5",
            "seahash",
            "sha1",
            "sha2",
            "sha3",
            "xxhash",
        ],
        "is cryptography, which is not built in",
    ),
];

/// Why no program may call this function.
pub fn refused(function: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(names, _)| names.contains(&function)).map(|(_, why)| *why)
}

#[cfg(all(test, feature = "vrl"))]
mod tests;
