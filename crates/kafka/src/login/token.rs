//! A token of OAUTHBEARER: what it says of itself, and the file it may come from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Of a token in a file that does not say when it ends: the year 2100, in Unix milliseconds.
const NEVER: i64 = 4_102_444_800_000;
/// Of a token, or of an answer that holds one. Bytes.
pub const LARGEST: u64 = 64 << 10;

#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    pub value: String,
    /// Whom it names, for librdkafka's own log.
    pub user: String,
    /// Unix milliseconds.
    pub ends: i64,
}

impl Token {
    /// The token of a file, at `now` (Unix milliseconds).
    ///
    /// # Errors
    /// Why there is none that could be used.
    pub fn read(path: &Path, now: i64) -> Result<Token, String> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
        let name = path.display();
        let size = read.map_err(|error| format!("cannot read the token in {name}: {error}"))?;
        if size as u64 > LARGEST {
            return Err(format!("{name} is too large to be a token"));
        }
        let token = Token::of(text.trim());
        match token.value.is_empty() {
            true => Err(format!("there is no token in {name}: it is empty")),
            false if token.ends <= now => Err(format!("the token in {name} has expired, and nobody has renewed it")),
            false => Ok(token),
        }
    }

    /// What a JSON Web Token says of itself. Of other tokens nothing is known.
    pub fn of(text: &str) -> Token {
        let payload = text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
        let claims: Option<serde_json::Value> = payload.and_then(|json| serde_json::from_slice(&json).ok());
        let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
        Token {
            value: text.to_owned(),
            user: claim("sub").and_then(|sub| sub.as_str()).unwrap_or("unknown").to_owned(),
            ends: claim("exp").and_then(|exp| exp.as_f64()).map_or(NEVER, |seconds| (seconds * 1_000.0) as i64),
        }
    }

    /// Whether it says when it ends.
    pub fn has_end(&self) -> bool {
        self.ends != NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"alg":"none"}`, `{"sub":"ada","exp":1000}`.
    const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjEwMDB9.";

    #[test]
    fn a_token_says_whom_it_is_of_and_when_it_ends() {
        let token = Token::of(JWT);
        assert_eq!((token.value.as_str(), token.user.as_str(), token.ends), (JWT, "ada", 1_000_000));
        let token = Token::of("opaque");
        assert_eq!((token.user.as_str(), token.ends), ("unknown", NEVER));
    }

    #[test]
    fn what_is_wrong_with_the_file_of_a_token_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |now| Token::read(file.path(), now);
        assert!(read(0).is_err_and(|error| error.contains("it is empty")));
        std::fs::write(file.path(), format!("{JWT}\n")).unwrap();
        assert_eq!(read(999_999), Ok(Token::of(JWT)));
        assert!(read(1_000_000).is_err_and(|error| error.contains("has expired")));
        std::fs::write(file.path(), "x".repeat(LARGEST as usize + 1)).unwrap();
        assert!(read(0).is_err_and(|error| error.contains("too large")));
        assert!(Token::read(Path::new("/nonexistent/token"), 0).is_err_and(|error| error.contains("cannot read")));
    }
}
