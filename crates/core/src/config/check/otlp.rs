//! Checks of `otlp`, and what the `OTEL_*` variables say where the file says nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::super::at::{At, Place};
use super::super::raw::{RawCompression, RawOtlp, RawProperty};
use super::super::types::{ClientCertificate, Otlp, OtlpProtocol, Secrets};
use super::kafka::from_file;
use super::{Checker, DAY, HOUR, MILLISECOND, MINUTE, SECOND};

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const MIB: u64 = 1 << 20;

/// `None`: nothing is pushed. Without the section, an endpoint in the environment turns it on.
pub fn otlp(check: &mut Checker, raw: &Option<RawOtlp>, env: Env<'_>) -> Option<Otlp> {
    let variables = Variables { env };
    let off = variables.is("OTEL_SDK_DISABLED", "true") || variables.is("OTEL_METRICS_EXPORTER", "none");
    let asked = raw.is_some() || variables.signal("ENDPOINT").is_some();
    let nothing = RawOtlp::default();
    let section = raw.as_ref().unwrap_or(&nothing);
    if !asked || section.enabled == Some(false) || (off && section.enabled != Some(true)) {
        return None;
    }
    let protocol = protocol(check, section, &variables);
    let interval = variables.millis(check, "OTEL_METRIC_EXPORT_INTERVAL").unwrap_or(MINUTE);
    let timeout = variables.signal_millis(check, "TIMEOUT").unwrap_or(10 * SECOND);
    let endpoint = endpoint(check, section, &variables, protocol);
    let has_siblings = protocol == OtlpProtocol::Grpc || endpoint.ends_with("/v1/metrics");
    let mut own = |raw: &Option<At<bool>>, key: &str, variable: &str| {
        let asked = raw.as_ref().map_or(variables.is(variable, "otlp"), |at| at.value);
        if asked && !has_siblings {
            let place = raw.as_ref().map_or(Place::default(), |at| at.place);
            let help = "give the receiver's address without a path, or one that ends in /v1/metrics";
            check.error(place, format!("{key} have no address: the endpoint is one for metrics alone"), help);
        }
        asked
    };
    let traces = own(&section.traces, "traces", "OTEL_TRACES_EXPORTER");
    let logs = own(&section.logs, "logs", "OTEL_LOGS_EXPORTER");
    Some(Otlp {
        endpoint,
        traces,
        logs,
        protocol,
        headers: headers(check, section, &variables),
        gzip: match section.compression {
            Some(compression) => matches!(compression, RawCompression::Gzip),
            None => gzip(check, &variables),
        },
        timeout: check.duration(&section.timeout, timeout, 10 * MILLISECOND..=10 * MINUTE),
        interval: check.duration(&section.interval, interval, 100 * MILLISECOND..=HOUR),
        certificate: match &section.certificate {
            Some(path) => Some(PathBuf::from(&path.value)),
            None => variables.signal("CERTIFICATE").map(|(_, path)| PathBuf::from(path)),
        },
        client: client(check, section, &variables),
        resource: resource(check, section, &variables),
        backlog_bytes: check.size(&section.backlog_size, 64 * MIB, 64 << 10..=64 * 1024 * MIB),
        backlog_age: check.duration(&section.backlog_age, DAY, SECOND..=30 * DAY),
    })
}

/// Certificate and key: both or neither.
fn client(check: &mut Checker, raw: &RawOtlp, variables: &Variables<'_>) -> Option<ClientCertificate> {
    let file = |at: &Option<At<String>>, variable: &str| match at {
        Some(path) => Some((path.place, String::new(), PathBuf::from(&path.value))),
        None => {
            let (name, path) = variables.signal(variable)?;
            Some((Place::default(), format!("{name}: "), PathBuf::from(path)))
        }
    };
    match (file(&raw.client_certificate, "CLIENT_CERTIFICATE"), file(&raw.client_key, "CLIENT_KEY")) {
        (Some((.., certificate)), Some((.., key))) => return Some(ClientCertificate { certificate, key }),
        (Some((place, name, _)), None) => {
            let help = "name the key's file in otlp.client_key";
            check.error(place, format!("{name}a client certificate without its key"), help);
        }
        (None, Some((place, name, _))) => {
            let help = "name the certificate's file in otlp.client_certificate";
            check.error(place, format!("{name}a client's key without its certificate"), help);
        }
        (None, None) => {}
    }
    None
}

fn protocol(check: &mut Checker, raw: &RawOtlp, variables: &Variables<'_>) -> OtlpProtocol {
    match (raw.protocol, variables.signal("PROTOCOL")) {
        (Some(protocol), _) => protocol,
        (None, None) => OtlpProtocol::default(),
        (None, Some((name, value))) => match value.as_str() {
            "grpc" => OtlpProtocol::Grpc,
            "http/protobuf" => OtlpProtocol::Http,
            _ => {
                let message = format!("{name}: `{value}` is not a protocol that this version speaks");
                check.error(Place::default(), message, "use `grpc` or `http/protobuf`");
                OtlpProtocol::Http
            }
        },
    }
}

