//! An identity provider that gives tokens out: OAuth 2.0 with the credentials of a client (OIDC). librdkafka could ask it as
//! well, but only where it was compiled with a libcurl of the system's.

use super::token::{LARGEST, Token};
use curl::easy::{Auth, Easy, List};
use rdkafka::ClientConfig;
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// Of a token that does not say how long it lives. Seconds.
const USUAL_LIFE: i64 = 3_600;

pub struct Endpoint {
    url: String,
    client: String,
    secret: String,
    scope: String,
    /// Who signed its certificate: a file; empty: the system's authorities.
    ca: String,
}

impl Endpoint {
    pub fn of(url: &str, config: &ClientConfig) -> Endpoint {
        let get = |names: &[&str]| names.iter().find_map(|name| config.get(name)).unwrap_or_default().to_owned();
        Endpoint {
            url: url.to_owned(),
            client: get(&["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"]),
            secret: get(&["sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"]),
            scope: get(&["sasl.oauthbearer.scope"]),
            ca: get(&["https.ca.location"]),
        }
    }

    /// Asks for a token, at `now` (Unix milliseconds). Gives up after some seconds, or once nobody wants it any more.
    ///
    /// # Errors
    /// One line: why there is none.
    pub fn ask(&self, now: i64, is_wanted: &dyn Fn() -> bool) -> Result<Token, String> {
        let url = &self.url;
        let (status, body) = self.post(is_wanted).map_err(|error| match error.extra_description() {
            Some(detail) => format!("{url}: {detail}"),
            None => format!("{url}: {}", error.description()),
        })?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = |name: &str| answer.get(name).and_then(Value::as_str);
        if status != 200 {
            let why = said("error_description").or(said("error")).unwrap_or("it does not say why");
            return Err(format!("{url} answers with status {status}: {why}"));
        }
        let mut token = Token::of(said("access_token").unwrap_or_default());
        if token.value.is_empty() {
            return Err(format!("{url} answers without an access_token"));
        }
        if !token.has_end() {
            token.ends = now + answer.get("expires_in").and_then(Value::as_i64).unwrap_or(USUAL_LIFE) * 1_000;
        }
        Ok(token)
    }

    fn post(&self, is_wanted: &dyn Fn() -> bool) -> Result<(u32, Vec<u8>), curl::Error> {
        let (mut easy, mut headers, mut body) = (Easy::new(), List::new(), Vec::new());
        let mut form = "grant_type=client_credentials".to_owned();
        if !self.scope.is_empty() {
            form += "&scope=";
            form += &easy.url_encode(self.scope.as_bytes());
        }
        headers.append("Accept: application/json")?;
        easy.url(&self.url)?;
        easy.post(true)?;
        easy.post_fields_copy(form.as_bytes())?;
        easy.http_auth(Auth::new().basic(true))?;
        easy.username(&self.client)?;
        easy.password(&self.secret)?;
        easy.http_headers(headers)?;
        easy.useragent("streamgauge")?;
        easy.timeout(PATIENCE)?;
        easy.progress(true)?;
        if !self.ca.is_empty() {
            easy.cainfo(&self.ca)?;
        }
        let mut transfer = easy.transfer();
        transfer.progress_function(|_, _, _, _| is_wanted())?;
        transfer.write_function(|part| {
            // Less than what came ends the transfer.
            if body.len() + part.len() > LARGEST as usize {
                return Ok(0);
            }
            body.extend_from_slice(part);
            Ok(part.len())
        })?;
        transfer.perform()?;
        drop(transfer);
        Ok((easy.response_code()?, body))
    }
}
