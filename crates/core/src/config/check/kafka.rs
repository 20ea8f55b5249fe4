//! Checks of `kafka`: addresses, the group, timeouts, and the librdkafka properties that are not the user's to set.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::super::at::{At, Map, Place};
use super::super::librdkafka;
use super::super::login::{TOKEN_ENDPOINT, login_trouble, token_file};
use super::super::raw::{RawDuration, RawKafka, RawProperty};
use super::super::secret;
use super::super::types::Kafka;
use super::super::units::format_duration;
use super::{Checker, MINUTE, SECOND};

/// Properties that are refused, and why or what to use instead.
const REFUSED: [(&str, &str); 21] = [
    ("bootstrap.servers", "set `kafka.bootstrap_servers` instead"),
    ("metadata.broker.list", "set `kafka.bootstrap_servers` instead"),
    ("group.id", "set `kafka.group_id` instead"),
    ("session.timeout.ms", "set `kafka.session_timeout` instead: the lease of what is shown follows from it"),
    ("transaction.timeout.ms", "set `kafka.transaction_timeout` instead"),
    ("log_level", "set `telemetry.log_level` instead"),
    ("group.instance.id", "it comes from the state directory, so that a restart takes up what it left open"),
    ("transactional.id", "it comes from the state directory, so that a restart takes up what it left open"),
    ("enable.auto.commit", "offsets are committed in the transaction that has the counts"),
    ("auto.commit.enable", "offsets are committed in the transaction that has the counts"),
    (
        "auto.commit.interval.ms",
        "offsets are committed in the transaction that has the counts; `state.commit_interval` sets how often",
    ),
    ("enable.auto.offset.store", "offsets are committed in the transaction that has the counts"),
    (
        "auto.offset.reset",
        "`start` of a source says where a new partition begins; a reset later would lose or repeat events",
    ),
    ("isolation.level", "what an aborted transaction wrote must not be counted"),
    ("enable.idempotence", "without it a retry would write a changelog entry twice"),
    ("enable.gapless.guarantee", "it makes a producer fail where a transaction would be repeated"),
    ("acks", "the changelog must be on all in-sync replicas before a commit counts"),
    ("request.required.acks", "the changelog must be on all in-sync replicas before a commit counts"),
    ("enable.partition.eof", "the agent sets it where it needs it"),
    ("partition.assignment.strategy", "only `cooperative-sticky` keeps the other partitions running in a rebalance"),
    (
        "group.protocol",
        "only in the `classic` one does a member that was put out come back under another id, which tells it so",
    ),
];

/// Values of refused properties that say what holds anyway.
const HOLDS_ANYWAY: [(&str, &str); 9] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("acks", "all"),
    ("acks", "-1"),
    ("request.required.acks", "all"),
    ("request.required.acks", "-1"),
    ("isolation.level", "read_committed"),
    ("enable.idempotence", "true"),
    ("enable.auto.commit", "false"),
    ("group.protocol", "classic"),
];

/// A secret in a file may be this long.
const LARGEST_SECRET: u64 = 64 << 10;

pub fn kafka(check: &mut Checker, raw: &RawKafka, commit_interval: &At<Duration>) -> Kafka {
    bootstrap_servers(check, &raw.bootstrap_servers);
    let Properties { texts: properties, secrets, files } = properties(check, &raw.properties);
    let session_timeout = check.duration(&raw.session_timeout, 10 * SECOND, SECOND..=30 * MINUTE);
    let transaction_timeout = check.duration(&raw.transaction_timeout, 10 * SECOND, SECOND..=15 * MINUTE);
    intervals(check, raw, commit_interval, session_timeout, transaction_timeout);
    let replication_factor = raw.replication_factor.as_ref().and_then(|factor| {
        let factor = check.in_range(factor.place, factor.value, 1..=i64::from(i16::MAX), |number| number)?;
        i32::try_from(factor).ok()
    });
    Kafka {
        bootstrap_servers: raw.bootstrap_servers.value.clone(),
        group_id: group_id(check, &raw.group_id),
        properties,
        secrets,
        files,
        session_timeout,
        transaction_timeout,
        membership: raw.membership.unwrap_or_default(),
        on_shutdown: raw.on_shutdown.unwrap_or_default(),
        dead_letters: raw.dead_letters.unwrap_or_default(),
        create_topics: raw.create_topics.unwrap_or(true),
        replication_factor,
    }
}

fn bootstrap_servers(check: &mut Checker, raw: &At<String>) {
    check.no_quoted_reference(raw.place, &raw.value);
    let well_formed = |server: &str| {
        // The port is after the last colon, unless that is inside the brackets of an IPv6 address.
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (server, "9092"),
        };
        !host.is_empty() && !server.contains(char::is_whitespace) && port.parse().is_ok_and(|port: u16| port > 0)
    };
    if !raw.value.split(',').all(|server| well_formed(server.trim())) {
        let help = "write `host:port`, several of them separated by commas: `kafka-1:9092,kafka-2:9092`";
        check.error(raw.place, "these are not addresses of brokers", help);
    }
}

