//! Why a broker cannot be used, in words that name the cause and the setting. librdkafka says it in sentences of its own,
//! which mix the connection's state with a guess, some of them as an error and some in its log alone.

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A call is given up early if by then the client has only complained of its connections.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);

const NEEDS: &str = "this user needs the ACL ";

/// What a client says is wrong with its connections.
#[derive(Debug, Default)]
pub struct Complaints {
    login: Login,
    last: Mutex<Option<String>>,
    unreachable: Mutex<Option<String>>,
    /// A broker has answered once.
    answered: AtomicBool,
}

impl Complaints {
    /// Of a client that is made with `config`.
    pub fn of(config: &ClientConfig) -> Complaints {
        Complaints { login: Login::of(config), ..Complaints::default() }
    }

    /// The latest trouble the client reported by itself (a broker that is down, a failed authentication).
    pub fn last(&self) -> Option<String> {
        self.last.lock().clone()
    }

    /// Why no broker can be reached, if that is what the client said last: refused, an unknown host, no authentication. A
    /// broker that takes connections and answers nothing is not among it.
    pub fn unreachable(&self) -> Option<String> {
        self.unreachable.lock().clone()
    }

    /// A broker has answered.
    fn end(&self) {
        self.answered.store(true, Ordering::Relaxed);
        *self.unreachable.lock() = None;
    }

    /// Takes a line of librdkafka's log: some causes are told nowhere else. It comes, like errors, when the client is polled.
    /// Returns what it comes to.
    pub fn log(&self, facility: &str, message: &str) -> String {
        if facility == "FAIL"
            && let Some(cause) = self.login.cause(message)
        {
            *self.unreachable.lock() = Some(cause.clone());
            *self.last.lock() = Some(cause.clone());
            return cause;
        }
        plain(message)
    }

    /// Takes an error that librdkafka reports. Returns what it comes to; `None` if that was told before it.
    pub fn error(&self, error: &KafkaError, reason: &str) -> Option<String> {
        let code = error.rdkafka_error_code();
        let cause = self.login.cause(reason).or_else(|| self.login.denied(code?, reason));
        let cause = cause.unwrap_or_else(|| plain(reason));
        match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => return self.all_down(),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication,
            ) => *self.unreachable.lock() = Some(cause.clone()),
            _ => *self.unreachable.lock() = None,
        }
        *self.last.lock() = Some(cause.clone());
        Some(cause)
    }

    /// It follows on the reason why, and says less. That there was none is how librdkafka tells of a listener that hangs up
    /// on what it does not understand.
    fn all_down(&self) -> Option<String> {
        let mut last = self.last.lock();
        if last.is_some() || self.answered.load(Ordering::Relaxed) {
            return None;
        }
        let cause = self.login.hung_up("the listener");
        *self.unreachable.lock() = Some(cause.clone());
        *last = Some(cause.clone());
        Some(cause)
    }

    /// The cluster's metadata, or that of one topic. Gives up before `timeout` if no broker can be reached. `serve` lets the
    /// client tell what it has noticed, if no thread of its own does.
    pub fn metadata(
        &self,
        client: &Client<impl ClientContext>,
        topic: Option<&str>,
        timeout: Duration,
        serve: impl Fn(),
    ) -> KafkaResult<Metadata> {
        let found = client.fetch_metadata(topic, timeout.min(UNREACHABLE_AFTER));
        serve();
        let found = match found {
            Err(error)
                if timeout > UNREACHABLE_AFTER
                    && error.rdkafka_error_code().is_some_and(is_silence)
                    && self.unreachable().is_none() =>
            {
                client.fetch_metadata(topic, timeout.saturating_sub(UNREACHABLE_AFTER))
            }
            found => found,
        };
        found.inspect(|_| self.end())
    }
}

/// What a user lacks whom the brokers refuse something: operations on a resource, as Kafka's own tool takes them.
pub fn missing_acl(operations: &str, resource: &str) -> String {
    format!("{NEEDS}{operations} on {resource} (all of them: docs/access.md)")
}

