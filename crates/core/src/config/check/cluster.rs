//! Checks of `cluster`: which changes are allowed, which names are protected, how much load may be asked for.

use std::collections::BTreeSet;

use regex::Regex;

use super::super::cluster::{Cluster, LoadTests, TopicChange, Topics};
use super::super::raw::{RawCluster, RawLoadTests, RawTopics};
use super::watch::watch;
use super::{Checker, HOUR, MINUTE, SECOND};

pub fn cluster(check: &mut Checker, raw: &RawCluster, group: &str) -> Cluster {
    Cluster {
        watch: watch(check, raw, group),
        topics: topics(check, &raw.topics),
        load_tests: load_tests(check, &raw.load_tests),
    }
}

fn topics(check: &mut Checker, raw: &RawTopics) -> Topics {
    for pattern in &raw.protected {
        if let Err(error) = Regex::new(&pattern.value) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
            let help = "it has to match a whole name: `payments-.*`";
            check.error(pattern.place, format!("`{}` is not a regular expression: {reason}", pattern.value), help);
        }
    }
    let allow: BTreeSet<TopicChange> = raw.allow.iter().copied().collect();
    if allow.contains(&TopicChange::Delete) {
        check.warn(
            "cluster.topics.allow has delete: anyone who can reach grpc.listen can delete topics that are not protected",
        );
    }
    Topics {
        allow,
        protected: raw.protected.iter().map(|pattern| pattern.value.clone()).collect(),
        timeout: check.duration(&raw.timeout, 10 * SECOND, SECOND..=5 * MINUTE),
    }
}

fn load_tests(check: &mut Checker, raw: &RawLoadTests) -> LoadTests {
    let default = LoadTests::default();
    let size = check.size(&raw.max_event_size, default.max_event_size as u64, 1..=16 << 20);
    LoadTests {
        allow: raw.allow.unwrap_or(default.allow),
        max_events: check.count(&raw.max_events, default.max_events as usize, 1..=1_000_000_000) as u64,
        max_duration: check.duration(&raw.max_duration, default.max_duration, SECOND..=24 * HOUR),
        max_rate: check.count(&raw.max_rate, default.max_rate as usize, 1..=100_000_000) as u64,
        max_event_size: usize::try_from(size).unwrap_or(default.max_event_size),
    }
}