fn group_id(check: &mut Checker, raw: &Option<At<String>>) -> String {
    let Some(raw) = raw else { return "streamgauge".into() };
    check.no_quoted_reference(raw.place, &raw.value);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if raw.value.is_empty() || raw.value.len() > 150 || !raw.value.chars().all(fits) {
        let help = "use up to 150 letters, digits, `.`, `_` and `-`: the changelog topics are named after it";
        check.error(raw.place, format!("`{}` is not a valid group id", raw.value), help);
    }
    raw.value.clone()
}

/// An agent shows that it is alive by its commits, and a commit must fit into its transaction.
fn intervals(check: &mut Checker, raw: &RawKafka, commit: &At<Duration>, session: Duration, transaction: Duration) {
    let place = |timeout: &Option<At<RawDuration>>| timeout.as_ref().map_or(commit.place, |timeout| timeout.place);
    let commit_text = format_duration(commit.value);
    if session < 3 * commit.value {
        let message =
            format!("the session timeout, {}, is too short for commits every {commit_text}", format_duration(session));
        let help = "make `kafka.session_timeout` at least three times `state.commit_interval`";
        check.error(place(&raw.session_timeout), message, help);
    }
    if transaction < 2 * commit.value {
        let transaction = format_duration(transaction);
        let message = format!("the transaction timeout, {transaction}, is too short for commits every {commit_text}");
        let help = "make `kafka.transaction_timeout` at least twice `state.commit_interval`";
        check.error(place(&raw.transaction_timeout), message, help);
    }
    if session < 6 * SECOND {
        let shown = format_duration(session);
        check.warn(format!(
            "kafka.session_timeout is {shown}: brokers refuse less than their group.min.session.timeout.ms (6 s unless set)"
        ));
    }
}

/// The properties of librdkafka.
#[derive(Default)]
struct Properties {
    texts: BTreeMap<String, String>,
    secrets: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
}

fn properties(check: &mut Checker, raw: &Map<At<RawProperty>>) -> Properties {
    let Properties { mut texts, mut secrets, mut files } = Properties::default();
    for (key, value) in &raw.0 {
        let name = &key.value;
        let text = match &value.value {
            RawProperty::Text(text) => {
                check.no_quoted_reference(value.place, text);
                if name.starts_with("ssl.") && name.ends_with(".location") && name != "ssl.engine.location" {
                    files.insert(name.clone(), text.into());
                }
                text.clone()
            }
            RawProperty::File(path) => {
                secrets.insert(name.clone());
                files.insert(name.clone(), path.into());
                from_file(check, value.place, name, path)
            }
        };
        if secret::is_secret(name) {
            secrets.insert(name.clone());
        }
        if name == "client.id" && !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            let help = "use letters, digits, `.`, `_` and `-`: what the agent adds to it tells the group where it is";
            check.error(value.place, format!("`{text}` cannot begin the names of clients"), help);
        }
        if !HOLDS_ANYWAY.contains(&(name.as_str(), text.as_str())) {
            refuse(check, key);
            texts.insert(name.clone(), text);
        }
    }
    login(check, raw, &texts);
    Properties { texts, secrets, files }
}

fn refuse(check: &mut Checker, key: &At<String>) {
    if let Some((name, reason)) = REFUSED.iter().find(|(name, _)| *name == key.value) {
        check.error(key.place, format!("the property `{name}` cannot be set"), *reason);
    } else if let Some(help) = librdkafka::unknown(&key.value) {
        check.error(key.place, format!("librdkafka has no property `{}`", key.value), help);
    }
}

/// What is wrong with how the brokers are logged in to, and with the file of a token.
fn login(check: &mut Checker, raw: &Map<At<RawProperty>>, properties: &BTreeMap<String, String>) {
    let place = |name: &str| raw.0.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.place);
    if let Some(trouble) = login_trouble(properties) {
        check.error(place(trouble.property).unwrap_or_default(), trouble.message, trouble.help);
    } else if let Some(path) = properties.get(TOKEN_ENDPOINT).and_then(|endpoint| token_file(endpoint)) {
        from_file(check, place(TOKEN_ENDPOINT).unwrap_or_default(), TOKEN_ENDPOINT, path);
    }
}

/// The content of a file without the newline at its end.
pub(super) fn from_file(check: &mut Checker, place: Place, name: &str, path: &str) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_SECRET + 1).read_to_string(&mut text));
    match read {
        Err(error) => {
            let help = "it is read at the start; check the path and its permissions";
            check.error(place, format!("cannot read `{name}` from {path}: {error}"), help);
        }
        Ok(size) if size as u64 > LARGEST_SECRET => {
            check.error(place, format!("{path} is too large to be `{name}`"), "is it the right file?");
        }
        Ok(_) if text.trim().is_empty() => {
            check.error(place, format!("{path} is empty: `{name}` needs a value"), "is it the right file?");
        }
        Ok(_) => {}
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    text
}