/// The same from the code with which brokers refuse `operations` on the topic, group or transactional id `name`; `None` if
/// it is about something else.
pub fn missing_acl_of(code: RDKafkaErrorCode, operations: &str, name: &str) -> Option<String> {
    let resource = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => format!("--topic {name}"),
        RDKafkaErrorCode::GroupAuthorizationFailed => format!("--group {name}"),
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => format!("--transactional-id {name}"),
        RDKafkaErrorCode::ClusterAuthorizationFailed => "--cluster".to_owned(),
        _ => return None,
    };
    Some(missing_acl(operations, &resource))
}

/// Why records of `topic` cannot be read.
pub fn why_unread(error: &KafkaError, topic: &str) -> String {
    let acl = error.rdkafka_error_code().and_then(|code| missing_acl_of(code, "Describe and Read", topic));
    acl.unwrap_or_else(|| error.to_string())
}

/// Why records cannot be written to `topic`.
pub fn why_unwritten(code: RDKafkaErrorCode, topic: &str) -> String {
    // An idempotent producer that may write to no topic at all is refused by the cluster.
    let acl = match code {
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            missing_acl_of(RDKafkaErrorCode::TopicAuthorizationFailed, "Describe and Write", topic)
        }
        code => missing_acl_of(code, "Describe and Write", topic),
    };
    acl.unwrap_or_else(|| code.to_string())
}

/// Whether a text says that an ACL is missing: waiting does not help.
pub fn names_missing_acl(text: &str) -> bool {
    text.contains(NEEDS)
}

/// Whether an error says that no broker answered, or not in time.
pub fn is_silence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::NodeUpdate
    )
}

/// What of a client's settings belongs into a sentence about its connections. Never a password.
#[derive(Clone, Debug, Default)]
struct Login {
    user: Option<String>,
    mechanism: Option<String>,
    protocol: String,
    group: String,
}

impl Login {
    fn of(config: &ClientConfig) -> Login {
        let get = |names: &[&str]| names.iter().find_map(|name| config.get(name)).map(str::to_owned);
        Login {
            user: get(&["sasl.username"]),
            mechanism: get(&["sasl.mechanism", "sasl.mechanisms"]),
            protocol: get(&["security.protocol"]).unwrap_or_else(|| "PLAINTEXT".to_owned()).to_uppercase(),
            group: get(&["group.id"]).unwrap_or_default(),
        }
    }

