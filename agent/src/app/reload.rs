//! Reloading the config while the agent runs: the sources and aggregates of the file come into force; whatever else
//! differs needs a restart, is named, and nothing changes. The last good config stays in force.

use crate::aggregate::AggregateId;
use crate::config::{self, Config, ConfigFile};
use crate::http::Control;
use crate::query::Reader;
use crate::sources::Plans;
use crate::worker::{Agent, Change, WorkerStatus, changes};
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer waits for the workers, which may have to wait for Kafka.
const PATIENCE: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(10);

/// What a reload needs; one at a time.
pub struct Reload {
    /// `None` where there is no file, as in the demo.
    file: Option<ConfigFile>,
    agent: Arc<Agent>,
    reader: Arc<Reader>,
    workers: Vec<Arc<WorkerStatus>>,
    current: Mutex<Config>,
    /// Held while one goes on.
    busy: Mutex<()>,
}

impl Reload {
    pub fn new(
        file: Option<ConfigFile>,
        agent: Arc<Agent>,
        reader: Arc<Reader>,
        workers: Vec<Arc<WorkerStatus>>,
    ) -> Reload {
        let current = Mutex::new(agent.config.clone());
        Reload { file, agent, reader, workers, current, busy: Mutex::default() }
    }

    fn load(&self) -> Result<Config, String> {
        let file = self.file.as_ref().ok_or("there is no config file to read again")?;
        let new = config::load_with(&file.path, &file.instead).map_err(|error| error.to_string())?;
        let differing = needs_restart(&self.current.lock(), &new);
        if differing.is_empty() {
            return Ok(new);
        }
        Err(format!(
            "{}: {} cannot be changed by a reload; restart the agent, or take the change back",
            file.path.display(),
            differing.join(", ")
        ))
    }

    fn bring_into_force(&self, new: Config) -> String {
        let before = self.agent.plans();
        let after = Arc::new(Plans::new(before.number + 1, &new));
        let changes = changes(ids(&before), ids(&after));
        self.agent.sources.replace(after.clone());
        let in_force = self.wait(after.number);
        self.reader.sources.replace(after);
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        *self.current.lock() = new;
        self.agent.metrics.reloaded(self.agent.clock.unix_millis());
        let mut text =
            String::from(if in_force { "reloaded\n" } else { "reloaded; a worker still waits for its last commit\n" });
        for (name, change) in changes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "aggregate {name}: {}", describe(change));
        }
        text
    }

    /// Waits until all workers fold by these plans.
    fn wait(&self, number: u64) -> bool {
        let began = self.agent.clock.boot_time();
        while self.workers.iter().any(|worker| worker.plans() < number) {
            if self.agent.clock.boot_time().since(began) > PATIENCE || self.agent.is_stopping() {
                return false;
            }
            std::thread::sleep(NAP);
        }
        true
    }
}

impl Control for Reload {
    fn config(&self) -> String {
        self.current.lock().redacted_yaml()
    }

    fn reload(&self) -> Result<String, String> {
        let _one_at_a_time = self.busy.lock();
        match self.load() {
            Ok(new) => {
                let text = self.bring_into_force(new);
                tracing::info!("config {}", text.trim_end().replace('\n', "; "));
                Ok(text)
            }
            Err(why) => {
                self.agent.metrics.reload_refused();
                tracing::error!("config not reloaded, the last good one stays in force: {}", one_line(&why));
                Err(why)
            }
        }
    }
}

/// Sections that differ and are read at the start only.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let named = [
        ("kafka", old.kafka == new.kafka),
        ("state", old.state == new.state),
        ("http", old.http == new.http),
        ("grpc", old.grpc == new.grpc),
        ("schema_registry", old.schema_registry == new.schema_registry),
        ("limits", old.limits == new.limits),
        ("telemetry", old.telemetry == new.telemetry),
        ("workers", old.workers == new.workers),
    ];
    let mut differing: Vec<_> = named.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
    // Whatever else there is, or comes to be.
    let rest = Config {
        sources: new.sources.clone(),
        aggregates: new.aggregates.clone(),
        warnings: new.warnings.clone(),
        ..old.clone()
    };
    if differing.is_empty() && rest != *new {
        differing.push("a section besides sources and aggregates");
    }
    differing
}

fn ids(plans: &Plans) -> Vec<(&str, AggregateId)> {
    let aggregates = plans.sources.iter().flat_map(|source| &source.plan.aggregates);
    aggregates.map(|plan| (plan.config.name.as_str(), plan.id)).collect()
}

/// What becomes of an aggregate, for people.
pub fn describe(change: Change) -> &'static str {
    match change {
        Change::Unchanged => "unchanged, its state goes on",
        Change::Added => "added, starts now (or at the earliest record, with backfill: earliest)",
        Change::Changed => "changed, starts now; what was counted under its old definition is deleted",
        Change::Removed => "removed, its state is deleted",
    }
}

/// The first lines of an error as one, for the log.
fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        config::parse(text, "test.yaml", &|_| None).unwrap()
    }

    const TEXT: &str = "kafka: { bootstrap_servers: localhost:9092 }\n\
        sources:\n  s: { topics: [t], timestamp: { from: kafka } }\n\
        aggregates:\n  a: { source: s, windows: [1m], measures: { events: count } }\n";

    #[test]
    fn sources_and_aggregates_may_change_and_all_else_is_named() {
        let old = config(TEXT);
        let check = |new: &str, expected: &[&str]| assert_eq!(needs_restart(&old, &config(new)), expected, "{new}");
        check(TEXT, &[]);
        check(&TEXT.replace("[1m]", "[1m, 5m]").replace("[t]", "[t, u]"), &[]);
        check(&TEXT.replace("localhost:9092", "elsewhere:9092"), &["kafka"]);
        check(&format!("{TEXT}http: {{ listen: 127.0.0.1:1 }}\nworkers: 2\n"), &["http", "workers"]);
        check(&format!("{TEXT}state: {{ dir: ./other }}\n"), &["state"]);
    }
}
