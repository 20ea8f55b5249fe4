//! Who may call: tokens and passwords as hashes, and the subjects of certificates.

use super::caller::Subject;
use crate::config::{Identity, Right};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A token that somebody could guess is none. Characters.
const SHORTEST_TOKEN: usize = 16;
/// Tokens of one identity: some, while one is replaced.
const MOST_TOKENS: usize = 100;
/// The hash of no password, of a usual cost: whether there is a user is not told by how long an answer takes.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

pub type Hash = [u8; SHA256_OUTPUT_LEN];

pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Somebody who may call, ready to be recognized.
#[derive(Debug)]
pub struct Known {
    pub name: Arc<str>,
    tokens: Vec<Hash>,
    password: Option<String>,
    subject: Option<String>,
    may: Vec<Right>,
}

impl Known {
    /// `tokens`: the text of its token file.
    ///
    /// # Errors
    /// If there is no token in it, or one that is too short.
    pub fn new(identity: &Identity, tokens: Option<&str>) -> Result<Known, String> {
        Ok(Known {
            name: identity.name.as_str().into(),
            tokens: tokens.map_or(Ok(Vec::new()), parse_tokens)?,
            password: identity.password_hash.as_ref().map(|hash| hash.0.clone()),
            subject: identity.certificate_subject.clone(),
            may: identity.may.clone(),
        })
    }

    pub fn may(&self, right: Right) -> bool {
        self.may.contains(&right)
    }
}

fn parse_tokens(text: &str) -> Result<Vec<Hash>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Result<Vec<_>, String> = lines.map(parse_token).collect();
    match tokens? {
        tokens if tokens.is_empty() => Err("holds no token".into()),
        tokens if tokens.len() > MOST_TOKENS => Err(format!("holds more than {MOST_TOKENS} tokens")),
        tokens => Ok(tokens),
    }
}

fn parse_token(line: &str) -> Result<Hash, String> {
    let Some(hex) = line.strip_prefix("sha256:") else {
        return match line.len() {
            0..SHORTEST_TOKEN => Err(format!("holds a token of less than {SHORTEST_TOKEN} characters")),
            _ => Ok(sha256(line.as_bytes())),
        };
    };
    let mut hash = Hash::default();
    let sound = hex.len() == 2 * hash.len() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok();
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    }
    sound.then_some(hash).ok_or_else(|| "`sha256:` must be followed by 64 hex digits".to_owned())
}

/// What the header `authorization` says.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    Token(String),
    Password {
        user: String,
        password: String,
    },
    /// Something else.
    Unknown,
}

impl Credentials {
    pub fn parse(header: &str) -> Credentials {
        let Some((scheme, rest)) = header.trim().split_once(' ') else { return Credentials::Unknown };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Credentials::Token(rest.trim().to_owned());
        }
        let decoded = BASE64_STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match (scheme.eq_ignore_ascii_case("basic"), decoded.as_deref().and_then(|text| text.split_once(':'))) {
            (true, Some((user, password))) => {
                Credentials::Password { user: user.to_owned(), password: password.to_owned() }
            }
            _ => Credentials::Unknown,
        }
    }
}

/// Whose certificate it is.
pub fn by_subject<'a>(all: &'a [Arc<Known>], subject: &Subject) -> Option<&'a Arc<Known>> {
    all.iter().find(|known| known.subject.as_ref().is_some_and(|meant| subject.is(meant)))
}

/// Whose token it is. Takes as long for one that is nearly right as for any other.
pub fn by_token<'a>(all: &'a [Arc<Known>], token: &str) -> Option<&'a Arc<Known>> {
    let hash = sha256(token.as_bytes());
    let mut found = None;
    for known in all {
        for own in &known.tokens {
            if bool::from(own.ct_eq(&hash)) {
                found = Some(known);
            }
        }
    }
    found
}

/// Whose password it is. Takes tens of milliseconds, whether there is such a user or not.
pub fn by_password<'a>(all: &'a [Arc<Known>], user: &str, password: &str) -> Option<&'a Arc<Known>> {
    let known = all.iter().find(|known| &*known.name == user && known.password.is_some());
    let hash = known.and_then(|known| known.password.as_deref()).unwrap_or(NOBODY);
    let is_right = bcrypt::verify(password, hash).unwrap_or(false);
    known.filter(|_| is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_hold_tokens_or_their_hashes() {
        let token = "0123456789abcdef";
        let hex: String = sha256(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(parse_tokens(&format!("{token}\n\nsha256:{hex}\n")).unwrap(), [sha256(token.as_bytes()); 2]);
        for wrong in ["", "short", "sha256:12", &format!("sha256:{}", "z".repeat(64))] {
            assert!(parse_tokens(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_is_a_token_or_a_user_with_a_password_that_may_have_colons() {
        assert_eq!(Credentials::parse("bearer  x"), Credentials::Token("x".into()));
        let password = Credentials::Password { user: "a".into(), password: "b:c".into() };
        assert_eq!(Credentials::parse(&format!("Basic {}", BASE64_STANDARD.encode("a:b:c"))), password);
        for other in ["", "Basic", "Basic !", "Digest x"] {
            assert_eq!(Credentials::parse(other), Credentials::Unknown, "{other}");
        }
    }
}
