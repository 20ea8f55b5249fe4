//! Which parts of a config must not be shown.

/// Words of librdkafka property names whose values are secrets.
const WORDS: [&str; 7] = ["password", "secret", "token", "key.pem", "jaas", "oauthbearer.config", "private.key"];

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// Whether the librdkafka property of this name holds a secret.
pub fn is_secret(property: &str) -> bool {
    let name = property.to_ascii_lowercase();
    // A location is a path, not the secret that lies there.
    WORDS.iter().any(|word| name.contains(word)) && !name.ends_with(".location") && !name.ends_with(".url")
}

/// Whether this line of a config file may show a secret to whoever reads an error about it.
pub fn line_may_hold_one(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["password", "secret", "token:", "key.pem", "jaas", "oauthbearer.config"].iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_name() {
        for name in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["sasl.username", "ssl.key.location", "security.protocol", "sasl.oauthbearer.token.endpoint.url"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
