//! Checks of the part of `cluster` that only looks: health, lag, probe.

use regex::Regex;

use super::super::at::At;
use super::super::cluster::{ClusterLag, Probe, Watch};
use super::super::raw::{RawCluster, RawClusterLag, RawProbe};
use super::{Checker, HOUR, MILLISECOND, MINUTE, SECOND};

/// `group` is the consumer group, which the probe's topic is named after.
pub fn watch(check: &mut Checker, raw: &RawCluster, group: &str) -> Watch {
    let default = Watch::default();
    Watch {
        enabled: raw.enabled.unwrap_or(default.enabled),
        interval: check.duration(&raw.interval, default.interval, SECOND..=HOUR),
        timeout: check.duration(&raw.timeout, default.timeout, 100 * MILLISECOND..=MINUTE),
        lag: lag(check, &raw.lag),
        probe: probe(check, &raw.probe, group),
    }
}

fn lag(check: &mut Checker, raw: &RawClusterLag) -> ClusterLag {
    let default = ClusterLag::default();
    ClusterLag {
        enabled: raw.enabled.unwrap_or(default.enabled),
        interval: check.duration(&raw.interval, default.interval, SECOND..=HOUR),
        groups: regex(check, &raw.groups),
        exclude_groups: regex(check, &raw.exclude_groups),
        topics: regex(check, &raw.topics),
        exclude_topics: regex(check, &raw.exclude_topics),
        granularity: raw.granularity.unwrap_or_default(),
        max_partitions: check.count(&raw.max_partitions, default.max_partitions, 0..=10_000_000),
    }
}

fn regex(check: &mut Checker, raw: &Option<At<String>>) -> String {
    let Some(raw) = raw else { return String::new() };
    check.no_quoted_reference(raw.place, &raw.value);
    if Regex::new(&format!("^(?:{})$", raw.value)).is_err() {
        let message = format!("`{}` is not a regular expression", raw.value);
        check.error(raw.place, message, "it has to match whole names, such as `orders-.*` or `orders|payments`");
    }
    raw.value.clone()
}

fn probe(check: &mut Checker, raw: &RawProbe, group: &str) -> Probe {
    let topic = match &raw.topic {
        None => format!("streamgauge-{group}-probe"),
        Some(topic) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if topic.value.is_empty() || topic.value.len() > 249 || !topic.value.chars().all(fits) {
                let help = "use up to 249 letters, digits, `.`, `_` and `-`; the probe creates it";
                check.error(topic.place, format!("`{}` is not a valid topic", topic.value), help);
            }
            topic.value.clone()
        }
    };
    Probe {
        enabled: raw.enabled.unwrap_or(false),
        topic,
        interval: check.duration(&raw.interval, SECOND, 10 * MILLISECOND..=HOUR),
        timeout: check.duration(&raw.timeout, 5 * SECOND, 100 * MILLISECOND..=MINUTE),
    }
}