    /// What the user lacks, if that is what an error is about.
    fn denied(&self, code: RDKafkaErrorCode, reason: &str) -> Option<String> {
        match code {
            RDKafkaErrorCode::GroupAuthorizationFailed => missing_acl_of(code, "Read", &self.group),
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                let topic = reason.split("Subscribed topic not available: ").nth(1)?.split(": ").next()?;
                missing_acl_of(code, "Describe and Read", topic)
            }
            _ => None,
        }
    }

    /// What `reason`, a sentence of librdkafka's about a connection, comes to; `None` if it says it as well.
    fn cause(&self, reason: &str) -> Option<String> {
        if let Some(why) = reason.split("Failed to acquire SASL OAUTHBEARER token: ").nth(1) {
            return Some(format!("no token to log in with by OAUTHBEARER: {why}"));
        }
        let (broker, text) = split(reason);
        let has = |word: &str| text.contains(word);
        if has("nsupported SASL mechanism") || has("mechanism handshake failed") {
            return Some(self.other_mechanism(broker, text));
        }
        if has("SASL authentication error") || has("OAUTHBEARER authentication failed") {
            return Some(self.refused(broker, text));
        }
        if has("Failed to resolve") {
            return host_of(text).map(|host| format!("there is no host {host}: {}", last(text)));
        }
        self.tls(broker, text).or_else(|| self.transport(broker, text))
    }

    fn mechanism(&self) -> &str {
        self.mechanism.as_deref().unwrap_or("GSSAPI")
    }

    fn other_mechanism(&self, broker: &str, text: &str) -> String {
        let taken = text.split("supported mechanisms: ").nth(1).map(until_state);
        let taken = taken.filter(|taken| !taken.is_empty()).map_or(String::new(), |taken| format!(", only {taken}"));
        format!("the broker {broker} does not take sasl.mechanism {}{taken}", self.mechanism())
    }

    fn refused(&self, broker: &str, text: &str) -> String {
        let user = self.user.as_ref().map_or_else(|| "this client".to_owned(), |user| format!("user `{user}`"));
        let why = match text.to_lowercase() {
            text if text.contains("invalid credentials") || text.contains("invalid username or password") => {
                "wrong user or password".to_owned()
            }
            _ => until_state(text.trim_start_matches("SASL authentication error: ")).to_owned(),
        };
        format!("the broker {broker} refused {user} by {}: {why}", self.mechanism())
    }

    fn tls(&self, broker: &str, text: &str) -> Option<String> {
        let has = |word: &str| text.contains(word);
        let told = if has("certificate verify failed") {
            format!(
                "the certificate of the broker {broker} is not trusted: ssl.ca.location has not the CA that signed it, or it is of another host name"
            )
        } else if has("PLAINTEXT broker listener")
            || has("wrong version number")
            || has("packet length too long")
            // The same without librdkafka's guess, when it hears of the end by another call.
            || has("Disconnected") && has("in state SSL_HANDSHAKE")
        {
            format!(
                "the broker {broker} does not speak TLS there: security.protocol is {}, and it is a plain listener",
                self.protocol
            )
        } else if has("certificate required") || has("bad certificate") || has("unknown ca") {
            format!(
                "the broker {broker} refused this client's certificate (ssl.certificate.location, ssl.key.location)"
            )
        } else {
            return None;
        };
        Some(told)
    }

    /// What it may be that `who` closes each connection without a word.
    fn hung_up(&self, who: &str) -> String {
        let wanted = match self.protocol.as_str() {
            "PLAINTEXT" => "TLS or a login (SSL, SASL_SSL, SASL_PLAINTEXT)",
            "SASL_PLAINTEXT" => "TLS (SASL_SSL)",
            "SSL" => "a login (SASL_SSL)",
            _ => "something else",
        };
        format!(
            "{who} closes each connection at once: security.protocol is {}, and it may want {wanted}",
            self.protocol
        )
    }

    fn transport(&self, broker: &str, text: &str) -> Option<String> {
        let has = |word: &str| text.contains(word);
        if has("SSL listener?") || has("incorrect security.protocol") || has("verify that security.protocol") {
            return Some(self.hung_up(&format!("the broker {broker}")));
        }
        if has("Connection refused") {
            return Some(format!("nothing listens at {broker} (connection refused)"));
        }
        if has("setup timed out") {
            return Some(format!("no connection to {broker}: it does not answer; a firewall, or another address?"));
        }
        None
    }
}

/// The broker's address in a sentence such as `sasl_ssl://host:9093/bootstrap: Connect to … failed`, and what follows. In its
/// log a thread's name stands before it.
fn split(reason: &str) -> (&str, &str) {
    let reason = without_thread(reason);
    let Some((name, text)) = reason.split_once(": ") else { return ("", reason) };
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    (name.split('/').next().unwrap_or(name), text)
}

/// A sentence without the thread that says it and the state of its connection, which differ from one time to the next.
fn plain(reason: &str) -> String {
    until_state(without_thread(reason)).to_owned()
}

fn without_thread(reason: &str) -> &str {
    reason.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(reason, |(_, rest)| rest)
}

/// Without what librdkafka adds about the state of its connection.
fn until_state(text: &str) -> &str {
    text.split(" (after ").next().unwrap_or(text).trim()
}