/// The address that metrics go to: over HTTP with its path, over gRPC without one.
fn endpoint(check: &mut Checker, raw: &RawOtlp, variables: &Variables<'_>, protocol: OtlpProtocol) -> String {
    let own = (variables.env)("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").filter(|value| !value.is_empty());
    let (place, name, text, whole) = match (&raw.endpoint, own, variables.signal("ENDPOINT")) {
        (Some(at), _, _) => {
            check.no_quoted_reference(at.place, &at.value);
            (at.place, String::new(), at.value.clone(), at.value.ends_with("/v1/metrics"))
        }
        (None, Some(value), _) => (Place::default(), "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: ".into(), value, true),
        (None, None, Some((name, value))) => (Place::default(), format!("{name}: "), value, false),
        (None, None, None) => {
            let port = if protocol == OtlpProtocol::Grpc { 4317 } else { 4318 };
            (Place::default(), String::new(), format!("http://localhost:{port}"), false)
        }
    };
    let text = text.trim().trim_end_matches('/').to_owned();
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let authority = uri.as_ref().and_then(Uri::authority);
    if authority.is_none() {
        let help = "write `http://host:4318` or `https://…`; gRPC usually listens on 4317";
        check.error(place, format!("{name}this is not the address of an OTLP receiver"), help);
    } else if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        let help = "send them as a header: `headers: { authorization: { file: PATH } }`";
        check.error(place, format!("{name}an address must not hold credentials"), help);
    }
    if protocol == OtlpProtocol::Grpc || whole { text } else { text + "/v1/metrics" }
}

fn headers(check: &mut Checker, raw: &RawOtlp, variables: &Variables<'_>) -> Secrets {
    let mut headers = BTreeMap::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"] {
        for (header, value) in variables.pairs(check, name) {
            header_fits(check, Place::default(), &format!("{name}: "), &header, &value);
            headers.insert(header.to_ascii_lowercase(), value);
        }
    }
    for (key, value) in &raw.headers.0 {
        let text = match &value.value {
            RawProperty::Text(text) => {
                check.no_quoted_reference(value.place, text);
                text.clone()
            }
            RawProperty::File(path) => from_file(check, value.place, &key.value, path),
        };
        header_fits(check, key.place, "", &key.value, &text);
        headers.insert(key.value.to_ascii_lowercase(), text);
    }
    Secrets(headers)
}

fn header_fits(check: &mut Checker, place: Place, from: &str, name: &str, value: &str) {
    let fits = HeaderName::from_bytes(name.as_bytes()).is_ok() && !name.to_ascii_lowercase().ends_with("-bin");
    // The value is not shown: it is a secret.
    if !fits || HeaderValue::from_str(value).is_err() || !value.is_ascii() {
        let help = "a name has letters, digits and `-`, a value visible ASCII characters";
        check.error(place, format!("{from}`{name}` cannot be sent as a header"), help);
    }
}

fn gzip(check: &mut Checker, variables: &Variables<'_>) -> bool {
    match variables.signal("COMPRESSION") {
        Some((_, value)) if value == "gzip" => true,
        Some((name, value)) if value != "none" => {
            let message = format!("{name}: `{value}` is not a compression that this version has");
            check.error(Place::default(), message, "use `gzip` or `none`");
            false
        }
        _ => false,
    }
}

/// The resource's attributes: the file's win over the environment's, which win over the defaults.
fn resource(check: &mut Checker, raw: &RawOtlp, variables: &Variables<'_>) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::from([("service.name".to_owned(), "streamgauge".to_owned())]);
    attributes.extend(variables.pairs(check, "OTEL_RESOURCE_ATTRIBUTES"));
    attributes.extend(variables.get("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name)));
    for (key, value) in &raw.resource.0 {
        check.no_quoted_reference(value.place, &value.value);
        attributes.insert(key.value.clone(), value.value.clone());
    }
    attributes
}

/// The environment as OpenTelemetry reads it: an empty variable is one that is not set.
struct Variables<'a> {
    env: Env<'a>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn is(&self, name: &str, wanted: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    }

    /// The variable for metrics, else the one for all signals; with its name.
    fn signal(&self, what: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_METRICS_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn millis(&self, check: &mut Checker, name: &str) -> Option<Duration> {
        let value = self.get(name)?;
        let millis = value.parse::<u64>().ok().filter(|millis| *millis > 0);
        if millis.is_none() {
            let message = format!("{name}: `{value}` is not a number of milliseconds");
            check.error(Place::default(), message, "a whole number above 0, such as 10000");
        }
        millis.map(Duration::from_millis)
    }

    fn signal_millis(&self, check: &mut Checker, what: &str) -> Option<Duration> {
        let (name, _) = self.signal(what)?;
        self.millis(check, &name)
    }

    /// `key=value,key=value` with percent-encoded values.
    fn pairs(&self, check: &mut Checker, name: &str) -> Vec<(String, String)> {
        let text = self.get(name).unwrap_or_default();
        let mut pairs = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let decoded =
                pair.split_once('=').and_then(|(key, value)| Some((decode(key.trim())?, decode(value.trim())?)));
            match decoded.filter(|(key, _)| !key.is_empty()) {
                Some(pair) => pairs.push(pair),
                // What stands there may be a secret.
                None => check.error(
                    Place::default(),
                    format!("{name} is not a list of `key=value`"),
                    "write `key=value,key=value`; other characters as `%20`",
                ),
            }
        }
        pairs
    }
}

/// Undoes percent-encoding; `None` if that is broken.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}
