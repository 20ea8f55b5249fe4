//! Clients of librdkafka that stay logged in. The tokens of OAUTHBEARER are short-lived, and librdkafka asks for the next one
//! where a client is polled, which not all are: so they are renewed in the background, for each client by itself.

mod endpoint;
#[cfg(feature = "aws")]
mod iam;
mod token;

use self::endpoint::Endpoint;
#[cfg(feature = "aws")]
use self::iam::Iam;
use self::token::Token;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, types::RDKafka};
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, c_char};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
#[cfg(feature = "aws")]
use streamgauge_core::config::MSK_IAM;
use streamgauge_core::config::{TOKEN_ENDPOINT, logs_in_by_token, token_file};
use streamgauge_runtime::clock::Clock;

/// How often the file of a token is looked at. Its content is compared: Kubernetes swaps directories under it.
const LOOK: Duration = Duration::from_secs(1);
/// An endpoint that gave no token is asked again after it. Milliseconds.
const ASK_AGAIN: i64 = 5_000;

/// A client, and what renews its token until it is dropped.
pub(super) struct LoggedIn<T> {
    // Dropped before the client it belongs to.
    _renewal: Option<Renewal>,
    client: T,
}

impl<T> Deref for LoggedIn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

/// The one way to make a client.
pub(super) fn client<T, C>(config: &ClientConfig, context: C) -> KafkaResult<LoggedIn<T>>
where
    T: FromClientConfigAndContext<C> + Native,
    C: ClientContext,
{
    if !logs_in_by_token(|name| config.get(name)) {
        return Ok(LoggedIn { _renewal: None, client: config.create_with_context(context)? });
    }
    let (mut config, source) = (config.clone(), Source::of(config));
    #[cfg(feature = "aws")]
    if is_msk_iam(&config) {
        config.remove("sasl.mechanisms");
        config.set("sasl.mechanism", "OAUTHBEARER");
    }
    if source.is_some() {
        let ours = |name: &str| name.starts_with("sasl.oauthbearer.") || name.starts_with("https.ca.");
        let given = config.config_map();
        let names: Vec<String> = given.keys().filter(|name| ours(name)).map(|name| (*name).to_owned()).collect();
        for name in &names {
            config.remove(name);
        }
    }
    config.set("enable_sasl_queue", "true");
    let client: T = config.create_with_context(context)?;
    renew_in_background(client.native())?;
    let renewal = source.map(|source| Renewal::start(client.native(), source)).transpose();
    let renewal = renewal.map_err(|error| KafkaError::ClientCreation(format!("cannot start a thread: {error}")))?;
    Ok(LoggedIn { _renewal: renewal, client })
}

/// Where a client's tokens come from.
struct Source {
    from: From,
    /// Names and values that brokers are told with each token.
    extensions: Vec<(String, String)>,
}

enum From {
    File(PathBuf),
    Endpoint(Endpoint),
    #[cfg(feature = "aws")]
    Iam(Iam),
}

#[cfg(feature = "aws")]
fn is_msk_iam(config: &ClientConfig) -> bool {
    let is = |name| config.get(name).is_some_and(|mechanism| mechanism.eq_ignore_ascii_case(MSK_IAM));
    is("sasl.mechanism") || is("sasl.mechanisms")
}

impl Source {
    /// `None`: librdkafka makes them itself.
    fn of(config: &ClientConfig) -> Option<Source> {
        #[cfg(feature = "aws")]
        if is_msk_iam(config) {
            let iam = Iam::of(config.get("bootstrap.servers").unwrap_or_default());
            return Some(Source { from: From::Iam(iam), extensions: Vec::new() });
        }
        let endpoint = config.get(TOKEN_ENDPOINT)?;
        let from = match token_file(endpoint) {
            Some(path) => From::File(path.into()),
            None => From::Endpoint(Endpoint::of(endpoint, config)),
        };
        let extensions = config.get("sasl.oauthbearer.extensions").unwrap_or_default().split(',');
        let extensions = extensions.filter_map(|pair| pair.split_once('='));
        let extensions = extensions.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        Some(Source { from, extensions })
    }
}

