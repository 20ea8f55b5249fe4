//! A real Prometheus 3 that scrapes native histograms and receives the push of the same agent (`scripts/test --all`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use streamgauge_proto::v1::query_service_client::QueryServiceClient;
use streamgauge_proto::v1::{GroupBy, QueryRequest};
use tempfile::TempDir;

use super::{expected, wait_long};
use crate::agent::{Agent, free_address, http_get, repository};
use crate::heavy_tests;
use crate::kafka::{block_on_io, wait_until};
use crate::oracle::{Recount, parse_page};
use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(10);

/// A tool from the variable, from PATH, or from `scripts/tools`.
pub fn tool(name: &str, variable: &str) -> String {
    if let Ok(path) = std::env::var(variable) {
        return path;
    }
    let out = Command::new(repository().join("scripts/tools")).arg(name).output().expect("scripts/tools runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    home: TempDir,
}

impl Prometheus {
    /// Scrapes the agent, and takes what it pushes at `/api/v1/otlp`.
    fn start(address: SocketAddr, scraped: SocketAddr) -> Prometheus {
        let config = format!(
            "storage: {{ tsdb: {{ out_of_order_time_window: 30m }} }}\nscrape_configs:\n- job_name: scraped\n  \
             scrape_interval: 1s\n  honor_labels: true\n  scrape_native_histograms: true\n  \
             static_configs: [{{ targets: [\"{scraped}\"] }}]\n"
        );
        Prometheus::start_with(address, &config, &["--web.enable-otlp-receiver"])
    }

    pub fn start_with(address: SocketAddr, config: &str, flags: &[&str]) -> Prometheus {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("prometheus.yml"), config).expect("the config is written");
        let log = fs::File::create(home.path().join("log")).expect("a log file");
        let child = Command::new(tool("prometheus3", "STREAMGAUGE_PROMETHEUS3"))
            .arg(format!("--config.file={}", home.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus runs");
        let prometheus = Prometheus { address, child, home };
        wait_until("Prometheus is ready", || {
            http_get(address, "/-/ready", PATIENCE).is_some_and(|(status, _)| status == 200)
        });
        prometheus
    }

    /// The series of an instant query at a time (Unix milliseconds; none: now): labels and value.
    pub fn query(&self, expression: &str, time: Option<i64>) -> Vec<(BTreeMap<String, String>, f64)> {
        let plain = |b: u8| b.is_ascii_alphanumeric();
        let escaped: String = expression
            .bytes()
            .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let time = time.map_or(String::new(), |time| format!("&time={}", time as f64 / 1_000.0));
        let path = format!("/api/v1/query?query={escaped}{time}");
        let (_, answer) = http_get(self.address, &path, PATIENCE).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let labels = |metric: &Value| serde_json::from_value(metric.clone()).expect("labels");
        let series = answer["data"]["result"].as_array().expect("a vector").iter();
        series
            .map(|one| {
                let value = one["value"][1].as_str().or(one["histogram"][1]["count"].as_str()).expect("a value");
                (labels(&one["metric"]), value.parse().expect("a number"))
            })
            .collect()
    }

    /// Names of the series of a job that begin with `http_`.
    fn names(&self, job: &str) -> BTreeSet<String> {
        let series = self.query(&format!("last_over_time({{job=\"{job}\",__name__=~\"http_.*\"}}[40m])"), None);
        let name = |(labels, _): &(BTreeMap<String, String>, f64)| labels.get("__name__").cloned();
        series.iter().filter_map(name).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log().lines().rev().take(20).for_each(|line| eprintln!("prometheus: {line}"));
        }
    }
}

/// P99 of all requests since the state began, and its relative error, from the Query service.
fn p99(agent: &Agent) -> (f64, f64) {
    let request = QueryRequest {
        aggregate: "http".into(),
        measures: vec!["duration".into()],
        quantiles: vec![0.99],
        group_by: Some(GroupBy::default()),
        ..QueryRequest::default()
    };
    let answer = block_on_io(async {
        let mut client = QueryServiceClient::connect(format!("http://{}", agent.grpc())).await.expect("gRPC");
        client.query(request).await.expect("an answer").into_inner()
    });
    let value = &answer.rows[0].values[0];
    (value.quantiles[0].value, value.quantile_relative_error.expect("an error bound"))
}

#[test]
fn prometheus_3_reads_native_histograms_and_finds_pushed_windows_at_their_own_time() {
    if !heavy_tests() {
        return;
    }
    let address = free_address();
    let section = format!(
        "otlp:\n  endpoint: http://{address}/api/v1/otlp\n  interval: 1s\n  resource: {{ service.name: pushed }}\n"
    );
    let scene = Scene::new("prometheus3", 3).section(&section);
    let mut agent = scene.agent();
    agent.wait_ready();
    let prometheus = Prometheus::start(address, agent.http());
    scene.produce_now(240_000, 9);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agent], &recount);

    // Every closed window lies at its end, with its value.
    let windows = expected(&recount);
    let http: Vec<_> = windows.iter().filter(|((aggregate, ..), _)| *aggregate == "http").collect();
    assert!(http.len() > 30);
    let at = |((_, start, end, key), _): &(&(&str, i64, i64, Vec<String>), &f64)| {
        let minutes = (end - start) / 60_000;
        let selector = format!("http_window_requests{{job=\"pushed\",endpoint={:?},window=\"{minutes}m\"}}", key[0]);
        // Only samples at that very moment.
        let found = prometheus.query(&format!("count_over_time({selector}[1ms]) * 0 + {selector}"), Some(*end));
        found.first().map(|(_, value)| *value)
    };
    wait_long("all windows are there", Duration::from_secs(60), || http.iter().all(|window| at(window).is_some()));
    for window in &http {
        assert_eq!(at(window), Some(*window.1), "{window:?}");
    }

    // Scraped and pushed, totals have the same names and the same values.
    let total = |job: &str| -> f64 {
        let series = prometheus.query(&format!("sum(http_requests_total{{job=\"{job}\"}})"), None);
        series.first().map_or(0.0, |(_, value)| *value)
    };
    let events = recount.events() as f64;
    wait_long("both totals", Duration::from_secs(60), || total("scraped") == events && total("pushed") == events);
    let page: BTreeSet<String> = parse_page(&agent.scrape()).expect("a page").into_iter().map(|s| s.name).collect();
    assert!(page.contains("http_duration_seconds_bucket"), "text has classic buckets");
    let scraped = prometheus.names("scraped");
    for name in ["http_requests_total", "http_duration_seconds", "http_window_duration_p99_seconds"] {
        assert!(scraped.contains(name), "{name} is not among {scraped:?}");
    }
    assert_eq!(scraped, prometheus.names("pushed"));

    // Native histograms: quantiles agree with the Query service's within both errors.
    let (answer, bound) = p99(&agent);
    for job in ["scraped", "pushed"] {
        let expression = format!("histogram_quantile(0.99, sum(http_duration_seconds{{job=\"{job}\"}}))");
        let quantile = prometheus.query(&expression, None).first().expect("a native histogram").1;
        let off = (quantile - answer).abs() / answer;
        assert!(off <= 2.0 * bound, "{job}: {quantile} is not {answer} within {bound}");
    }
}
