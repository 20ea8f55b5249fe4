//! The request stream as log events, as the front door takes them.

use std::io::Write;

use super::action::rfc3339;
use super::event::Event;

impl Event {
    /// Name of the service that logs it, such as `orders`.
    pub fn service(&self) -> &'static str {
        self.endpoint.rsplit('/').next().unwrap_or(self.endpoint)
    }

    /// Replaces `out` with the request as its service logs it: a log event in JSON.
    pub fn write_log(&self, out: &mut Vec<u8>) {
        out.clear();
        let (level, trace) = match self.status {
            500.. => ("ERROR", r#", "stackTrace": "Exception: upstream timed out""#),
            400.. => ("WARN", ""),
            _ if self.service() == "health" => ("DEBUG", ""),
            _ => ("INFO", ""),
        };
        let (time, service, user) = (rfc3339(self.timestamp), self.service(), self.user);
        let Event { method, endpoint, status, response_time_tenths: tenths, region, .. } = self;
        let (whole, tenth) = (tenths / 10, tenths % 10);
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            r#"{{"timestamp": "{time}", "source": "{service}", "level": "{level}", "message": "{method} {endpoint} {status} in {whole}.{tenth} ms", "metadata": {{"userId": "user_{user:06}", "region": "{region}"}}{trace}}}"#
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, REGIONS};
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn a_request_is_logged_at_the_level_that_its_status_means() {
        let (mut out, mut levels) = (Vec::new(), BTreeSet::new());
        for n in 0..2_000 {
            let event = Generator::new(1).event(n, 1_763_657_472_123);
            event.write_log(&mut out);
            let log: Value = serde_json::from_slice(&out).unwrap();
            let level = log["level"].as_str().unwrap().to_owned();
            assert_eq!(level == "ERROR", event.status >= 500);
            assert_eq!(log["stackTrace"].is_string(), event.status >= 500);
            assert_eq!(
                (log["source"].as_str(), &log["timestamp"]),
                (Some(event.service()), &"2025-11-20T16:51:12.123Z".into())
            );
            assert!(REGIONS.contains(&log["metadata"]["region"].as_str().unwrap()));
            levels.insert(level);
        }
        assert_eq!(levels.into_iter().collect::<Vec<_>>(), ["DEBUG", "ERROR", "INFO", "WARN"]);
    }
}
