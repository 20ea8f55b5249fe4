//! The config's file, and what the command line says instead of it: so that several agents on one machine share a file.

use std::path::PathBuf;

use super::at::{At, Place};
use super::raw::RawConfig;

/// A file, and what goes before it.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub instead: Overrides,
}

/// Values that go before those of the file. They are checked as if they stood there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `http.listen`
    pub http_listen: Option<String>,
    /// `grpc.listen`
    pub grpc_listen: Option<String>,
    /// `state.dir`
    pub state_dir: Option<String>,
    /// `telemetry.log_level`
    pub log_level: Option<String>,
}

impl Overrides {
    pub(super) fn apply(&self, raw: &mut RawConfig) {
        let pairs = [
            (&self.http_listen, &mut raw.http.listen),
            (&self.grpc_listen, &mut raw.grpc.listen),
            (&self.state_dir, &mut raw.state.dir),
            (&self.log_level, &mut raw.telemetry.log_level),
        ];
        for (value, place) in pairs {
            if let Some(value) = value {
                *place = Some(At { value: value.clone(), place: Place::default() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_with;
    use super::*;

    const MINIMAL: &str = include_str!("../../../../examples/minimal.yaml");

    #[test]
    fn what_the_command_line_says_goes_before_the_file_and_is_checked() {
        let text = format!("{MINIMAL}http: {{ listen: '127.0.0.1:1' }}\n");
        let instead = Overrides {
            http_listen: Some("127.0.0.1:2".into()),
            state_dir: Some("elsewhere".into()),
            log_level: Some("debug".into()),
            ..Overrides::default()
        };
        let config = parse_with(&text, "c.yaml", &|_| None, &instead).unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:2");
        assert_eq!(config.state.dir.to_str(), Some("elsewhere"));
        assert_eq!(config.telemetry.log_level, "debug");
        assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:9747");
        let wrong = Overrides { http_listen: Some("nowhere".into()), ..Overrides::default() };
        let error = parse_with(&text, "c.yaml", &|_| None, &wrong).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }
}
