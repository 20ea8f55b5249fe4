//! IAM of Amazon MSK: the token is a request to connect, signed for a quarter of an hour with AWS's credentials. AWS's own
//! crates find these where its other programs do (environment, profile, web identity, container, instance), and sign.

use super::token::Token;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curl::easy::Easy;
use std::error::Error;
use std::time::{Duration, SystemTime};
use streamgauge_core::config::msk_region;

const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody still wants the token.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that brokers take.
const LIFE: Duration = Duration::from_secs(900);
const SERVICE: &str = "kafka-cluster";

pub struct Iam {
    /// As the brokers' names have it; `None`: as AWS's own settings have it.
    region: Option<String>,
}

impl Iam {
    /// For the brokers of `servers`.
    pub fn of(servers: &str) -> Iam {
        Iam { region: msk_region(servers).map(str::to_owned) }
    }

    /// Makes a token, at `now` (Unix milliseconds), of the credentials as they are then: they may be others each time. Gives
    /// up after some seconds, or once nobody wants it any more.
    ///
    /// # Errors
    /// One line: why there is none.
    pub fn ask(&self, now: i64, is_wanted: &dyn Fn() -> bool) -> Result<Token, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
        let unwanted = async {
            while is_wanted() {
                tokio::time::sleep(LOOK).await;
            }
        };
        runtime.block_on(async {
            tokio::select! {
                token = self.find(now) => token,
                () = tokio::time::sleep(PATIENCE) => {
                    Err(format!("AWS has given no credentials within {} s", PATIENCE.as_secs()))
                }
                () = unwanted => Err("nobody wants it any more".to_owned()),
            }
        })
    }

    async fn find(&self, now: i64) -> Result<Token, String> {
        let tls = Provider::Rustls(CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let Some(region) = config.region() else {
            return Err("the region of the cluster is not known: set AWS_REGION".to_owned());
        };
        let Some(provider) = config.credentials_provider() else {
            return Err("AWS has no credentials here".to_owned());
        };
        of(&provider, region.as_ref(), now).await
    }
}

/// The token of the credentials that `provider` has now.
async fn of(provider: &impl ProvideCredentials, region: &str, now: i64) -> Result<Token, String> {
    let credentials = provider.provide_credentials().await;
    let credentials = credentials.map_err(|error| format!("AWS gives no credentials: {}", chain(&error)))?;
    let signed_at = SystemTime::UNIX_EPOCH + Duration::from_millis(now.unsigned_abs());
    let query = format!("Action={SERVICE}%3AConnect");
    let mut url = format!("https://kafka.{region}.amazonaws.com/?{query}");
    let user = credentials.access_key_id().to_owned();
    // Temporary credentials may end before the signature does.
    let ends = (signed_at + LIFE).min(credentials.expiry().unwrap_or(signed_at + LIFE));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFE);
    let identity = credentials.into();
    let params = SigningParams::builder().identity(&identity).region(region).name(SERVICE).time(signed_at);
    let params = params.settings(settings).build().map_err(|error| chain(&error))?.into();
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]));
    let signed = request.and_then(|request| sign(request, &params)).map_err(|error| chain(&error))?;
    let encode = |text: &str| Easy::new().url_encode(text.as_bytes());
    for (name, value) in signed.output().params() {
        url += &format!("&{name}={}", encode(value));
    }
    url += concat!("&User-Agent=streamgauge%2F", env!("CARGO_PKG_VERSION"));
    let ends = ends.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    Ok(Token { value: URL_SAFE_NO_PAD.encode(url), user, ends })
}

/// An error and what it came from, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::future;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// 2026-01-02T03:04:05Z.
    const NOW: i64 = 1_767_323_045_000;
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// Each time the next of these credentials.
    #[derive(Debug)]
    struct Rotating(Vec<Credentials>, AtomicUsize);

    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Ok(self.0[self.1.fetch_add(1, Ordering::Relaxed)].clone()))
        }
    }

    fn credentials(session: Option<&str>, life: Option<Duration>) -> Credentials {
        let ends = life.map(|life| SystemTime::UNIX_EPOCH + Duration::from_millis(NOW as u64) + life);
        Credentials::new("AKIDEXAMPLE", SECRET, session.map(str::to_owned), ends, "test")
    }

    fn query(token: &Token) -> Vec<String> {
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(&token.value).unwrap()).unwrap();
        let query = url.strip_prefix("https://kafka.eu-west-1.amazonaws.com/?").expect("the service's address");
        query.split('&').map(str::to_owned).collect()
    }

    /// The signatures are those of AWS's own signer for Python (aws-msk-iam-sasl-signer-python 1.0.2) for the same
    /// credentials at the same time.
    #[test]
    fn a_token_is_what_awss_own_signer_makes_of_the_credentials_of_the_moment() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = vec![credentials(None, None), credentials(Some("a/session+token=="), Some(Duration::from_secs(60)))];
        let provider = Rotating(all, AtomicUsize::new(0));
        let token = || runtime.block_on(of(&provider, "eu-west-1", NOW)).unwrap();
        let (lasting, temporary) = (token(), token());
        let common = [
            "Action=kafka-cluster%3AConnect",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Fkafka-cluster%2Faws4_request",
            "X-Amz-Date=20260102T030405Z",
            "X-Amz-Expires=900",
            "X-Amz-SignedHeaders=host",
        ];
        let agent = concat!("User-Agent=streamgauge%2F", env!("CARGO_PKG_VERSION"));
        for (token, own) in [
            (&lasting, &["X-Amz-Signature=7cc178453342e479def8e0e69cbff443ca929b5b0426af0f4b64554172c7195d"][..]),
            (
                &temporary,
                &[
                    "X-Amz-Security-Token=a%2Fsession%2Btoken%3D%3D",
                    "X-Amz-Signature=8c2a4dd1289fe3183dbe275938ba1db1848892a69df026ccf44451bcda453584",
                ],
            ),
        ] {
            let (mut found, mut expected) = (query(token), [&common[..], own, &[agent]].concat());
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        assert_eq!((lasting.ends - NOW, temporary.ends - NOW), (900_000, 60_000));
        assert_eq!(lasting.user, "AKIDEXAMPLE");
    }
}
