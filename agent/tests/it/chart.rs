//! The Helm chart: rendered with the values of each of its examples, held to Kubernetes' schemas, and started: three agents
//! with the config and the environment that it gives its pods.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use streamgauge::config;

use crate::agent::{Agent, program, repository};
use crate::doors::authority::{Authority, Files};
use crate::kafka::{Kafka, wait_until};
use crate::oracle::{ONE_MINUTE, Recount};
use crate::scene::{number, unix_millis};

/// What Helm made of the chart, in a file for each example.
fn rendered() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("streamgauge-chart-{}", std::process::id()));
        let output = Command::new(repository().join("scripts/observability")).arg("chart").arg(&folder).output();
        let output = output.expect("scripts/observability runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}");
        folder
    })
}

/// The objects of an example.
fn objects(example: &str) -> Vec<Value> {
    let path = rendered().join(format!("{example}.yaml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parts = text.split("\n---\n").map(|part| part.trim_start_matches("---\n"));
    let parse = |part: &str| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{example}: {error}\n{part}"));
    parts.map(parse).filter(|object: &Value| !object.is_null()).collect()
}

fn all_of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[track_caller]
fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = all_of(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

const EXAMPLES: [&str; 4] = ["own-volumes", "without-volumes", "sidecar", "locked"];

/// The agent's config file, as its pods read it.
fn agent_config(objects: &[Value]) -> String {
    let files = all_of(objects, "ConfigMap");
    let texts: Vec<&str> = files.iter().filter_map(|file| file["data"]["config.yaml"].as_str()).collect();
    let [text] = texts[..] else { panic!("{} configs", texts.len()) };
    text.to_owned()
}

/// The container that runs the agent, wherever it is in its pod.
fn container(objects: &[Value]) -> Value {
    let workload =
        objects.iter().find(|object| ["StatefulSet", "Deployment"].contains(&object["kind"].as_str().unwrap_or("")));
    let pod = &workload.expect("a workload")["spec"]["template"]["spec"];
    let mut containers =
        ["initContainers", "containers"].iter().flat_map(|list| pod[*list].as_array().into_iter().flatten());
    containers.find(|container| container["name"] == "streamgauge").expect("the agent's container").clone()
}

#[test]
fn every_config_of_the_chart_is_one_and_names_the_pods_own_address() {
    for example in EXAMPLES {
        let objects = objects(example);
        // The password is read when the config is.
        let secrets = tempfile::tempdir().expect("a temporary directory");
        fs::write(secrets.path().join("password"), "secret").expect("a secret is written");
        let text = agent_config(&objects).replace("/secrets/kafka", &secrets.path().display().to_string());
        let variables: Vec<String> = container(&objects)["env"]
            .as_array()
            .expect("an environment")
            .iter()
            .map(|variable| variable["name"].as_str().expect("a name").to_owned())
            .collect();
        // Only what the container is given.
        let env = |name: &str| variables.iter().any(|known| known == name).then(|| "10.1.2.3".to_owned());
        let config = config::parse(&text, example, &env).unwrap_or_else(|error| panic!("{error}"));
        let advertised = config.grpc.advertise.as_deref().expect("an address for the others");
        let expected =
            if example == "locked" { "10.1.2.3.shop-streamgauge-agents.apps.svc:9747" } else { "10.1.2.3:9747" };
        assert_eq!(advertised, expected, "{example}");
        let container = container(&objects);
        let ports: Vec<_> =
            container["ports"].as_array().expect("ports").iter().map(|port| &port["containerPort"]).collect();
        assert_eq!(ports, [9746, 9747], "{example}: /metrics and gRPC");
    }
}

#[test]
fn what_operators_read_says_what_the_agents_are() {
    let objects = objects("own-volumes");
    let selector = &one(&objects, "StatefulSet")["spec"]["selector"];
    let monitor = &one(&objects, "PodMonitor")["spec"];
    assert_eq!(monitor["selector"], *selector);
    assert_eq!(monitor["podMetricsEndpoints"][0]["honorLabels"], true);
    let rules = one(&objects, "PrometheusRule");
    let text = rules.to_string();
    assert!(!text.contains("set-runbook-base.example"), "the runbooks' place was not put in");
    let alerts: Vec<&Value> = rules["spec"]["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|g| g["rules"].as_array().expect("rules"))
        .collect();
    assert!(alerts.len() > 25, "only {} alerts", alerts.len());
    assert!(alerts.iter().any(|alert| alert["alert"] == "NoRequests"), "groups of one's own are there too");
    let runbooks = alerts.iter().filter_map(|alert| alert["annotations"]["runbook_url"].as_str());
    for url in runbooks {
        let page = url.strip_prefix("https://runbooks.example.com/streamgauge/").unwrap_or_else(|| panic!("{url}"));
        assert!(repository().join("docs/runbooks").join(page).exists(), "{url}");
    }
    let boards =
        all_of(&objects, "ConfigMap").into_iter().filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1");
    for board in boards.clone() {
        for text in board["data"].as_object().expect("files").values() {
            let board: Value = serde_json::from_str(text.as_str().expect("a text")).expect("a dashboard");
            assert!(board["uid"].is_string());
        }
    }
    assert_eq!(boards.count(), 4);
    let scaler = &one(&objects, "ScaledObject")["spec"];
    let lag = streamgauge::telemetry::Name::Lag.family();
    assert!(scaler["triggers"][0]["metadata"]["query"].as_str().expect("a query").contains(lag));
    let hpa = self::objects("without-volumes");
    assert_eq!(one(&hpa, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["external"]["metric"]["name"], lag);
    assert!(one(&hpa, "Deployment")["spec"]["replicas"].is_null(), "the autoscaler says how many there are");
}

#[test]
fn values_that_cannot_work_are_refused() {
    let helm = Command::new(repository().join("scripts/tools")).arg("helm").output().expect("scripts/tools runs");
    let helm = String::from_utf8_lossy(&helm.stdout).trim().to_owned();
    for (value, words) in [
        ("replicas=none", "replicas"),
        ("kind=DaemonSet", "kind"),
        ("repliacs=3", "repliacs"),
        ("config.kafka.bootstrap_servers=x:1", "config"),
        ("tokens.read.secretName=r", "tokens.peer.secretName"),
    ] {
        let mut command = Command::new(&helm);
        command
            .args(["template", "shop", "--kube-version", "1.33.0"])
            .arg(repository().join("deploy/helm/streamgauge"))
            .args(["--set", value]);
        let output = command.output().expect("helm runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{value}: {said}");
    }
}

/// Where the three run. What a machine that is no pod cannot have: three brokers, three addresses for one port, a volume,
/// names of pods.
const PODS: [&str; 3] = ["127.0.0.21", "127.0.0.22", "127.0.0.23"];
const OF_A_POD: [(&str, &str); 4] = [
    ("replication_factor: 3", "replication_factor: 1"),
    ("listen: 0.0.0.0:9746", "listen: ${HTTP_LISTEN}"),
    ("listen: 0.0.0.0:9747", "listen: ${POD_IP}:9747"),
    ("dir: /var/lib/streamgauge/state", "dir: ${STATE_DIR}"),
];

fn once(text: String, (from, to): (&str, &str)) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} is not there once:\n{text}");
    text.replace(from, to)
}

/// Waits until the newest window of a group is whole and right, and its agents have asked each other.
fn windows_are_whole(pages: impl Fn() -> Vec<String>, recount: &Recount) {
    let minute = [("window", "1m")];
    wait_until("the group's newest window is whole", || {
        let pages = pages();
        let Some(page) = pages.iter().find(|page| page.contains("http_window_complete{")) else { return false };
        let end = (number(page, "http_window_end_timestamp_seconds", &minute) * 1_000.0) as i64;
        let counted = number(page, "http_window_requests", &minute);
        let wanted: f64 =
            recount.window("http", ONE_MINUTE, end - ONE_MINUTE.size).values().map(|cell| cell.requests as f64).sum();
        number(page, "http_window_complete", &minute) == 1.0 && wanted > 10_000.0 && counted == wanted
    });
    let answered = [("result", "answered")];
    let asked: f64 = pages().iter().map(|page| number(page, "streamgauge_peer_requests_total", &answered)).sum();
    assert!(asked > 0.0, "no agent asked another one");
}

fn each_has_partitions(pages: impl Fn() -> Vec<String>) {
    wait_until("each has partitions", || pages().iter().all(|page| number(page, "streamgauge_lease_held", &[]) > 0.0));
}

#[test]
fn three_agents_as_the_chart_starts_them_show_complete_windows() {
    let kafka = Kafka::start_with(1, &["--tls"]);
    kafka.create_topic("log-events", 12, &[]);
    let config = OF_A_POD.into_iter().fold(agent_config(&objects("own-volumes")), once);
    let mut agents = PODS.map(|pod| Agent::start_with(kafka.bootstrap(), &config, &[("POD_IP", pod)]));
    agents.iter_mut().for_each(Agent::wait_ready);
    let pages = || agents.iter().map(Agent::scrape).collect::<Vec<_>>();
    each_has_partitions(pages);
    let start = (unix_millis() - 900_000).to_string();
    let mut produce = Command::new(program());
    produce.args([
        "produce",
        "--no-create",
        "--bootstrap-servers",
        kafka.bootstrap(),
        "--count",
        "200000",
        "--rate",
        "max",
    ]);
    produce.args(["--timestamp-start", &start, "--event-rate", "1000"]).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(produce.status().expect("the binary was built").success());
    let recount = Recount::read(kafka.bootstrap(), "log-events").expect("the topic can be read");
    windows_are_whole(pages, &recount);
    drop(agents);
    locked_ones(&kafka, &recount);
}

/// The same with what the locked form asks for: TLS on both listeners, tokens for agents and readers, SASL to Kafka.
fn locked_ones(kafka: &Kafka, recount: &Recount) {
    let files = Files::new();
    let authority = Authority::new();
    for folder in ["tls", "secrets", "secrets/peer", "secrets/read", "secrets/kafka"] {
        fs::create_dir(files.path(folder)).expect("a folder");
    }
    // Of the secrets, the files that the chart mounts.
    files.authority("ca", &authority);
    files.pair("server", &authority, &[&["localhost", "127.0.0.1"][..], &PODS].concat());
    for (from, to) in [("ca.pem", "tls/ca.crt"), ("server.pem", "tls/tls.crt"), ("server.key", "tls/tls.key")] {
        fs::copy(files.path(from), files.path(to)).expect("a copy");
    }
    files.write("secrets/peer/token", "the-token-of-the-agents");
    files.write("secrets/read/token", "the-token-of-the-readers");
    files.write("secrets/kafka/password", "alice-secret");
    fs::copy(kafka.dir().join("tls/ca.crt"), files.path("secrets/kafka/ca.crt")).expect("a copy");

    let text = OF_A_POD.into_iter().fold(agent_config(&objects("locked")), once);
    let own = [
        ("${POD_NAME}.shop-streamgauge-agents.apps.svc:9747", "${POD_IP}:9747"),
        ("group_id: streamgauge", "group_id: locked"),
        ("sasl.username: streamgauge", "sasl.username: alice"),
    ];
    let text = own.into_iter().fold(text, once);
    let config = text
        .replace(" /tls/", &format!(" {}/tls/", files.text(".")))
        .replace(" /secrets/", &format!(" {}/secrets/", files.text(".")));
    let servers = kafka.listener("SASL_SSL");
    let agents = PODS.map(|pod| Agent::start_with(&servers, &config, &[("POD_IP", pod)]));
    let get = |agent: &Agent, path: &str, token: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "30", "--fail", "--cacert", &files.text("ca.pem")]);
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        let output = curl.arg(format!("https://{}{path}", agent.http())).output().expect("curl runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for agent in &agents {
        wait_until("an agent is ready", || get(agent, "/-/ready", "").is_some());
    }
    assert_eq!(get(&agents[0], "/metrics", "a-token-that-nobody-has"), None, "only readers read");
    let page = |agent| get(agent, "/metrics", "the-token-of-the-readers").expect("the page");
    let pages = || agents.iter().map(page).collect::<Vec<_>>();
    each_has_partitions(pages);
    windows_are_whole(pages, recount);
}
