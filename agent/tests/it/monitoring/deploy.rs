//! What `docker-compose.yml` and `deploy/` say about this agent is true: files, configs, names.

use std::fs;

use serde_json::Value;
use streamgauge::config;

use crate::agent::repository;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let parse = |part: &str| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.split("\n---\n").map(parse).collect()
}

#[track_caller]
fn assert_valid(name: &str, text: &str) {
    let env = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some("kafka:9092".to_owned()),
        "POD_IP" => Some("10.1.2.3".to_owned()),
        "ADVERTISE" => Some("agent:9747".to_owned()),
        _ => None,
    };
    if let Err(error) = config::parse(text, name, &env) {
        panic!("{error}");
    }
}

#[test]
fn the_agent_of_the_compose_file_counts_what_the_example_counts() {
    let lines = |text: String| {
        let from = text.find("kafka:\n").expect("the config begins");
        let own = ["http: ", "grpc:", "  listen: ", "  advertise: ", "ingest: ", "# Applications", "  dir: "];
        let kept = text[from..].lines().filter(|line| !own.iter().any(|key| line.starts_with(key)));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(read("deploy/compose/agent.yaml")), lines(read("examples/http-requests.yaml")));
    assert_valid("agent.yaml", &read("deploy/compose/agent.yaml"));
}

#[test]
fn what_the_compose_file_mounts_is_there() {
    let compose = &documents("docker-compose.yml")[0];
    let services = compose["services"].as_object().expect("services");
    let mounts = services.values().flat_map(|service| service["volumes"].as_array().cloned().unwrap_or_default());
    let files: Vec<String> =
        mounts.filter_map(|mount| Some(mount.as_str()?.strip_prefix("./")?.split(':').next()?.to_owned())).collect();
    assert!(files.len() > 6, "{files:?}");
    for file in files {
        assert!(repository().join(&file).exists(), "{file}");
    }
    // Addresses in the mounted files are names of services.
    for (file, address) in [
        ("prometheus/prometheus.yml", "agent:9746"),
        ("prometheus/prometheus.yml", "agent-2:9746"),
        ("prometheus/prometheus.yml", "agent-3:9746"),
        ("prometheus/prometheus.yml", "alertmanager:9093"),
        ("alerts/alertmanager.yml", "webhook:9099"),
        ("grafana/provisioning/datasources/prometheus.yaml", "prometheus:9090"),
    ] {
        let service = address.split(':').next().expect("a name");
        assert!(read(file).contains(address) && services.contains_key(service), "{file}: {address}");
    }
}

#[test]
fn files_name_the_version_that_is_built() {
    let version = env!("CARGO_PKG_VERSION");
    for file in ["docker-compose.yml", "deploy/kubernetes/sidecar.yaml", "deploy/kubernetes/without-volume.yaml"] {
        let text = read(file);
        let images: Vec<&str> = text.lines().filter(|line| line.contains("image: streamgauge:")).collect();
        assert!(
            !images.is_empty() && images.iter().all(|line| line.ends_with(&format!(":{version}"))),
            "{file}: {images:?}"
        );
    }
    let chart = &documents("deploy/helm/streamgauge/Chart.yaml")[0];
    assert_eq!((&chart["version"], &chart["appVersion"]), (&version.into(), &version.into()));
}

#[test]
fn the_configs_in_the_manifests_are_valid() {
    let mut configs = 0;
    for entry in fs::read_dir(repository().join("deploy/kubernetes")).expect("the manifests") {
        let path = entry.expect("an entry").path();
        if !path.is_file() {
            continue;
        }
        let name = format!("deploy/kubernetes/{}", path.file_name().expect("a name").to_string_lossy());
        for document in documents(&name).iter().filter(|document| document["kind"] == "ConfigMap") {
            let text = document["data"]["config.yaml"].as_str().expect("a config");
            assert_valid(&name, text);
            // Three pods that ask each other need an address of their own: loopback is every pod's.
            assert!(text.contains("advertise: ${POD_IP}:9747") && text.contains("listen: 0.0.0.0:9747"), "{name}");
            configs += 1;
        }
    }
    assert_eq!(configs, 2);
}

#[test]
fn scaling_asks_for_a_metric_that_is_there_from_three_to_six() {
    let scaler = &documents("deploy/kubernetes/scale-on-lag.yaml")[0]["spec"];
    let keda = &documents("deploy/kubernetes/operators/keda.yaml")[0]["spec"];
    assert_eq!((&scaler["minReplicas"], &scaler["maxReplicas"]), (&3.into(), &6.into()));
    assert_eq!((&keda["minReplicaCount"], &keda["maxReplicaCount"]), (&3.into(), &6.into()));
    let lag = streamgauge::telemetry::Name::Lag.family();
    assert_eq!(scaler["metrics"][0]["external"]["metric"]["name"], lag);
    assert!(keda["triggers"][0]["metadata"]["query"].as_str().expect("a query").contains(lag));
    let monitor = &documents("deploy/kubernetes/operators/servicemonitor.yaml")[0]["spec"]["endpoints"][0];
    assert_eq!(monitor["honorLabels"], true);
}