/// The name in `Failed to resolve 'host:9092': …`.
fn host_of(text: &str) -> Option<&str> {
    let name = text.split('\'').nth(1)?;
    Some(name.rsplit_once(':').map_or(name, |(host, _)| host))
}

/// What stands behind the last colon.
fn last(text: &str) -> &str {
    until_state(text.rsplit(": ").next().unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(protocol: &str) -> Login {
        Login {
            user: Some("alice".into()),
            mechanism: Some("SCRAM-SHA-256".into()),
            protocol: protocol.into(),
            group: "g".into(),
        }
    }

    /// As librdkafka 2.12 says it of Kafka 4.3 and of no Kafka.
    #[test]
    fn what_librdkafka_says_comes_to_a_cause_and_a_setting() {
        for (protocol, reason, expected) in [
            (
                "SASL_SSL",
                "sasl_ssl://127.0.0.1:9/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 312ms in state AUTH_REQ)",
                "the broker 127.0.0.1:9 refused user `alice` by SCRAM-SHA-256: wrong user or password",
            ),
            (
                "SASL_SSL",
                "sasl_ssl://127.0.0.1:9/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN (after 3ms in state AUTH_HANDSHAKE)",
                "the broker 127.0.0.1:9 does not take sasl.mechanism SCRAM-SHA-256, only PLAIN",
            ),
            (
                "SASL_SSL",
                "Failed to acquire SASL OAUTHBEARER token: http://127.0.0.1:9/t answers with status 401: invalid_client",
                "no token to log in with by OAUTHBEARER: http://127.0.0.1:9/t answers with status 401: invalid_client",
            ),
            (
                "SSL",
                "ssl://127.0.0.1:9/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 2ms in state SSL_HANDSHAKE)",
                "the broker 127.0.0.1:9 does not speak TLS there: security.protocol is SSL, and it is a plain listener",
            ),
            (
                "SSL",
                "ssl://127.0.0.1:9/bootstrap: Disconnected: SSL connection closed by peer (after 3ms in state SSL_HANDSHAKE)",
                "the broker 127.0.0.1:9 does not speak TLS there: security.protocol is SSL, and it is a plain listener",
            ),
            (
                "PLAINTEXT",
                "[thrd:127.0.0.1:9/bootstrap]: 127.0.0.1:9/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?) or broker version is < 0.10 (see api.version.request) (after 2ms in state APIVERSION_QUERY)",
                "the broker 127.0.0.1:9 closes each connection at once: security.protocol is PLAINTEXT, and it may want TLS or a login (SSL, SASL_SSL, SASL_PLAINTEXT)",
            ),
            (
                "PLAINTEXT",
                "nohost.invalid:9092/bootstrap: Failed to resolve 'nohost.invalid:9092': Name or service not known (after 1ms in state CONNECT)",
                "there is no host nohost.invalid: Name or service not known",
            ),
            (
                "PLAINTEXT",
                "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
                "nothing listens at 127.0.0.1:1 (connection refused)",
            ),
        ] {
            assert_eq!(login(protocol).cause(reason).as_deref(), Some(expected), "{reason}");
        }
        assert_eq!(login("SSL").cause("127.0.0.1:9/1: Disconnected (after 5000ms in state UP)"), None);
    }

    #[test]
    fn what_a_user_may_not_do_names_the_operation_and_the_resource() {
        let denied = |code, reason| login("SSL").denied(code, reason).unwrap_or_default();
        let said =
            denied(RDKafkaErrorCode::GroupAuthorizationFailed, "JoinGroup failed: Broker: Group authorization failed");
        assert!(said.contains("the ACL Read on --group g"), "{said}");
        let reason = "Subscribed topic not available: t: Broker: Topic authorization failed";
        let said = denied(RDKafkaErrorCode::TopicAuthorizationFailed, reason);
        assert!(said.contains("the ACL Describe and Read on --topic t "), "{said}");
        assert_eq!(login("SSL").denied(RDKafkaErrorCode::Fail, reason), None);
    }
}
