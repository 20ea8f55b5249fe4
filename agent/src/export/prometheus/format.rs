//! Which of Prometheus' formats a client is answered in, and whether in gzip.

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
    /// Delimited `io.prometheus.client.MetricFamily`: the only one with native histograms and start timestamps.
    Protobuf,
}

impl Format {
    /// Chooses by an `Accept` header: what the client likes best of what there is; the oldest one where it says nothing.
    pub fn negotiate(accept: &str) -> Format {
        let mut best = (0.0, Format::Text);
        for entry in accept.split(',') {
            let Some(format) = Format::named(entry) else { continue };
            let quality = quality(entry);
            // Of equals, the one that can say more.
            if quality > best.0 || (quality == best.0 && quality > 0.0 && format.rank() > best.1.rank()) {
                best = (quality, format);
            }
        }
        best.1
    }

    fn named(entry: &str) -> Option<Format> {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next()?.to_ascii_lowercase();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let is = |name: &str, values: &[&str]| {
            parameters
                .iter()
                .find(|(known, _)| known.trim().eq_ignore_ascii_case(name))
                .is_none_or(|(_, value)| values.iter().any(|wanted| value.trim().trim_matches('"') == *wanted))
        };
        match media.as_str() {
            "application/vnd.google.protobuf" => (parameters.iter().any(|(name, _)| *name == "proto")
                && is("proto", &["io.prometheus.client.MetricFamily"])
                && is("encoding", &["delimited"]))
            .then_some(Format::Protobuf),
            "application/openmetrics-text" => is("version", &["1.0.0", "0.0.1"]).then_some(Format::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Some(Format::Text),
            _ => None,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Format::Text => 0,
            Format::OpenMetrics => 1,
            Format::Protobuf => 2,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let named = |wanted: &str| {
        let mut entries = accept_encoding.split(',');
        entries.find(|entry| entry.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(wanted)))
    };
    named("gzip").or_else(|| named("*")).is_some_and(|entry| quality(entry) > 0.0)
}

/// The `q` of one entry of an `Accept` header.
fn quality(entry: &str) -> f64 {
    let q = entry.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    q.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_format_that_it_likes_best() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=1.0.0,application/openmetrics-text; version=0.0.1;q=0.75,*/*",
                Format::OpenMetrics,
            ),
            (
                &format!("{protobuf};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5"),
                Format::Protobuf,
            ),
            (&format!("{protobuf};q=0.2,text/plain"), Format::Text),
            ("application/vnd.google.protobuf", Format::Text),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html", Format::Text),
            ("text/plain;q=1,application/openmetrics-text;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        assert!(accepts_gzip("gzip") && accepts_gzip("deflate, GZIP;q=0.5") && accepts_gzip("*"));
        assert!(!accepts_gzip("") && !accepts_gzip("gzip;q=0, *;q=1") && !accepts_gzip("br, deflate"));
    }
}
