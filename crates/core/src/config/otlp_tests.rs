//! `otlp` in the file and in the `OTEL_*` variables.

use super::*;
use std::time::Duration;

const MINIMAL: &str = include_str!("../../../../examples/minimal.yaml");

fn pushed(section: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    parse(&format!("{MINIMAL}{section}"), "c.yaml", &env)
}

#[test]
fn an_endpoint_in_the_environment_turns_the_push_on_and_the_file_wins_over_it() {
    assert_eq!(pushed("", &[]).unwrap().otlp, None);
    let plain = pushed("otlp: {}\n", &[]).unwrap().otlp.unwrap();
    assert_eq!((plain.endpoint.as_str(), plain.protocol), ("http://localhost:4318/v1/metrics", OtlpProtocol::Http));
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x,tenant=7"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/a.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/a.key"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,k8s.pod.name=p%2C1"),
        ("OTEL_SERVICE_NAME", "b"),
    ];
    let config = pushed("", &env).unwrap();
    assert!(!format!("{config:?}{}", config.redacted_yaml()).contains("Bearer"), "a header is a secret");
    let otlp = config.otlp.unwrap();
    assert_eq!(otlp.endpoint, "http://collector:4318/v1/metrics");
    assert_eq!((otlp.headers.0["authorization"].as_str(), otlp.headers.0["tenant"].as_str()), ("Bearer x", "7"));
    assert_eq!((otlp.timeout, otlp.interval, otlp.gzip), (Duration::from_millis(2_500), Duration::from_secs(15), true));
    assert_eq!((otlp.resource["service.name"].as_str(), otlp.resource["k8s.pod.name"].as_str()), ("b", "p,1"));
    let client = ClientCertificate { certificate: "/a.pem".into(), key: "/a.key".into() };
    assert_eq!(otlp.client, Some(client));
    let section =
        "otlp: { endpoint: \"http://other:1\", protocol: grpc, resource: { service.name: c }, timeout: 1s }\n";
    let otlp = pushed(section, &env).unwrap().otlp.unwrap();
    assert_eq!((otlp.endpoint.as_str(), otlp.timeout), ("http://other:1", Duration::from_secs(1)));
    assert_eq!(otlp.resource["service.name"], "c");
    assert_eq!(pushed("otlp: { enabled: false }\n", &env).unwrap().otlp, None);
    let own = [env[0], ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:1/otlp")];
    assert_eq!(pushed("", &own).unwrap().otlp.unwrap().endpoint, "http://m:1/otlp");
    assert_eq!(pushed("", &[env[0], ("OTEL_SDK_DISABLED", "true")]).unwrap().otlp, None);
}

#[test]
fn what_is_wrong_with_a_push_is_said_with_its_place_or_its_variable() {
    let refused = |section: &str, env: &[(&str, &str)]| pushed(section, env).unwrap_err().to_string();
    assert!(refused("otlp: { endpoint: collector }\n", &[]).contains("not the address of an OTLP receiver"));
    let error = refused("otlp: { endpoint: \"http://me:secret@c:1\" }\n", &[]);
    assert!(error.contains("must not hold credentials"), "{error}");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1");
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "br"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/a.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/a.key"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no-value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0Ac"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
    ] {
        let error = refused("", &[endpoint, (name, value)]);
        assert!(error.contains(name), "{name}: {error}");
    }
}