/// Has a thread of librdkafka's own answer when a token ends soon: it makes one (`enable.sasl.oauthbearer.unsecure.jwt`), or
/// does nothing.
fn renew_in_background(client: *mut RDKafka) -> KafkaResult<()> {
    // SAFETY: the client is valid; what comes back is an error of ours or null.
    let refused = unsafe {
        let error = sys::rd_kafka_sasl_background_callbacks_enable(client);
        if error.is_null() {
            return Ok(());
        }
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        text
    };
    Err(KafkaError::ClientCreation(refused))
}

/// Where librdkafka's own handle of a client is.
pub(super) trait Native {
    fn native(&self) -> *mut RDKafka;
}

impl<C: ConsumerContext> Native for BaseConsumer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext> Native for BaseProducer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext + 'static> Native for ThreadedProducer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ClientContext> Native for AdminClient<C> {
    fn native(&self) -> *mut RDKafka {
        self.inner().native_ptr()
    }
}

/// A thread that gives a client its tokens.
struct Renewal {
    stopped: Arc<AtomicBool>,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewal {
    /// `client` must outlive what is returned. A token of a file it has when this returns.
    fn start(client: *mut RDKafka, source: Source) -> std::io::Result<Renewal> {
        let (wake, woken) = bounded::<()>(0);
        let stopped = Arc::new(AtomicBool::new(false));
        let mut renewed = Renewed { client, source, last: None, ask_at: 0, stopped: stopped.clone() };
        if let From::File(_) = renewed.source.from {
            renewed.look();
        }
        let look = move || {
            renewed.look();
            while woken.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                renewed.look();
            }
        };
        let thread = std::thread::Builder::new().name("kafka-token".to_owned()).spawn(look)?;
        Ok(Renewal { stopped, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic; if it did, it does not use the client any more either.
            let _ = thread.join();
        }
    }
}

struct Renewed {
    client: *mut RDKafka,
    source: Source,
    /// What the client was told last.
    last: Option<Result<Token, String>>,
    /// When the source is asked next, Unix milliseconds.
    ask_at: i64,
    stopped: Arc<AtomicBool>,
}

// SAFETY: librdkafka's handles may be used from any thread; the client outlives the thread (`Renewal`).
unsafe impl Send for Renewed {}

impl Renewed {
    fn look(&mut self) {
        let now = Clock::System.unix_millis();
        if now < self.ask_at {
            return;
        }
        let is_wanted = || !self.stopped.load(Ordering::Relaxed);
        let found = match &self.source.from {
            From::File(path) => Token::read(path, now),
            From::Endpoint(endpoint) => endpoint.ask(now, &is_wanted),
            #[cfg(feature = "aws")]
            From::Iam(iam) => iam.ask(now, &is_wanted),
        };
        if !matches!(self.source.from, From::File(_)) {
            // As librdkafka does it: with a fifth of its life to go.
            self.ask_at = now + found.as_ref().map_or(ASK_AGAIN, |token| (token.ends - now) / 5 * 4);
        }
        if self.last.as_ref() == Some(&found) {
            return;
        }
        if let Err(reason) = found.as_ref().map_err(Clone::clone).and_then(|token| self.set(token)) {
            self.fail(&reason);
        }
        self.last = Some(found);
    }

    fn set(&self, token: &Token) -> Result<(), String> {
        let text =
            |text: &str| CString::new(text).map_err(|_| "a token or an extension holds a byte of zero".to_owned());
        let (value, user) = (text(&token.value)?, text(&token.user)?);
        let all = self.source.extensions.iter().flat_map(|(name, value)| [name, value]);
        let extensions = all.map(|part| text(part)).collect::<Result<Vec<_>, _>>()?;
        let mut places: Vec<*const c_char> = extensions.iter().map(|part| part.as_ptr()).collect();
        let mut said = [0; 512];
        // SAFETY: the client is valid, the texts end with a zero and are copied, and there is a place for the error.
        let code = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                self.client,
                value.as_ptr(),
                token.ends,
                user.as_ptr(),
                places.as_mut_ptr(),
                places.len(),
                said.as_mut_ptr(),
                said.len(),
            )
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            // SAFETY: librdkafka ends its text with a zero.
            _ => Err(unsafe { CStr::from_ptr(said.as_ptr()) }.to_string_lossy().into_owned()),
        }
    }

    /// The client keeps the token it has, and reports the reason as an error.
    fn fail(&self, reason: &str) {
        let reason = CString::new(reason.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the client is valid, and the text is copied.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.client, reason.as_ptr()) };
    }
}
