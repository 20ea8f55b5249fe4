//! The whole way to the dashboard: a real Prometheus scrapes the agents while they restart, move, freeze and are cut off,
//! and its raw values are the truth, with no series ever reset.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::brokers::proxied;
use super::crashes::has_a_share;
use super::stage::{PLAIN, Plan, Stage};
use super::truth::{Cell, Id};
use crate::agent::{Agent, free_address, http_get, repository};
use crate::kafka::wait_until;

const QUERY: Duration = Duration::from_secs(10);

/// A Prometheus that scrapes agents every second, as the shipped configuration has it: `honor_labels`, so that the empty
/// `instance` of the totals stays and a partition that moves continues the same series.
struct Prometheus {
    address: SocketAddr,
    child: Child,
    _home: TempDir,
}

impl Prometheus {
    fn start(agents: &[&Agent]) -> Prometheus {
        let (home, address) = (tempfile::tempdir().expect("a directory"), free_address());
        let targets: Vec<_> = agents.iter().map(|agent| format!("\"{}\"", agent.http())).collect();
        let config = format!(
            "scrape_configs:\n- job_name: streamgauge\n  scrape_interval: 1s\n  honor_labels: true\n  \
             static_configs: [{{ targets: [{}] }}]\n",
            targets.join(", ")
        );
        fs::write(home.path().join("prometheus.yml"), config).expect("the config is written");
        let log = fs::File::create(home.path().join("log")).expect("a log file");
        let child = Command::new(program())
            .arg(format!("--config.file={}", home.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus runs");
        let prometheus = Prometheus { address, child, _home: home };
        wait_until("Prometheus is ready", || {
            http_get(address, "/-/ready", QUERY).is_some_and(|(status, _)| status == 200)
        });
        prometheus
    }

    /// The series of an instant query: labels and value.
    fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let escaped: String = expression
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let (_, answer) = http_get(self.address, &format!("/api/v1/query?query={escaped}"), QUERY).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().expect("a vector").iter();
        series
            .map(|one| {
                let value = one["value"][1].as_str().expect("a number in a string");
                (one["metric"].clone(), value.parse().expect("a number"))
            })
            .collect()
    }

    fn sum(&self, expression: &str) -> f64 {
        self.query(expression).iter().map(|(_, value)| value).sum()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prometheus from PATH, or the one that `scripts/tools` builds.
fn program() -> String {
    let found = Command::new("prometheus").arg("--version").output().is_ok_and(|out| out.status.success());
    if found {
        return "prometheus".to_owned();
    }
    let out = Command::new(repository().join("scripts/tools")).arg("prometheus3").output().expect("scripts/tools runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[test]
fn what_prometheus_has_scraped_is_what_was_produced_and_no_series_was_ever_reset() {
    let (proxy, kafka, address) = proxied();
    let stage = Stage::on(kafka, "scraped", Plan { rate: 2_000, ..PLAIN });
    let (mut far, mut near) = (stage.agent_with(&address, &[]), stage.agent());
    let prometheus = Prometheus::start(&[&far, &near]);
    stage.begun(&mut [&mut far, &mut near]);
    std::thread::sleep(Duration::from_secs(3));

    // A restart, orderly and not.
    assert!(near.terminate().success());
    near.restart();
    stage.recovered("restart");
    near.kill9();
    near.restart();
    stage.recovered("kill -9");
    // The partitions of one, and with them the publisher, move to the other and back.
    for agent in [&mut far, &mut near] {
        agent.kill9();
        stage.recovered("rebalance");
        agent.restart();
        agent.wait_ready();
        has_a_share(agent);
    }
    // A zombie.
    near.pause();
    std::thread::sleep(Duration::from_secs(2 * u64::from(PLAIN.session)));
    stage.recovered("SIGSTOP");
    near.resume();
    stage.recovered("SIGCONT");
    has_a_share(&near);
    // Cut off: as if the agent were alone, and still to be scraped.
    proxy.cut();
    std::thread::sleep(Duration::from_secs(2 * u64::from(PLAIN.session)));
    stage.recovered("cut off");
    proxy.mend();
    stage.recovered("mended");
    has_a_share(&far);

    let mut wanted = Cell::default();
    let row = stage.finish_running(&[&far, &near], |truth| {
        let totals = truth.cells.iter().filter(|(id, _)| matches!(id, Id::Total { .. }));
        totals.for_each(|(_, cell)| wanted.add(*cell));
    });
    assert!(row.is_clean(), "{:?}", row.wrong);
    for (measure, wanted) in [("events", wanted.events), ("seq", wanted.seqs), ("hash", wanted.hashes)] {
        let name = format!("numbers_{measure}_total");
        wait_until("the last scrape is in", || prometheus.sum(&name) == wanted as f64);
        let resets = prometheus.query(&format!("resets({name}[1h])"));
        assert_eq!(resets.len(), PLAIN.partitions as usize * 16, "one series a partition and key, wherever it was");
        let reset: Vec<_> = resets.iter().filter(|(_, resets)| *resets != 0.0).collect();
        assert!(reset.is_empty(), "{reset:?}");
    }
}
